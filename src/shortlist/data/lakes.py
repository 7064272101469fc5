"""Delta and Iceberg tables: folders whose files mean nothing without the table's own log."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data.listing import first_line
from shortlist.errors import DataError, MissingExtraError

__all__ = ["lake_version", "open_lake"]

PACKAGES = {"delta": "deltalake", "iceberg": "pyiceberg"}
NAMES = {"delta": "Delta", "iceberg": "Iceberg"}
KINDS = {"delta": "a Delta", "iceberg": "an Iceberg"}


def lake_version(lake: str, where: str, table: str) -> str:
    """The table's current version: a version of Delta, a snapshot of Iceberg.

    Raises:
        MissingExtraError: without its package.
        DataError: where its log cannot be read.
    """
    if importlib.util.find_spec(PACKAGES[lake]) is None:
        raise MissingExtraError(PACKAGES[lake], "lakes", f"reading the {NAMES[lake]} table {where!r}")
    try:
        if lake == "delta":
            from deltalake import DeltaTable

            return f"version {DeltaTable(_place(where)).version()}"
        metadata = _metadata(where)
        from pyiceberg.table import StaticTable

        snapshot = StaticTable.from_metadata(metadata).current_snapshot()
        return f"snapshot {None if snapshot is None else snapshot.snapshot_id} of {metadata}"
    except Exception as error:  # an error of the library that reads the log
        raise DataError(
            f"the {table} table {where!r} is {KINDS[lake]} table whose log could not be read: {first_line(error)}.",
            hint="check that the folder is the whole table, with its log",
        ) from error


def open_lake(where: str, version: str) -> pl.LazyFrame:
    """The table as it was at that version."""
    kind, _, rest = version.partition(" ")
    if kind == "version":
        lazy = pl.scan_delta(_place(where), version=int(rest))
    else:
        os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")  # otherwise Polars advises another package
        snapshot, _, metadata = rest.partition(" of ")
        options: dict[str, Any] = {} if snapshot == "None" else {"snapshot_id": int(snapshot)}
        lazy = pl.scan_iceberg(metadata, **options)
    lazy.collect_schema()
    return lazy


def _place(where: str) -> str:
    return where if "://" in where else str(Path(os.path.expanduser(where)).absolute())


def _metadata(where: str) -> str:
    """The newest metadata file of an Iceberg table, by its number."""
    found = list((Path(os.path.expanduser(where)).absolute() / "metadata").glob("*.metadata.json"))

    def number(path: Path) -> tuple[int, float]:
        digits = path.name.removeprefix("v").partition(".")[0].partition("-")[0]
        return (int(digits) if digits.isdigit() else -1, path.stat().st_mtime)

    return str(max(found, key=number))
