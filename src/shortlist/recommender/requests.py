"""From a caller's request to ids, rows and feature columns. Ids are never converted: "1" and 1 are different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._forks import refuse_after_fork
from shortlist.data.argument_checks import kind_of
from shortlist.data.id_map import Id, IdMap
from shortlist.data.ids import frame_of, settle_ids
from shortlist.data.readers import is_frame, read_table
from shortlist.errors import DataError, did_you_mean
from shortlist.language import counted
from shortlist.recommender.cells import column_of
from shortlist.recommender.state import State

__all__ = [
    "Request",
    "candidate_lists",
    "candidate_rows",
    "candidate_table",
    "exact_ids",
    "feature_table",
    "ids_in",
    "own_histories",
    "read_request",
]


@dataclass(frozen=True)
class Request:
    """The ids asked for, and the other columns that the query tower reads.

    Attributes:
        ids: None where a row has none.
        features: by column, one value per id.
        given: which rows have a column, for columns that not every row has.
    """

    ids: list[Id | None]
    features: dict[str, pl.Series] = field(default_factory=dict)
    given: dict[str, list[bool]] = field(default_factory=dict)


def read_request(queries: Any, state: State, reads: Sequence[str] | None = None) -> Request:
    """The request in a list of ids, a dict of columns, a list of dicts, or a frame (Polars, pandas, Arrow).

    Args:
        queries: the request.
        state: the tables.
        reads: the columns that are read; by default those of the query tower.

    Raises:
        DataError: for anything else.
    """
    name, ids = state.query, state.query_ids
    reads = state.reads if reads is None else reads
    given: dict[str, list[bool]] = {}
    if is_frame(queries):
        frame = read_table(queries, "queries").frame
        columns: dict[str, Any] = {column: frame[column] for column in frame.columns}
    elif isinstance(queries, Mapping):
        columns = dict(queries)
    elif isinstance(queries, (list, tuple)) and queries and isinstance(queries[0], Mapping):
        columns, given = _columns_of(queries, name)
    else:
        return Request(exact_ids(queries, ids, "queries", nulls=True))
    refuse_after_fork("a request with columns")
    if name not in columns:
        there = ", ".join(map(repr, columns)) or "none"
        raise DataError(
            f"the queries have no column {name!r}; they have {there}.",
            hint=f"name the column of ids {name!r} (null for a query without one); pandas: frame.reset_index() where the "
            "ids are the index",
        )
    asked = exact_ids(columns.pop(name), ids, f"column {name!r}", nulls=True)
    if not columns:
        return Request(asked)
    for column in columns:
        if column not in reads and column not in state.queries.columns:
            known = {*reads, *state.queries.columns}
            raise DataError(
                f"the queries have a column {column!r}, which the model does not know.",
                hint=did_you_mean(str(column), known),
            )
    features = {column: _series(column, values, len(asked)) for column, values in columns.items() if column in reads}
    return Request(asked, features, given)


def candidate_table(given: Any, column: str) -> pl.DataFrame:
    """Candidates to add, from any table that ``Dataset`` takes; ids of text files are integers where all read back.

    DataError for anything that is not a table.
    """
    table = read_table(given, "candidates", ids=(column,))
    if table.untyped and column in table.frame.columns:
        return settle_ids([table], column, "candidate")[0]
    return table.frame


def candidate_rows(values: Any, ids: IdMap, what: str) -> NDArray[np.int64]:
    """Rows of raw candidate ids, those that the catalogue lacks left out. DataError for ids of another type."""
    rows = np.array(ids.rows(exact_ids(values, ids, what)), np.int64)
    return rows[rows >= 0]


def candidate_lists(values: Any, queries: int | None, ids: IdMap, what: str) -> list[NDArray[np.int64]]:
    """Rows of raw candidate ids, a list for each of so many ``queries`` (None: of any number); none for None.

    DataError for lists that do not fit.
    """
    if values is None and queries is not None:
        return []
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or is_frame(values):
        raise DataError(f"{what} is {_shown(values)}; one list of ids per query was expected.", hint="for one: [[id]]")
    lists = list(values)
    if queries is not None and len(lists) != queries:
        raise DataError(
            f"{what} has {counted(len(lists), 'list')} for {counted(queries, 'query')}; one per query was expected.",
            hint="for ids that no query may have use deny="
            if what == "exclude"
            else "an empty list for a query without any",
        )
    return [candidate_rows(one, ids, what) for one in lists]


def exact_ids(values: Any, ids: IdMap, what: str, nulls: bool = False) -> list[Id | None]:
    """``values`` as plain ids of the type that ``ids`` has; DataError for anything else.

    Args:
        values: ids, or a table that holds them in the column of the same name as ``ids``.
    """
    if is_frame(values) or isinstance(values, Mapping):
        values = _id_column(values, ids.name, what)
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise DataError(f"{what} is {_shown(values)}; a list of ids was expected.", hint="for one id: [id]")
    listed = list(_plain(values))
    kind = str if ids.strings else int
    if all(type(value) is kind for value in listed):
        return listed
    return [None if value is None and nulls else _exact(value, kind, ids, what) for value in listed]


def _id_column(frame: Any, name: str, what: str) -> pl.Series:
    """The ids in a frame. DataError where it has no column of that name."""
    table = read_table(frame, what).frame
    if name not in table.columns:
        raise DataError(
            f"{what} is {kind_of(frame)} without a column {name!r}; it has {', '.join(map(repr, table.columns)) or 'none'}.",
            hint=f"give the ids as a list: frame[column].to_list(); or call the column {name!r}",
        )
    return table[name]


def feature_table(
    request: Request,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_],
    state: State,
    names: Sequence[str] | None = None,
) -> pl.DataFrame:
    """The columns that the query tower reads, one row per query: the request's own columns, else the stored ones, else null.

    Args:
        names: other columns than those of the query tower.
    """
    at = pl.Series([None if row < 0 else row for row in rows.tolist()], dtype=pl.UInt32)
    columns = []
    for name in state.reads if names is None else names:
        stored = state.queries[name].gather(at) if name in state.queries.columns else pl.Series([None] * len(rows))
        if name == state.query:
            stored = _chosen(known.tolist(), stored, pl.Series([None] * len(rows), dtype=stored.dtype))
        elif name in request.features:
            own = request.features[name]
            stored = _chosen(request.given[name], own, stored) if name in request.given else own
        columns.append(stored.rename(name))
    return frame_of(columns)


def own_histories(request: Request, names: Sequence[str], candidates: IdMap) -> list[NDArray[np.int64]]:
    """The candidate rows in each query's own history, as the request gives it; none where it gives no history.

    Args:
        names: the columns from which towers read histories.
        candidates: ids of the candidates.
    """
    columns = [request.features[name] for name in request.features if name in names]
    if not columns:
        return []
    lists = zip(*(column.to_list() for column in columns), strict=True)
    rows = (candidates.rows([each for one in lists_ for each in ids_in(one)]) for lists_ in lists)
    return [np.array([row for row in each if row >= 0], np.int64) for each in rows]


def ids_in(history: Any) -> list[Id]:
    """The values that can be ids in a query's own history, which may not be checked yet; none where it is not a list."""
    return [one for one in history if type(one) in (str, int)] if isinstance(history, list) else []


def _columns_of(records: Sequence[Any], name: str) -> tuple[dict[str, Any], dict[str, list[bool]]]:
    """Columns of a list of dicts, and which records have a column, for columns that not all have."""
    for record in records:
        if not isinstance(record, Mapping):
            raise DataError(f"the queries mix dicts and {_shown(record)}; give one or the other.")
        if name not in record:
            raise DataError(f"a query has no {name!r}.", hint=f"for a query without an id give {{{name!r}: None, …}}")
    names = list(dict.fromkeys(column for record in records for column in record))
    columns = {column: [record.get(column) for record in records] for column in names}
    had = {column: [column in record for record in records] for column in names}
    return columns, {column: mask for column, mask in had.items() if not all(mask)}


def _series(name: str, values: Any, rows: int) -> pl.Series:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or is_frame(values):
        raise DataError(f"column {name!r} is {_shown(values)}; a list with one value per query was expected.")
    try:
        series = values if isinstance(values, pl.Series) else column_of(name, list(_plain(values)))
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise DataError(f"column {name!r} cannot be read: {error}", hint="give a list of values of one type") from error
    if len(series) != rows:
        raise DataError(
            f"column {name!r} has {counted(len(series), 'value')} for {counted(rows, 'query')}; one each was expected."
        )
    return series


def _chosen(mask: list[bool], first: pl.Series, second: pl.Series) -> pl.Series:
    """``first`` where the mask is true, else ``second``."""
    if first.dtype == pl.Null:
        first = first.cast(second.dtype)
    if (
        second.dtype != pl.Null
        and first.dtype != second.dtype
        and not (first.dtype.is_numeric() and second.dtype.is_numeric())
    ):
        raise DataError(f"column {first.name!r} of the queries is of type {first.dtype}; {second.dtype} was expected.")
    frame = pl.DataFrame({"mask": mask, "first": first, "second": second})
    return frame.select(pl.when("mask").then("first").otherwise("second").alias(first.name)).to_series()


def _plain(values: Any) -> Iterable[Any]:
    """The values of a list or of a column; those of a column of Arrow or pandas as plain values and None."""
    if not isinstance(values, (pl.Series, np.ndarray)) and _is_column(values):
        values = pl.Series(values)
    if isinstance(values, pl.Series):
        return values.to_list()
    return values.tolist() if isinstance(values, np.ndarray) else values  # type: ignore[no-any-return]


def _is_column(values: Any) -> bool:
    """Whether Polars reads a column as it is; pandas' floats are left, since their NaN may be a missing integer."""
    arrow = hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__")
    return arrow and getattr(getattr(values, "dtype", None), "kind", "O") != "f"


def _exact(value: Any, kind: type, ids: IdMap, what: str) -> Id:
    if kind is str and isinstance(value, str):
        return str(value)
    if kind is int and isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    hint = 'ids are never converted ("1" and 1 are different): give them as they were in the interactions'
    if isinstance(value, (float, np.floating)):
        hint += '; a pandas column with missing values: .astype("Int64")'
    raise DataError(
        f"{what} holds {_shown(value)}; ids of this model are of type {ids.ids.dtype}, as in training.", hint=hint
    )


def _shown(value: Any) -> str:
    if is_frame(value):
        return kind_of(value)
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"
