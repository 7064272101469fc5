"""The compiled ranking against numpy's, over random candidates: the same positions, and scores equal to the last bit."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.libraries import BUILT, in_threads, interrupted, library, needs_library

from shortlist.index import ranking
from shortlist.index.exact import slack_of
from shortlist.index.halves import Halves
from shortlist.index.library import addresses, index_library
from shortlist.index.ranking import Bounds, Ranked, ranked

ANY = Bounds(0, 1 << 30)
DIMS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 257]


def case(seed: int, n: int, dim: int, count: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A query, vectors, positions of which some are none, and the slack."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    query = rng.standard_normal(dim).astype(np.float32)
    if kind == "whole numbers":  # many equal scores
        vectors, query = np.round(vectors), np.round(query)
    elif kind == "few vectors":
        vectors = vectors[rng.integers(0, min(n, 3), n)]
    elif kind == "rising":
        vectors = vectors[np.argsort(vectors @ query)]
    elif kind == "long and short":
        vectors *= np.exp(8 * rng.standard_normal((n, 1))).astype(np.float32)
    elif kind == "zeros":
        query[:] = 0
    elif kind == "short":  # float32 holds neither the squares of their numbers nor their products
        vectors, query = np.ldexp(vectors, -70), np.ldexp(query, -75)
    positions = rng.permutation(n)[: min(count, n)].astype(np.int64)
    positions = np.sort(positions) if kind == "rising" else positions
    positions[rng.random(positions.size) < 0.05] = -1
    longest = float(np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1).max()))
    return query, vectors, positions, slack_of(float(query @ query), longest, dim)


def same(one: Ranked, other: Ranked) -> bool:
    if one.positions is None or other.positions is None:
        return one.positions is other.positions and one.lost == other.lost
    return (
        one.lost == other.lost
        and one.positions.dtype == other.positions.dtype == np.int64
        and one.scores.dtype == other.scores.dtype == np.float32
        and np.array_equal(one.positions, other.positions)
        and np.array_equal(one.scores, other.scores)
    )


def both(name: str, *arguments: object) -> tuple[Ranked, Ranked]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "index_library", lambda: library(name))
        compiled = ranked(*arguments)
        patched.setattr(ranking, "index_library", lambda: None)
        return compiled, ranked(*arguments)


@needs_library
@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 2000),
    dim=st.sampled_from(DIMS),
    count=st.integers(0, 2000),
    k=st.integers(1, 200),
    taken=st.none() | st.integers(0, 200),
    bounds=st.builds(Bounds, st.integers(0, 200), st.integers(0, 20)) | st.just(ANY),
    kind=st.sampled_from(["random", "whole numbers", "few vectors", "rising", "long and short", "zeros", "short"]),
)
def test_the_library_ranks_as_numpy_does(name, seed, n, dim, count, k, taken, bounds, kind):
    query, vectors, positions, slack = case(seed, n, dim, count, kind)
    rng = np.random.default_rng(seed)
    excluded = None if taken is None else np.sort(rng.permutation(n)[: min(taken, n)]).astype(np.int64)
    compiled, plain = both(name, query, vectors, positions, k, slack, excluded, bounds)
    assert same(compiled, plain)


@needs_library
@pytest.mark.parametrize("name", BUILT)
def test_the_comparison_can_fail(name: str) -> None:
    query, vectors, positions, slack = case(1, 500, 32, 300, "random")
    compiled, _ = both(name, query, vectors, positions, 10, slack, None, ANY)
    assert compiled.positions is not None
    vectors[compiled.positions[4]] *= np.float32(1.0001)
    after, plain = both(name, query, vectors, positions, 10, slack, None, ANY)
    assert same(after, plain)
    assert not same(after, compiled)


@needs_library
@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("count", [3, 400])
@pytest.mark.parametrize("beyond", [500, 501, 1 << 40])
def test_a_position_beyond_the_vectors_is_never_read(name: str, count: int, beyond: int) -> None:
    query, vectors, positions, slack = case(2, 500, 16, count, "random")
    positions[count // 2] = beyond
    for lib in (library(name), None):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ranking, "index_library", lambda lib=lib: lib)
            with pytest.raises(IndexError):
                ranked(query, vectors, positions, 5, slack, None, ANY)


@needs_library
@pytest.mark.parametrize("kind", ["halves", "float64", "transposed", "too long"])
def test_vectors_that_it_does_not_take_are_ranked_by_numpy(kind: str) -> None:
    dim = 8193 if kind == "too long" else 8
    query, vectors, positions, slack = case(3, 40, dim, 30, "whole numbers")
    given = {
        "halves": Halves.of(vectors),
        "float64": vectors.astype(np.float64),
        "transposed": np.asfortranarray(vectors),
        "too long": vectors,
    }[kind]
    assert not ranking._workspace.hold(given)
    plain = ranking._by_numpy(query, vectors, positions, 7, slack, None, ANY)
    assert same(ranked(query, given, positions, 7, slack, None, ANY), plain)


@needs_library
def test_threads_do_not_share_memory() -> None:
    cases = [case(seed, 900, 32, 700, "random") for seed in range(8)]
    wanted = [ranking._by_numpy(*given[:3], 20, given[3], None, ANY) for given in cases]

    def right(number: int) -> bool:
        given = cases[number]
        return same(ranked(*given[:3], 20, given[3], None, ANY), wanted[number])

    assert in_threads([partial(right, number) for number in range(len(cases))])


@needs_library
def test_results_outlive_the_next_ranking_and_vectors_that_are_gone() -> None:
    assert index_library() is not None
    first = case(4, 300, 16, 200, "random")
    kept = ranked(*first[:3], 9, first[3], None, ANY)
    before = kept.positions.copy(), kept.scores.copy()
    for seed in range(5, 12):  # other vectors, which may take the place of those before in memory
        query, vectors, positions, slack = case(seed, 300, 16, 200, "random")
        assert same(ranked(query, vectors, positions, 9, slack, None, ANY),
                    ranking._by_numpy(query, vectors, positions, 9, slack, None, ANY))  # fmt: skip
        del vectors
    assert np.array_equal(kept.positions, before[0])
    assert np.array_equal(kept.scores, before[1])


@needs_library
@pytest.mark.parametrize("line", range(90))
def test_after_an_interrupt_on_any_line_the_next_search_is_right(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's memory is never left with an address of what is not there, or with the shape of other vectors."""
    monkeypatch.setattr(ranking, "index_library", lambda: library(BUILT[0]))
    excluded = np.arange(0, 4000, 3)
    few, many = ((*case(seed, n, dim, count, "random"), kept) for seed, n, dim, count, kept in FEW_AND_MANY)

    def search(query: np.ndarray, vectors: np.ndarray, positions: np.ndarray, slack: float, taken: int) -> Ranked:
        return ranked(query, vectors, positions, 10, slack, excluded[:taken], ANY)

    wanted = []
    with monkeypatch.context() as patched:
        patched.setattr(ranking, "index_library", lambda: None)
        wanted = [search(*few), search(*many)]
    work: Any = ranking._Workspace()
    monkeypatch.setattr(ranking, "_workspace", work)
    search(*few)
    if not interrupted(line, ranking, lambda: search(*many)):
        assert line > 30  # all lines were interrupted
    for array, address in ((work.places, work.given.places), (work.excluded, work.given.excluded)):
        assert array.size == 0 or addresses(array) == (address,)
    assert same(search(*few), wanted[0])
    assert same(search(*many), wanted[1])


FEW_AND_MANY = ((1, 50, 5, 20, 3), (2, 4000, 64, 900, 1000))
