"""A protocol made concrete: what a recipe may learn from, what it is told of each query, and what it is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

import shortlist as sl
from benchmarks.quality.protocols import PROTOCOLS, Protocol
from shortlist.evaluation.ranks import Hidden

AMAZON = {"beauty": "beauty", "sports": "sports_and_outdoors", "toys": "toys_and_games"}
HELD_OUT_USERS = 0.1
GIVEN = 0.8


@dataclass(frozen=True, eq=False)
class Problem:
    """train: what may be learnt from. given: the interactions of the asked queries that are known when they ask (the
    training data itself, unless the queries are new, or the protocol keeps some back). test: what they chose next.
    validates: what the protocol itself keeps back for tuning. All share their tables, so that row numbers agree.
    """

    train: sl.Dataset
    given: sl.Dataset
    test: sl.Dataset
    protocol: Protocol
    validates: sl.Dataset | None = None

    @cached_property
    def queries(self) -> NDArray[np.int64]:
        """Rows of the asked queries, ascending ``[queries]``."""
        return np.unique(self.test.query_rows).astype(np.int64)

    @cached_property
    def histories(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """What is given of every query in CSR form: offsets ``[all queries + 1]`` and candidate rows, in order of time."""
        rows = self.given.query_rows
        times = np.zeros(len(rows)) if self.given.timestamp is None else self.given.interactions[self.given.timestamp]
        order = np.lexsort((times, rows))
        counts = np.bincount(rows, minlength=len(self.given.queries))
        return np.concatenate([[0], np.cumsum(counts)]), self.given.candidate_rows[order]

    def hidden(self, rows: NDArray[np.int64]) -> Hidden | None:
        """What does not compete for these queries, which are counted from 0: what is given of them, where the protocol says so."""
        if not self.protocol.exclude_seen:
            return None
        offsets, seen = self.histories
        lengths = offsets[rows + 1] - offsets[rows]
        columns = np.concatenate([seen[offsets[row] : offsets[row + 1]] for row in rows])
        query = np.repeat(np.arange(len(rows)), lengths)
        return Hidden(torch.from_numpy(query), torch.from_numpy(columns.astype(np.int64)))

    def some(self, most: int, seed: int) -> Problem:
        """The same with at most so many of the asked queries, drawn by ``seed``."""
        if len(self.queries) <= most:
            return self
        drawn = np.random.default_rng(seed).choice(self.queries, most, replace=False)
        return replace(self, test=_where(self.test, np.isin(self.test.query_rows, drawn)))

    def validation(self) -> Problem:
        """The same protocol within the training data: what tuning may look at."""
        if self.validates is not None:
            return Problem(self.train, self.train, self.validates, self.protocol)
        return _held_out(self.train, self.protocol, seed=1)


def load(dataset: str, protocol: str, data_dir: Path | None = None) -> Problem:
    """Returns the problem; a ConfigError names what is missing."""
    try:
        chosen = PROTOCOLS[dataset, protocol]
    except KeyError:
        known = ", ".join(f"{name} {kind}" for name, kind in PROTOCOLS)
        raise sl.ConfigError(f"there is no protocol {protocol!r} of {dataset!r}.", hint=f"known: {known}") from None
    if dataset == "ml-100k":
        return _held_out(sl.datasets.movielens("100k"), chosen, seed=42)
    if data_dir is None:
        raise sl.ConfigError(f"{dataset} is read from a folder.", hint="name it with --data-dir")
    if dataset == "gowalla":
        return _gowalla(_folder(data_dir, "gowalla"), chosen)
    if dataset == "ml-1m":
        return _held_out(_movielens_1m(_folder(data_dir, "movielens-1m")), chosen, seed=42)
    return _held_out(_amazon(_folder(data_dir, "amazon"), AMAZON[dataset]), chosen, seed=42)


def _held_out(data: sl.Dataset, protocol: Protocol, seed: int) -> Problem:
    if protocol.split == "last":
        train, test = sl.split_last(data)
    elif protocol.split == "last-two":
        given, test = sl.split_last(data)
        train, validates = sl.split_last(given)
        return Problem(train, given, test, protocol, validates)
    elif protocol.split == "users":
        return _users(data, protocol, seed)
    else:
        train, test = sl.split_random(data, test=0.2, seed=seed)
    return Problem(train, train, test, protocol)


def _users(data: sl.Dataset, protocol: Protocol, seed: int) -> Problem:
    """A tenth of the queries is never trained on; 80% of each one's interactions, at random, are given."""
    generator = np.random.default_rng(seed)
    present = np.unique(data.query_rows)
    chosen = generator.choice(present, max(1, round(HELD_OUT_USERS * len(present))), replace=False)
    out = np.isin(data.query_rows, chosen)
    train, rest = _where(data, ~out), _where(data, out)
    draw = generator.random(len(rest))
    order = np.lexsort((draw, rest.query_rows))
    rows = rest.query_rows[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(data.queries)))])
    place = np.arange(len(rows)) - starts[rows]
    given = np.empty(len(rows), dtype=np.bool_)
    given[order] = place < np.ceil(GIVEN * np.diff(starts)[rows])
    return Problem(train, _where(rest, given), _where(rest, ~given), protocol)


def _where(data: sl.Dataset, mask: NDArray[np.bool_]) -> sl.Dataset:
    return data.with_interactions(data.interactions.filter(pl.Series(mask)))


def _gowalla(folder: Path, protocol: Protocol) -> Problem:
    train, test = (pl.read_parquet(folder / f"{part}.parquet").select("user", "item") for part in ("train", "test"))
    both = pl.concat([train, test])
    data = sl.Dataset(both, query="user", candidate="item")
    part = data.with_interactions(train)
    return Problem(part, part, data.with_interactions(test), protocol)


def _amazon(folder: Path, name: str) -> sl.Dataset:
    rows = pl.read_parquet(folder / f"{name}.parquet")
    items = pl.read_parquet(folder / f"{name}_items.parquet")
    interacted = rows.select(pl.col("item").unique().sort())
    return sl.Dataset(
        rows,
        query="user",
        candidate="item",
        timestamp="position",
        candidates=interacted.join(items, on="item", how="left", maintain_order="left"),
    )


def _movielens_1m(folder: Path) -> sl.Dataset:
    rows = pl.read_parquet(folder / "interactions.parquet").filter(pl.col("rating") >= 4)
    return sl.Dataset(
        rows.select("user_id", "movie_id", "timestamp"), query="user_id", candidate="movie_id", timestamp="timestamp"
    )


def _folder(data_dir: Path, name: str) -> Path:
    for folder in (data_dir / name, data_dir):
        if any(folder.glob("*.parquet")):
            return folder
    raise sl.ConfigError(f"--data-dir {str(data_dir)!r} holds no folder {name!r} with Parquet files.")
