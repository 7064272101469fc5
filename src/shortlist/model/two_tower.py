"""The two-tower model: a query tower and a candidate tower that meet only in a dot product."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist._forks import refuse_after_fork
from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import check_dataset, check_frame, kind_of
from shortlist.data.choices import choice_counts
from shortlist.data.id_map import IdMap
from shortlist.data.shards import OrderedRows, ordered_by_query
from shortlist.errors import ConfigError, DataError, ShortlistWarning
from shortlist.features import Encoded, Repeated
from shortlist.model.embedding import Division
from shortlist.model.history_inputs import (
    check_candidate,
    joined_histories,
    lend_tables,
    training_histories,
    with_histories,
)
from shortlist.model.inputs import TowerInputs
from shortlist.model.optimizer_state import OptimizerState
from shortlist.model.storage import roomy_tensor
from shortlist.model.stored_histories import stored_histories, with_stored_histories
from shortlist.model.tower import Tower
from shortlist.store.allocation import trim

__all__ = ["Catalogue", "TwoTower"]

ROW = "\0row"  # a name that no column has
ROWS_AT_A_TIME = 1 << 16
HISTORIES_AT_A_TIME = 1 << 11
NUMBERS_LOOKED_UP = 1 << 17  # of rows of a table that are read together


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The data that a model was trained on: the tables behind its towers, and how often each candidate was chosen.

    Attributes:
        query: the column of query ids.
        candidate: the column of candidate ids.
        queries: one row per distinct query id.
        candidates: one row per distinct candidate id.
        counts: int64 ``[candidates]``, training interactions of each candidate with a weight above 0.
        known: bool ``[queries]``, whether the query has any of these.
    """

    query: str
    candidate: str
    queries: pl.DataFrame
    candidates: pl.DataFrame
    counts: NDArray[np.int64]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, train: Dataset | Shards) -> Catalogue:
        """The catalogue of training data."""
        known, counts = choice_counts(train, "query") > 0, choice_counts(train, "candidate")
        return cls(train.query, train.candidate, train.queries, train.candidates, counts, known)

    @cached_property
    def query_ids(self) -> IdMap:
        """Raw query ids and their rows in ``queries``."""
        return IdMap(self.queries[self.query])

    @cached_property
    def candidate_ids(self) -> IdMap:
        """Raw candidate ids and their rows in ``candidates``."""
        return IdMap(self.candidates[self.candidate])


class TwoTower(nn.Module):
    """Two towers of one ``dim``; a pair's score is the dot product of their vectors.

    The towers are declared first and built by ``fit``, which learns vocabularies and other state of the features from
    the training data.

    Source: Covington et al. 2016, "Deep neural networks for YouTube recommendations"; Yi et al. 2019.

    Args:
        query: the tower of queries.
        candidate: the tower of candidates.

    Raises:
        ConfigError: where the towers differ in ``dim``.
    """

    def __init__(self, query: Tower, candidate: Tower) -> None:
        super().__init__()
        for name, tower in (("query", query), ("candidate", candidate)):
            if not isinstance(tower, Tower):
                raise ConfigError(
                    f"TwoTower({name}) got {kind_of(tower)}; a Tower was expected.",
                    hint="wrap a torch module: Tower(StringLookup(...), module=your_module, dim=...)",
                )
        if query.dim != candidate.dim:
            raise ConfigError(
                f"the query tower has dim={query.dim}, the candidate tower dim={candidate.dim}; they must agree."
            )
        if query is candidate:
            raise ConfigError(
                "both towers are the same object; build one for each side.",
                hint="call sl.Tower(…) twice; towers never share a table",
            )
        if query.bias:
            raise ConfigError(
                "the query tower got bias=True; adding the same number to all scores of a query does not change their order.",
                hint="give bias=True to the candidate tower",
            )
        if candidate.heads != 1:
            raise ConfigError(
                f"the candidate tower got heads={candidate.heads}; a candidate has one vector.",
                hint="give heads= to the query tower",
            )
        query.meets_bias = candidate.bias
        check_candidate(candidate)
        self.query = query
        self.candidate = candidate
        self.trained_on: Catalogue | None = None
        self.optimizer_state: OptimizerState | None = None

    def __getstate__(self) -> dict[str, Any]:
        refuse_after_fork("copying a TwoTower")
        return vars(self)

    @property
    def dim(self) -> int:
        """Length of the vectors, a bias included."""
        return self.query.width

    def split_heads(self, query: Tensor) -> Tensor:
        """Query vectors ``[rows, heads · dim]`` as ``[rows, heads, dim]`` where there are several; else as they are."""
        return query if self.query.heads == 1 else query.view(len(query), self.query.heads, self.dim)

    @property
    def reads_ids_alone(self) -> bool:
        """Whether the query tower reads the query's id and nothing else. See ``catalogue``."""
        return self.query.columns == (self.catalogue.query,)

    @property
    def catalogue(self) -> Catalogue:
        """The tables that the model was trained on.

        Raises:
            ConfigError: before ``fit``.
        """
        if self.trained_on is None:
            raise ConfigError("this model has not been trained.", hint="call fit(model, train) first")
        return self.trained_on

    @property
    def device(self) -> torch.device:
        """Where the model's tables are."""
        return next((buffer.device for buffer in self.buffers()), torch.device("cpu"))

    def prepare(self, train: Dataset | Shards, generator: torch.Generator | None = None) -> EncodedDataset:
        """Fit the features on what occurs in ``train``, build both towers, and return ``train`` encoded.

        Args:
            train: the training data.
            generator: draws the first weights; None for torch's own.

        Raises:
            ConfigError: for a joined model.
        """
        return self._prepare(train, generator)

    def _prepare(
        self, train: Dataset | Shards, generator: torch.Generator | None, division: Division | None = None
    ) -> EncodedDataset:
        """As ``prepare``; with a ``division`` only this process's rows of the tables are made."""
        check_dataset(train, "prepare()", shards=True)
        for tower in (self.query, self.candidate):
            tower.check_trainable()
        check_time_of_target(self.query, train)
        self.trained_on = Catalogue.of(train)
        if isinstance(train, Shards):
            return self._prepare_shards(train, generator, division)
        queries, query_of = query_table(self.query, train)
        self._fit_features(queries, np.bincount(query_of, minlength=len(queries)), train)
        histories = {}
        if self.query.histories:
            histories = training_histories(self.query, self.candidate, train)
            self.trained_on = replace(self.trained_on, queries=with_histories(self.query, train.queries, train))
        query_columns = self.query.encode(queries, "the queries' data", histories)
        candidate_columns = self.candidate.encode(train.candidates, "the candidates' table")
        if histories:  # one row per interaction, since each has a history of its own
            query_columns = {
                name: column if name in histories else Repeated(column, query_of)  # type: ignore[arg-type]
                for name, column in query_columns.items()
            }
            query_of = np.arange(len(train))
        trim()  # what reading and encoding took, before the tables take more
        self.query._build(query_columns, generator, division)
        self.candidate._build(candidate_columns, generator, division)
        self.lend_tables()
        return EncodedDataset(
            query_columns,
            candidate_columns,
            query_of,
            train.candidate_rows,
            train.weights,
            train.candidate_counts,
            next((history.start for history in histories.values()), None),
        )

    def _prepare_shards(
        self, train: Shards, generator: torch.Generator | None, division: Division | None
    ) -> EncodedDataset:
        """As ``prepare``; the interactions stay on disk. ConfigError for a query tower that reads what shards do not keep.

        Features of the queries' table learn from its rows, those of context from the distinct contexts. With histories the query
        tower reads one row per interaction, those of a query in the order of time.
        """
        assert self.trained_on is not None
        context = context_of(self.query, train)
        histories = {history.column for history in self.query.histories.values()}
        known = {*train.queries.columns, *context, *histories}
        lacking = [column for column in self.query.columns if column not in known]
        if lacking:
            raise DataError(
                f"the query tower reads {', '.join(map(repr, lacking))}, which neither the queries' table nor the shards have.",
                hint=f"if it is a column of the interactions: Shards.encode(…, context={lacking!r})",
            )
        if context and train.contexts is None:
            raise ConfigError(
                f"the query tower reads {', '.join(map(repr, context))} of the interaction to predict; that is not possible with shards.",
                hint="leave it out, or train in memory (Dataset)",
            )
        self._fit_features(train.queries, train.query_counts, train, context)
        query_columns = self.query.encode(train.queries, "the queries' data", but={*context, *histories})
        contexts: dict[str, Encoded] = {}
        if train.contexts is not None and context:
            contexts = self.query.encode(train.contexts, "the context", but=set(self.query.columns) - set(context))
        ordered = None
        if histories:
            ordered = ordered_by_query(train)
            windows = stored_histories(self.query, self.candidate, train, ordered)
            queries = with_stored_histories(self.query, train.queries, train, ordered)
            self.trained_on = replace(self.trained_on, queries=queries)
            ordered = ordered._replace(time=None)
            query_columns = {
                **{name: Repeated(column, ordered.query, stored=True) for name, column in query_columns.items()},  # type: ignore[arg-type]
                **{name: Repeated(column, ordered.context, stored=True) for name, column in contexts.items()},  # type: ignore[arg-type]
                **windows,
            }
            contexts = {}
        candidate_columns = self.candidate.encode(train.candidates, "the candidates' table")
        trim()
        self.query._build(
            {name: {**query_columns, **contexts}[name] for name in self.query.features}, generator, division
        )
        self.candidate._build(candidate_columns, generator, division)
        if histories:
            self.lend_tables()
            query_columns = {name: query_columns[name] for name in self.query.features}
        none = np.zeros(0, np.int32)
        counts = train.candidate_counts
        return EncodedDataset(
            query_columns, candidate_columns, none, none, None, counts, None, train, contexts, ordered
        )

    def _fit_features(
        self, queries: pl.DataFrame, counts: NDArray[np.int64], train: Dataset | Shards, context: Sequence[str] = ()
    ) -> None:
        """Let both towers' features learn from the rows that occur in training.

        Args:
            counts: interactions of each query row.
            context: columns of the query tower that the shards' contexts have, not ``queries``.
        """
        rows, chosen = np.flatnonzero(counts), np.flatnonzero(train.candidate_counts)
        self.query.fit_features(queries[rows], "the queries' data", counts[rows], context)
        if context and isinstance(train, Shards) and train.contexts is not None:
            met, others = np.flatnonzero(train.context_counts), set(self.query.columns) - set(context)
            self.query.fit_features(train.contexts[met], "the context", train.context_counts[met], others)
        self.candidate.fit_features(train.candidates[chosen], "the candidates' table", train.candidate_counts[chosen])

    def lend_tables(self) -> None:
        """Let histories that share the candidate tower's id table read from it; both towers are built."""
        lend_tables(self.query, self.candidate, self.catalogue.candidate)

    def with_histories(self, table: pl.DataFrame, given: Dataset | None = None) -> pl.DataFrame:
        """``table`` with the columns that the query tower's histories read and the table lacks.

        A history is what its query chose in training; for a query that training never saw, what it chose in ``given``.

        Args:
            table: rows of queries.
            given: interactions of queries that training never saw.
        """
        if not self.query.histories:
            return table
        known = [self.catalogue.queries]
        if given is not None:
            columns = [history.column for history in self.query.histories.values()]
            bare = given.queries.drop(columns, strict=False)  # a catalogue's table has those of training already
            known.append(with_histories(self.query, bare, given))
        return joined_histories(self.query, table, known, self.catalogue.query)

    def query_vectors(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """Vectors ``[rows, heads · dim]`` of query rows that have the query tower's columns."""
        refuse_after_fork("TwoTower.query_vectors()")
        check_frame(table, "TwoTower.query_vectors(table)")
        return self._vectors(self.query, self.query.encode(table, "the queries' data"))

    def candidate_vectors(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """Vectors ``[rows, dim]`` of candidate rows that have the candidate tower's columns."""
        refuse_after_fork("TwoTower.candidate_vectors()")
        check_frame(table, "TwoTower.candidate_vectors(table)")
        return self._vectors(self.candidate, self.candidate.encode(table, "the candidates' table"))

    def _vectors(self, tower: Tower, encoded: dict[str, Encoded]) -> NDArray[np.float32]:
        inputs = TowerInputs.of(encoded, self.device)
        return vectors_of(tower, inputs, roomy_tensor).cpu().numpy()


@dataclass(frozen=True, eq=False)
class EncodedDataset:
    """A dataset as integers: the towers' columns of every distinct row, and each interaction as two row numbers."""

    query_columns: dict[str, Encoded]
    candidate_columns: dict[str, Encoded]
    query_rows: NDArray[np.integer]  # [interactions], rows of query_columns
    candidate_rows: NDArray[np.int32]  # [interactions], rows of candidate_columns
    weights: NDArray[np.float32] | None  # [interactions]
    candidate_counts: NDArray[np.int64]  # [candidates], of weight 0 too, since batches have these rows
    sequences: NDArray[np.int64] | None = None  # [interactions]: those that are best read in one batch share a number
    shards: Shards | None = None  # the shards with the interactions; both kinds of rows are empty then
    contexts: dict[str, Encoded] = field(default_factory=dict)  # the query tower's columns of shards.contexts
    ordered: OrderedRows | None = None  # the rows of the shards by query, where the query tower reads histories

    def __len__(self) -> int:
        return len(self.query_rows) if self.shards is None else len(self.shards)


def context_of(tower: Tower, dataset: Dataset | Shards) -> list[str]:
    """The columns of a query tower that only the interactions have."""
    return [
        column
        for column in tower.columns
        if column not in dataset.queries.columns and column in dataset.interactions.columns
    ]


def check_time_of_target(query: Tower, train: Dataset | Shards) -> None:
    """ConfigError where the query tower reads the time of the interaction to predict without ``of_target``; else a warning.

    That time is a context column that is the dataset's timestamp, or that a ``Timestamp`` reads.
    """
    context = context_of(query, train)
    for feature in query.features.values():
        if feature.column not in context or not (feature.column == train.timestamp or feature.kind == "Timestamp"):
            continue
        if not getattr(feature, "of_target", False):
            raise ConfigError(
                f"{feature!r} of the query tower reads the time of the interaction to predict, which reveals the target "
                "unless training and test are split by time.",
                hint=f"omit it; or split by time and write Timestamp({feature.column!r}, of_target=True)",
            )
        warnings.warn(
            f"{feature!r}: the query tower reads the time of the interaction to predict, as requested. Evaluate this model only on "
            "a split by time.",
            ShortlistWarning,
            stacklevel=6,
        )


def query_table(tower: Tower, dataset: Dataset) -> tuple[pl.DataFrame, NDArray[np.integer]]:
    """The distinct rows that a query tower reads, and for each interaction the number of its row.

    Columns of the queries' table make one row per query. Columns that only the interactions have are called
    context; with them there is one row per distinct pair of query and context.
    """
    context = context_of(tower, dataset)
    if not context:
        return dataset.queries, dataset.query_rows
    keys = [dataset.query, *context]
    pairs = dataset.interactions.select(keys)
    distinct = pairs.unique(maintain_order=True).with_row_index(ROW)
    rows = pairs.join(distinct, on=keys, how="left", nulls_equal=True, maintain_order="left")[ROW].to_numpy()
    table = distinct.drop(ROW).join(dataset.queries, on=dataset.query, how="left", maintain_order="left")
    return table, rows


@torch.no_grad()
def vectors_of(
    tower: Tower, inputs: TowerInputs, empty: Callable[[tuple[int, ...], torch.dtype], Tensor] | None = None
) -> Tensor:
    """Vectors ``[rows, dim]`` of all inputs, without dropout or gradients; the tower's mode is left as it was.

    Args:
        empty: memory for a shape and a dtype; by default where the tower is.
    """
    training = tower.training
    tower.eval()
    try:
        at_a_time = HISTORIES_AT_A_TIME if tower.histories else ROWS_AT_A_TIME
        if len(inputs) <= at_a_time:
            return tower(inputs)  # type: ignore[no-any-return]
        if tower.is_table:  # whose rows do not depend on what is read with them
            at_a_time = max(1, NUMBERS_LOOKED_UP // tower.dim)
        found: Tensor | None = None
        for low in range(0, len(inputs), at_a_time):
            rows = torch.arange(low, min(low + at_a_time, len(inputs)), device=tower.device)
            some = tower(inputs.take(rows))
            if found is None:
                shape = (len(inputs), some.shape[1])
                found = some.new_empty(shape) if empty is None else empty(shape, some.dtype)
            found[low : low + len(rows)] = some
            del some  # before the next rows are read
        assert found is not None
        return found
    finally:
        tower.train(training)
