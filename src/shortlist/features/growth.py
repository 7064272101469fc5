"""How a vocabulary grows: admission of ids after some sightings, eviction of ids that were not seen for long."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap

__all__ = ["Growth", "grown", "sighted"]


class Growth(NamedTuple):
    """A vocabulary after more training data.

    Attributes:
        ages: int32 ``[ids]``, how many growths ago each id was last seen.
        origin: int32 ``[cardinality]``, the code that each code had before; −1 for one that is new; the unknown one
            stays 0.
    """

    vocabulary: IdMap
    ages: NDArray[np.int32]
    origin: NDArray[np.int32]


def sighted(values: pl.Series, sightings: NDArray[np.integer] | None) -> pl.DataFrame:
    """Each distinct non-null value (``id``) and how often it was seen (``len``), most frequent values of rows first.

    Args:
        sightings: how often each row was seen, once where it is None.
    """
    times = np.ones(len(values), np.int64) if sightings is None else np.asarray(sightings, np.int64)
    rows = pl.DataFrame({"id": values, "times": times}).drop_nulls("id")
    each = rows.group_by("id").agg(pl.len().alias("rows"), pl.col("times").sum().alias("len"))
    return each.sort(["rows", "id"], descending=[True, False]).select("id", "len")


def grown(
    before: IdMap, ages: NDArray[np.int32] | None, seen: pl.DataFrame, min_count: int, evict_after: int | None
) -> Growth:
    """The vocabulary after what was ``seen`` (see ``sighted``) since.

    1. Ids that were seen have age 0; the others are one growth older.
    2. An id older than ``evict_after`` is dropped; the others keep their order.
    3. New ids that were seen at least ``min_count`` times follow.

    Example:
        >>> seen = pl.DataFrame({"id": ["b", "d", "e"], "len": [1, 3, 1]})
        >>> later = grown(IdMap(pl.Series(["a", "b", "c"])), np.array([1, 1, 0]), seen, min_count=2, evict_after=1)
        >>> later.vocabulary.ids.to_list(), later.ages.tolist(), later.origin.tolist()
        (['b', 'c', 'd'], [0, 1, 0], [0, 2, 3, -1])
    """
    found = before.encode(seen["id"])
    older = (np.zeros(len(before), np.int32) if ages is None else ages) + 1
    older[found[found > 0] - 1] = 0
    kept = np.ones(len(before), np.bool_) if evict_after is None else older <= evict_after
    new = seen.filter(pl.Series(found == 0) & (pl.col("len") >= min_count))["id"]
    ids = pl.concat([before.ids.filter(pl.Series(kept)), new.cast(before.ids.dtype).rename(before.ids.name)])
    origin = np.concatenate([[0], np.flatnonzero(kept) + 1, np.full(len(new), -1)])
    return Growth(
        IdMap(ids),
        np.concatenate([older[kept], np.zeros(len(new), np.int32)]).astype(np.int32),
        origin.astype(np.int32),
    )
