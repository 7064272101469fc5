"""A forecast of a training run's time and memory, from a sample, before anything heavy starts."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Account, Dataset, TableLike
from shortlist.data.readers import Table
from shortlist.data.shards import Shards, Source, available_memory, places_of, row_bytes
from shortlist.data.shards.estimate import Estimate, Sample, counted_distinct, distinct, sample_of
from shortlist.data.shards.sizes import NUMBERS
from shortlist.errors import ConfigError, DataError
from shortlist.index import Index, choose_index
from shortlist.index.checks import check_counts
from shortlist.index.halves import Halves, accepts_halves
from shortlist.model import EmbeddingTable, Tower, TwoTower
from shortlist.train.fit import fit
from shortlist.train.optimizers import Optimizer
from shortlist.train.recipes import Recipe

__all__ = ["Forecast", "PhaseForecast", "TableForecast", "forecast"]

BATCHES = 24
WARM_UP = 4
INDEXED = 20_000
SEEN_ROWS = 20_000_000
PROCESS = 300_000_000  # bytes that Python, torch and Polars use themselves
CHECKPOINTS = 3  # the two that are kept, and the one that is being written
WINDOW = 20  # bytes of a code and of the two ends of a window
SERVED = ("serving", "swap")  # phases of a server
FEW = 100  # vectors that tell whether bfloat16 holds those of a tower
CODES = 12  # bytes of a row's code as int32 and int64


@dataclass(frozen=True)
class TableForecast:
    """An embedding table: its tower, its rows and width, and bytes of itself and of its optimizer state."""

    name: str
    rows: int
    dim: int
    weights: int
    optimizer: int


@dataclass(frozen=True)
class PhaseForecast:
    """A phase on the way from data to a server: the most memory that it takes, and the bytes that it adds on the disk."""

    name: str
    memory: int
    disk: int


@dataclass(frozen=True)
class Forecast:
    """Numbers of rows and bytes; seconds on this machine.

    Attributes:
        files: None for a Delta or Iceberg table.
        tables: memory of both towers' tables.
        ids: memory of ids, vocabularies and codes.
        interactions_in_memory: memory for training on rows in memory.
        interactions_from_disk: memory for training from disk.
        shards: on the disk.
        ordered: the files of rows by query, on the disk while a query tower that reads histories trains from shards.
        vectors: of both sides, on the disk.
        index: of the candidates, with their vectors.
        serving: a recommender with it.
        examples_per_second: of the recipe on the sample, whose tables are smaller.
        memory: the memory of this machine.
        account: of the rows in the sample.
        processes: that share tables and optimizer state; the figures are those of the first process, whose memory is the largest.
    """

    rows: int
    files: int | None
    sampled: int
    queries: Estimate
    candidates: Estimate
    tables: tuple[TableForecast, ...]
    dense: int
    ids: int
    interactions_in_memory: int
    interactions_from_disk: int
    shards: int
    ordered: int
    vectors: int
    index: int
    index_kind: str
    serving: int
    examples_per_second: float
    seconds_per_epoch: float
    epochs: int
    memory: int
    account: Account
    processes: int = 1

    @property
    def weights(self) -> int:
        """Bytes of all tables."""
        return sum(table.weights for table in self.tables)

    @property
    def optimizer(self) -> int:
        """Bytes of the optimizer's state."""
        return sum(table.optimizer for table in self.tables)

    @property
    def training_in_memory(self) -> int:
        """Bytes that training takes with the interactions in memory."""
        return self._model + self.interactions_in_memory

    @property
    def training_from_disk(self) -> int:
        """Bytes that training takes with the interactions in shards."""
        return self._model + self.interactions_from_disk

    @property
    def from_memory(self) -> bool:
        """Whether the interactions are to be trained on in memory."""
        return self.training_in_memory <= self.memory / 2

    @property
    def phases(self) -> tuple[PhaseForecast, ...]:
        """The phases in their order: the memory of the first process, and what all of them write.

        Of several processes the first gets the whole model at the end, in files, and makes index and bundle alone. A checkpoint and a bundle are written from where the numbers are, and large vectors are kept in files, so neither takes
        memory of its own. The bundle is opened and compared before it counts as saved. A swap has two models in memory.
        """
        interactions = self.interactions_in_memory if self.from_memory else self.interactions_from_disk
        steps = self._model + interactions
        learned = self.weights + self.optimizer + self.dense
        gathered = [PhaseForecast("end", steps, self.weights + self.optimizer)] if self.processes > 1 else []
        return (
            PhaseForecast("build", steps - self.dense, 0 if self.from_memory else self.shards + self.ordered),
            PhaseForecast("steps", steps, 0),
            PhaseForecast("checkpoint", steps, CHECKPOINTS * learned),
            *gathered,
            PhaseForecast("index", steps + self.index, self.vectors),
            PhaseForecast("save", steps + 2 * self.index + self.ids, learned + self.vectors + self.index),
            PhaseForecast("serving", PROCESS + self.serving, 0),
            PhaseForecast("swap", PROCESS + 2 * self.serving, 0),
        )

    @property
    def peak(self) -> PhaseForecast:
        """The phase of a training, its index and its bundle that takes the most memory."""
        return max((one for one in self.phases if one.name not in SERVED), key=lambda phase: phase.memory)

    @property
    def _model(self) -> int:
        return PROCESS + (self.weights + self.optimizer) // self.processes + self.dense + self.ids

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        names = ("weights", "optimizer", "training_in_memory", "training_from_disk")
        figures = {name: getattr(self, name) for name in names}
        figures["phases"] = [asdict(phase) for phase in self.phases]
        return {**asdict(self), **figures, "account": self.account.to_dict()}


def forecast(
    source: Source,
    recipe: Recipe,
    columns: Mapping[str, str | None],
    tables: Mapping[str, TableLike | None] | None = None,
    *,
    sample: int = 2_000_000,
    count: bool = False,
    index: Index | None = None,
    device: str = "auto",
    processes: int = 1,
) -> Forecast:
    """The time and memory that training ``recipe`` on ``source`` will take.

    1. Rows are counted from the files' footers; ids from a sample of so many rows, or all of them with ``count``.
    2. The recipe's model is built for the sample, which says how wide every table is; tables of ids get as many rows as
       ids were estimated, others as many as the sample has.
    3. It trains on the sample for a few batches, and an index of a few candidates is built.

    Errors are those of ``Dataset`` and ``fit``.

    Args:
        columns: names of the columns, as in ``Dataset``.
        tables: the tables of features, as in ``Dataset``, by name.
        processes: that train together (``torchrun``); the speed is that of one.
    """
    check_counts("the forecast", {"processes": processes})
    if recipe.als is not None or recipe.joined or recipe.sources:
        what = "[als]" if recipe.als is not None else "[[joined]]" if recipe.joined else "[[sources]]"
        raise ConfigError(
            f"a forecast supports one model that learns from batches; the recipe has {what}.",
            hint="forecast the models one by one; ALS needs 28 bytes of memory per interaction",
        )
    schema = _read_schema(source, recipe, columns)
    drawn = sample_of(source, sample, list(schema))
    if not drawn.pieces:
        raise DataError("the interactions table is empty; expected at least one row.", hint="check how it was made")
    table = Table(drawn.frame, "interactions", source.untyped, tuple(source.notes), places=places_of(source))
    data = Dataset(table, **columns, **(tables or {}))  # type: ignore[arg-type]
    queries, candidates = (_ids(source, drawn, column, count) for column in (data.query, data.candidate))
    model, speed = _tried(recipe, data, device)
    sizes = _tables(
        model, data, recipe.build_optimizer(), {data.query: queries.value, data.candidate: candidates.value}
    )
    weight = 4 if columns.get("weight") else 0
    per_row = 8 + weight
    widths = [
        _bytes_of_number(model.query, data.queries, model.query_vectors),
        _bytes_of_number(model.candidate, data.candidates, model.candidate_vectors),
    ]
    kind, per_candidate = _index_of(candidates.value, model.dim, index, is_half=widths[1] == 2)
    dense = sum(parameter.numel() * 4 for parameter in model.parameters())
    ids = _id_bytes(data, {data.query: queries.value, data.candidate: candidates.value})
    ids += _lists_bytes(model, data, drawn.rows, queries.value)
    vectors = (queries.value * model.query.heads * widths[0] + candidates.value * widths[1]) * model.dim
    indexed = round(per_candidate * candidates.value)
    seen = 8 * drawn.rows if drawn.rows <= SEEN_ROWS else 0
    return Forecast(
        rows=drawn.rows,
        files=source.file_count,
        sampled=len(data),
        queries=queries,
        candidates=candidates,
        tables=sizes,
        dense=dense * (1 + len(recipe.build_optimizer().slots(torch.zeros(1, 2)))),
        ids=ids,
        interactions_in_memory=drawn.rows * (2 * row_bytes(schema) + NUMBERS),
        interactions_from_disk=min(Shards.buffer_rows, drawn.rows) * (4 * per_row + 8),
        shards=drawn.rows * (per_row + (8 if columns.get("timestamp") else 0)),
        ordered=drawn.rows * (8 + weight + WINDOW * len(model.query.histories)) if model.query.histories else 0,
        vectors=vectors,
        index=indexed,
        index_kind=kind,
        serving=sum(one.weights for one in sizes) + vectors + indexed + ids + seen,
        examples_per_second=speed,
        seconds_per_epoch=drawn.rows / speed,
        epochs=int(recipe.for_rows(drawn.rows).fit.epochs),
        memory=available_memory(),
        account=data.account,
        processes=processes,
    )


def _read_schema(source: Source, recipe: Recipe, columns: Mapping[str, str | None]) -> pl.Schema:
    """The columns that training reads."""
    wanted = {*columns.values(), *recipe.interaction_columns}
    return pl.Schema({column: kind for column, kind in source.schema().items() if column in wanted})


def _ids(source: Source, drawn: Sample, column: str, count: bool) -> Estimate:
    return counted_distinct(source, column) if count and not drawn.whole else distinct(drawn, column)


def _tables(model: TwoTower, data: Dataset, optimizer: Optimizer, ids: Mapping[str, int]) -> tuple[TableForecast, ...]:
    """Every table of both towers at its full size."""
    found = []
    for side, tower in (("query", model.query), ("candidate", model.candidate)):
        for name, part in tower.named_modules():
            if isinstance(part, EmbeddingTable):
                found.append(
                    _table(f"{side}: {name.removeprefix('tables.')}", part, _column(tower, name), optimizer, ids)
                )
    return tuple(found)


def _column(tower: Tower, table: str) -> str:
    """The column whose values are the rows of a table; for a bias the column of ids."""
    feature = table.removeprefix("tables.").removeprefix("encoders.").removesuffix(".table")
    if feature == "bias":
        feature = tower.biased
    return tower.features[feature].column


def _table(
    name: str, table: EmbeddingTable, column: str, optimizer: Optimizer, ids: Mapping[str, int]
) -> TableForecast:
    rows = ids[column] + 1 if column in ids else len(table.weight)
    slots = sum(slot.numel() * 4 for slot in optimizer.slots(torch.zeros(1, table.dim)))
    return TableForecast(name, rows, table.dim, rows * table.dim * table.weight.element_size(), rows * slots)


def _id_bytes(data: Dataset, ids: Mapping[str, int]) -> int:
    """Tables of both sides, their vocabularies and lookups, codes and counts."""
    total = 0
    for table, column in ((data.queries, data.query), (data.candidates, data.candidate)):
        own = row_bytes(pl.Schema({column: table.schema[column]}))
        total += ids[column] * (row_bytes(table.schema) + 3 * own + CODES + 9)
    return total


def _lists_bytes(model: TwoTower, data: Dataset, rows: int, queries: int) -> int:
    """The last choices of each query, which a model that reads histories keeps."""
    one = row_bytes(pl.Schema({data.candidate: data.candidates.schema[data.candidate]}))
    return sum(min(rows, queries * history.length) * one for history in model.query.histories.values())


def _bytes_of_number(
    tower: Tower, table: pl.DataFrame, vectors_of: Callable[[pl.DataFrame], NDArray[np.float32]]
) -> int:
    """Bytes of a number of a tower's vectors as a recommender keeps them: 2 where bfloat16 holds them, else 4."""
    if tower.storage.dtype != "bfloat16" or not set(tower.columns) <= set(table.columns):
        return 4
    return 4 if Halves.of(vectors_of(table.head(FEW))) is None else 2


def _index_of(candidates: int, dim: int, index: Index | None, is_half: bool) -> tuple[str, float]:
    """The kind of index for so many candidates, and its bytes for each, by one of a few.

    Args:
        is_half: bfloat16 holds the vectors.
    """
    chosen = index or choose_index(candidates, dim)[0]
    some = min(candidates, INDEXED)
    vectors = np.random.Generator(np.random.Philox(0)).standard_normal((some, dim)).astype(np.float32)
    if is_half and accepts_halves(chosen):
        halves = Halves.of((vectors.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))
        return type(chosen).__name__, chosen.build(halves).nbytes / some  # type: ignore[arg-type]
    return type(chosen).__name__, chosen.build(vectors).nbytes / some


class _EnoughError(Exception):
    """Raised by the callback after as many batches as it needs."""


def _tried(recipe: Recipe, data: Dataset, device: str) -> tuple[TwoTower, float]:
    """The recipe's model, trained on the sample for a few batches, and its examples per second: the median batch's."""
    ends: list[float] = []
    done: list[int] = []

    def on_batch(examples: int, total: int) -> None:
        ends.append(time.perf_counter())
        done.append(examples)
        if len(ends) >= BATCHES:
            raise _EnoughError

    model = recipe.build_model(data)
    with contextlib.suppress(_EnoughError):
        fit(
            model,
            data,
            task=recipe.task(),
            optimizer=recipe.build_optimizer(),
            precision=recipe.fit.precision,
            batch_size=min(int(recipe.for_rows(len(data)).fit.batch_size), max(1, len(data) // 2)),
            epochs=BATCHES,
            device=device,
            on_batch=on_batch,
        )
    return model, _speed(ends, done)


def _speed(ends: Sequence[float], done: Sequence[int]) -> float:
    """Examples per second between batches, those at the start left out."""
    sizes, times = np.diff(done)[WARM_UP:], np.diff(ends)[WARM_UP:]
    return float(statistics.median(sizes / np.maximum(times, 1e-9)))
