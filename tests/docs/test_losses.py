"""The page on losses has the figures of the results, in both languages."""

from __future__ import annotations

import pytest

from benchmarks import korean
from docs import losses


@pytest.mark.parametrize("code", korean.CODES)
def test_the_table_is_what_the_results_say(code: str) -> None:
    text = korean.place(losses.PAGE, code).read_text("utf-8")
    assert losses.figures().count("\n") > 5
    assert text == losses.page(text, code), "python -m docs.losses"


def test_the_results_have_their_korean() -> None:
    assert korean.missing(losses.figures()) == [], "benchmarks/ko.po"
