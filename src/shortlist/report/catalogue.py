"""How the report shows a candidate, from the catalogue's table: a title to show, and the one column that colours the map."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from shortlist.data.titles import title_column
from shortlist.language import marked, translated

__all__ = ["OTHER", "Labels", "described"]

GROUPS = ("genres", "genre", "category", "categories", "class", "type", "department", "section")
COLOURS = 9
OTHER = marked("other")
UNKNOWN = marked("none given")
MOST_VALUES = 60


@dataclass(frozen=True, eq=False)
class Labels:
    """Titles and groups of a table's rows.

    Attributes:
        key: the table's id column.
    """

    table: pl.DataFrame
    key: str

    @cached_property
    def title_column(self) -> str:
        """The column that names a row to a person: one called title or name, else the id."""
        return title_column(self.table) or self.key

    @cached_property
    def titles(self) -> list[str]:
        """A title for each row; its id where it has none."""
        column = self.table[self.title_column].cast(pl.String)
        titles: list[str] = column.fill_null(self.table[self.key].cast(pl.String)).to_list()
        return titles

    @cached_property
    def group_column(self) -> str | None:
        """The column whose values colour the map: one called genre, category and the like, else the first that has few
        different values; None where there is none."""
        by_name = {column.lower(): column for column in self.table.columns}
        named = [by_name[name] for name in GROUPS if name in by_name]
        others = [column for column in self.table.columns if column not in (self.key, self.title_column)]
        for column in [*named, *others]:
            values = self._members(column)
            if values is not None and 2 <= values.drop_nulls().n_unique() <= MOST_VALUES:
                return column
        return None

    @cached_property
    def first_groups(self) -> list[str]:
        """The first group of each row."""
        if self.group_column is None:
            return [translated(UNKNOWN)] * len(self.table)
        values = self.table[self.group_column].to_list()
        return [_first(value) for value in values]

    def coloured(self) -> tuple[list[str], list[str]]:
        """Each row's group, all but the nine largest being "other"; and the groups, largest first, "other" last."""
        most = [name for name, _ in Counter(self.first_groups).most_common() if name != translated(UNKNOWN)][:COLOURS]
        other = translated(OTHER)
        groups = [name if name in most else other for name in self.first_groups]
        return groups, [*most, other] if other in groups else most

    def all_groups(self, row: int) -> str:
        """Every group of a row, as text."""
        if self.group_column is None:
            return ""
        value = self.table[self.group_column][row]
        values = value.to_list() if isinstance(value, pl.Series) else _parts(value)
        return ", ".join(str(one) for one in values if one is not None)

    def _members(self, column: str) -> pl.Series | None:
        values = self.table[column]
        if isinstance(values.dtype, (pl.List, pl.Array)):
            values = values.explode()
        elif values.dtype == pl.String and values.str.contains("|", literal=True).any():
            values = values.str.split("|").explode()
        return values if values.dtype in (pl.String, pl.Categorical, pl.Boolean) else None


def described(row: dict[str, Any], key: str) -> str:
    """The features of a query on one line: ``age 24 · gender M``."""
    return " · ".join(f"{name} {_text(value)}" for name, value in row.items() if name != key and value is not None)


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _parts(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return value.split("|") if isinstance(value, str) else [value]


def _first(value: Any) -> str:
    parts = [part for part in _parts(value) if part is not None]
    return str(parts[0]) if parts else translated(UNKNOWN)
