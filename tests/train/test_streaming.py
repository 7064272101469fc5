"""Training from shards: every interaction once an epoch, the same loop, and a shuffle as good as a full one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.train.processes import Alone, Processes
from shortlist.train.streaming import StreamedInteractions, interactions_of


def shards_of(frame: pl.DataFrame, folder: Path, **options: object) -> sl.Shards:
    source, half = folder / "log", len(frame) // 2
    source.mkdir(parents=True)
    frame.head(half).write_parquet(source / "a.parquet")
    frame.slice(half).write_parquet(source / "b.parquet")
    columns = {"query": "user", "candidate": "item", "block_rows": 16, "piece_rows": 64}
    return sl.Shards.encode(source, folder / "shards", **{**columns, **options})


def log(rows: int = 500) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    return pl.DataFrame({"user": np.sort(rng.integers(0, 50, rows)), "item": rng.integers(0, 30, rows)})


def model(dim: int = 4) -> sl.TwoTower:
    return sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=dim), sl.Tower(sl.IntegerLookup("item"), dim=dim))


def order(
    shards: sl.Shards, seed: int, epoch: int, size: int, processes: Processes | None = None
) -> list[list[tuple[int, int]]]:
    """The pairs of each batch that a process has."""
    stream = interactions_of(model().prepare(shards), torch.device("cpu"), processes)
    assert isinstance(stream, StreamedInteractions)
    batches = []
    for chosen in stream.batches(seed, epoch, size):
        batch = stream.batch(chosen)
        query, candidate = batch.query_rows[batch.pair_query], batch.candidate_rows[batch.pair_candidate]
        batches.append(list(zip(query.tolist(), candidate.tolist(), strict=True)))
    return batches


@pytest.mark.parametrize("buffer", [1, 48, 200, 10_000])
@pytest.mark.parametrize("size", [7, 64, 1000])
def test_an_epoch_reads_every_interaction_once(tmp_path: Path, buffer: int, size: int) -> None:
    shards = shards_of(log(), tmp_path).with_buffer(buffer)
    batches = order(shards, 3, 1, size)
    data = shards.to_dataset()
    assert Counter(pair for batch in batches for pair in batch) == Counter(
        zip(data.query_rows.tolist(), data.candidate_rows.tolist(), strict=True)
    )
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)


def test_the_order_is_a_function_of_seed_and_epoch(tmp_path: Path) -> None:
    shards = shards_of(log(), tmp_path).with_buffer(100)
    assert order(shards, 3, 1, 50) == order(shards, 3, 1, 50)
    assert order(shards, 3, 1, 50) != order(shards, 3, 2, 50)
    assert order(shards, 3, 1, 50) != order(shards, 4, 1, 50)


def test_only_blocks_of_the_buffer_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = shards_of(log(), tmp_path).with_buffer(64)
    sizes = []
    read = sl.Shards.read
    monkeypatch.setattr(
        sl.Shards, "read", lambda self, blocks, **more: sizes.append(len(blocks)) or read(self, blocks, **more)
    )
    order(shards, 3, 1, 32)
    assert (
        sum(sizes) == len(shards.blocks) == 32
    )  # twice 250 rows: three pieces of four blocks, and four of the last 58 rows
    assert max(sizes) <= 5  # 64 rows in blocks of 16, where one was shorter


class OneOf(Alone):
    """One of several processes, which hears nothing of the others."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size  # type: ignore[misc]


@pytest.mark.parametrize("buffer", [64, 10_000])
@pytest.mark.parametrize("size", [2, 3])
def test_each_of_several_processes_reads_its_own_blocks_alone(
    buffer: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together they read every row once an epoch, and have every batch that one process has."""
    shards = shards_of(log(), tmp_path).with_buffer(buffer)
    whole = order(shards, 3, 1, 32)
    read, counted = sl.Shards.read, []

    def counting(self: sl.Shards, blocks: np.ndarray, **more: bool) -> object:
        rows = read(self, blocks, **more)
        counted.append(len(rows.query))
        return rows

    monkeypatch.setattr(sl.Shards, "read", counting)
    parts, each = [], []
    for rank in range(size):
        counted.clear()
        parts.append(order(shards, 3, 1, 32, OneOf(rank, size)))
        each.append(sum(counted))
    assert sum(each) == 500
    assert max(each) < 500 / size + 16 * 8  # a block more or less in each of eight buffers
    assert [Counter(pair for part in parts for pair in part[number]) for number in range(len(whole))] == [
        Counter(batch) for batch in whole
    ]


def test_batches_hold_blocks_from_everywhere(tmp_path: Path) -> None:
    """Rows lie by user; with a tenth of them in the buffer, a batch still meets users from all over the table."""
    frame = pl.DataFrame({"user": np.repeat(np.arange(400), 10), "item": np.tile(np.arange(10), 400)})
    shards = shards_of(frame, tmp_path, piece_rows=1024).with_buffer(400)
    for batch in order(shards, 3, 1, 50):
        users = [user for user, _ in batch]
        assert np.ptp(users) > 200
        assert len(set(users)) > 30


def test_with_all_in_the_buffer_shards_train_as_memory_does_up_to_order(tmp_path: Path) -> None:
    """One batch an epoch: then there is no order, and both must agree to rounding."""
    frame = log().with_columns(weight=(pl.int_range(pl.len()) % 3).cast(pl.Float64))
    shards = shards_of(frame, tmp_path, weight="weight")
    data = sl.Dataset(frame, "user", "item", weight="weight")
    runs = []
    for train in (data, shards):
        one = model()
        history = sl.fit(one, train, task=sl.Retrieval(log_q="counts"), epochs=3, batch_size=1000)
        runs.append((one.state_dict(), [epoch.loss for epoch in history], history[-1].examples))
    (left, left_loss, _), (right, right_loss, examples) = runs
    assert examples == 500
    assert right_loss == pytest.approx(left_loss, rel=1e-5)
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=1e-4, atol=1e-6)


IMPRESSIONS = pl.DataFrame({"user": np.arange(400) % 50, "item": np.arange(400) % 30})
ASKED = {
    "the whole catalogue": {"task": sl.Retrieval(negatives=sl.WholeCatalogue())},
    "the catalogue without what is known": {"task": sl.Retrieval(negatives=sl.WholeCatalogue(), mask_known=True)},
    "samples": {"task": sl.Retrieval(negatives=sl.Sampled(16), log_q="counts", mask_known=True)},
    "samples and the batch": {"task": sl.Retrieval(negatives=sl.Mixed(16), log_q="counts")},
    "the batch without what is known": {"task": sl.Retrieval(mask_known=True)},
    "frequencies on the way": {"task": sl.Retrieval(log_q="streaming")},
    "impressions": {
        "task": sl.Retrieval(impressions=4),
        "impressions": sl.Dataset(IMPRESSIONS, "user", "item"),
    },
    "validation without what is seen": {"exclude_seen": True},
}


@pytest.mark.parametrize("asked", ASKED)
def test_what_competes_is_the_same_as_in_memory(asked: str, tmp_path: Path) -> None:
    """One batch an epoch, and a part held out that neither may know of."""
    train, test = shards_of(log(), tmp_path).split(0.2)
    runs = []
    for data in (train, train.to_dataset()):
        one = model()
        history = sl.fit(one, data, validation=test, epochs=3, batch_size=1000, ks=(3,), **ASKED[asked])
        runs.append((one.state_dict(), [(epoch.loss, epoch.metrics["top_3"]) for epoch in history]))
    (left, left_told), (right, right_told) = runs
    assert np.array(left_told) == pytest.approx(np.array(right_told), rel=1e-5)
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=1e-4, atol=1e-6)


def test_a_run_from_shards_repeats_bit_for_bit_and_validates(tmp_path: Path) -> None:
    train, test = shards_of(log(), tmp_path).with_buffer(64).split(0.2)
    weights = []
    for _ in range(2):
        one = model()
        history = sl.fit(one, train, validation=test, epochs=2, batch_size=32, ks=(5,))
        weights.append(torch.cat([value.flatten() for value in one.state_dict().values()]))
    assert torch.equal(*weights)
    assert 0 < history[-1].metrics["top_5"] < 1
    assert history[-1].examples == len(train)


def test_what_shards_cannot_give_is_refused(tmp_path: Path) -> None:
    shards = shards_of(log(), tmp_path)
    items = [sl.IntegerLookup("item")]
    with pytest.raises(sl.ConfigError, match="negative_column is 'never'; the shards keep no negatives"):
        sl.fit(model(), shards, task=sl.Retrieval(negative_column="never"))
    with pytest.raises(sl.DataError, match="hour"):
        sl.fit(sl.TwoTower(sl.Tower(sl.Category("hour"), dim=4), sl.Tower(*items, dim=4)), shards)
    with pytest.raises(sl.ConfigError, match="buffer_rows"):
        shards.with_buffer(0)


@pytest.mark.slow
def test_a_block_shuffle_is_as_good_as_a_full_one(tmp_path: Path) -> None:
    """MovieLens-100k sorted by user, a tenth of it in the buffer: accuracy over four seeds each.

    Where a shard is a single block, so that neighbours stay together, the same is worse: the comparison can fail.
    """
    train, test = sl.split_random(sl.datasets.movielens("100k"), test=0.2, seed=42)
    frame = train.interactions.sort("user_id").select(user="user_id", item="movie_title")
    given = {"queries": frame.select("user").unique(), "candidates": frame.select("item").unique()}
    tested = test.interactions.select(user="user_id", item="movie_title").join(
        given["candidates"], on="item", how="semi"
    )
    validation = sl.Dataset(tested, "user", "item", **given)
    shards = shards_of(frame, tmp_path, block_rows=128, piece_rows=128 * 80, **given)
    apart = shards_of(frame, tmp_path / "apart", block_rows=128, piece_rows=128, **given)
    ways = {"full": shards.with_buffer(80_000), "blocks": shards.with_buffer(8_000), "apart": apart.with_buffer(2_000)}
    seeds = {"full": 4, "blocks": 4, "apart": 1}
    accuracy = {way: [accuracy_of(data, validation, seed) for seed in range(seeds[way])] for way, data in ways.items()}
    full, blocks = accuracy["full"], accuracy["blocks"]
    noise = 3 * ((stdev(full) ** 2 + stdev(blocks) ** 2) / 4) ** 0.5  # three standard errors of the difference
    assert abs(mean(full) - mean(blocks)) < max(noise, 0.003), accuracy
    assert mean(accuracy["apart"]) < mean(full) - 0.01, accuracy


def accuracy_of(train: sl.Shards, validation: sl.Dataset, seed: int) -> float:
    """Top 100 after three epochs of matrix factorisation."""
    towers = [sl.Tower(sl.StringLookup(side), dim=16) for side in ("user", "item")]
    options = {"epochs": 3, "batch_size": 2048, "seed": seed, "validate_every": 3, "ks": (100,)}
    task = sl.Retrieval(log_q="counts")
    history = sl.fit(
        sl.TwoTower(*towers), train, validation=validation, optimizer=sl.Adagrad(0.1), task=task, **options
    )
    return history[-1].metrics["top_100"]


def with_context() -> sl.TwoTower:
    """Vocabularies are given: those that are learned hold the same values, in an order by how often they were met."""
    features = [
        sl.Category("hour", vocabulary=range(24)),
        sl.IntegerLookup("user", vocabulary=range(50)),
        sl.Category("device", vocabulary=["desk", "phone", "tv"]),
    ]
    return sl.TwoTower(sl.Tower(*features, dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4))


@pytest.mark.parametrize("task", [sl.Retrieval(), sl.Retrieval(negatives=sl.WholeCatalogue(), mask_known=True)])
def test_context_is_read_as_in_memory(task: sl.Retrieval, tmp_path: Path) -> None:
    """Hours and devices of the interactions, some of them unknown; one batch an epoch, a part held out."""
    hours = pl.int_range(pl.len()) * 7 % 24
    frame = log().with_columns(
        hour=pl.when(hours != 3).then(hours), device=pl.Series(["phone", "desk", None, "phone", "tv"] * 100)
    )
    train, test = shards_of(frame, tmp_path, context=["hour", "device"]).split(0.2)
    assert sorted(train.to_dataset().interactions.columns) == ["device", "hour", "item", "user"]
    runs = []
    for data in (train, train.to_dataset()):
        one = with_context()
        history = sl.fit(one, data, validation=test, task=task, epochs=3, batch_size=1000, ks=(3,))
        runs.append((one.state_dict(), [(epoch.loss, epoch.metrics["top_3"]) for epoch in history]))
    (left, left_told), (right, right_told) = runs
    assert np.array(left_told) == pytest.approx(np.array(right_told), rel=1e-5)
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=1e-4, atol=1e-6)
    changed = frame.with_columns(hour=pl.lit(1))  # what the tower reads makes a difference
    other, _ = shards_of(changed, tmp_path / "other", context=["hour", "device"]).split(0.2)
    assert sl.fit(with_context(), other, task=task, epochs=3, batch_size=1000)[-1].loss != left_told[-1][0]


def test_context_that_cannot_be_is_refused(tmp_path: Path) -> None:
    frame = log().with_columns(hour=pl.col("item") % 24, tags=pl.concat_list("item", "item"))
    for number, (context, told) in enumerate(
        [
            (["hour", "hour"], "names 'hour' again"),
            (["user"], "names 'user' again"),
            (["houre"], "no column 'houre'"),
            (["tags"], "plain values"),
        ]
    ):
        with pytest.raises(sl.ShortlistError, match=told):
            shards_of(frame, tmp_path / str(number), context=context)
    with pytest.raises(sl.DataError, match="'device', which neither"):
        sl.fit(with_context(), shards_of(frame, tmp_path / "hours", context=["hour"]))
    shards = sl.Shards.load(tmp_path / "hours" / "shards")
    tower = sl.Tower(sl.IntegerLookup("user"), sl.Category("hour"), dim=4)
    before = sl.TwoTower(tower, sl.Tower(sl.IntegerLookup("item"), dim=4))
    sl.fit(before, shards, epochs=1)
    again = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("user"), sl.Category("hour"), dim=4), sl.Tower(sl.IntegerLookup("item"), dim=4)
    )
    with pytest.raises(sl.ConfigError, match="cannot start from another model"):
        sl.fit(again, shards, warm_start=before)
