"""The rows of a query in SQL, by DuckDB: over files, a DuckDB file, SQLite, Postgres or MySQL."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data.argument_checks import kind_of
from shortlist.data.listing import first_line
from shortlist.errors import DataError, MissingExtraError

__all__ = ["read_sql", "save_sql"]

SERVERS = {"postgres": "postgres", "postgresql": "postgres", "mysql": "mysql", "sqlite": "sqlite"}


def read_sql(query: str, connect: str | Path | None = None) -> pl.DataFrame:
    """The rows of a query, as a frame.

    Args:
        query: one SELECT in DuckDB's SQL; files can be named in it: ``select * from 'log/*.parquet'``.
        connect: where its tables are: a DuckDB file, or ``sqlite:shop.db``, ``postgres://user@host/shop``, ``mysql://…``;
            they are only read. None where the query names files.

    Raises:
        MissingExtraError: without DuckDB (extra ``sql``).
        DataError: for a database that cannot be opened, and a query that fails.

    Example:
        >>> read_sql("select 1 as user, 'x' as item").rows()  # doctest: +SKIP
        [(1, 'x')]
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        save_sql(query, connect, path)
        return pl.read_parquet(path, memory_map=False, glob=False, hive_partitioning=False)


def save_sql(query: str, connect: str | Path | None, path: Path) -> None:
    """Write the rows of a query to a Parquet file, without holding them in memory. Raises as ``read_sql``."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("duckdb", "sql", "an SQL query") from error
    if not isinstance(query, str):
        raise DataError(f"read_sql(query) got {kind_of(query)}; the text of a query was expected.", hint='"select …"')
    text = query.strip().rstrip(";")
    try:
        with _connected(duckdb, connect) as database:
            where = str(path).replace("'", "''")
            database.execute(f"COPY ({text}\n) TO '{where}' (FORMAT parquet)")
    except duckdb.Error as error:
        raise DataError(
            f"the query could not be run: {first_line(error)}.",
            hint="try it in DuckDB; connect (--connect) names the database of its tables",
        ) from error


def _connected(duckdb: Any, connect: str | Path | None) -> Any:
    """A connection that only reads what ``connect`` names."""
    if connect is None:
        return duckdb.connect()
    text = str(connect)
    kind = SERVERS.get(text.partition(":")[0])
    if kind is None:
        path = Path(os.path.expanduser(text))
        if not path.is_file():
            raise DataError(f"the database {text!r} does not exist.", hint="check the path")
        return duckdb.connect(str(path), read_only=True)
    place = text if kind != "sqlite" else text.partition(":")[2].removeprefix("//")
    if kind == "sqlite" and not Path(place).is_file():
        raise DataError(f"the database {place!r} does not exist.", hint="check the path: sqlite:shop.db")
    database = duckdb.connect()
    quoted = place.replace("'", "''")
    database.execute(f"ATTACH '{quoted}' AS source (TYPE {kind}, READ_ONLY)")
    database.execute("USE source")
    return database
