"""The queries that are answered, and the candidates that each may have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.data.id_map import Id
from shortlist.errors import DataError, UnknownQueryError
from shortlist.index import Lists
from shortlist.index.values import offsets_of
from shortlist.language import counted
from shortlist.recommender.requests import candidate_lists, candidate_rows
from shortlist.recommender.state import State

__all__ = ["Open", "allowed", "check_unknown", "excluded", "opened"]


class Open(NamedTuple):
    """The candidate rows that alone any query of a request may have, and those that none may; None where all or none."""

    allowed: NDArray[np.int64] | None = None
    denied: NDArray[np.int64] | None = None


def opened(
    state: State, allow: Iterable[Id] | None, deny: Iterable[Id] | None, where: str | NDArray[np.int64] | None
) -> Open:
    """The candidates that a request leaves open; the arrays are read-only.

    Args:
        state: of the recommender.
        allow: ids that alone are open.
        deny: ids that are closed.
        where: a condition, or the rows that meet one.

    Raises:
        DataError: for ids of another type, and for a condition that cannot be read.
    """
    rows = allowed(state, allow, where), None if deny is None else candidate_rows(deny, state.candidate_ids, "deny")
    for one in rows:
        if one is not None:
            one.setflags(write=False)  # an index remembers what it made of them
    return Open(*rows)


def allowed(
    state: State, allow: Iterable[Id] | None, where: str | NDArray[np.int64] | None
) -> NDArray[np.int64] | None:
    """The rows that ``allow`` and ``where`` (a condition, or the rows that meet one) both leave open; None for all."""
    rows = None if allow is None else candidate_rows(allow, state.candidate_ids, "allow")
    if where is None:
        return rows
    met = where if isinstance(where, np.ndarray) else state.conditions.rows(where)
    if rows is None or not len(met):
        return met
    rows = np.unique(rows)
    inside: NDArray[np.bool_] = met[np.minimum(np.searchsorted(met, rows), len(met) - 1)] == rows  # met is rising
    return rows[inside]


def excluded(
    state: State,
    rows: NDArray[np.int64],
    exclude_seen: bool,
    exclude: Sequence[Sequence[Id]] | None = None,
    own: Sequence[Sequence[NDArray[np.int64]]] = (),
) -> Lists | None:
    """The candidate rows closed to each of the queries ``rows`` (-1: an unknown one); None for none.

    Args:
        own: the history in each query's request, as lists of candidate rows; excluded like seen items.
    """
    nothing = np.zeros(0, np.int64)
    lists = [nothing] * len(rows)
    if exclude_seen and len(state.seen.values):
        lists = [state.seen.row(row) if row >= 0 else nothing for row in rows.tolist()]
    given = candidate_lists(exclude, len(rows), state.candidate_ids, "exclude")
    for more in (given, *(own if exclude_seen else ())):
        lists = [np.concatenate(both) for both in zip(lists, more, strict=True)] if len(more) else lists
    values = lists[0] if len(lists) == 1 else np.concatenate([nothing, *lists])
    if not len(values):
        return None
    return Lists(offsets_of([len(one) for one in lists]), values)


def check_unknown(ids: Sequence[Id | None], known: Sequence[bool], cold_start: str) -> None:
    """UnknownQueryError for queries that are not known where the policy refuses them; DataError for anything but an id."""
    unknown = [value for value, is_known in zip(ids, known, strict=True) if not is_known]
    for value in unknown:
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise DataError(
                f"query id {value} does not fit into 64 bits.",
                hint="integer ids are between -2^63 and 2^64 - 1; use strings for longer ones, in training too",
            )
    if cold_start == "refuse":
        some = ", ".join(map(repr, unknown[:3])) + (", …" if len(unknown) > 3 else "")
        raise UnknownQueryError(
            f"training had no interaction of {len(unknown):,} of {counted(len(ids), 'query')}: {some}.",
            hint='cold_start="unknown" or "popularity" answers them, marked as unknown',
        )
