"""The options of every command that reads tables: how text files are written."""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

from shortlist.errors import ConfigError, ShortlistWarning

__all__ = ["reading_options", "sql_options", "tables_of_bundle"]

OPTIONS = (
    click.option("--columns", "names", metavar="A,B,C", help="Column names, in order, of a CSV without a header line."),
    click.option("--encoding", metavar="NAME", help="Encoding of text files, such as cp949, latin-1, utf-16."),
    click.option("--separator", metavar="CHAR", help="Column separator of text files (default: detected)."),
    click.option("--decimal", type=click.Choice([".", ","]), default=".", help="Decimal mark in text files."),
    click.option("--time-format", metavar="FORMAT", help="Format of times in text: '%d/%m/%Y %H:%M'."),
    click.option(
        "--dates",
        type=click.Choice(["day-first", "month-first"]),
        help="Order of dates such as 05/01/2024, if the column does not decide it.",
    ),
)
SQL = (
    click.option("--sql", metavar="SELECT", help="Read the rows of this query instead of a file (extra sql)."),
    click.option(
        "--connect", metavar="WHERE", help="Database for --sql: a DuckDB file, sqlite:FILE, postgres://…, mysql://…"
    ),
)
TAB = ("\\t", "tab")
UNKNOWN = r"the (queries|candidates) table lacked .* added with null features\.$"


@contextmanager
def tables_of_bundle() -> Iterator[None]:
    """For reading interactions with the bundle's own tables, without a warning for ids that these lack.

    The figures say how many are new to the model. Where all are, the warning remains: they may be written in another way.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", UNKNOWN, ShortlistWarning)
        yield


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
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
    ) -> Any:
        from shortlist.data import Reading

        columns = None if names is None else [name.strip() for name in names.split(",")]
        separator = "\t" if separator in TAB else separator
        return command(reading=Reading(columns, encoding, decimal, separator, time_format, dates), **others)

    for option in reversed(OPTIONS):
        collected = option(collected)
    return collected


def sql_options(
    table: str, *, option: str | None = None, required: bool = True, follows: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command ``--sql`` and ``--connect``, whose rows take the place of its table.

    Args:
        table: the name of the parameter.
        option: how it is written where it is an option.
        required: whether there must be one.
        follows: an argument that follows it, and that a lone argument is where ``--sql`` is given.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def collected(sql: str | None, connect: str | None, **others: Any) -> Any:
            name = option or table.upper()
            if sql is None and connect is not None:
                raise ConfigError("--connect was given without --sql.", hint='--sql "select …"')
            if sql is None:
                if others[table] is None and required:
                    raise click.UsageError(f"Missing argument '{name}'.")
                return command(**others)
            if follows is not None and others[table] is not None:
                source = get_current_context().get_parameter_source(follows)
                if source == ParameterSource.DEFAULT:
                    others = {**others, follows: others[table], table: None}
            if others[table] is not None:
                raise ConfigError(f"--sql was given with {name} ({others[table]!r}).", hint="leave one of them out")
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise ConfigError(
                    "--sql does not support several processes: each would get the rows in another order.",
                    hint="write the rows to Parquet first",
                )
            from shortlist.data.sql import save_sql

            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "rows.parquet"
                save_sql(sql, connect, path)
                return command(**{**others, table: str(path)})

        for one in reversed(SQL):
            collected = one(collected)
        return collected

    return decorated
