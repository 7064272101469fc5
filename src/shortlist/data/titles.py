"""The column of a candidates' table that names a candidate to people."""

from __future__ import annotations

import polars as pl

__all__ = ["title_column", "titles"]

TITLES = ("title", "name", "movie_title", "item_title", "product_name", "item_name", "label")
KOREAN = (
    "상품명",
    "제품명",
    "품명",
    "품목명",
    "제목",
    "이름",
    "명칭",
    "작품명",
    "영화명",
    "도서명",
    "곡명",
    "메뉴명",
    "타이틀",
)
ENDINGS = (*TITLES[:2], "제목", "이름")


def title_column(table: pl.DataFrame) -> str | None:
    """The first text column called title, name, 상품명 and the like, whatever its case; else one that ends so, such as full_name.

    None where there is none.

    Example:
        >>> title_column(pl.DataFrame({"item": [7], "Title": ["Fargo"]}))
        'Title'
    """
    by_name = {column.strip().lower(): column for column in table.columns}
    ending = [column for name, column in by_name.items() if name.replace("_", " ").rpartition(" ")[2] in ENDINGS]
    found = [*(by_name[name] for name in (*TITLES, *KOREAN) if name in by_name), *ending]
    return next((one for one in found if table.schema[one] == pl.String), None)


def titles(table: pl.DataFrame, key: str) -> pl.Series | None:
    """The title of each row; None where there is no such column, or where it is the one of the ids, ``key``."""
    column = title_column(table)
    return None if column in (None, key) else table[column]
