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
from shortlist.data.shards import Source, available_memory, places_of
from shortlist.data.shards.estimate import Estimate, Sample, counted_distinct, distinct, sample_of
from shortlist.errors import ConfigError, DataError
from shortlist.index import Index
from shortlist.index.checks import check_counts
from shortlist.index.halves import Halves
from shortlist.model import EmbeddingTable, Tower, TwoTower
from shortlist.train.fit import fit
from shortlist.train.optimizers import Optimizer
from shortlist.train.phases import PhaseForecast, Sizes
from shortlist.train.recipes import Recipe
from shortlist.train.sizes import (
    bytes_of_disk_rows,
    bytes_of_ids,
    bytes_of_lists,
    bytes_of_memory_rows,
    bytes_of_ordered,
    bytes_of_shards,
    gives_rows,
    index_of,
)

__all__ = ["Forecast", "TableForecast", "forecast", "sampled"]

BATCHES = 24
WARM_UP = 4
SEEN_ROWS = 20_000_000  # of shards, up to which a bundle keeps the seen items of each query
FEW = 100  # vectors that tell whether bfloat16 holds those of a tower


@dataclass(frozen=True)
class TableForecast:
    """An embedding table: its tower, its rows and width, and bytes of itself and of its optimizer state."""

    name: str
    rows: int
    dim: int
    weights: int
    optimizer: int


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
        stored: a bundle, on the disk.
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
    stored: int
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
        """The phases in their order, see ``Sizes``."""
        return self.sizes.phases

    @property
    def peak(self) -> PhaseForecast:
        """The phase of a training, its index and its bundle that takes the most memory."""
        return self.sizes.peak

    @property
    def sizes(self) -> Sizes:
        """The parts of the run, with the interactions in memory or from disk."""
        return Sizes(
            self.weights,
            self.optimizer,
            self.dense,
            self.ids,
            interactions=self.interactions_in_memory if self.from_memory else self.interactions_from_disk,
            shards=0 if self.from_memory else self.shards + self.ordered,
            vectors=self.vectors,
            stored=self.stored,
            index=self.index,
            serving=self.serving,
            processes=self.processes,
        )

    @property
    def _model(self) -> int:
        parts = Sizes(self.weights, self.optimizer, self.dense, self.ids, 0, 0, 0, 0, 0, 0, self.processes)
        return parts.model

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
    several = {
        "[als]": recipe.als,
        "[[joined]]": recipe.joined,
        "[[sources]]": recipe.sources,
        "[ranker]": recipe.ranker,
    }
    if what := next((name for name, section in several.items() if section), ""):
        raise ConfigError(
            f"a forecast supports one model that learns from batches; the recipe has {what}.",
            hint="forecast it without [ranker]: the first stage is trained two times, or folds + 1 times"
            if what == "[ranker]"
            else "forecast the models one by one; ALS needs 28 bytes of memory per interaction",
        )
    drawn, data, schema = sampled(source, recipe, columns, tables, sample)
    queries, candidates = (_ids(source, drawn, column, count) for column in (data.query, data.candidate))
    model, speed = _tried(recipe, data, device)
    sizes = _tables(model, recipe.build_optimizer(), {data.query: queries.value, data.candidate: candidates.value})
    weighted, timed = bool(columns.get("weight")), bool(columns.get("timestamp"))
    widths = [
        _bytes_of_number(model.query, data.queries, model.query_vectors),
        _bytes_of_number(model.candidate, data.candidates, model.candidate_vectors),
    ]
    kind, per_candidate = index_of(candidates.value, model.dim, index, is_half=widths[1] == 2)
    dense = sum(parameter.numel() * 4 for parameter in model.parameters())
    ids = bytes_of_ids(data, {data.query: queries.value, data.candidate: candidates.value})
    ids += bytes_of_lists(model, data, drawn.rows, queries.value)
    of_queries = queries.value * model.query.heads * widths[0] * model.dim
    vectors = of_queries + candidates.value * widths[1] * model.dim
    indexed = round(per_candidate * candidates.value)
    seen = 8 * drawn.rows if drawn.rows <= SEEN_ROWS else 0
    dense *= 1 + len(recipe.build_optimizer().slots(torch.zeros(1, 2)))
    kept = sum(
        one.weights for one in sizes if not gives_rows(model.query if one.name.startswith("query") else model.candidate)
    )
    optimizer = sum(one.optimizer for one in sizes)
    return Forecast(
        rows=drawn.rows,
        files=source.file_count,
        sampled=len(data),
        queries=queries,
        candidates=candidates,
        tables=sizes,
        dense=dense,
        ids=ids,
        interactions_in_memory=bytes_of_memory_rows(drawn.rows, schema),
        interactions_from_disk=bytes_of_disk_rows(drawn.rows, weighted),
        shards=bytes_of_shards(drawn.rows, weighted, timed),
        ordered=bytes_of_ordered(drawn.rows, weighted, model),
        vectors=vectors,
        stored=kept + optimizer + dense + of_queries + indexed,
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


def sampled(
    source: Source,
    recipe: Recipe,
    columns: Mapping[str, str | None],
    tables: Mapping[str, TableLike | None] | None,
    sample: int,
) -> tuple[Sample, Dataset, pl.Schema]:
    """A sample of a source, the dataset of its rows, and the columns that training reads. DataError where there are no rows.

    Args:
        columns: as for ``forecast``.
        tables: as for ``forecast``.
        sample: how many rows.
    """
    schema = _read_schema(source, recipe, columns)
    drawn = sample_of(source, sample, list(schema))
    if not drawn.pieces:
        raise DataError("the interactions table is empty; expected at least one row.", hint="check how it was made")
    table = Table(drawn.frame, "interactions", source.untyped, tuple(source.notes), places=places_of(source))
    return drawn, Dataset(table, **columns, **(tables or {})), schema  # type: ignore[arg-type]


def _read_schema(source: Source, recipe: Recipe, columns: Mapping[str, str | None]) -> pl.Schema:
    """The columns that training reads."""
    wanted = {*columns.values(), *recipe.interaction_columns}
    return pl.Schema({column: kind for column, kind in source.schema().items() if column in wanted})


def _ids(source: Source, drawn: Sample, column: str, count: bool) -> Estimate:
    return counted_distinct(source, column) if count and not drawn.whole else distinct(drawn, column)


def _tables(model: TwoTower, optimizer: Optimizer, ids: Mapping[str, int]) -> tuple[TableForecast, ...]:
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


def _bytes_of_number(
    tower: Tower, table: pl.DataFrame, vectors_of: Callable[[pl.DataFrame], NDArray[np.float32]]
) -> int:
    """Bytes of a number of a tower's vectors as a recommender keeps them: 2 where bfloat16 holds them, else 4."""
    if tower.storage.dtype != "bfloat16" or not set(tower.columns) <= set(table.columns):
        return 4
    return 4 if Halves.of(vectors_of(table.head(FEW))) is None else 2


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
