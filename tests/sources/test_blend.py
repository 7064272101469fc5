"""Blend and Weights: what they add up to, and what cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shortlist.errors import ConfigError
from shortlist.sources import Blend, Weights


def test_weights_by_hand() -> None:
    # towers: parts 1 and 1/2, and 1/4 and 1; a table that knows the second alone, and a list that knows nothing
    first, second = np.array([1.0, 1 - math.log(2)]), np.array([0.0, 2 * math.log(4)])
    weights = Weights((0.5, 0.25, 0.125, 1.0), (1.0, 2.0))
    others = [np.array([0.0, 3.0]), np.zeros(2)]
    found = weights.total([first, second], others, [1.0, 2 * math.log(4)], [3.0, 0.0])
    assert found.tolist() == pytest.approx([0.5 + 0.25 / 4, 0.25 + 0.25 + 0.125])
    assert (weights.of_towers, weights.of_others) == ((0.5, 0.25), (0.125, 1.0))


def test_a_blend_is_weights_of_two() -> None:
    assert Blend(0.25, 2.0).weights == Weights((0.75, 0.25), (2.0,))


def test_what_all_sources_give_nothing_for_is_in_the_order_of_the_first_towers() -> None:
    found = Weights((0.0, 1.0), (1.0,)).total([np.array([3.0, 1.0, 2.0])], [np.array([1.0, 0.0, 0.0])], [3.0], [1.0])
    assert found.tolist() == [1.0, -2.0, -1.0]


@pytest.mark.parametrize(
    ("values", "temperatures"),
    [((-1.0,), (1.0,)), ((0.0, 0.0), (1.0,)), ((math.nan,), (1.0,)), ((math.inf,), (1.0,)), ((True,), (1.0,)),
     ((1.0,), (0.0,)), ((1.0,), (math.nan,)), ((1.0,), ()), ((1.0,), (1.0, 1.0)), (("1",), (1.0,))],
)  # fmt: skip
def test_weights_that_cannot_be(values, temperatures) -> None:
    with pytest.raises(ConfigError, match="mixture"):
        Weights(values, temperatures)


@pytest.mark.parametrize(
    "options", [(-0.1,), (1.1,), (True,), ("1",), (math.nan,), (0.5, 0.0), (0.5, -1.0), (0.5, math.nan)]
)
def test_blends_that_cannot_be(options) -> None:
    with pytest.raises(ConfigError, match="a mixture got"):
        Blend(*options)
