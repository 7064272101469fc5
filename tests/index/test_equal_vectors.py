"""Equal vectors: groups are found, only their first few are looked at, and every list is what it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.plain import plain

from shortlist.index import BruteForce, Lists, equal_vectors, top
from shortlist.index.equal_vectors import EqualVectors

A, B, C = [1.0, 0.0], [0.0, 1.0], [2.0, 2.0]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of a few candidates is worth a look, and few of a group are kept."""
    monkeypatch.setattr(equal_vectors, "_KEEP", 1)
    monkeypatch.setattr(equal_vectors, "_LEAST", 2)
    monkeypatch.setattr(equal_vectors, "_ROWS", 3)


def positions(found: np.ndarray | None) -> list[int] | None:
    return None if found is None else found.tolist()


def test_the_first_of_each_group_are_left() -> None:
    """Groups {0, 2, 3, 6} and {1, 5}; 4 is alone. What is kept is rounded up to 1, 2, 4."""
    found = EqualVectors(np.array([A, B, A, A, C, B, A], np.float32))
    assert positions(found.first(1)) == [0, 1, 4]
    assert positions(found.first(2)) == [0, 1, 2, 4, 5]
    assert found.first(3) is None  # no group has more than four
    allowed = np.array([2, 3, 4, 5, 6])
    assert positions(found.thinned(allowed, 1)) == [2, 4, 5]
    assert positions(found.thinned(allowed, 2)) == [2, 3, 4, 5]
    assert found.thinned(allowed, 4) is allowed


def test_different_bits_are_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 and −0 are equal numbers and other bits; and vectors of one hash are compared."""
    assert EqualVectors(np.array([[0.0], [-0.0]], np.float32)).first(1) is None
    monkeypatch.setattr(equal_vectors, "_hashes", lambda vectors: np.zeros(len(vectors), np.uint64))
    assert positions(EqualVectors(np.array([A, A, B, C], np.float32)).first(1)) == [0, 2, 3]


def test_a_few_equal_ones_in_a_large_catalogue_are_left_alone() -> None:
    vectors = np.arange(200, dtype=np.float32)[:, None]
    vectors[1] = vectors[0]
    assert EqualVectors(vectors).first(1) is None


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 300),
    m=st.integers(1, 5),
    k=st.sampled_from([1, 3, 20]),
    denied=st.sampled_from([0.0, 0.02, 0.5, 0.95]),
    allow=st.booleans(),
    excluded=st.sampled_from([0.0, 0.05, 0.5]),
    distinct=st.sampled_from([1, 2, 8, 100]),
    few=st.sampled_from([0, 3, 256]),
)
def test_lists_are_those_of_sorting_everything(seed, n, m, k, denied, allow, excluded, distinct, few):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(-1, 2, (distinct, 3)).astype(np.float32)
    vectors = kinds[rng.integers(0, distinct, n)]
    queries = rng.integers(-1, 2, (m, 3)).astype(np.float32)
    barred = np.flatnonzero(rng.random(n) < denied)
    seen = [np.flatnonzero(rng.random(n) < excluded) for _ in range(m)]
    rest = np.setdiff1d(np.arange(n), barred)
    rest.setflags(write=False)
    index = BruteForce().build(vectors)
    gone = np.flatnonzero(rng.random(n) < 0.1)
    index.delete(gone)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shortlist.index.block._FEW", few)
        for _ in range(2):  # the second finds what the first left
            hits = index.search(queries, k, exclude=Lists.of(seen), **({"allow": rest} if allow else {"deny": barred}))
            for i, (ids, scores) in enumerate(hits):
                order, values = plain(vectors, queries[i], k, {*barred.tolist(), *seen[i].tolist(), *gone.tolist()})
                assert ids.tolist() == order
                assert np.array_equal(scores, values)


def test_a_search_looks_at_a_few_of_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 candidates on eight vectors: ten of each, rounded up to sixteen, are all that is scored."""
    looked: list[int] = []
    several = top._several
    monkeypatch.setattr(top, "_several", lambda *given: (looked.append(len(given[1])), several(*given))[1])
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((8, 16)).astype(np.float32)[rng.integers(0, 8, 20_000)]
    index = BruteForce().build(vectors)
    hits = index.search(rng.standard_normal((3, 16)).astype(np.float32), 10)
    assert looked == [8 * 16]
    assert [len(ids) for ids, _ in hits] == [10, 10, 10]
