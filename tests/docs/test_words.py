"""The words that STYLE.md rules out stay out of what users read."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.docs.words import (
    comment_texts,
    docstring_texts,
    error_texts,
    faults,
    help_texts,
    page_texts,
    reference_texts,
    source_texts,
)


def _found(texts: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{place}: {fault}" for place, text in texts for fault in faults(text)]


def test_help_uses_plain_words() -> None:
    assert _found(help_texts()) == []


def test_pages_use_plain_words() -> None:
    assert _found(page_texts()) == []


def test_errors_use_plain_words() -> None:
    assert _found(error_texts()) == []


def test_the_reference_uses_plain_words() -> None:
    assert _found(reference_texts()) == []


def test_other_texts_use_plain_words() -> None:
    assert _found(source_texts()) == []


def test_docstrings_use_plain_words() -> None:
    assert _found(docstring_texts()) == []


def test_comments_use_plain_words() -> None:
    assert _found(comment_texts()) == []


@pytest.mark.parametrize(
    "text",
    [
        "Accuracy beside popularity.",
        "Whoever asks is refused.",
        "A run that was cut off goes on where it was.",
        "The server is told to stop.",
        "The folder that the file lies in.",
        "A key stands twice.",
        "The rows are of one table.",
        "a number came; text was expected",
        "'x' is there already",
        "'x' is no bundle",
        "the column is of another type",
        "the log cannot be had",
        "Backends, by commas",
        "Done. What was cut off is read again.",
    ],
)
def test_a_word_to_avoid_is_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "Write checkpoints to FOLDER.",
        "`…` stands for a value; the package comes with a recipe.",
        "The image is no longer built.",
        "the column is of type Int64; expected text, separated by commas",
        "What does it cost?",
        "a call such as `x.goes_on()`",
        "workers in ``coming`` take over",
    ],
)
def test_plain_words_pass(text: str) -> None:
    assert faults(text) == []
