"""Candidates that are added, changed and deleted after training: another value to answer from, which shares the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import Id, IdMap
from shortlist.data.ids import frame_of
from shortlist.data.times import dated
from shortlist.errors import ConfigError, DataError, did_you_mean
from shortlist.index import Lists, copied
from shortlist.index.checks import check_vectors
from shortlist.index.values import offsets_of
from shortlist.language import counted
from shortlist.recommender.growing_table import spliced
from shortlist.recommender.requests import exact_ids
from shortlist.recommender.served import PriorOnce, Served
from shortlist.recommender.state import Deleted, Popularity, State, fingerprint, known_queries

__all__ = ["as_stored", "changed", "folded", "with_texts"]

CHUNKS = 64  # pieces of the candidates' table beyond which it is merged into one


def changed(
    served: Served,
    upserted: pl.DataFrame | None,
    deleted: Sequence[Id] = (),
    *,
    given: Mapping[str, Sequence[bool]] | None = None,
    pause: Callable[[], object] = lambda: None,
) -> Served:
    """``served`` with candidates added or replaced, then deleted; the one given stays as it is.

    A candidate keeps its row for good, even after it is deleted, so that queries' seen items stay valid. Its columns are
    deleted with it: a candidate that is added again has only the columns that are given then.

    Args:
        given: for columns that not all rows of the table have, which rows have them; the others keep the stored value, or
            are null.
        pause: called between steps.

    Raises:
        DataError: for tables without the id column, with null or repeated ids, unknown columns or values that do not
            fit.
    """
    index, state = copied(served.index), served.state
    others = tuple(
        changed(one, _of_table(upserted, one.state), deleted, given=given, pause=pause) for one in served.others
    )
    if upserted is not None and len(upserted):
        pause()
        ids = _ids(upserted, state)
        places = state.candidate_ids.rows(ids)
        pause()
        table = _completed(upserted, state, places, given or {})
        pause()
        vectors, _ = check_vectors(served.embedder.vectors("candidate", table), "the candidates' vectors")
        pause()
        state, rows = _upserted(state, table, ids, places)
        pause()
        if state.near is not None:
            state = replace(state, near=state.near.grown(state.candidates, rows, state.dead))
        index.upsert(rows, vectors)
        pause()
    gone = _found(exact_ids(deleted, state.candidate_ids, "the ids to delete"), state)
    if gone:
        rows = np.array(list(gone.values()), np.int64)
        pause()
        state = _deleted(state, gone, index.vectors_of(rows))
        if state.near is not None and state.near.orders_any(rows):
            state = replace(state, near=state.near.grown(state.candidates, rows[:0], state.dead))
        pause()
        index.delete(rows)
    prior = served.prior if np.array_equal(state.dead, served.state.dead) else PriorOnce()
    return replace(served, state=state, index=index, others=others, prior=prior)


def folded(served: Served) -> Served:
    """``served`` as if it had been built from its current candidates: new rows, without deleted ones.

    Raises:
        ConfigError: where all candidates are deleted.
    """
    state = served.state
    if not state.live:
        return served
    alive = np.setdiff1d(np.arange(state.size), state.dead, assume_unique=True)
    if not len(alive):
        raise ConfigError(
            f"all {counted(state.size, 'candidate')} {'is' if state.size == 1 else 'are'} deleted; a bundle needs at least one.",
            hint="upsert candidates, then save",
        )
    row = np.full(state.size, -1, np.int64)
    row[alive] = np.arange(len(alive))
    chosen = row[state.seen.values]
    counts = np.diff(state.seen.offsets)
    query = np.repeat(np.arange(len(counts)), counts)[chosen >= 0]
    offsets = offsets_of(np.bincount(query, minlength=len(counts)))
    candidates = state.candidates[alive]
    others = tuple(map(folded, served.others))
    near = None
    if state.near is not None:
        near = replace(state.near.renumbered(row), towers=tuple(one.fingerprint for one in others))
    now = replace(
        state,
        candidates=candidates,
        candidate_ids=IdMap(candidates[state.candidate]),
        popularity=Popularity(state.counts[alive]),
        seen=Lists(offsets, chosen[chosen >= 0]),
        near=near,
        deleted={},
        live=False,
        changed_rows=np.zeros(0, np.int64),
    )
    vectors = served.index.vectors_of(alive)
    index = served.index.build(vectors, queries=known_queries(now))
    return replace(
        served, state=now, index=index, fingerprint=fingerprint(now, vectors), prior=PriorOnce(), others=others
    )


def with_texts(served: Served) -> Served:
    """``served`` with texts in place of the candidates' categories: Polars keeps each category that it ever met until the process ends."""
    state = served.state
    kinds = {name: kind for name, own in state.candidates.schema.items() if (kind := _as_text(own)) != own}
    others = tuple(map(with_texts, served.others))
    if not kinds and all(new is old for new, old in zip(others, served.others, strict=True)):
        return served  # with all that it has computed
    if kinds:
        state = replace(state, candidates=state.candidates.cast(kinds))  # type: ignore[arg-type]  # names to types
    return replace(served, state=state, others=others)


def _as_text(kind: Any) -> Any:
    """A type with texts in place of categories, but for those of an Enum, which are fixed."""
    if isinstance(kind, pl.List):
        return pl.List(_as_text(kind.inner))
    if isinstance(kind, pl.Array):
        return pl.Array(_as_text(kind.inner), kind.size)
    return pl.String() if isinstance(kind, pl.Categorical) else kind


def _of_table(table: pl.DataFrame | None, state: State) -> pl.DataFrame | None:
    """The columns that the candidates' table of further towers has."""
    return None if table is None else table.select([name for name in table.columns if name in state.candidates.columns])


def _upserted(
    state: State, table: pl.DataFrame, ids: Sequence[Id], places: Sequence[int]
) -> tuple[State, NDArray[np.int64]]:
    """The state with the table's candidates, and their rows.

    Args:
        places: their rows now, -1 for new ones.
    """
    deleted, before = dict(state.deleted), state.size
    rows = np.array(places, np.int64)
    added: list[Id] = []
    for number, one in enumerate(ids):
        earlier = deleted.pop(one, None)
        if earlier is not None:
            rows[number] = earlier.row
        elif places[number] < 0:
            rows[number] = before + len(added)
            added.append(one)
    new = rows >= before
    old, fresh = rows[~new], table.filter(pl.Series(new))
    both = spliced(state.candidates, old, table.filter(pl.Series(~new))) if len(old) else state.candidates
    if len(fresh):
        both = pl.concat([both, fresh], rechunk=both.n_chunks() >= CHUNKS)
    row_of = {one: int(row) for one, row, place in zip(ids, rows, places, strict=True) if row != place}
    known = state.candidate_ids.changed(both[state.candidate], added, row_of)
    sorted_rows = np.sort(rows)
    at, there = _places(state.changed_rows, sorted_rows)
    changed_rows = np.insert(state.changed_rows, at[~there], sorted_rows[~there])
    return replace(
        state, candidates=both, candidate_ids=known, deleted=deleted, live=True, changed_rows=changed_rows
    ), rows


def _found(ids: Sequence[Id | None], state: State) -> dict[Id, int]:
    """The rows of those ids that the catalogue has."""
    if not len(ids):
        return {}
    rows = state.candidate_ids.rows(ids)
    return {one: row for one, row in zip(ids, rows, strict=True) if one is not None and row >= 0}


def _deleted(state: State, gone: Mapping[Id, int], vectors: NDArray[np.float32]) -> State:
    """The state without candidates.

    Args:
        gone: their rows by id.
        vectors: their last vectors.
    """
    removed = {
        one: Deleted(row, vector.copy()) for (one, row), vector in zip(gone.items(), vectors, strict=True)
    }  # copies: a part of the array would keep all of it
    state = _without_values(state, np.array(sorted(gone.values()), np.int64))
    known = state.candidate_ids.changed(state.candidates[state.candidate], gone=list(gone))
    return replace(state, candidate_ids=known, deleted={**state.deleted, **removed}, live=True)


def _without_values(state: State, rows: NDArray[np.int64]) -> State:
    """The state without the columns that changes gave the candidates in ``rows``; their rows and ids stay."""
    places, there = _places(state.changed_rows, rows)
    rows = rows[there]
    if not len(rows):
        return state
    table = state.candidates
    nothing = table.clear(len(rows)).with_columns(table[state.candidate].gather(rows))
    left = np.delete(state.changed_rows, places[there])
    return replace(state, candidates=spliced(table, rows, nothing), changed_rows=left)


def _places(all_rows: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where rising rows are, or would be, among many rising ones, and whether each is; without sorting the many again."""
    places = np.searchsorted(all_rows, rows)
    there = places < len(all_rows)
    there[there] = all_rows[places[there]] == rows[there]
    return places, there


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


def _completed(
    table: pl.DataFrame, state: State, places: Sequence[int], given: Mapping[str, Sequence[bool]]
) -> pl.DataFrame:
    """The table with the catalogue's columns and types; missing columns and cells are as stored at ``places``, or null."""
    there = pl.Series([None if row < 0 else row for row in places], dtype=pl.UInt32)
    columns = []
    for name, kind in state.candidates.schema.items():
        if name in table.columns and name not in given:
            columns.append(as_stored(table[name], kind))
            continue
        stored = state.candidates[name].gather(there).alias(name)
        if name in given:
            both = pl.DataFrame({"own": as_stored(table[name], kind), "stored": stored, "given": given[name]})
            stored = both.select(pl.when("given").then("own").otherwise("stored").alias(name)).to_series()
        columns.append(stored)
    return frame_of(columns)


def as_stored(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """A column of candidates in the type that the catalogue keeps. DataError where a value does not fit it."""
    try:
        return _cast(values, kind).alias(values.name)
    except pl.exceptions.PolarsError:
        raise DataError(
            f"column {values.name!r} of the candidates is of type {values.dtype}; {kind} was expected."
        ) from None


def _cast(values: pl.Series, kind: pl.DataType) -> pl.Series:
    """``values`` as ``kind`` if that changes none of them: numbers to wider ones, texts to dates; never to text."""
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
