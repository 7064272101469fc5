"""Candidates that come, change and go after training: another recommender that shares everything else."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import frame_of
from shortlist.data.times import dated
from shortlist.errors import DataError, did_you_mean
from shortlist.index import Lists, copied
from shortlist.index.checks import check_vectors
from shortlist.recommender.grown import Overlay, Patched, Room, spliced
from shortlist.recommender.requests import exact_ids
from shortlist.recommender.state import LISTED, Id, Ids, State, fingerprint, known_queries

if TYPE_CHECKING:
    from shortlist.recommender.recommender import Recommender

__all__ = ["changed", "folded"]

CHUNKS = 64  # pieces of the candidates' table beyond which it is made one again


def changed(recommender: Recommender, upserted: pl.DataFrame | None, deleted: Sequence[Id] = ()) -> Recommender:
    """``recommender`` with candidates added or replaced, then deleted; the one given stays as it is.

    A candidate keeps its row for good, also while it is deleted, so that what queries have seen stays theirs. Its columns
    go with it: one that comes back has those that come with it, and null.

    Raises DataError for tables without the id column, with null or repeated ids, unknown columns or values that do not
    fit.
    """
    after = copy.copy(recommender)
    index, state = copied(recommender.index), recommender._state
    if upserted is not None and len(upserted):
        state, rows, vectors = _upserted(recommender, state, upserted)
        index.upsert(rows, vectors)
    ids = exact_ids(deleted, state.candidate_ids, "the ids to delete")
    if ids:
        state, gone = _deleted(state, ids)
        index.delete(gone)
    after._state, after.index = state, index
    return after


def folded(recommender: Recommender) -> Recommender:
    """``recommender`` as if it had been made of the candidates that it has by now: new rows, without the deleted ones."""
    state = recommender._state
    if not state.live:
        return recommender
    alive = np.setdiff1d(np.arange(len(state.vectors)), state.dead, assume_unique=True)
    row = np.full(len(state.vectors), -1, np.int64)
    row[alive] = np.arange(len(alive))
    chosen = row[state.seen.values]
    counts = np.diff(state.seen.offsets)
    query = np.repeat(np.arange(len(counts)), counts)[chosen >= 0]
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(np.bincount(query, minlength=len(counts)), out=offsets[1:])
    now = replace(
        state,
        candidates=state.candidates[alive],
        counts=state.counts[alive],
        vectors=state.vectors[alive],
        seen=Lists(offsets, chosen[chosen >= 0]),
        near=None if state.near is None else state.near.renumbered(row),
        buried={},
        live=False,
        room=None,
    )
    after = copy.copy(recommender)
    after._state, after.index = now, recommender.index.build(now.vectors, queries=known_queries(now))
    after.fingerprint = fingerprint(now)
    return after


def _upserted(
    recommender: Recommender, state: State, table: pl.DataFrame
) -> tuple[State, NDArray[np.int64], NDArray[np.float32]]:
    """The state with the table's candidates, their rows, and their vectors."""
    ids = _ids(table, state)
    full = _completed(table, state, ids)
    vectors, _ = check_vectors(recommender.embed_candidates(full), "the candidates' vectors")
    row_of, buried = state.candidate_ids.row_of, dict(state.buried)
    count = len(state.candidates)
    rows = np.empty(len(ids), np.int64)
    for number, one in enumerate(ids):
        row = buried.pop(one, None)
        if row is None:
            row = row_of.get(one)
        if row is None:
            row, count = count, count + 1
        rows[number] = row
    after = replace(_with_rows(state, full, rows, vectors, ids), buried=buried, live=True)
    _know(after, Overlay.of(row_of, dict(zip(ids, rows.tolist(), strict=True)), set()), state)
    _keep(state, after)
    return after, rows, vectors


def _with_rows(
    state: State, table: pl.DataFrame, rows: NDArray[np.int64], vectors: NDArray[np.float32], ids: list[Any]
) -> State:
    """The state with the table's rows at ``rows``; those beyond the last are new, and in their order."""
    before = len(state.candidates)
    new = rows >= before
    old, fresh = rows[~new], table.filter(pl.Series(new))
    both = spliced(state.candidates, old, table.filter(pl.Series(~new))) if len(old) else state.candidates
    if len(fresh):
        both = pl.concat([both, fresh], rechunk=both.n_chunks() >= CHUNKS)
    coming = vectors[new], [one for one, is_new in zip(ids, new.tolist(), strict=True) if is_new]
    count, room = before + len(fresh), state.room
    found: Any = state.vectors
    if len(fresh):
        if room is None or not room.added(before, *coming):
            listed = state.candidate_ids._listed if before <= LISTED else None
            room = Room(np.asarray(found), state.counts, listed, more=len(fresh))
            room.added(before, *coming)
            found = room.vectors(count)
        else:
            found = found.over(room.vectors(count)) if isinstance(found, Patched) else room.vectors(count)
    counts = room.counts(count) if room is not None else state.counts
    if not np.array_equal(state.vectors[old], vectors[~new]):
        found = Patched.of(found, old, vectors[~new])
        if room is not None and not isinstance(found, Patched):  # all were copied
            room = Room(found, counts, room.ids)
            found, counts = room.vectors(count), room.counts(count)
    return replace(state, candidates=both, counts=counts, vectors=found, room=room)


def _deleted(state: State, ids: Sequence[Id | None]) -> tuple[State, NDArray[np.int64]]:
    """The state without candidates; ids that it lacks are passed over."""
    row_of, buried = state.candidate_ids.row_of, dict(state.buried)
    gone: dict[Id, int] = {}
    for one in ids:
        row = row_of.get(one)  # type: ignore[arg-type]
        if row is not None:
            gone[one] = row  # type: ignore[index]
    after = replace(state, buried=buried | gone, live=True)
    _know(after, Overlay.of(row_of, {}, set(gone)), state)
    _keep(state, after)
    return after, np.array(list(gone.values()), np.int64)


def _know(state: State, row_of: Mapping[Id, int], before: State) -> None:
    """Let the state find its candidates by ``row_of``, which lacks the deleted ones."""
    known = Ids(state.candidates[state.candidate])
    known.__dict__["row_of"] = row_of
    listed = before.candidate_ids.__dict__.get("_listed") if state.room is None else state.room.ids
    if listed is not None:
        known.__dict__["_listed"] = listed
    state.__dict__["candidate_ids"] = known


def _keep(before: State, after: State) -> None:
    """Hand on what was worked out before and still holds."""
    if "order" in before.__dict__:  # what is new has a count of 0, and stands behind all others
        new = np.arange(len(before.counts), len(after.counts))
        after.__dict__["order"] = np.concatenate([before.order, new])
    if "fold_in" in before.__dict__:
        after.__dict__["fold_in"] = replace(before.fold_in, vectors=after.vectors)


def _ids(table: pl.DataFrame, state: State) -> list[Any]:
    if state.candidate not in table.columns:
        raise DataError(
            f"the candidates have no column {state.candidate!r}.", hint=did_you_mean(state.candidate, table.columns)
        )
    for name in table.columns:
        if name not in state.candidates.columns:
            raise DataError(
                f"the candidates have a column {name!r}, which the catalogue does not have.",
                hint=did_you_mean(name, state.candidates.columns),
            )
    ids = exact_ids(table[state.candidate], state.candidate_ids, f"column {state.candidate!r}")
    if len(set(ids)) < len(ids):
        raise DataError(f"column {state.candidate!r} has an id twice; expected each id once.")
    return ids


def _completed(table: pl.DataFrame, state: State, ids: Sequence[Any]) -> pl.DataFrame:
    """The table with the catalogue's columns and types; what did not come is as stored, or null."""
    row_of = state.candidate_ids.row_of
    there = pl.Series([row_of.get(one) for one in ids], dtype=pl.UInt32)
    columns = []
    for name, kind in state.candidates.schema.items():
        if name in table.columns:
            try:
                columns.append(_cast(table[name], kind).alias(name))
            except pl.exceptions.PolarsError:
                raise DataError(
                    f"column {name!r} of the candidates is of type {table[name].dtype}; {kind} was expected."
                ) from None
        else:
            columns.append(state.candidates[name].gather(there).alias(name))
    return frame_of(columns)


def _cast(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """``values`` as ``kind`` where that changes none of them: numbers to wider ones, texts to dates, nothing to text."""
    same = values.dtype == kind or values.dtype == pl.Null
    numbers = values.dtype.is_numeric() and kind.is_numeric()
    dates = values.dtype == pl.String and kind.is_temporal()
    nested = isinstance(values.dtype, pl.List) and isinstance(kind, (pl.List, pl.Array))
    words = values.dtype == pl.String and isinstance(kind, (pl.Categorical, pl.Enum))
    if not (same or numbers or dates or nested or words):
        raise pl.exceptions.InvalidOperationError("another type")
    if dates:
        return dated(values, kind)
    cast: pl.Series = values.cast(kind)
    if numbers and not (cast.cast(pl.Float64) == values.cast(pl.Float64)).fill_null(True).all():
        raise pl.exceptions.InvalidOperationError("a number that does not fit")
    return cast
