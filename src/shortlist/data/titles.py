"""The column of a candidates' table that names a candidate to people."""

from __future__ import annotations

import polars as pl

__all__ = ["title_column"]

TITLES = ("title", "name", "movie_title", "item_title", "product_name", "item_name", "label")


def title_column(table: pl.DataFrame) -> str | None:
    """The first text column called title, name and the like, whatever its case; None where there is none.

    Example:
        >>> title_column(pl.DataFrame({"item": [7], "Title": ["Fargo"]}))
        'Title'
    """
    by_name = {column.lower(): column for column in table.columns}
    found = (by_name.get(name) for name in TITLES)
    return next((one for one in found if one is not None and table.schema[one] == pl.String), None)
