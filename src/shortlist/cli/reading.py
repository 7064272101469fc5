"""The options of every command that reads tables: how text files are written."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import rich_click as click

__all__ = ["reading_options"]

OPTIONS = (
    click.option(
        "--columns", "names", metavar="A,B,C", help="Names of the columns of a CSV that has no header line, in order."
    ),
    click.option("--encoding", metavar="NAME", help="Encoding of text files, such as cp949, latin-1, utf-16."),
    click.option("--separator", metavar="CHAR", help="What parts the columns of text files; by default found out."),
    click.option(
        "--decimal", type=click.Choice([".", ","]), default=".", help="Decimal mark of numbers in text files."
    ),
    click.option("--time-format", metavar="FORMAT", help="How times are written in text: '%d/%m/%Y %H:%M'."),
    click.option(
        "--dates",
        type=click.Choice(["day-first", "month-first"]),
        help="How to read dates in text such as 05/01/2024, where the column does not tell.",
    ),
)
TAB = ("\\t", "tab")


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of reading text, as one argument ``reading``."""

    @functools.wraps(command)
    def collected(
        names: str | None,
        encoding: str | None,
        separator: str | None,
        decimal: Any,
        time_format: str | None,
        dates: Any,
        **others: Any,
    ) -> None:
        from shortlist.data import Reading

        columns = None if names is None else [name.strip() for name in names.split(",")]
        separator = "\t" if separator in TAB else separator
        command(reading=Reading(columns, encoding, decimal, separator, time_format, dates), **others)

    for option in reversed(OPTIONS):
        collected = option(collected)
    return collected
