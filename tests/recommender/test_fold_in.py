"""Vectors of queries that training never saw, from what they chose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import shortlist as sl
from shortlist.errors import ConfigError, DataError, UnknownQueryError
from shortlist.index import Lists
from shortlist.recommender import fold_in
from shortlist.recommender.fold_in import FoldIn, Prior

F32 = np.float32


def folded(candidates: Sequence[Sequence[float]], queries: Sequence[Sequence[float]], **options: object) -> FoldIn:
    """Candidates that were chosen equally often, and queries that were all trained."""
    counts = np.ones(len(candidates), np.int64)
    return fold_in_of(np.array(candidates, F32), np.array(queries, F32), counts, **options)


def fold_in_of(
    candidates: NDArray[np.float32], queries: NDArray[np.float32], counts: NDArray[np.int64], **options: Any
) -> FoldIn:
    """By vectors ``[candidates, dim]`` and ``[queries, dim]``, the queries all trained."""

    def vectors_of(some: NDArray[np.int64]) -> NDArray[np.float32]:
        return candidates[some]

    return FoldIn(Prior.of(vectors_of, queries, counts, np.arange(len(queries)), **options), vectors_of)


def rows(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def test_one_dimension_by_hand() -> None:
    """Queries ±1 (mean 0, variance 1) and candidates ±1: after one choice the posterior of q has its top where
    1 - tanh(q) - q = 0; after the same number of choices of both it is 0."""
    fold = folded([[1.0], [-1.0]], [[1.0], [-1.0]])
    up, down, both, none = fold.vectors_of([rows(0), rows(1), rows(0, 1), rows()])[:, 0].tolist()
    assert up + math.tanh(up) == pytest.approx(1.0, abs=1e-5)
    assert (down, both, none) == pytest.approx((-up, 0.0, 0.0), abs=1e-6)


def test_counts_make_the_average_query_choose_by_popularity() -> None:
    """Of c = 1 chosen 3 times and c = -1 chosen once, one choice of the first says little: the slope is
    1 - E c - q with E c = (3 e^q - e^-q) / (3 e^q + e^-q)."""
    fold = fold_in_of(np.array([[1], [-1]], F32), np.array([[1], [-1]], F32), np.array([3, 1]))
    ((q,),) = fold.vectors_of([rows(0)]).tolist()
    expected = (3 * math.exp(q) - math.exp(-q)) / (3 * math.exp(q) + math.exp(-q))
    assert 1 - expected - q == pytest.approx(0.0, abs=1e-6)
    assert 0 < q < 0.5


def test_prior_moves_the_start() -> None:
    """With the prior at 1 rather than 0 the slope is 1 - tanh(q) - (q - 1); an empty list gives the prior back."""
    fold = folded([[1.0], [-1.0]], [[1.0], [-1.0]])
    q, empty = fold.vectors_of([rows(0), rows()], np.array([[1.0], [0.25]], F32))[:, 0].tolist()
    assert 1 - math.tanh(q) - (q - 1) == pytest.approx(0.0, abs=1e-5)
    assert empty == 0.25


def test_temperature_that_makes_the_choices_likeliest() -> None:
    """Query +1 chose three of three candidates at +1 and one of three at -1, query -1 the mirror: 3 of 4 choices are
    on the own side, as with e^(1/T) / (e^(1/T) + e^(-1/T)) = 3/4, that is T = 2 / ln 3."""
    candidates = [[1.0]] * 3 + [[-1.0]] * 3
    fold = folded(candidates, [[1.0], [-1.0]], chosen=Lists.of([[0, 1, 2, 3], [0, 3, 4, 5]]))
    assert fold.prior.temperature == pytest.approx(2 / math.log(3), rel=1e-6)
    assert folded(candidates, [[1.0], [-1.0]]).prior.temperature == 1.0
    assert folded(candidates, [[1.0], [-1.0]], temperature=0.5).prior.temperature == 0.5
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="above 0"):
            folded(candidates, [[1.0], [-1.0]], temperature=bad)


def test_a_dimension_that_all_queries_share_stays() -> None:
    """The last dimension is 1 in every query, as an item bias needs it."""
    fold = folded([[1, 0.7], [-1, 0.2]], [[1, 1], [-1, 1]])
    vectors = fold.vectors_of([rows(0), rows(1)])
    assert vectors[:, 1].tolist() == pytest.approx([1.0, 1.0], abs=1e-7)
    assert vectors[0, 0] > 0 > vectors[1, 0]


def test_queries_without_any_spread_stay_where_they_are() -> None:
    fold = folded([[1.0, 0.0], [0.0, 1.0]], [[0.5, 2.0]])
    assert fold.vectors_of([rows(0)]).tolist() == [[0.5, 2.0]]
    with pytest.raises(ConfigError, match="needs trained queries"):
        fold_in_of(np.ones((2, 1), F32), np.ones((0, 1), F32), np.ones(2, np.int64))


@given(seed=st.integers(0, 10_000), dim=st.integers(1, 5), temperature=st.sampled_from([0.05, 1.0, 4.0]))
def test_the_top_of_the_posterior_by_plain_ascent(seed: int, dim: int, temperature: float) -> None:
    """The same as many small plain steps uphill on log p(choices | q) + log N(q; m, S)."""
    random = np.random.default_rng(seed)
    candidates, queries = random.normal(size=(7, dim)).astype(F32), random.normal(size=(30, dim)).astype(F32)
    counts = random.integers(1, 9, 7)
    fold = fold_in_of(candidates * F32(temperature), queries, counts, temperature=temperature)
    picked = rows(*random.choice(7, 3, replace=False))
    m = queries.astype(np.float64).mean(0)
    cov = (queries - m).T @ (queries - m) / 30
    lean = dim / (dim + 30)
    inverse = np.linalg.inv((1 - lean) * cov + lean * np.diag(np.diag(cov)))
    q = m.copy()
    for _ in range(4000):
        odds = counts * np.exp(candidates @ (q - m))
        q = q + 0.02 * (candidates[picked].sum(0) - 3 * (odds / odds.sum()) @ candidates - inverse @ (q - m))
    assert fold.vectors_of([picked])[0] == pytest.approx(q, abs=1e-4)


def test_large_catalogues_are_stood_for_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates of two kinds, 400 and 200 of each, chosen equally often: a sample of 512 tells nearly the same."""
    vectors = np.repeat(np.array([[1.0], [-1.0]], F32), [400, 200], axis=0)
    counts, queries = np.ones(600, np.int64), np.array([[1.0], [-1.0]], F32)
    whole = fold_in_of(vectors, queries, counts).vectors_of([rows(0), rows(599)])
    monkeypatch.setattr(fold_in, "COMPETITORS", 512)
    sampled = fold_in_of(vectors, queries, counts)
    assert len(sampled.prior.competing) < 512
    assert sampled.prior.shares.sum() == pytest.approx(1.0)
    assert np.abs(sampled.vectors_of([rows(0), rows(599)]) - whole).max() < 0.05


@pytest.mark.parametrize("most", [1 << 14, 8])
@pytest.mark.parametrize("counted", [True, False])
def test_a_prior_without_deleted_candidates_is_that_of_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, most: int, counted: bool
) -> None:
    """To the last bit, also where the catalogue is replaced by a sample."""
    monkeypatch.setattr(fold_in, "COMPETITORS", most)
    random = np.random.default_rng(0)
    candidates, queries = random.normal(size=(20, 3)).astype(F32), random.normal(size=(15, 3)).astype(F32)
    counts = random.integers(0, 9, 20) if counted else np.zeros(20, np.int64)
    chosen = [np.sort(random.choice(20, 4, replace=False)) for _ in queries]
    gone, kept = np.array([0, 3, 12]), np.setdiff1d(np.arange(20), [0, 3, 12])
    left = Lists.of([np.searchsorted(kept, np.setdiff1d(one, gone)) for one in chosen])
    live = fold_in_of(candidates, queries, counts, chosen=Lists.of(chosen), deleted=gone)
    alone = fold_in_of(candidates[kept], queries, counts[kept], chosen=left)
    assert kept[alone.prior.competing].tolist() == live.prior.competing.tolist()
    assert alone.prior.shares.tolist() == live.prior.shares.tolist()
    assert alone.prior.temperature == live.prior.temperature
    assert alone.vectors_of([rows(1, 5)]).tolist() == live.vectors_of([kept[[1, 5]]]).tolist()


# Behind raw ids.


def test_recommend_for_what_was_chosen(recommender: sl.Recommender) -> None:
    """An unknown query that chose c is answered from c's side; what it chose is left out; it stays marked."""
    (answer,) = recommender.recommend(["eve"], k=3, history=[["c", "not in the catalogue"]])
    assert not answer.known
    assert "c" not in answer.ids
    assert answer.sources == ["model"] * 3
    (vector,) = recommender.fold_in([["c", "not in the catalogue"]])
    assert answer.scores == pytest.approx(sorted(recommender.served.vectors[[0, 1, 3]] @ vector, reverse=True))
    (kept,) = recommender.recommend(["eve"], k=4, history=[["c"]], exclude_seen=False)
    assert "c" in kept.ids


def test_an_empty_list_changes_nothing(recommender: sl.Recommender) -> None:
    asked = ["ann", "eve", None]
    assert recommender.recommend(asked, k=3, history=[[], [], []]) == recommender.recommend(asked, k=3)


def test_a_known_query_moves_from_its_own_vector(recommender: sl.Recommender) -> None:
    """ann's vector is (1, 0), and c's is (1, 4)."""
    request = recommender.served.fold_in.vectors_of([rows(2)], np.array([[1, 0]], F32))
    (answer,) = recommender.recommend(["ann"], k=4, history=[["c"]], exclude_seen=False)
    assert answer.known
    assert dict(zip(answer.ids, answer.scores, strict=True))["c"] == pytest.approx(float(request[0] @ [1, 4]))
    assert request[0, 1] > 0


def test_cold_start_policies(model: sl.TwoTower, train: sl.Dataset) -> None:
    """What a query chose is reason enough to answer it by the model."""
    refusing = sl.Recommender(model, sl.BruteForce(), train, cold_start="refuse")
    assert refusing.recommend(["eve"], history=[["c"]])[0].ids
    with pytest.raises(UnknownQueryError):
        refusing.recommend(["eve", "eva"], history=[["c"], []])
    popular = sl.Recommender(model, sl.BruteForce(), train, cold_start="popularity")
    first, second = popular.recommend(["eve", "eva"], k=2, history=[["c"], []])
    assert (set(first.sources), set(second.sources)) == ({"model"}, {"popularity"})


def test_bad_lists(recommender: sl.Recommender) -> None:
    for bad in ([["a"]], "ab", 5):
        with pytest.raises(DataError, match="per query was expected"):
            recommender.recommend(["ann", "bob"], history=bad)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a list of ids"):
        recommender.recommend(["ann"], history=["a"])
    with pytest.raises(DataError, match="type String"):
        recommender.fold_in([[1]])
    for bad in ("ab", None):
        with pytest.raises(DataError, match="one list of ids per query"):
            recommender.fold_in(bad)  # type: ignore[arg-type]
    assert recommender.fold_in([]).shape == (0, 2)


def test_needs_stored_queries() -> None:
    table = pl.DataFrame({"who": ["a", "b"] * 8, "what": ["x", "y"] * 8, "hour": list(range(16))})
    train = sl.Dataset(table, "who", "what")
    query = sl.Tower(sl.StringLookup("who"), sl.Normalization("hour"), dim=2)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    with pytest.raises(ConfigError, match="columns that only a request has"):
        sl.Recommender(model.eval()).fold_in([["x"]])


def test_a_loaded_bundle_folds_in_the_same(bundle: Path, recommender: sl.Recommender) -> None:
    lists = [["a"], ["b", "c"], []]
    assert np.array_equal(sl.Recommender.load(bundle).fold_in(lists), recommender.fold_in(lists))


def test_a_query_asked_again_is_computed_once_and_a_new_choice_is_seen(
    recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = sl.Recommender(recommender.model, seen=recommender.seen)
    computed: list[int] = []
    vector = FoldIn._vector

    def counted(fold: FoldIn, rows, before, average):
        computed.append(len(rows))
        return vector(fold, rows, before, average)

    monkeypatch.setattr(FoldIn, "_vector", counted)
    ids = fresh.candidate_ids.to_list()
    query = fresh.query_ids[0]
    first = [fresh.recommend([query], k=3, history=[ids[:n]])[0] for n in (2, 3)]
    assert computed == [2, 3]
    assert [fresh.recommend([query], k=3, history=[ids[:n]])[0] for n in (2, 3)] == first
    assert computed == [2, 3]
    fresh.recommend([fresh.query_ids[1]], k=3, history=[ids[:2]])  # the same choices of another
    fresh.delete([ids[-1]])  # other candidates: what was computed is no longer taken
    fresh.recommend([query], k=3, history=[ids[:2]])
    assert computed == [2, 3, 2, 2]


@given(count=st.integers(0, 700), rank=st.integers(1, 40), seed=st.integers(0, 9))
def test_products_in_blocks_are_those_of_whole_matrices(count: int, rank: int, seed: int) -> None:
    """And none of them is so long that OpenBLAS would use a second thread."""
    chance = np.random.default_rng(seed)
    matrix, vector, shares = chance.normal(size=(count, rank)), chance.normal(size=rank), chance.random(count)
    sizes: list[int] = []

    class Seen(np.ndarray[Any, Any]):
        def __getitem__(self, place: Any) -> Any:
            found = np.asarray(self)[place]
            sizes.append(found.size)
            return found

    seen = matrix.T.view(Seen)
    assert fold_in._scores(seen, vector) == pytest.approx(matrix @ vector)
    assert fold_in._weighted(seen, shares) == pytest.approx(shares @ matrix)
    assert max(sizes, default=0) * 2 <= 1 << 18  # multiplications by a pair of vectors


def test_products_longer_than_one_thread_does_are_cut() -> None:
    """Of 3,000 candidates in 100 dimensions 1,310 at a time: with two vectors that is 262,000 multiplications."""
    chance = np.random.default_rng(0)
    columns, vector, weights = chance.normal(size=(100, 3000)), chance.normal(size=100), chance.random(3000)
    assert [len(range(3000)[part]) for part in fold_in._parts(columns)] == [1310, 1310, 380]
    assert fold_in._scores(columns, vector) == pytest.approx(vector @ columns)
    assert fold_in._weighted(columns, weights) == pytest.approx(columns @ weights)


def test_what_is_kept_of_the_prior_is_the_covariance_and_no_two_directions_vary_together() -> None:
    """L Lᵀ is the covariance whatever its columns are; in them the scores of the competitors have no covariance."""
    chance = np.random.default_rng(3)
    candidates, queries = chance.normal(size=(40, 4)).astype(F32), chance.normal(size=(300, 4)).astype(F32)
    counts = chance.integers(1, 9, 40)
    prior = fold_in_of(candidates, queries, counts, temperature=0.5).prior
    covariance = np.cov(queries.astype(np.float64).T, bias=True)
    lean = 4 / 304
    assert prior.spread @ prior.spread.T == pytest.approx(
        (1 - lean) * covariance + lean * np.diag(np.diag(covariance)), abs=1e-6
    )
    scores = candidates.astype(np.float64) @ prior.spread / 0.5
    assert np.cov(scores.T, aweights=counts, bias=True) == pytest.approx(np.diag(prior.variances), abs=1e-9)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("apart", [0.1, 1.0, 3.0])
def test_the_slope_at_the_vector_is_nothing(temperature: float, apart: float) -> None:
    """Where candidates are far apart, many were chosen, or the query is far from the others: at the top the sum of what was
    chosen, less what is expected there, is z."""
    chance = np.random.default_rng(5)
    candidates, queries = chance.normal(size=(300, 8)) * apart, chance.normal(size=(90, 8)).astype(F32)
    fold = fold_in_of(candidates.astype(F32), queries, chance.integers(1, 50, 300), temperature=temperature)
    scaled, prior = fold.candidates(np.arange(300)).astype(np.float64) / temperature, fold.prior
    for count in (1, 5, 200):
        for before in (None, (3 * queries[0])[None]):
            picked = np.sort(chance.choice(300, count, replace=False))
            start = prior.mean if before is None else before[0].astype(np.float64)
            found = fold._vector(picked, start, before is None)
            z = np.linalg.solve(prior.spread, found - start)
            logits = scaled @ (found - prior.mean)
            odds = prior.shares * np.exp(logits - logits.max())
            slope = prior.spread.T @ (scaled[picked].sum(0) - count * (odds / odds.sum()) @ scaled) - z
            bend = np.eye(8) + count * np.cov((scaled @ prior.spread).T, aweights=odds, bias=True)
            assert np.linalg.solve(bend, slope) == pytest.approx(np.zeros(8), abs=1e-4)
