"""The API reference: each public name, its example as code."""

from __future__ import annotations

import importlib
import re

import pytest

import shortlist as sl
from shortlist._public import ROOMS

pytest.importorskip("griffe", reason="no griffe here: the site is built on Python 3.11 and later")

from docs.docstrings import fenced, reference


def test_the_reference_shows_each_public_name_itself() -> None:
    """Not the module that a function is named after."""
    shown = re.findall(r"^::: (\S+)\n    options:\n      heading: sl\.(\S+)", reference(), flags=re.MULTILINE)
    assert {name for _, name in shown} == set(ROOMS)
    assert [place for place, name in shown if _found(place) is not getattr(sl, name)] == []


def _found(place: str) -> object:
    module, _, name = place.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_examples_are_shown_as_code() -> None:
    assert fenced("Add.\n\nExample:\n    >>> 1 + 2\n    3") == (
        "Add.\n\nExamples:\n    ```pycon\n    >>> 1 + 2\n    3\n    ```\n"
    )
    assert fenced("Add.\n\nExample:\n    add(1, 2)") == "Add.\n\nExamples:\n    ```python\n    add(1, 2)\n    ```\n"
    assert fenced("Add.") == "Add."
