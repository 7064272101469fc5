"""Candidates on a plane: two groups of neighbours are apart, and nothing takes the map for itself."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.sources.neighbours import Neighbours
from shortlist.sources.plane import plane


def table(pairs: list[tuple[int, int]], candidates: int) -> Neighbours:
    """Each pair in the direction given, of weight 1."""
    pairs = sorted(pairs)
    ends = np.cumsum(np.bincount([one for one, _ in pairs], minlength=candidates))
    columns = np.array([other for _, other in pairs], np.int32)
    return Neighbours(np.concatenate([[0], ends]).astype(np.int64), columns, np.ones(len(pairs), np.float32))


GROUPS = [(one, other) for first in (0, 5) for one in range(first, first + 5) for other in range(first, one)]


def test_groups_of_neighbours_are_apart() -> None:
    """Two groups of five, in which all are neighbours of one another: the first coordinate tells them apart by its sign."""
    places = plane(table(GROUPS, 10), np.arange(10))
    assert places.shape == (10, 2)
    signs = np.sign(places[:, 0])
    assert len(set(signs[:5])) == len(set(signs[5:])) == 1
    assert signs[0] == -signs[5]
    again = plane(table(GROUPS, 10), np.arange(10))
    assert np.array_equal(places, again)


def test_candidates_without_neighbours_have_a_place_too() -> None:
    """One without a neighbour, and two that the table, which is older, does not know."""
    places = plane(table(GROUPS, 11), np.arange(13))
    assert np.isfinite(places).all()
    assert np.ptp(places[:5, 0]) < np.ptp(places[:10, 0]) / 2


def test_only_the_rows_asked_for() -> None:
    places = plane(table(GROUPS, 10), np.array([9, 0, 1, 8]))
    assert np.sign(places[:, 0]).tolist() in ([1, -1, -1, 1], [-1, 1, 1, -1])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_are_at_one_point(count: int) -> None:
    assert plane(table(GROUPS, 10), np.arange(count)).tolist() == [[0.0, 0.0]] * count
