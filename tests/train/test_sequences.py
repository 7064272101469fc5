"""Histories, mined negatives and a column of negatives from shards: what memory makes of the same rows, to the bit or to rounding."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.train.sequences import OrderedInteractions
from shortlist.train.streaming import interactions_of

ROWS, USERS, ITEMS = 600, 40, 30


def log() -> pl.DataFrame:
    """Some users choose often, two once; times repeat within a user."""
    rng = np.random.default_rng(3)
    users = np.concatenate([[USERS, USERS + 1], (USERS * rng.random(ROWS - 2) ** 2).astype(int)])
    items = rng.integers(0, ITEMS, ROWS)
    shown = pl.Series(
        [rng.integers(0, ITEMS + 3, count) for count in rng.integers(0, 4, ROWS)], dtype=pl.List(pl.Int64)
    )
    frame = pl.DataFrame({"user": users, "item": items, "time": rng.integers(0, 60, ROWS), "skipped": shown})
    return frame.with_columns(hour=pl.col("time") % 5, weight=(pl.col("time") % 3 + 1).cast(pl.Float32))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> sl.Shards:
    """The log in two files, of several shards and blocks each; every column kept."""
    folder = tmp_path_factory.mktemp("log")
    source = folder / "log"
    source.mkdir()
    log().head(ROWS // 2).write_parquet(source / "a.parquet")
    log().slice(ROWS // 2).write_parquet(source / "b.parquet")
    given: dict[str, Any] = {"timestamp": "time", "weight": "weight", "context": ["hour"], "negatives": "skipped"}
    options: dict[str, Any] = {**given, "block_rows": 16, "piece_rows": 64}
    with pytest.warns(sl.ShortlistWarning, match="negatives in column 'skipped' have an id that is not in the tables"):
        return sl.Shards.encode(source, folder / "shards", query="user", candidate="item", **options)


def sorted_in_memory(shards: sl.Shards) -> sl.Dataset:
    """The rows of shards in memory, by user and time; those of one time in the order of the shards."""
    data = shards.to_dataset()
    return data.with_interactions(data.interactions.sort("user", "time", maintain_order=True))


def history_model(encoder: str, context: str | None = "past", *features: Any, share: bool = True) -> sl.TwoTower:
    history = sl.History(encoder=encoder, length=6, context=context, layers=1, share=share)  # type: ignore[arg-type]
    return sl.TwoTower(sl.Tower(*features, history, dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4))


USER, HOURS = sl.IntegerLookup("user", vocabulary=range(USERS + 2)), sl.Category("hour", vocabulary=range(5))
ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "transformer": (lambda: history_model("transformer"), {"negatives": sl.WholeCatalogue()}),
    "ema with a table of its own": (lambda: history_model("ema", share=False), {"log_q": "counts"}),
    "mean of the others": (lambda: history_model("mean", "others"), {}),
    "known items hidden": (lambda: history_model("gru"), {"negatives": sl.WholeCatalogue(), "mask_known": True}),
    "with an id and a context": (
        lambda: history_model("mean", "past", USER, HOURS),
        {},
    ),
    "a column of negatives": (lambda: history_model("ema"), {"negative_column": "skipped"}),
    "mined": (lambda: history_model("ema"), {"mined": 3}),
}


@pytest.mark.filterwarnings("ignore:collapsed", "ignore:popularity dominates")
@pytest.mark.parametrize(("asked", "share"), [*((asked, None) for asked in ASKED), ("transformer", 0.2)])
def test_histories_from_disk_train_as_in_memory_to_the_bit(asked: str, share: float | None, shards: sl.Shards) -> None:
    """The same order: rows in memory are sorted as those on disk are, and everything fits in the buffer."""
    build, task = ASKED[asked]
    train, test = (shards, None) if share is None else shards.split(share, by="time")
    runs = []
    for data in (sorted_in_memory(train), train):
        model = build()
        history = sl.fit(model, data, validation=test, task=sl.Retrieval(**task), epochs=3, batch_size=64, ks=(3,))
        runs.append((model, [(epoch.loss, epoch.metrics) for epoch in history]))
    (left, left_told), (right, right_told) = runs
    assert right_told == left_told
    for name, value in left.state_dict().items():
        assert torch.equal(value, right.state_dict()[name]), name
    ids = pl.DataFrame({"user": [0, 3, USERS]})
    lists = [model.with_histories(ids)["history"].to_list() for model in (left, right)]
    assert lists[0] == lists[1]


def pairs_of_an_epoch(shards: sl.Shards, size: int, epoch: int = 1) -> list[list[tuple[int, int]]]:
    """Query and candidate of the pairs of each batch."""
    encoded = history_model("ema").prepare(shards)
    stream = interactions_of(encoded, torch.device("cpu"))
    assert isinstance(stream, OrderedInteractions)
    found = []
    for chosen in stream.batches(5, epoch, size):
        batch = stream.batch(chosen)
        owner = stream.owner[batch.query_rows]
        pairs = zip(owner[batch.pair_query].tolist(), batch.candidate_rows[batch.pair_candidate].tolist(), strict=True)
        found.append(list(pairs))
    return found


@pytest.mark.parametrize("buffer", [1, 50, 200, 10_000])
@pytest.mark.parametrize("size", [7, 64, 1000])
def test_an_epoch_reads_every_interaction_once(buffer: int, size: int, shards: sl.Shards) -> None:
    batches = pairs_of_an_epoch(shards.with_buffer(buffer), size)
    data = shards.to_dataset()
    assert Counter(pair for batch in batches for pair in batch) == Counter(
        zip(data.query_rows.tolist(), data.candidate_rows.tolist(), strict=True)
    )
    assert all(batches)
    longest = max(Counter(query for batch in batches for query, _ in batch).values())
    assert all(len(batch) < size + longest for batch in batches)


def test_the_order_is_a_function_of_seed_and_epoch(shards: sl.Shards) -> None:
    some = shards.with_buffer(200)
    assert pairs_of_an_epoch(some, 64) == pairs_of_an_epoch(some, 64)
    assert pairs_of_an_epoch(some, 64) != pairs_of_an_epoch(some, 64, epoch=2)


def test_a_small_buffer_learns_from_the_same_windows(shards: sl.Shards) -> None:
    """One batch an epoch: then buffers do not matter, to rounding."""
    losses = []
    for buffer in (50, 10_000):
        history = sl.fit(history_model("transformer"), shards.with_buffer(buffer), epochs=1, batch_size=1000)
        losses.append(history[-1].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def of_ids(*features: sl.Feature) -> sl.TwoTower:
    query = sl.Tower(USER, *features, dim=4)
    return sl.TwoTower(query, sl.Tower(sl.IntegerLookup("item"), dim=4))


@pytest.mark.parametrize(
    "task", [{"mined": 3}, {"negative_column": "skipped"}, {"mined": 2, "negative_column": "skipped"}]
)
@pytest.mark.parametrize("with_hours", [False, True])
def test_negatives_of_single_queries_are_those_of_memory(
    task: dict[str, Any], with_hours: bool, shards: sl.Shards
) -> None:
    """One batch an epoch; mined negatives of a row are as many as there are, so that their draws do not matter."""
    task = {**task, "mined": 50} if task.get("mined") else task
    runs = []
    for data in (shards, shards.to_dataset()):
        model = of_ids(*([HOURS] if with_hours else []))
        history = sl.fit(model, data, task=sl.Retrieval(**task), epochs=3, batch_size=1000)
        runs.append([epoch.loss for epoch in history])
    assert runs[0] == pytest.approx(runs[1], rel=1e-5)
    plain = sl.fit(of_ids(*([HOURS] if with_hours else [])), shards, epochs=3, batch_size=1000)
    assert runs[0][-1] != pytest.approx(plain[-1].loss, rel=1e-4)


def test_a_run_with_histories_resumes_bit_for_bit(shards: sl.Shards, tmp_path: Path) -> None:
    def run(**options: Any) -> sl.TwoTower:
        model = history_model("ema")
        sl.fit(model, shards.with_buffer(200), task=sl.Retrieval(mined=2), epochs=3, batch_size=64, **options)
        return model

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(done: int, total: int) -> None:
        if done > 1.5 * ROWS:
            raise Stopped

    whole = run()
    with pytest.raises(Stopped):
        run(checkpoints=sl.Checkpoints(tmp_path / "run", every=4), on_batch=stop)
    again = run(checkpoints=sl.Checkpoints(tmp_path / "run", every=4, resume=True))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_negatives_of_shards_stay_with_their_rows(shards: sl.Shards) -> None:
    """Ids that neither table has are left out; a row without negatives has none."""
    data = shards.to_dataset().interactions
    items = set(log()["item"].to_list())
    known = log().with_columns(
        skipped=pl.col("skipped").list.eval(pl.element().filter(pl.element().is_in(list(items))))
    )
    lists = [
        sorted((row["user"], row["item"], row["time"], row["skipped"] or []) for row in frame.to_dicts())
        for frame in (data, known)
    ]
    assert lists[0] == lists[1]
    numbers = np.array([599, 0, 70, 64, 599])
    some = shards.negatives_of(numbers)
    whole = shards.negatives_of(np.arange(ROWS))
    assert [some.at(np.array([place])).values.tolist() for place in range(5)] == [
        whole.at(np.array([number])).values.tolist() for number in numbers
    ]


@pytest.mark.parametrize(("negatives", "told"), [("item", "names 'item' again"), ("skiped", "no column 'skiped'")])
def test_columns_of_negatives_that_cannot_be(negatives: str, told: str, tmp_path: Path) -> None:
    log().write_parquet(tmp_path / "log.parquet")
    with pytest.raises(sl.ShortlistError, match=told):
        sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "s", query="user", candidate="item", negatives=negatives)


def test_shards_without_times_say_what_a_history_needs(tmp_path: Path) -> None:
    log().write_parquet(tmp_path / "log.parquet")
    timeless = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="user", candidate="item")
    with pytest.raises(sl.ConfigError, match="the training data has no timestamp"):
        sl.fit(history_model("gru"), timeless)
    sl.fit(history_model("mean", None), timeless, epochs=1)
