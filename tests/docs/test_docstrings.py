"""Docstrings take one form, Google's: a line of purpose, what it does, then Args, Attributes, Returns, Raises, Example."""

from __future__ import annotations

import pytest
from tests.docs.docstrings import UNDESCRIBED, documented, faults, source, undescribed


def test_docstrings_take_one_form() -> None:
    assert [f"{one}: {fault}" for one in documented() for fault in faults(one)] == []


def test_exceptions_are_needed() -> None:
    """A name on the list of exceptions exists, and does lack descriptions."""
    lacking = {one.name for one in documented() if undescribed(one)}
    assert set(UNDESCRIBED) <= lacking


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("Add.\n\nArgs:\n    other: a number.", "Args: other is not a parameter"),
        ("Add.\n\nRaises:\n    ConfgError: for text.", "Raises: there is no ConfgError"),
        ("Add.\n\nRaises:\n    ConfigError: for text.\n\nArgs:\n    first: a number.", "Args comes after Raises"),
        ("Add.\n\nfirst: a number. second: another.", "a parameter is described outside Args: first"),
        ("Add. Raises ConfigError for text.", "an error is described outside Raises: Raises ConfigError"),
        ("Add.\n\n>>> add(1, 2)\n3", "a code example is outside Example"),
        ("\n\nArgs:\n    first: a number.", "no line of purpose"),
        ("Add.\n\nArguments:\n    first: a number.", "the section is called Args, not Arguments"),
    ],
)
def test_another_form_is_found(docstring: str, fault: str) -> None:
    assert fault in faults(source(f"def add(first, second):\n    {docstring!r}\n"))


def test_a_public_function_describes_each_parameter() -> None:
    code = 'def add(first, second):\n    """Add.\n\n    Args:\n        first: a number.\n    """\n'
    assert faults(source(code, public=True)) == ["Args does not describe: second"]
    assert faults(source(code)) == []


def test_a_public_function_has_its_errors_in_raises() -> None:
    code = 'def add(first):\n    """Add; ConfigError for text."""\n'
    assert faults(source(code, public=True)) == ["an error is described outside Raises: ConfigError for"]
    assert faults(source(code)) == []
