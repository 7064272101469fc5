"""The column of a candidates' table that names a candidate to people."""

from __future__ import annotations

import polars as pl

__all__ = ["title_column", "titles"]

TITLES = ("title", "name", "movie_title", "item_title", "product_name", "item_name", "label")


def title_column(table: pl.DataFrame) -> str | None:
    """The first text column called title, name and the like, whatever its case; else one that ends so, such as full_name.

    None where there is none.

    Example:
        >>> title_column(pl.DataFrame({"item": [7], "Title": ["Fargo"]}))
        'Title'
    """
    by_name = {column.lower(): column for column in table.columns}
    ending = [column for name, column in by_name.items() if name.rpartition("_")[2] in TITLES[:2]]
    found = [*(by_name[name] for name in TITLES if name in by_name), *ending]
    return next((one for one in found if table.schema[one] == pl.String), None)


def titles(table: pl.DataFrame, key: str) -> pl.Series | None:
    """The title of each row; None where there is no such column, or where it is the one of the ids, ``key``."""
    column = title_column(table)
    return None if column in (None, key) else table[column]
