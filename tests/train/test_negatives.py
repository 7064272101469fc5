"""What competes in a batch: draws and their probabilities, known positives, negatives of one query; and that all train."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.train.batches import Interactions
from shortlist.train.negatives import Negatives

CPU = torch.device("cpu")
PAIRS = [(0, 0), (0, 1), (1, 0), (1, 2), (2, 3), (2, 0)]
"""Counts of the candidates 0 to 4: 3, 1, 1, 1, 0."""


def data(**columns) -> sl.Dataset:
    rows = {"user": [user for user, _ in PAIRS], "item": [item for _, item in PAIRS], **columns}
    return sl.Dataset(rows, query="user", candidate="item", candidates=pl.DataFrame({"item": range(5)}))


def made(task: sl.Retrieval, train: sl.Dataset | None = None, impressions: sl.Dataset | None = None, seed: int = 0):
    """The negatives of a run, and a function that gives the competition of some interactions."""
    train = train or data()
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4))
    encoded = model.prepare(train)
    interactions = Interactions(encoded, CPU)
    negatives = Negatives(task, train, encoded, impressions, seed, CPU)

    def of(chosen: list[int], step: int = 0):
        picked = torch.tensor(chosen)
        return negatives.of(interactions.batch(picked), picked, step)

    return negatives, of


def places(competition, kind: str) -> set[tuple[int, int]]:
    """(query, candidate) of the hidden or explicit places."""
    found = getattr(competition.columns, kind)
    queries, candidates = competition.batch.query_rows, competition.batch.candidate_rows
    return {(int(queries[r]), int(candidates[c])) for r, c in zip(*found, strict=True)}


def test_the_default_is_the_batch_alone() -> None:
    _, of = made(sl.Retrieval())
    batch, columns, log_q = of([0, 3])
    assert columns is None
    assert log_q is None
    assert batch.candidate_rows.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("negatives", "total", "own"),
    [(sl.InBatch(), 3, True), (sl.Sampled(3), 3, False), (sl.Mixed(3), 6, True), (sl.WholeCatalogue(), 5, False)],
)
def test_pairs_keep_their_candidates_wherever_the_columns_are(negatives, total, own) -> None:
    _, of = made(sl.Retrieval(negatives=negatives, mask_known=True))
    batch, columns, _ = of([5, 1, 4])
    assert batch.candidate_rows[batch.pair_candidate].tolist() == [0, 1, 3]
    assert batch.query_rows[batch.pair_query].tolist() == [2, 0, 2]
    assert columns.drawn.sum() == total
    assert columns.own_counted == own


def test_known_positives_are_hidden_also_where_the_batch_does_not_hold_the_pair() -> None:
    _, of = made(sl.Retrieval(negatives=sl.WholeCatalogue(), mask_known=True))
    assert places(of([0, 4]), "hidden") == {(0, 0), (0, 1), (2, 3), (2, 0)}
    _, of = made(sl.Retrieval(mask_known=True))
    assert places(of([0, 4]), "hidden") == {(0, 0), (2, 3), (2, 0)}  # candidate 1 is not in this batch


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [3 / 6, 1 / 6]),  # a batch alone
        ({"negatives": sl.Sampled(4)}, [1 / 5, 1 / 5]),
        ({"negatives": sl.Sampled(4, power=1.0)}, [3 / 6, 1 / 6]),
        # of 2 + 4 draws candidate 0 expects 2 · 3/6 + 4 · 1/5 = 9/5
        ({"negatives": sl.Mixed(4)}, [9 / 30, (1 / 3 + 4 / 5) / 6]),
        ({"negatives": sl.Mixed(4, power=1.0)}, [3 / 6, 1 / 6]),
        (
            {"negatives": sl.Mixed(4), "loss": sl.Softmax(correct_positive=False)},
            [9 / 5, 1 / 3 + 4 / 5],
        ),  # numbers of draws
    ],
)
def test_log_q_is_that_of_the_mixture(options, wanted) -> None:
    _, of = made(sl.Retrieval(log_q="counts", mask_known=True, **options))
    batch, columns, _ = of([0, 3])
    rows = batch.candidate_rows.tolist()
    assert columns.log_q.exp()[[rows.index(0), rows.index(2)]].tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", [None, sl.Sampled, sl.Mixed])
@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
def test_corrected_draws_add_up_to_the_catalogue(kind, power) -> None:
    """Σ n_k / Q_k · x_k over a batch's columns, divided by its draws, has the mean Σ x_k over the catalogue."""
    negatives = sl.InBatch() if kind is None else kind(8, power)
    task = sl.Retrieval(negatives=negatives, log_q="counts", mask_known=True)
    _, of = made(task)
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    if power or kind is None:
        values[4] = 0  # never chosen, so never drawn
    generator = np.random.default_rng(0)
    sums = []
    for step in range(1200):
        batch, columns, _ = of(generator.integers(0, 6, 4).tolist(), step)
        sums.append(
            float((columns.drawn / columns.log_q.exp() * values[batch.candidate_rows]).sum() / columns.drawn.sum())
        )
    error = np.std(sums) / math.sqrt(len(sums))
    assert np.mean(sums) == pytest.approx(float(values.sum()), abs=4.5 * error)


def test_the_streaming_estimate_comes_to_the_counts() -> None:
    _, of = made(sl.Retrieval(log_q="streaming", remove_accidental_hits=False))
    generator = np.random.default_rng(0)
    for step in range(800):
        of(generator.integers(0, 6, 2).tolist(), step)
    columns = of(list(range(6))).columns
    # in a batch of two: 1 − (1 − 1/2)² and 1 − (5/6)²; divided by the six pairs of this one
    wanted = [3 / 4 / 6, *[11 / 36 / 6] * 3]
    np.testing.assert_allclose(columns.log_q.exp()[:4].numpy(), wanted, rtol=0.5)
    assert columns.log_q[0] > columns.log_q[1:4].max()


def test_impressions_are_negatives_of_their_query_unless_it_chose_them() -> None:
    shown = sl.Dataset({"user": [0, 0, 0, 1], "item": [1, 2, 4, 4]}, query="user", candidate="item")
    _, of = made(sl.Retrieval(), impressions=shown)
    assert places(of([0, 3]), "explicit") == {(0, 2), (0, 4), (1, 4)}
    batch, columns, _ = of([0, 3])
    count = dict(zip(batch.candidate_rows.tolist(), columns.drawn.tolist(), strict=True))
    assert count == {0: 1, 2: 1, 4: 0}  # 4 competes with queries 0 and 1 alone


def test_no_more_impressions_of_a_query_than_asked_for() -> None:
    shown = sl.Dataset({"user": [0, 0, 0], "item": [2, 3, 4]}, query="user", candidate="item")
    _, of = made(sl.Retrieval(impressions=2), impressions=shown)
    taken = [frozenset(places(of([0], step), "explicit")) for step in range(40)]
    assert {len(each) for each in taken} == {2}
    assert set().union(*taken) == {(0, 2), (0, 3), (0, 4)}


def test_impressions_of_strangers_are_left_out_and_said() -> None:
    shown = sl.Dataset({"user": [0, 9], "item": [4, 2]}, query="user", candidate="item")
    with pytest.warns(sl.ShortlistWarning, match="1 of 2 impressions"):
        _, of = made(sl.Retrieval(), impressions=shown)
    assert places(of([0]), "explicit") == {(0, 4)}


def test_impressions_of_another_kind_are_refused() -> None:
    with pytest.raises(sl.DataError, match="impressions=list"):
        made(sl.Retrieval(), impressions=[(0, 1)])
    other = sl.Dataset({"reader": [0], "item": [4]}, query="reader", candidate="item")
    with pytest.raises(sl.ConfigError, match="'reader'"):
        made(sl.Retrieval(), impressions=other)


def test_negatives_in_a_column() -> None:
    lists = data(not_this=[[4, 3], [2], None, [], [1, 4], [3]])
    _, of = made(sl.Retrieval(negative_column="not_this"), lists)
    assert places(of([0, 1, 2, 4]), "explicit") == {(0, 4), (0, 3), (0, 2), (2, 1), (2, 4)}
    assert places(of([5, 0]), "explicit") == {(0, 4), (0, 3)}  # query 2 chose 3 elsewhere
    _, of = made(sl.Retrieval(negative_column="not_this"), data(not_this=[4, None, None, None, 1, 3]))
    assert places(of([0, 4]), "explicit") == {(0, 4), (2, 1)}
    arrays = pl.Series([[4, 3], [2, None], None, None, [1, 4], [3, 3]], dtype=pl.Array(pl.Int64, 2))
    _, of = made(sl.Retrieval(negative_column="not_this"), data(not_this=arrays))
    assert places(of([0, 1, 2, 4]), "explicit") == {(0, 4), (0, 3), (0, 2), (2, 1), (2, 4)}


def test_a_column_of_negatives_that_cannot_be_read() -> None:
    with pytest.raises(sl.DataError, match="'not_that'"):
        made(sl.Retrieval(negative_column="not_that"), data(not_this=[4] * 6))
    with pytest.warns(sl.ShortlistWarning, match="2 of 6 negatives in column"):
        made(sl.Retrieval(negative_column="not_this"), data(not_this=[4, 4, 77, 4, 78, 4]))
    with pytest.raises(sl.DataError, match="vocabulary"):
        made(sl.Retrieval(negative_column="not_this"), data(not_this=["4"] * 6))


def test_mined_negatives_are_the_best_that_the_query_did_not_choose() -> None:
    negatives, of = made(sl.Retrieval(mined=1))
    assert of([0]).columns.explicit is None  # nothing mined before the first epoch
    candidate = torch.tensor([[5.0], [4.0], [3.0], [2.0], [1.0]])
    query = torch.tensor([[1.0], [1.0], [-1.0]])
    negatives.mine(lambda rows: query if rows is None else query[rows], candidate)
    # query 0 knows 0 and 1: 2, 3, 4 are left, best first; query 1 knows 0 and 2; query 2, reversed, 3 and 0
    assert [row.tolist() for row in negatives.mined.values.split(3)] == [[2, 3, 4], [1, 3, 4], [4, 2, 1]]
    found = places(of([0, 3, 4]), "explicit")
    assert {query for query, _ in found} == {0, 1, 2}
    assert len(found) == 3
    assert not found & set(PAIRS)


def test_every_draw_is_a_function_of_seed_and_step() -> None:
    task = sl.Retrieval(negatives=sl.Mixed(3))
    one, two, other = (made(task, seed=seed)[1] for seed in (1, 1, 2))
    rows = [of([0, 3], 5).batch.candidate_rows.tolist() for of in (one, two, other)]
    assert rows[0] == rows[1]
    assert any(one([0], step).columns.drawn.tolist() != other([0], step).columns.drawn.tolist() for step in range(5))


def camps() -> sl.Dataset:
    """Reader r chose book r mod 4, three times; each also had its neighbour's book shown."""
    readers = [r for r in range(20) for _ in range(3)]
    rows = {"reader": readers, "book": [r % 4 for r in readers], "wrong": [(r + 1) % 4 for r in readers]}
    return sl.Dataset(rows, "reader", "book")


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": sl.Sampled(8)},
        {"negatives": sl.Sampled(8, power=1.0), "log_q": "counts"},
        {"negatives": sl.Mixed(4), "log_q": "counts"},
        {"negatives": sl.WholeCatalogue(), "mask_known": True},
        {"log_q": "streaming"},
        {"log_q": "counts", "loss": sl.Softmax(correct_positive=False)},
        {"loss": sl.Softmax(label_smoothing=0.1)},
        {"learn_temperature": True},
        {"loss": sl.BSL(exponent=1.2), "negatives": sl.WholeCatalogue()},
        {"loss": sl.BPR(), "negatives": sl.Sampled(8)},
        {"loss": sl.CCL(margin=0.2, negative_weight=3.0), "negatives": sl.WholeCatalogue()},
        {"hardest": 2},
        {"mined": 2},
        {"negative_column": "wrong"},
        {"impressions": 4},
    ],
    ids=str,
)
def test_it_trains(options) -> None:
    """Every reader gets its book; the same run twice is the same run."""
    train = camps()
    shown = None
    if "impressions" in options:
        shown = train.with_interactions(train.interactions.with_columns(book=pl.col("wrong")))
    weights = []
    for _ in range(2):
        normalize = isinstance(options.get("loss"), sl.CCL)
        model = sl.TwoTower(
            *(sl.Tower(sl.IntegerLookup(name), dim=8, normalize=normalize) for name in ("reader", "book"))
        )
        history = sl.fit(
            model,
            train,
            task=sl.Retrieval(**options),
            optimizer=sl.Adam(0.05),
            epochs=30,
            batch_size=16,
            impressions=shown,
        )
        weights.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert history[-1].loss < history[0].loss
    assert history[-1].loss < 0.999 * history[-1].chance or isinstance(options.get("loss"), sl.BSL)
    assert torch.equal(*weights)
    assert sl.evaluate(model, train, ks=(1,))["model"]["seen_in"]["top_1"] == 1
    if "learn_temperature" in options:
        assert history[-1].temperature != pytest.approx(1.0, abs=0.01)
        assert f"temperature {history[-1].temperature:.4f}" in str(history[-1])


def test_options_of_a_recipe() -> None:
    changes = ["loss.negatives=mixed", "loss.negatives.number=64", "loss.loss=bsl", "loss.loss.exponent=1.2"]
    task = sl.recipes.load("factorization", changes).task()
    assert (task.negatives, task.loss, task.log_q) == (sl.Mixed(64), sl.BSL(exponent=1.2), "counts")
    with pytest.raises(sl.ConfigError, match="number"):
        sl.recipes.load("factorization", ["loss.negatives=mixed", "loss.negatives.numbers=3"])


@pytest.mark.filterwarnings("ignore:loss at chance")
@pytest.mark.parametrize("negatives", [sl.InBatch(), sl.Sampled(6, power=1.0), sl.Mixed(6, power=1.0)])
@pytest.mark.parametrize("options", [{}, {"mask_known": True}, {"loss": sl.BSL()}, {"hardest": 3}])
@pytest.mark.parametrize("form", [np.array, list, pl.Series])
def test_log_q_as_an_array_trains_as_counts_do_where_it_holds_the_same(negatives, options, form) -> None:
    generator = np.random.default_rng(0)
    data = sl.Dataset({"u": generator.integers(0, 9, 80), "c": generator.permutation(np.arange(80) % 12)}, "u", "c")
    counts = np.bincount(data.candidate_rows)
    losses = []
    for log_q in ("counts", form(np.log(counts / counts.sum()).tolist())):
        model = sl.TwoTower(sl.Tower(sl.IntegerLookup("u"), dim=3), sl.Tower(sl.IntegerLookup("c"), dim=3))
        task = sl.Retrieval(log_q=log_q, negatives=negatives, **options)
        losses.append(sl.fit(model, data, task=task, epochs=2, batch_size=16)[-1].loss)
    if negatives == sl.InBatch():
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("log_q", [np.array(["a"] * 12), np.zeros(11), np.array([np.nan] * 12), 3.0, np.zeros((12, 1))])
def test_log_q_that_is_no_array_of_the_candidates_is_refused(log_q) -> None:
    data = sl.Dataset({"u": list(range(12)), "c": list(range(12))}, "u", "c")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("u"), dim=3), sl.Tower(sl.IntegerLookup("c"), dim=3))
    with pytest.raises(sl.ConfigError, match="log_q"):
        sl.fit(model, data, task=sl.Retrieval(log_q=log_q), epochs=1, batch_size=4)


def test_negatives_of_another_type_are_named_by_their_column(tmp_path: Path) -> None:
    log = pl.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "neg": [1, 2]})
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=2), sl.Tower(sl.StringLookup("item"), dim=2))
    with pytest.raises(sl.DataError, match="neg") as raised:
        sl.fit(model, sl.Dataset(log, "user", "item"), task=sl.Retrieval(negative_column="neg"), epochs=1)
    assert "'id'" not in str(raised.value)
    log.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(sl.DataError, match="neg") as raised:
        sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="user", candidate="item", negatives="neg")
    assert "'id'" not in str(raised.value)
