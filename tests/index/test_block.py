"""What a request's filters mean in a block of candidates; by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.errors import SearchError
from shortlist.index.block import Block, SearchRequest, member
from shortlist.index.values import Lists

# One number a candidate: the score with the query 1 is that number.
VECTORS = np.array([[1.0], [5.0], [3.0], [4.0], [2.0]], np.float32)
IDS = np.array([10, 50, 30, 40, 20])
BLOCK = Block.of(VECTORS, IDS, 5.0)


def asked(queries: int = 1, k: int = 10, **filters: object) -> SearchRequest:
    rows = np.ones((queries, 1), np.float32)
    given = {"exclude": None, "allow": None, "deny": None, **filters}
    return SearchRequest.of(rows, np.ones(queries, np.float32), k, **given)


def found(block: Block, request: SearchRequest) -> list[list[int]]:
    """The ids of each query's list."""
    hits = block.search(request, block.filters(request))
    return [block.ids[hits.positions[hits.rows == number]].tolist() for number in range(request.queries.shape[0])]


def test_without_filters_the_best_come_first() -> None:
    assert found(BLOCK, asked(k=3)) == [[50, 40, 30]]
    assert found(BLOCK, asked(k=99)) == [[50, 40, 30, 20, 10]]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"deny": [50, 999]}, [[40, 30, 20, 10]] * 2),
        ({"allow": [10, 30, 999]}, [[30, 10]] * 2),
        ({"allow": []}, [[], []]),
        ({"allow": [10, 30, 40], "deny": [40]}, [[30, 10]] * 2),
        ({"exclude": Lists.of([[50, 40], [999]])}, [[30, 20, 10], [50, 40, 30, 20, 10]]),
        ({"exclude": Lists.of([[50], []]), "deny": [40]}, [[30, 20, 10], [50, 30, 20, 10]]),
        ({"allow": Lists.of([[10, 10, 20], [50]])}, [[20, 10], [50]]),
        ({"allow": Lists.of([[10, 20], [50]]), "exclude": Lists.of([[20], []]), "deny": [50]}, [[10], []]),
    ],
)
def test_filters(filters: dict[str, object], expected: list[list[int]]) -> None:
    assert found(BLOCK, asked(queries=2, **filters)) == expected


def test_the_dead_are_never_found_and_the_segment_before_stays() -> None:
    smaller = BLOCK.without(np.array([50, 10, 777]))
    assert found(smaller, asked()) == [[40, 30, 20]]
    assert found(smaller, asked(allow=[50, 40])) == [[40]]
    assert found(smaller, asked(deny=[40])) == [[30, 20]]
    assert (smaller.alive, BLOCK.alive) == (3, 5)
    vectors, ids = smaller.living
    assert ids.tolist() == [30, 40, 20]
    assert vectors[:, 0].tolist() == [3.0, 4.0, 2.0]
    assert found(smaller.without(np.array([30])), asked()) == [[40, 20]]


def test_how_many_are_open_to_each_query() -> None:
    smaller = BLOCK.without(np.array([50]))
    request = asked(queries=2, exclude=Lists.of([[50, 10], [20, 30]]), deny=[10])
    filters = smaller.filters(request)
    assert filters.free(5) == 3  # 30, 40, 20
    assert filters.eligible(5, 2).tolist() == [3, 1]  # 50 and 10 are gone for everybody


def test_members_of_sorted_values() -> None:
    assert member(np.array([2, 4, 9]), np.array([9, 1, 4, 10])).tolist() == [True, False, True, False]
    assert member(np.zeros(0, np.int64), np.array([1])).tolist() == [False]


def test_filters_that_do_not_fit_the_queries() -> None:
    with pytest.raises(SearchError, match="exclude is a list; Lists, one per query"):
        asked(exclude=[[1]])
    for name in ("exclude", "allow"):
        with pytest.raises(SearchError, match=f"{name} has 1 list for 2 queries"):
            asked(queries=2, **{name: Lists.of([[1]])})
