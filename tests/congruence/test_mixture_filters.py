"""The filters of the index suite, over a mixture on every index: what is found is eligible, and lists are never short."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.congruence.test_index_contract import KINDS, QUERIES, VECTORS, N, clustered, every_index
from tests.sources.plain import Weights as Entries
from tests.sources.plain import mixed, ranked, scores, table_of
from tests.sources.plain_stage import network_of

from shortlist.index import BruteForce, Index, Lists
from shortlist.sources import Added, Context, Filters, PairFeatures, RankedList, Searched, SecondStage, Weights
from shortlist.sources import search_all_stages as search

GONE = np.arange(100)  # rows that were deleted
OTHER = clustered(N, 5, 4)  # of the second towers
HISTORIES = [[5, 700, 1200], [], [3], [900, 901], [1499]]
NEAREST = 25
COUNTS = np.random.default_rng(13).integers(0, 50, N)
NO_GROUPS = np.zeros((5, 0), np.int64)


@cache
def entries() -> Entries:
    """Neighbours of the items in histories, and of no others; weights are whole numbers."""
    rng = np.random.default_rng(11)
    items = [one for history in HISTORIES for one in history]
    return {
        (item, int(other)): float(rng.integers(1, 9))
        for item in items
        for other in rng.choice(N, NEAREST, replace=False)
    }


@cache
def listed() -> np.ndarray:
    return np.random.default_rng(12).permutation(N)[:80].astype(np.int32)


@cache
def built(kind: str, churned: bool) -> Index:
    index = KINDS[kind].build(VECTORS, np.arange(N))
    if churned:
        index.delete(GONE)
        index.upsert(np.arange(200, 260), clustered(60, 7))
    return index


WEIGHTS, TEMPERATURES = (0.4, 0.2, 0.3, 0.1), (2.0, 0.5)


def mixture(kind: str, churned: bool, several: bool) -> tuple[list[Searched], Added]:
    """Towers on an index of the suite, a second pair where ``several``, a table and a list."""
    index = built(kind, churned)
    towers = [Searched(index, index.vectors_of, QUERIES[:5])]
    if several:
        towers.append(Searched(BruteForce().build(OTHER), OTHER.__getitem__, clustered(5, 6, 4)))
    table = table_of(entries(), N, age=0.5, length=10)
    first = RankedList(np.array([0, 80]), listed(), N, "popular")
    weights = Weights(WEIGHTS if several else (WEIGHTS[0], *WEIGHTS[2:]), TEMPERATURES[: len(towers)])
    return towers, Added((table,), (first,), Lists.of([np.array(one, np.int64) for one in HISTORIES]), weights)


def drawn(rng: np.random.Generator, share: float) -> np.ndarray:
    """About ``share`` of the rows, with repeats and with rows that no index holds; what sources put first among them."""
    some = np.concatenate([np.flatnonzero(rng.random(N) < share), listed()[:5] if share else []])
    return rng.permutation(np.concatenate([some, some[:3], [-77, 10**9]])).astype(np.int64)


@every_index
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.sampled_from([1, 5, 30, 700]),
    exclude=st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]),
    deny=st.sampled_from([None, 0.0, 0.3, 0.95]),
    allow=st.sampled_from([None, 0.0, 0.002, 0.3, 0.9]),
    churned=st.booleans(),
    several=st.booleans(),
    depth=st.sampled_from([None, 3, 40, 2 * N]),
)
def test_filters_give_exactly_what_is_eligible(kind, seed, k, exclude, deny, allow, churned, several, depth):
    rng = np.random.default_rng(seed)
    towers, added = mixture(kind, churned, several)
    if depth is not None:
        features = PairFeatures(COUNTS, (), (), int(COUNTS.sum()))
        stage = SecondStage(features, network_of(features.width(len(added.weights.values))), depth)
        added = replace(added, stage=stage)
    excluded = None if exclude is None else [drawn(rng, exclude * rng.choice([0, 1])) for _ in HISTORIES]
    denied = drawn(rng, deny) if deny is not None else None
    if churned:  # as a recommender does with deleted candidates
        denied = GONE if denied is None else np.concatenate([denied, GONE])
    allowed = None if allow is None else drawn(rng, allow)
    vectors = clustered(5, 6, 4) if several else None
    context = Context(added.histories, np.zeros((5, 1), np.int64), () if vectors is None else (vectors,), NO_GROUPS)
    filters = Filters(None if excluded is None else Lists.of(excluded), allowed, denied)
    hits, _ = search(towers, added, context, k, filters)
    for number, (rows, values) in enumerate(hits):
        eligible = {*range(N)} if allowed is None else {*range(N)} & {*allowed.tolist()}
        eligible -= set() if excluded is None else {*excluded[number].tolist()}
        eligible -= set() if denied is None else {*denied.tolist()}
        assert len(rows) == min(k, len(eligible))
        assert {*rows.tolist()} <= eligible
        assert len({*rows.tolist()}) == len(rows)
        assert (np.diff(values) <= 0).all()
        if kind == "brute_force" and depth is None:
            expected = expected_of(towers, added, number, sorted(eligible))
            assert values.tolist() == pytest.approx([expected[one] for one in rows.tolist()], rel=1e-4, abs=1e-7)
            best = sorted(expected.values(), reverse=True)[: len(rows)]
            assert values.tolist() == pytest.approx(best, rel=1e-4, abs=1e-7)


def expected_of(towers: list[Searched], added: Added, number: int, eligible: list[int]) -> dict[int, float]:
    """The mixture's score of each candidate that the query may have, by a double loop."""
    by_towers = []
    for one in towers:
        found = one.vectors_of(np.array(eligible, np.int64)).astype(np.float64) @ one.queries[number].astype(np.float64)
        by_towers.append(dict(zip(eligible, found.astype(np.float32).astype(np.float64).tolist(), strict=True)))
    near = scores(entries(), HISTORIES[number], 0.5, 10)
    others = [near, ranked(listed().tolist(), eligible)]
    return mixed(by_towers, others, added.weights.values, added.weights.temperatures)
