"""Alternating least squares: values worked by hand, the plain form, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from tests.loss.exact_als import exact_sweeps
from torch import Tensor

import shortlist as sl
from shortlist.loss import Chosen, Sweeps, objective, solve

from .test_fit import camps, towers

SIZES = (5, 4)


def chosen(weights: Tensor) -> Chosen:
    """Those of ``weights [rows, columns]`` that are not 0."""
    rows, columns = np.nonzero(weights.numpy())
    return Chosen.of(rows, columns, weights.numpy()[rows, columns], tuple(weights.shape))


def plain(weights: Tensor, query: Tensor, candidate: Tensor, task: sl.ALS) -> Tensor:
    """The sum that ALS makes least, as it is written, over a matrix of all pairs."""
    scores = query @ candidate.T
    decay = [
        (task.regularization * (weights.sum(1 - side) + task.unobserved * weights.shape[1 - side]) ** task.exponent)
        for side in (0, 1)
    ]
    return (
        (weights * (1 - scores) ** 2).sum()
        + task.unobserved * (scores**2).sum()
        + (decay[0] * (query**2).sum(1)).sum()
        + (decay[1] * (candidate**2).sum(1)).sum()
    )


def test_a_vector_worked_by_hand() -> None:
    """A row chose the first of two columns, whose vectors are 2 and 1.

    left: 1·2² + 0.5·(2² + 1²) + 0.1·(1 + 0.5·2)¹ = 4 + 2.5 + 0.2 = 6.7; right: 1·2 = 2; so 2 / 6.7. Chosen three times, with an
    exponent of 0: 3·4 + 2.5 + 0.1 = 14.6, and 6. A row that chose nothing is 0.
    """
    other = torch.tensor([[2.0], [1.0]])
    found = solve(chosen(torch.tensor([[1.0, 0.0], [0.0, 0.0]])), other, sl.ALS(0.5, 0.1, 1.0))
    torch.testing.assert_close(found, torch.tensor([[2 / 6.7], [0.0]]))
    found = solve(chosen(torch.tensor([[3.0, 0.0]])), other, sl.ALS(0.5, 0.1, 0.0))
    torch.testing.assert_close(found, torch.tensor([[6 / 14.6]]))


tasks = st.builds(sl.ALS, st.floats(0.01, 2), st.floats(0.001, 1), st.sampled_from([0, 0.5, 1.0]))


@given(task=tasks, seed=st.integers(0, 1000), dim=st.integers(1, 3))
def test_no_other_vector_is_better(task: sl.ALS, seed: int, dim: int) -> None:
    """At the solution the plain sum has no slope, and the objective is that sum by the weights."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randint(0, 3, SIZES, generator=generator).float()
    weights[0, 0] = 1.0
    candidate = torch.randn(SIZES[1], dim, generator=generator)
    query = solve(chosen(weights), candidate, task).double().requires_grad_()
    total = plain(weights.double(), query, candidate.double(), task)
    (slope,) = torch.autograd.grad(total, query)
    scale = float(weights.sum()) * float(candidate.abs().max())
    assert float(slope.abs().max()) < 1e-4 * scale
    both = chosen(weights)
    found = objective(both, both.turned(), query.detach().float(), candidate, task)
    assert found == pytest.approx(float(total.detach() / weights.sum()), rel=1e-4)


def test_it_agrees_with_implicit() -> None:
    """implicit weighs a chosen pair c and every other 1; divided by 1 / unobserved ours is c = 1 + 1 / unobserved.

    Its chosen pairs have the target 1 with all of their weight, ours 1 with weight 1 and 0 with the weight of the others: the
    same least up to a factor of the targets. So ours is implicit's times 1 / (1 + unobserved).
    """
    from implicit.cpu.als import AlternatingLeastSquares

    unobserved, decay = 0.25, 0.5
    weights = (torch.rand(12, 8, generator=torch.Generator().manual_seed(3)) < 0.4).float()
    candidate = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    peer = AlternatingLeastSquares(
        factors=4, regularization=decay / unobserved, alpha=1.0, dtype=np.float32, num_threads=1, use_cg=False
    )
    peer.item_factors = candidate.numpy()
    wanted = peer.recalculate_user(np.arange(12), csr_matrix(weights.numpy()) * (1 + 1 / unobserved))
    found = solve(chosen(weights), candidate, sl.ALS(unobserved, decay, 0.0), steps=8).numpy()
    np.testing.assert_allclose(found * (1 + unobserved), wanted, rtol=1e-3, atol=1e-5)


def test_long_and_short_rows_in_parts_are_solved_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    weights = (torch.rand(40, 30, generator=generator) < torch.linspace(0, 1, 40).unsqueeze(1)).float()
    candidate = torch.randn(30, 4, generator=generator)
    task = sl.ALS(0.2, 0.05, 0.7)
    whole = solve(chosen(weights), candidate, task)
    alone = torch.cat([solve(chosen(row.unsqueeze(0)), candidate, task) for row in weights[1:]])
    torch.testing.assert_close(whole[1:], alone)
    monkeypatch.setattr("shortlist.loss.chosen.PAIRS", 50)
    monkeypatch.setattr("shortlist.loss.chosen.ROWS", 7)
    torch.testing.assert_close(solve(chosen(weights), candidate, task), whole)


def test_every_sweep_is_better_than_the_last_and_camps_are_learned() -> None:
    data, model = camps(), towers(dim=4)
    seen, done = [], []
    history = sl.als(
        model,
        data,
        unobserved=0.1,
        regularization=0.01,
        validation=data,
        ks=(1,),
        validate_every=3,
        epochs=7,
        on_epoch=seen.append,
        on_batch=lambda *counts: done.append(counts),
    )
    losses = [epoch.loss for epoch in history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.2 < history[0].chance == 1.0
    assert [bool(epoch.metrics) for epoch in history] == [False, False, True, False, False, True, True]
    assert history[-1].metrics == {"top_1": 1.0}
    assert seen == list(history)
    assert done[-1] == (7 * len(data), 7 * len(data))
    assert not model.training


def test_a_run_repeats_bit_for_bit_and_another_seed_differs() -> None:
    found = []
    for seed in (1, 1, 2):
        model = towers(dim=2)
        sl.als(model, camps(), epochs=2, seed=seed)
        found.append(model.candidate_vectors(model.catalogue.candidates))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_repeat_weighs_like_a_weight_and_no_weight_is_no_choice() -> None:
    once = {"reader": [0, 1, 1, 2, 0], "book": [0, 0, 1, 1, 1], "times": [2.0, 1.0, 3.0, 1.0, 0.0]}
    weighted = sl.Dataset(once, "reader", "book", weight="times")
    repeated = sl.Dataset({"reader": [0, 0, 1, 1, 1, 1, 2], "book": [0, 0, 0, 1, 1, 1, 1]}, "reader", "book")
    found = []
    for data in (weighted, repeated):
        model = towers(dim=2)
        sl.als(model, data, epochs=3)
        found.append(model.query_vectors(pl.DataFrame({"reader": [0, 1, 2]})))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_unknown_queries_are_the_mean_of_all_and_unchosen_candidates_score_nothing() -> None:
    books = pl.DataFrame({"book": [0, 1, 2, 3, 99]})
    data = sl.Dataset(camps().interactions, "reader", "book", candidates=books)
    model = towers(dim=4)
    sl.als(model, data, epochs=3)
    known = model.query_vectors(pl.DataFrame({"reader": range(20)}))
    np.testing.assert_allclose(model.query_vectors(pl.DataFrame({"reader": [1234]}))[0], known.mean(0), atol=1e-6)
    assert not model.candidate_vectors(books)[4].any()
    recommender = sl.Recommender(model, index=sl.BruteForce())
    assert set(recommender.recommend({"reader": [1234]}, k=4)[0].ids) == {0, 1, 2, 3}


def test_movielens_far_ahead_of_popularity_and_its_bundle_answers_alike(tmp_path: pytest.TempPathFactory) -> None:
    data = sl.datasets.movielens("100k")
    train, test = sl.split_random(data, test=0.2, seed=42)
    model, _ = sl.recipes.load("als", ["model.dim=16", "fit.epochs=4"]).train(train)
    found = sl.evaluate(model, test, seen=train, ks=(10,))
    assert found["model"]["seen_out"]["top_10"] > 1.6 * found["popularity"]["seen_out"]["top_10"]
    recommender = sl.Recommender(model, seen=train)
    recommender.save(tmp_path / "als.shortlist")
    asked = {"user_id": ["1", "2", "nobody"]}
    assert sl.Recommender.load(tmp_path / "als.shortlist").recommend(asked, k=5) == recommender.recommend(asked, k=5)


def test_movielens_is_learned_as_well_as_by_exact_sweeps() -> None:
    """The recipe's eight sweeps of three steps: an objective within a thousandth of the exact one, and no fewer hits."""
    data = sl.datasets.movielens("100k")
    train, test = sl.split_random(data, test=0.2, seed=42)
    pairs = Chosen.of(
        train.query_rows,
        train.candidate_rows,
        np.ones(len(train), np.float32),
        (len(data.queries), len(data.candidates)),
    )
    task, dim = sl.ALS().on(pairs), 16
    start = torch.randn(pairs.width, dim, generator=torch.Generator().manual_seed(1)) * (0.1 / dim**0.5)
    exact = [torch.from_numpy(side).float() for side in exact_sweeps(pairs, start.double().numpy(), task, 8)]
    sweeps = Sweeps(pairs, task, dim, torch.Generator().manual_seed(1))
    loss = [sweeps.sweep() for _ in range(8)][-1]
    assert loss < 1.001 * objective(pairs, pairs.turned(), *exact, task)
    seen = torch.zeros(len(pairs), pairs.width, dtype=torch.bool)
    seen[train.query_rows, train.candidate_rows] = True

    def hits(query: Tensor, candidate: Tensor) -> float:
        best = (query @ candidate.T).masked_fill(seen, -torch.inf).topk(10, dim=1).indices
        asked = best[torch.from_numpy(test.query_rows).long()]
        return float((asked == torch.from_numpy(test.candidate_rows).long().unsqueeze(1)).any(1).float().mean())

    assert hits(sweeps.query, sweeps.candidate) > hits(*exact) - 0.002


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unobserved": 0}, "unobserved=0; a number above 0"),
        ({"unobserved": True}, "unobserved=True"),
        ({"regularization": float("inf")}, "regularization=inf"),
        ({"exponent": -1}, "exponent=-1; a number from 0 to 2"),
    ],
)
def test_options_that_cannot_be(options: dict[str, float], told: str) -> None:
    with pytest.raises(sl.ConfigError, match=told):
        sl.ALS(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"optimizer": sl.Adam(0.1)}, "not support optimizer="),
        ({"patience": 2, "validation": camps()}, "not support patience="),
        ({"precision": "bfloat16"}, "not support precision='bfloat16'"),
        ({"impressions": camps()}, "not support impressions="),
    ],
)
def test_what_has_no_meaning_without_descent_is_refused(options: dict[str, object], told: str) -> None:
    recipe = sl.recipes.load("als", ["model.dim=4"])
    with pytest.raises(sl.ConfigError, match=told) as raised:
        recipe.train(camps(), **options)
    assert "task=Retrieval()" in raised.value.hint


def test_as_a_task_of_fit_it_works_as_before_and_warns() -> None:
    """Until it is removed, with the same vectors, history and refusals."""
    one, other = towers(dim=4), towers(dim=4)
    wanted = sl.als(one, camps(), unobserved=0.3, regularization=0.02, exponent=1.0, epochs=2, seed=7)
    with pytest.warns(
        DeprecationWarning, match=r"fit\(task=ALS\(\)\) is deprecated .* use als\(model, train\)"
    ) as said:
        found = sl.fit(other, camps(), task=sl.ALS(0.3, 0.02, 1.0), epochs=2, seed=7)
    assert said[0].filename == __file__
    assert [epoch.loss for epoch in found] == [epoch.loss for epoch in wanted]
    for model in (one, other):
        assert np.array_equal(model.candidate_vectors(ids := model.catalogue.candidates), one.candidate_vectors(ids))
    untouched = towers()
    with pytest.warns(DeprecationWarning, match="als"), pytest.raises(sl.ConfigError, match="not support optimizer="):
        sl.fit(untouched, camps(), task=sl.ALS(), optimizer=sl.Adam())
    assert untouched.trained_on is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"epochs": 0}, r"als\(\) got epochs=0"),
        ({"regularization": 0}, "ALS got regularization=0"),
        ({"device": "abacus"}, "abacus"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_options_of_a_run_that_cannot_be(options: dict[str, object], told: str) -> None:
    model = towers()
    with pytest.raises(sl.ConfigError, match=told):
        sl.als(model, camps(), **options)
    assert model.trained_on is None


@pytest.mark.parametrize("more", [{"bias": True}, {"normalize": True}, {"hidden": (8,)}])
def test_towers_that_are_more_than_a_table_are_refused(more: dict[str, object]) -> None:
    candidate = sl.Tower(sl.IntegerLookup("book"), dim=8, **more)
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=8), candidate)
    with pytest.raises(sl.ConfigError, match="the candidate tower has more") as raised:
        sl.als(model, camps())
    assert "one id feature" in raised.value.hint
    assert model.trained_on is None


def encoded(data: sl.Dataset, folder: Path, **columns: str) -> sl.Shards:
    """The data as shards of few rows."""
    data.interactions.write_parquet(folder / "log.parquet")
    sizes = {"block_rows": 16, "piece_rows": 64}
    return sl.Shards.encode(folder / "log.parquet", folder / "sh", query="reader", candidate="book", **columns, **sizes)


def test_from_shards_as_from_memory(tmp_path: Path) -> None:
    again = pl.concat([camps().interactions, camps().interactions[:30]]).with_columns(times=pl.lit(0.5))
    data = sl.Dataset(again, "reader", "book", weight="times")
    shards = encoded(data, tmp_path, weight="times")
    one, other = towers(dim=4), towers(dim=4)
    wanted = sl.als(one, data, epochs=3, validation=camps(), ks=(1,), exclude_seen=True)
    found = sl.als(other, shards, epochs=3, validation=camps(), ks=(1,), exclude_seen=True)
    assert [(epoch.loss, epoch.metrics, epoch.examples) for epoch in found] == [
        (epoch.loss, epoch.metrics, epoch.examples) for epoch in wanted
    ]
    ids = one.catalogue.candidates
    assert np.array_equal(other.candidate_vectors(ids), one.candidate_vectors(ids))
    sl.recipes.load("als").check_from_disk()


def test_shards_that_cannot_be_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = pl.int_range(pl.len()) == pl.len() - 1
    rows = camps().interactions.with_columns(times=last.cast(pl.Float64), moment=pl.int_range(pl.len()))
    whole = encoded(sl.Dataset(rows, "reader", "book", weight="times"), tmp_path, weight="times", timestamp="moment")
    shards, _ = whole.split(test=0.01, by="time")  # holds out the one row that weighs something
    with pytest.raises(sl.DataError, match="every weight in column 'times' is 0"):
        sl.als(towers(), shards)
    room = sys.modules["shortlist.train.als"]  # the function has the name of its module
    monkeypatch.setattr(room, "available_memory", lambda: 27 * len(shards))
    with pytest.raises(sl.ConfigError, match="28 bytes of memory for each") as raised:
        sl.als(towers(), shards)
    assert "factorization" in raised.value.hint
