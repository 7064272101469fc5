"""A recommender's candidates in a vector database under their own ids, for programs that search there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.argument_checks import check_function, check_model
from shortlist.errors import ConfigError, ShortlistWarning
from shortlist.index.checks import check_k, check_vectors
from shortlist.index.databases.base import DatabaseIndex
from shortlist.index.databases.contract import Attribute, Found, Kind, Rows
from shortlist.index.databases.publish import LEAST_RECALL, Published, reported
from shortlist.index.databases.publish import publish as publish_rows
from shortlist.recommender.pushed import pushed
from shortlist.sources.added import Added

if TYPE_CHECKING:
    from shortlist.recommender.recommender import Recommender

__all__ = ["publish", "search_published"]

_MOST = 2**63 - 1


def publish(
    recommender: Recommender,
    place: DatabaseIndex,
    recall: float = LEAST_RECALL,
    on_rows: Callable[[int, int], None] | None = None,
) -> Published:
    """Copies every candidate's id, vector and columns into a collection of its own, and lets the alias lead to it.

    1. ``<alias>_<fingerprint>`` is filled with ``id``, ``vector`` and the columns of numbers, texts, and true and false. One that
       is complete stays; one of an interrupted run is filled again.
    2. It is checked: its count, and the recall of a sample of candidates against exact search.
    3. Only then the alias is switched, in one step. Earlier collections stay.

    Args:
        recommender: with any index.
        place: the database, the alias (its ``collection``) and the graph's settings.
        recall: what step 2 has to find of the true top 10, on average.
        on_rows: told how many rows are written, of how many.

    Of a mixture the vectors of the first towers are published, and a warning names what stays behind.
    Columns of text, numbers, true and false are published, NaN as null. Databases compare an ``Enum`` by its texts, not in its own
    order. Lists, dates and other types are left out, and so are integers beyond 64 bits.

    Raises:
        ConfigError: for anything but a recommender, a recall that is not between 0 and 1, and a place that is not a database.
        SearchError: for a database that does not answer, counts other rows or finds too little; the alias is unchanged.

    Example:
        >>> import shortlist as sl
        >>> published = sl.publish(recommender, sl.Milvus("films.db", collection="films"))  # doctest: +SKIP
    """
    check_model(recommender, "publish(recommender)", "Recommender")
    _check_place(place)
    check_function(on_rows, "publish(on_rows=)", optional=True)
    if isinstance(recall, bool) or not isinstance(recall, (int, float)) or not 0 <= recall <= 1:
        raise ConfigError(f"recall is {recall!r}; a number from 0 to 1 was expected.", hint="recall=0.8")
    served, database = recommender.served, place.database()
    index, state = served.index, served.state
    _warn_of_what_is_no_vector(state.near)
    rows = index.ids
    ids: NDArray[Any] = state.candidate_ids.ids.gather(rows).to_numpy()
    table = state.candidates.drop(state.candidate)
    found = [_attribute(column, rows) for column in table.get_columns()]
    attributes = tuple(
        one for one in found if one is not None and one.name not in ("id", "vector") and database.takes(one)
    )
    kept = {one.name for one in attributes}
    return publish_rows(
        database,
        place.uri,
        place.collection,
        served.fingerprint[:16],
        Rows(ids, np.asarray(index.vectors), attributes),
        effort=place.search_effort,
        recall=recall,
        on_rows=on_rows,
        left_out=tuple(name for name in table.columns if name not in kept),
    )


def search_published(
    place: DatabaseIndex, vectors: NDArray[np.float32], k: int, where: str | None = None
) -> list[Found]:
    """The answer of the database itself, from the collection that the alias leads to; nothing is computed here.

    Args:
        place: the database and the alias (its ``collection``).
        vectors: float32 ``[queries, dim]``, such as ``recommender.embed_queries(…)`` gives.
        k: how many.
        where: a condition on the published columns; the candidates' id is the column ``id``. The database applies it.

    Returns:
        Per query, (id, score) of at most k candidates, best first.

    Raises:
        ConfigError: for a condition that the database does not know.
        DataError: for text that is not a condition.
        SearchError: for a database that does not answer in time, an alias that leads nowhere, and vectors of another length.
    """
    _check_place(place)
    number = check_k(k)
    queries, _ = check_vectors(vectors, "vectors")
    condition = None if where is None else pushed(where)
    database = place.database()
    with reported(database):
        name = database.target(place.collection)
        if name is None:
            raise ConfigError(
                f"there is no alias {place.collection!r} at {place.uri!r}.",
                hint="shortlist index BUNDLE --to … --name …",
            )
        return database.search(name, queries, number, max(place.search_effort, number), condition)


def _warn_of_what_is_no_vector(near: Added | None) -> None:
    """A ShortlistWarning for the sources of a mixture other than its first towers, and for a second stage."""
    left_out = [] if near is None else [*near.names[1:], *(["SecondStage"] if near.stage is not None else [])]
    if left_out:
        warnings.warn(
            f"the database holds the vectors of the mixture's first towers alone, without {', '.join(left_out)}; "
            "lists of a search there are not those of the model.\nhint: shortlist serve and shortlist recommend-all have those",
            ShortlistWarning,
            stacklevel=3,
        )


def _check_place(place: object) -> None:
    if not isinstance(place, DatabaseIndex):
        raise ConfigError(
            f"place is a {type(place).__name__}; Milvus, Pgvector, Qdrant or LanceDB was expected.",
            hint='sl.Milvus("films.db", collection="films")',
        )


def _attribute(column: pl.Series, rows: NDArray[np.int64]) -> Attribute | None:
    """A column of the candidates' table for these rows; None for types that databases do not share."""
    kind = _kind(column.dtype)
    if kind is None:
        return None
    if kind == "text":
        column = column.cast(pl.String)
    elif kind == "number":
        if column.dtype != pl.Float64:  # so that 0.1 of 32 bits is what a condition calls 0.1
            column = column.cast(pl.Float32).cast(pl.String)
        column = column.cast(pl.Float64).fill_nan(None)
    elif kind == "integer":
        least, most = column.min(), column.max()
        if isinstance(least, int) and isinstance(most, int) and not -_MOST <= least <= most <= _MOST:
            return None
        column = column.cast(pl.Int64)
    longest = int(column.str.len_bytes().max() or 0) if kind == "text" else 0  # type: ignore[arg-type]
    return Attribute(column.name, kind, longest, lambda low, high: column.gather(rows[low:high]).to_list())


def _kind(dtype: pl.DataType) -> Kind | None:
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "number"
    return "boolean" if dtype == pl.Boolean else None
