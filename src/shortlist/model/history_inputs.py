"""Histories from interactions: windows for training, lists for later requests, and the candidate tower's id table, which histories may share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, DataError
from shortlist.features import History, IntegerLookup, Sequences, StringLookup
from shortlist.features.history import Context, history_table, last_of_each, windows_of
from shortlist.model.embedding import EmbeddingTable
from shortlist.model.history_encoder import HistoryEncoder
from shortlist.model.tower import Tower

__all__ = ["lend_tables", "longest_of", "settled", "training_histories", "with_histories"]


def training_histories(query: Tower, candidate: Tower, train: Dataset) -> dict[str, Sequences]:
    """Each history of the query tower, by name: one window per interaction, never its target nor what came after it.

    Raises:
        DataError: where the queries' table has a history's column.
        ConfigError: for an encoder that needs timestamps where there are none, and a table to share where there is
            none.
    """
    encoded = {}
    time = _time_ranks(train)
    for name, history in query.histories.items():
        context, vocabulary, codes = settled(history, candidate, train, time is not None)
        windows = windows_of(train.query_rows, train.candidate_rows, time, history.length, context)
        encoded[name] = Sequences(
            codes[train.candidate_rows[windows.order]],
            windows.start,
            windows.stop,
            windows.left_out,
            vocabulary.cardinality,
            history.length,
        )
    return encoded


def settled(
    history: History, candidate: Tower, train: Dataset | Shards, timed: bool
) -> tuple[Context, IdMap, NDArray[np.int32]]:
    """The context and the vocabulary of a history, settled for the training data, and the code of each candidate in it."""
    history.context = context = history.settled_context(timed)
    ids = train.candidates[train.candidate]
    if history.share:
        _, lookup = id_feature(candidate, train.candidate)
        history.vocabulary = lookup.vocabulary  # codes are rows of the table that is lent
    elif not history.fitted:
        history.vocabulary = IdMap.of_values(ids.gather(np.flatnonzero(train.candidate_counts)))
    if history.vocabulary is None:
        raise ConfigError(f"{history!r} has no vocabulary.", hint="train the model with fit() first")
    return context, history.vocabulary, history.vocabulary.encode(ids)


def with_histories(query: Tower, table: pl.DataFrame, interactions: Dataset) -> pl.DataFrame:
    """``table`` with a list column for each history of the tower: what its queries chose in ``interactions``."""
    time = _time_ranks(interactions)
    ids = interactions.queries[interactions.query]
    chosen = interactions.candidates[interactions.candidate]
    for history in longest_of(query):
        offsets, order = last_of_each(
            interactions.query_rows,
            interactions.candidate_rows,
            time,
            len(ids),
            history.length,
            history.context or "past",
        )
        items = chosen.gather(interactions.candidate_rows[order])
        table = history_table(table, history.column, interactions.query, ids, offsets, items)
    return table


def longest_of(query: Tower) -> list[History]:
    """One history for each column: of those that read the same one, the longest, preferably one that reads repeats too."""
    chosen: dict[str, History] = {}
    for history in sorted(query.histories.values(), key=lambda one: (one.length, one.context != "others")):
        chosen[history.column] = history
    return list(chosen.values())


def lend_tables(query: Tower, candidate: Tower, candidate_id: str) -> None:
    """Let histories that share read items from the candidate tower's id table. ConfigError where they cannot."""
    for name, history in query.histories.items():
        if not history.share:
            continue
        owner, _ = id_feature(candidate, candidate_id)
        table, width = candidate.tables[owner], history.dim or query.dim
        assert isinstance(table, EmbeddingTable)
        if table.dim != width:
            raise ConfigError(
                f"{history!r} has dim={width} and shares the candidates' id table, whose rows have {table.dim}.",
                hint=f"History(..., dim={table.dim}), or share=False",
            )
        encoder = query.encoders[name]
        assert isinstance(encoder, HistoryEncoder)
        encoder.lend(table)


def id_feature(candidate: Tower, column: str) -> tuple[str, StringLookup | IntegerLookup]:
    """The name of the candidate tower's id feature, and the feature. ConfigError where there is none."""
    for name, feature in candidate.features.items():
        if feature.column == column and isinstance(feature, (StringLookup, IntegerLookup)):
            return name, feature
    raise ConfigError(
        f"a History shares the candidates' id table, and the candidate tower has no lookup of {column!r}.",
        hint=f'add StringLookup("{column}") to the candidate tower, or History(share=False)',
    )


def _time_ranks(data: Dataset) -> NDArray[np.integer] | None:
    if data.timestamp is None:
        return None
    return data.times.rank("dense").to_numpy()


def check_candidate(candidate: Tower) -> None:
    """ConfigError for a history in the candidate tower."""
    if candidate.histories:
        name = next(iter(candidate.histories.values()))
        raise ConfigError(
            f"the candidate tower has {name!r}; a history belongs to the query tower.",
            hint="move it to TwoTower(query=…)",
        )


def joined_histories(query: Tower, table: pl.DataFrame, known: Sequence[pl.DataFrame], key: str) -> pl.DataFrame:
    """``table`` with the history columns that it lacks, by ``key``: from the first of ``known`` that has one, else null."""
    lacking = [history.column for history in query.histories.values() if history.column not in table.columns]
    for column in lacking:
        parts = []
        for number, other in enumerate(known):
            if (table.schema[key] == pl.String) != (other.schema[key] == pl.String):
                raise DataError(f"the ids {key!r} are of type {table.schema[key]}; {other.schema[key]} was expected.")
            columns = other.select(
                pl.col(key).cast(table.schema[key], strict=False), pl.col(column).alias(f"\0{number}")
            )
            table = table.join(columns, on=key, how="left", maintain_order="left")
            parts.append(f"\0{number}")
        table = table.with_columns(pl.coalesce(parts).alias(column)).drop(parts)
    return table
