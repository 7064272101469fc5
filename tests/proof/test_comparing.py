"""What counts as the same: everything to the last bit, or what two processors may make of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.proof.comparing import differences


def _list(*items: tuple[str, float]) -> dict[str, Any]:
    return {"ids": [one for one, _ in items], "scores": [score for _, score in items]}


SAVED = _list(("a", 2.0), ("b", 1.0), ("c", 1.0), ("d", 0.5))


@pytest.mark.parametrize(
    ("now", "exactly", "nearly"),
    [
        (SAVED, True, True),
        (_list(("a", 2.000001), ("b", 1.0), ("c", 1.0), ("d", 0.5)), False, True),  # rounding
        (_list(("a", 2.0), ("c", 1.0), ("b", 1.0), ("d", 0.5)), False, True),  # a tie the other way round
        (_list(("a", 2.0), ("b", 1.0), ("c", 1.0), ("e", 0.5)), False, True),  # a tie that the end cuts
        (_list(("b", 2.0), ("a", 1.0), ("c", 1.0), ("d", 0.5)), False, False),
        (_list(("a", 2.0), ("b", 1.0), ("e", 1.0), ("d", 0.5)), False, False),
        (_list(("a", 2.001), ("b", 1.0), ("c", 1.0), ("d", 0.5)), False, False),
        (_list(("a", 2.0), ("b", 1.0), ("c", 1.0)), False, False),
    ],
)
def test_lists(now: Any, exactly: bool, nearly: bool) -> None:
    assert (not list(differences(SAVED, now, exact=True))) is exactly
    assert (not list(differences(SAVED, now, exact=False))) is nearly


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("then", "now"),
    [(1, 2), (1, 1.0), ("a", "b"), ([1], [1, 2]), ({"a": 1}, {}), ({}, {"a": 1}), (None, 0), (1.0, 1.1)],
)
def test_other_values_differ(then: Any, now: Any, exact: bool) -> None:
    assert len(list(differences({"x": then}, {"x": now}, exact))) == 1


def test_two_values_that_are_no_number_are_the_same() -> None:
    assert not list(differences(math.nan, math.nan, exact=True))
    assert list(differences(math.nan, 1.0, exact=False))
