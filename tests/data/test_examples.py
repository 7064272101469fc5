"""The examples in the docstrings run as written."""

from __future__ import annotations

import doctest

import pytest

from shortlist.data import column_types, dataset, filters, formats, reading, splits


@pytest.mark.parametrize("module", [column_types, dataset, filters, formats, reading, splits])
def test_docstrings(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
