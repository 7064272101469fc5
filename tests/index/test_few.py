"""Exact search of several queries by the library against that in numpy: the same positions, and scores equal to the last bit."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.libraries import BUILT, in_threads, interrupted, library, needs_library

from shortlist.errors import SearchError
from shortlist.index import BruteForce, Hits, Lists, few
from shortlist.index.halves import Halves
from shortlist.index.library import addresses, index_library

DIMS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 257]
KINDS = ["random", "whole numbers", "few vectors", "long and short", "zeros", "short", "one of zeros"]


def case(seed: int, n: int, dim: int, count: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and queries."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    queries = rng.standard_normal((count, dim)).astype(np.float32)
    if kind == "whole numbers":  # many equal scores
        vectors, queries = np.round(vectors), np.round(queries)
    elif kind == "few vectors":
        vectors = vectors[rng.integers(0, min(n, 3), n)]
    elif kind == "long and short":
        vectors *= np.exp(8 * rng.standard_normal((n, 1))).astype(np.float32)
        queries *= np.exp(8 * rng.standard_normal((count, 1))).astype(np.float32)
    elif kind == "zeros":
        queries[:] = 0
    elif kind == "one of zeros":
        queries[:1] = 0
    elif kind == "short":  # float32 holds neither the squares of their numbers nor their products
        vectors, queries = np.ldexp(vectors, -70), np.ldexp(queries, -75)
    return vectors, queries


def excluded(seed: int, n: int, count: int, most: int) -> Lists:
    """Lists of positions in any order, some of them twice, some of no candidate."""
    rng = np.random.default_rng(seed)
    return Lists.of([rng.integers(-2, n + 2, rng.integers(0, most + 1)) for _ in range(count)])


def same(one: Hits, other: Hits) -> bool:
    pairs = [(one.offsets, other.offsets), (one.ids, other.ids), (one.scores, other.scores)]
    return all(first.dtype == second.dtype and np.array_equal(first, second) for first, second in pairs)


def searched(index: BruteForce, lib: object, *arguments: Any, **options: Any) -> Hits:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(few, "index_library", lambda: lib)
        return index.search(*arguments, **options)


@needs_library
@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 1500),
    dim=st.sampled_from(DIMS),
    count=st.integers(1, 14),
    k=st.integers(1, 60) | st.integers(1, 2000),
    most=st.none() | st.integers(0, 60) | st.integers(0, 2000),
    kind=st.sampled_from(KINDS),
)
def test_the_library_searches_as_numpy_does(name, seed, n, dim, count, k, most, kind):
    vectors, queries = case(seed, n, dim, count, kind)
    exclude = None if most is None else excluded(seed, n, count, most)
    index = BruteForce().build(vectors)
    compiled = few_of(index, name, queries, k, exclude)
    assert compiled is not None
    assert same(compiled, searched(index, None, queries, k, exclude=exclude))


def few_of(index: BruteForce, name: str, queries: np.ndarray, k: int, exclude: Lists | None) -> Hits | None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(few, "index_library", lambda: library(name))
        return index._plain(queries, k, exclude)


@needs_library
@pytest.mark.parametrize("name", BUILT)
def test_the_comparison_can_fail(name: str) -> None:
    vectors, queries = case(1, 500, 32, 6, "random")
    before = searched(BruteForce().build(vectors), library(name), queries, 10)
    vectors = vectors.copy()
    vectors[before.ids[4]] *= np.float32(1.0001)
    index = BruteForce().build(vectors)
    after = searched(index, library(name), queries, 10)
    assert same(after, searched(index, None, queries, 10))
    assert not same(after, before)


@needs_library
def test_all_of_a_query_may_be_excluded() -> None:
    vectors, queries = case(2, 30, 8, 5, "random")
    lists = [[], range(30), range(29), [3], range(30)]
    index = BruteForce().build(vectors)
    found = searched(index, library(BUILT[0]), queries, 4, exclude=Lists.of([np.array(one, np.int64) for one in lists]))
    assert np.diff(found.offsets).tolist() == [4, 0, 1, 4, 0]
    assert found.row(2)[0].tolist() == [29]


@needs_library
@pytest.mark.parametrize("kind", ["halves", "many", "many queries", "a copy of the codes", "too long"])
def test_candidates_that_it_does_not_take_are_searched_by_numpy(kind: str) -> None:
    n = {"many": 16_385, "many queries": 9000}.get(kind, 40)
    vectors, queries = case(
        3, n, 8193 if kind == "too long" else 8, 120 if kind == "many queries" else 3, "whole numbers"
    )
    index = BruteForce("int8" if kind == "a copy of the codes" else "float32").build(
        Halves.of(vectors) if kind == "halves" else vectors
    )
    assert index._plain(queries, 5, None) is None
    assert same(index.search(queries, 5), searched(index, None, queries, 5))


@needs_library
@given(
    seed=st.integers(0, 2**32),
    own_ids=st.booleans(),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 2**32), st.integers(1, 60)), max_size=4),
    count=st.integers(1, 6),
    k=st.integers(1, 300),
    most=st.none() | st.integers(0, 60),
)
def test_ids_of_their_own_and_changes_are_searched_as_numpy_does(seed, own_ids, changes, count, k, most):
    vectors, queries = case(seed, 200, 8, count, "few vectors")
    ids = np.random.default_rng(seed).permutation(400)[:200] if own_ids else None
    index = BruteForce().build(vectors, ids)
    for deletes, chance, number in changes:
        rng = np.random.default_rng(chance)
        some = rng.permutation(400)[:number]
        if deletes:
            index.delete(some)
        else:
            index.upsert(some, np.round(rng.standard_normal((number, 8))).astype(np.float32))
    exclude = None if most is None else excluded(seed, 400, count, most)
    compiled = few_of(index, BUILT[0], queries, k, exclude)
    assert index.size == 0 or compiled is not None
    assert same(index.search(queries, k, exclude=exclude), searched(index, None, queries, k, exclude=exclude))


@needs_library
def test_changes_do_not_bring_back_the_search_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by their number: rows multiplied in numpy after one change, and after as many as there were candidates."""
    vectors, queries = case(7, 1700, 32, 1, "random")
    index = BruteForce().build(vectors)
    monkeypatch.setattr("shortlist.index.block.top", None)
    for first, number in ((3, 1), (1700, 1), (1700, 4000)):
        index.upsert(np.arange(first, first + number), np.repeat(queries, number, axis=0))
        assert len(index.search(queries, 10).row(0)[0]) == 10


@needs_library
@pytest.mark.parametrize(
    ("queries", "k", "exclude"),
    [
        (np.ones((2, 8)), 5, None),
        (np.ones((2, 7), np.float32), 5, None),
        (np.ones(8, np.float32), 5, None),
        ([[1.0] * 8], 5, None),
        (np.full((2, 8), np.nan, np.float32), 5, None),
        (np.full((2, 8), np.inf, np.float32), 5, None),
        (np.full((2, 8), 1e18, np.float32), 5, None),
        (np.ones((2, 8), np.float32), 0, None),
        (np.ones((2, 8), np.float32), -1, None),
        (np.ones((2, 8), np.float32), 2.5, None),
        (np.ones((2, 8), np.float32), True, None),
        (np.ones((2, 8), np.float32), 5, Lists.of([[1]])),
        (np.ones((2, 8), np.float32), 5, [[1], [2]]),
    ],
)
def test_what_does_not_fit_is_refused_as_before(queries: Any, k: Any, exclude: Any) -> None:
    index = BruteForce().build(case(4, 40, 8, 1, "random")[0])
    messages = []
    for lib in (library(BUILT[0]), None):
        with pytest.raises(SearchError) as caught:
            searched(index, lib, queries, k, exclude=exclude)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@needs_library
@pytest.mark.parametrize(
    "queries", [np.ones((4, 16), np.float32)[:, ::2], np.asfortranarray(np.eye(8, dtype=np.float32))]
)
def test_queries_that_are_not_in_one_piece(queries: np.ndarray) -> None:
    index = BruteForce().build(case(5, 40, 8, 1, "random")[0])
    assert same(searched(index, library(BUILT[0]), queries, 5), searched(index, None, queries, 5))


@needs_library
@pytest.mark.parametrize("k", [np.int64(5), 10**9])
def test_other_numbers(k: Any) -> None:
    vectors, queries = case(6, 40, 8, 3, "random")
    index = BruteForce().build(vectors)
    assert same(searched(index, library(BUILT[0]), queries, k), searched(index, None, queries, k))


@needs_library
def test_no_queries() -> None:
    index = BruteForce().build(case(6, 40, 8, 3, "random")[0])
    assert len(searched(index, library(BUILT[0]), np.zeros((0, 8), np.float32), 3)) == 0


@needs_library
def test_threads_do_not_share_memory() -> None:
    cases = [case(seed, 900, 32, 1 + seed, "random") for seed in range(8)]
    indexes = [BruteForce().build(vectors) for vectors, _ in cases]
    lists = [excluded(seed, 900, 1 + seed, 90) for seed in range(8)]
    wanted = [
        searched(index, None, queries, 20, exclude=own)
        for index, (_, queries), own in zip(indexes, cases, lists, strict=True)
    ]

    def right(number: int) -> bool:
        return same(indexes[number].search(cases[number][1], 20, exclude=lists[number]), wanted[number])

    assert in_threads([partial(right, number) for number in range(len(cases))])


@needs_library
def test_results_outlive_the_next_search_and_vectors_that_are_gone() -> None:
    assert index_library() is not None
    vectors, queries = case(4, 300, 16, 5, "random")
    kept = BruteForce().build(vectors).search(queries, 9)
    before = kept.offsets.copy(), kept.ids.copy(), kept.scores.copy()
    for seed in range(5, 12):  # other vectors, which may take the place of those before in memory
        vectors, queries = case(seed, 300, 16, 5, "random")
        index = BruteForce().build(vectors)
        assert same(index.search(queries, 9), searched(index, None, queries, 9))
        del vectors, index
    assert same(kept, Hits(*before))


@needs_library
@pytest.mark.parametrize("line", range(110))
def test_after_an_interrupt_on_any_line_the_next_search_is_right(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's memory is never left with an address of what is not there, or with the shape of other vectors."""
    monkeypatch.setattr(few, "index_library", lambda: library(BUILT[0]))
    small, large = (
        (case(seed, n, dim, count, "random"), excluded(seed, n, count, most)) for seed, n, dim, count, most in SHAPES
    )
    indexes = [BruteForce().build(vectors) for (vectors, _), _ in (small, large)]

    def search(number: int) -> Hits:
        (_, queries), own = (small, large)[number]
        return indexes[number].search(queries, 10, exclude=own)

    wanted = []
    with monkeypatch.context() as patched:
        patched.setattr(few, "index_library", lambda: None)
        wanted = [search(0), search(1)]
    work: Any = few._Workspace()
    monkeypatch.setattr(few, "_workspace", work)
    search(0)
    if not interrupted(line, few, lambda: search(1)):
        assert line > 30  # all lines were interrupted
    names = ("offsets", "excluded", "found", "ends", "query", "scores")
    held = {name: getattr(work, name) for name in names}
    assert all(not array.size or addresses(array) == (getattr(work.given, name),) for name, array in held.items())
    assert same(search(0), wanted[0])
    assert same(search(1), wanted[1])


SHAPES = ((1, 50, 5, 2, 3), (2, 3000, 64, 9, 400))
