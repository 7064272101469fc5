"""Options for reading text files that cannot be found from their bytes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from shortlist.errors import ConfigError

__all__ = ["Reading"]

ORDERS = ("day-first", "month-first")


@dataclass(frozen=True)
class Reading:
    """Options for reading text files (CSV, TSV, JSON lines); Parquet, Arrow and frames need none of them.

    Every option has the same name on the command line, with dashes: ``--time-format``.

    Args:
        columns: the columns' names, for interactions in a CSV without a header line.
        encoding: the encoding of text files, such as "cp949", "latin-1" or "utf-16"; by default UTF-8.
        decimal: the decimal mark of numbers, "." or ",".
        separator: the character between columns; by default a comma (.csv) or a tab (.tsv) or, where the first line
            has none, ; or a tab or |.
        time_format: how the timestamp column is written, such as "%d/%m/%Y %H:%M".
        dates: "day-first" or "month-first", for timestamps such as 05/01/2024 that can be read both ways.

    Raises:
        ConfigError: for a value that an option cannot have.

    Example:
        >>> Reading(encoding="cp949", dates="month-first")
        Reading(columns=None, encoding='cp949', decimal='.', separator=None, time_format=None, dates='month-first')
    """

    columns: Sequence[str] | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] = "."
    separator: str | None = None
    time_format: str | None = None
    dates: Literal["day-first", "month-first"] | None = None

    def __post_init__(self) -> None:
        if self.columns is not None:
            object.__setattr__(self, "columns", _checked_names(self.columns))
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.decimal not in (".", ","):
            raise ConfigError(f'decimal is {self.decimal!r}; "." or "," was expected.')
        if self.separator is not None and (not isinstance(self.separator, str) or len(self.separator.encode()) != 1):
            raise ConfigError(
                f"separator is {self.separator!r}; one ASCII character was expected.", hint='for example ";" or "\\t"'
            )
        if self.time_format is not None and (not isinstance(self.time_format, str) or "%" not in self.time_format):
            raise ConfigError(
                f"time_format is {self.time_format!r}; a format such as '%d/%m/%Y %H:%M' was expected.",
                hint="%Y year, %m month, %d day, %H hour, %M minute, %S second, %z offset",
            )
        if self.dates is not None and self.dates not in ORDERS:
            raise ConfigError(f"dates is {self.dates!r}; 'day-first' or 'month-first' was expected.")

    def of_features(self) -> Reading:
        """The same for tables of features, which have a header line."""
        return Reading(None, self.encoding, self.decimal, self.separator, self.time_format, self.dates)

    def stamp(self) -> dict[str, str]:
        """The options that were given, as text."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None and value != "."}


def _checked_names(columns: object) -> tuple[str, ...]:
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not all(isinstance(c, str) for c in columns):
        raise ConfigError(f"columns is {columns!r}; a list of names was expected.", hint='columns=["user", "item"]')
    names = tuple(columns)
    twice = next((name for name in names if names.count(name) > 1 or not name), None)
    if not names or twice is not None:
        raise ConfigError(
            f"columns is {list(names)!r}; a different name for each column was expected.",
            hint="give one name for each column of the file",
        )
    return names


def _check_encoding(encoding: object) -> None:
    try:
        found = codecs.lookup(str(encoding)) if isinstance(encoding, str) else None
    except LookupError:
        found = None
    if found is None or not getattr(found, "_is_text_encoding", True):
        raise ConfigError(
            f"encoding is {encoding!r}, which is not an encoding that Python knows.",
            hint="for example utf-8, utf-16, cp949, latin-1, cp1252, shift_jis",
        )
