"""What an index and another source found, joined by the compiled library: the scores are those of numpy, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.libraries import BUILT, interrupted, library, needs_library

from shortlist.index import BruteForce, Halves, score_heads
from shortlist.index import joined as joining
from shortlist.index.joined import Joined, best_heads, joined
from shortlist.index.library import addresses


def case(seed: int, n: int, dim: int, heads: int, count: int, more: int) -> tuple[Any, ...]:
    """An index, a query, what the index found, and what another source did."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    query = rng.standard_normal(heads * dim).astype(np.float32)
    found = rng.permutation(n)[: min(count, n)]
    near = np.sort(rng.permutation(n)[: min(more, n)])
    weights = rng.random(near.size, dtype=np.float32)
    return BruteForce().build(vectors), query, found, best_heads(query, vectors[found]), near, weights


def plain(index: BruteForce, query: Any, found: Any, scores: Any, near: Any, weights: Any) -> Joined:
    """The same by a loop."""
    of_near = dict(zip(near.tolist(), weights.tolist(), strict=True))
    left = [row for row in near.tolist() if row not in set(found.tolist())]
    rows = np.array([*found.tolist(), *left], np.int64)
    of_left = best_heads(query, index.vectors_of(np.array(left, np.int64)))
    return Joined(
        rows, np.concatenate([scores, of_left]), np.array([of_near.get(row, 0) for row in rows.tolist()], np.float32)
    )


def same(one: Joined | None, other: Joined) -> bool:
    return one is not None and all(
        np.array_equal(mine, its) and mine.dtype == its.dtype for mine, its in zip(one, other, strict=True)
    )


@needs_library
@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 300),
    dim=st.sampled_from([1, 2, 3, 7, 8, 9, 16, 33, 64]),
    heads=st.integers(1, 3),
    count=st.integers(0, 30),
    more=st.integers(0, 200),
)
def test_the_library_joins_as_a_loop_does(name, seed, n, dim, heads, count, more) -> None:
    given_ = case(seed, n, dim, heads, count, more)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(joining, "index_library", lambda: library(name))
        assert same(joined(*given_), plain(*given_))


@needs_library
def test_by_hand_and_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "index_library", lambda: library(BUILT[0]))
    index = BruteForce().build(np.array([[1, 0], [0, 2], [3, 3]], np.float32))
    given_ = (
        index, np.array([1, 1, 0, 4], np.float32), np.array([2]), np.array([12], np.float32),
        np.array([0, 2]), np.array([0.5, 0.25], np.float32),
    )  # fmt: skip
    one = joined(*given_)
    assert one is not None
    # 0 has 1 by the first head and 0 by the second
    assert [part.tolist() for part in one] == [[2, 0], [12.0, 1.0], [0.25, 0.5]]
    assert same(one, plain(*given_))
    assert not same(one._replace(of_index=one.of_index * np.float32(1.0001)), plain(*given_))


@needs_library
def test_it_leaves_what_it_cannot_read_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "index_library", lambda: library(BUILT[0]))
    index, query, found, scores, near, weights = case(1, 50, 8, 1, 5, 20)
    vectors = index.vectors
    assert joined(index, query, found, scores, near, weights) is not None
    for outside in (-1, 50, 1 << 40):
        beyond = np.sort(np.append(near[:3], outside))
        assert joined(index, query, found, scores, beyond, weights[:4]) is None
    for other in (
        BruteForce().build(vectors, np.arange(1, 51)),
        BruteForce().build(vectors, np.arange(50)[::-1].copy()),
        BruteForce().build(Halves.of(np.ones((50, 8), np.float32))),
        BruteForce().build(np.ones((50, 8200), np.float32)),
        object(),
    ):
        assert joined(other, query, found, scores, near, weights) is None
    changed = BruteForce().build(vectors)
    changed.delete(np.array([49]))
    assert joined(changed, query, found, scores, near, weights) is None
    grown = BruteForce().build(vectors)
    grown.upsert(np.array([50]), vectors[:1])
    assert joined(grown, query, found, scores, near, weights) is None
    many = np.arange(2000)
    assert joined(index, query, found, scores, many, np.ones(2000, np.float32)) is None
    monkeypatch.setattr(joining, "index_library", lambda: None)
    assert joined(index, query, found, scores, near, weights) is None


@needs_library
@pytest.mark.parametrize("line", range(50))
def test_after_an_interrupt_on_any_line_the_next_is_right(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "index_library", lambda: library(BUILT[0]))
    few, many = case(1, 40, 4, 1, 3, 5), case(2, 300, 32, 2, 20, 90)
    work: Any = joining._Workspace()
    monkeypatch.setattr(joining, "_workspace", work)
    joined(*few)
    if not interrupted(line, joining, lambda: joined(*many)):
        assert line > 15  # all lines were interrupted
    assert work.query.size == 0 or addresses(work.query) == (work.given.query,)
    assert same(joined(*few), plain(*few))
    assert same(joined(*many), plain(*many))


def test_best_heads_have_the_scores_of_an_index() -> None:
    rng = np.random.default_rng(3)
    vectors, query = rng.standard_normal((60, 24)).astype(np.float32), rng.standard_normal(48).astype(np.float32)
    hits = BruteForce().build(vectors).search(query.reshape(2, 24), 60)
    one, two = (dict(zip(ids.tolist(), scores.tolist(), strict=True)) for ids, scores in hits)
    assert best_heads(query, vectors).tolist() == [max(one[row], two[row]) for row in range(60)]
    assert best_heads(query, vectors) == pytest.approx(score_heads(query[None], vectors)[0], rel=1e-6)
    assert best_heads(query, vectors[:0]).tolist() == []
