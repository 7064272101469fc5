"""LanceDB: tables in a folder or an object store, searched within this process, or a LanceDB service."""

from __future__ import annotations

import importlib.util
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shortlist.index.databases.base import DatabaseIndex, Graph, remembered
from shortlist.index.databases.contract import Attribute, Batch, Database, Found, Rows
from shortlist.index.databases.filters import Filter, text_of
from shortlist.index.databases.places import is_folder
from shortlist.index.values import Floats

__all__ = ["LanceDB"]

_FLAT = 256  # rows below which every vector is scored
_PARTITION = 1_000_000  # rows to a graph
_ALIASES = "shortlist_aliases"
_TABLES = 1 << 20  # names that a listing has at most


class LanceDB(DatabaseIndex):
    """A LanceDB table with an HNSW graph; the vectors are kept too, for exact scores, filters and live changes.

    Args:
        uri: a folder, ``s3://bucket/folder`` (or ``gs://``, ``az://``), or ``db://name`` of a service. Credentials are read from
            the environment (AWS_ACCESS_KEY_ID, …, LANCEDB_API_KEY); they are never stored.
        collection: the name that always leads to the newest build: a row of the table ``shortlist_aliases``, since LanceDB has
            no aliases of its own.
        links: neighbours of a node of the graph.
        build_effort: candidates looked at for each node when the graph is built.
        search_effort: candidates looked at per query; by default 200, at least k.
        recall: not supported; None.
        timeout: seconds that a search may take.

    ``save`` writes the vectors and the uri. ``load`` looks for the table there, and fills it again from the vectors where it is
    missing. Changes are searched exactly, in this process, until ``rebuild()``. Tables of fewer than 256 rows have no graph.

    Raises:
        ConfigError: for an invalid uri or a number out of range.
        SearchError: for a database that cannot be reached.
    """

    kind: ClassVar[str] = "lancedb"
    title: ClassVar[str] = "LanceDB"
    _address: ClassVar[str] = "a folder, s3://…, gs://…, az://… or db://…"
    _example: ClassVar[str] = 'LanceDB("movies.lance")'
    _secret: ClassVar[str] = "set LANCEDB_API_KEY, or the variables of the object store, in the environment"

    @classmethod
    def _accepts(cls, uri: str) -> bool:
        return uri.startswith(("s3://", "gs://", "az://", "db://")) or is_folder(uri)

    @classmethod
    def _missing(cls, uri: str) -> str | None:
        return "lancedb" if importlib.util.find_spec("lancedb") is None else None

    def _opened(self, uri: str, graph: Graph) -> Database:
        place = str(Path(uri).absolute()) if is_folder(uri) else uri
        return _LanceDB(f"LanceDB at {uri!r}", graph, place)


def _connected(uri: str) -> _Tables:
    import lancedb

    return _Tables(lancedb.connect(uri))


class _Tables:
    """A connection, and the tables that it has open: one that is finished never changes."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._open: dict[str, Any] = {}
        self._opening = threading.Lock()

    def names(self) -> list[str]:
        return [str(name) for name in self.connection.list_tables(limit=_TABLES).tables]

    def open(self, name: str) -> Any:
        with self._opening:
            if name not in self._open:
                self._open[name] = self.connection.open_table(name)
            return self._open[name]

    def forget(self, name: str) -> None:
        with self._opening:
            self._open.pop(name, None)


class _LanceDB:
    """The calls of ``Database``."""

    def __init__(self, place: str, graph: Graph, uri: str) -> None:
        self.place, self.graph, self._uri = place, graph, uri
        self.errors: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError)

    @property
    def _tables(self) -> _Tables:
        tables: _Tables = remembered(_connected, self._uri)
        return tables

    def names(self, start: str) -> list[str]:
        return [name for name in self._tables.names() if name.startswith(start)]

    def count(self, name: str) -> int:
        return int(self._tables.open(name).count_rows()) if name in self._tables.names() else -1

    def takes(self, attribute: Attribute) -> bool:
        return "`" not in attribute.name and "." not in attribute.name

    def create(self, name: str, rows: Rows) -> None:
        import pyarrow as pa

        kinds = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
        fields = [
            ("id", pa.int64() if rows.has_integer_ids else pa.string()),
            ("vector", pa.list_(pa.float32(), rows.dim)),
        ]
        schema = pa.schema([*fields, *((one.name, kinds[one.kind]) for one in rows.attributes)])
        self._tables.connection.create_table(name, schema=schema)

    def insert(self, name: str, batch: Batch) -> None:
        import pyarrow as pa

        table = self._tables.open(name)
        numbers = pa.array(np.ascontiguousarray(batch.vectors, np.float32).ravel())
        columns = {
            "id": pa.array(batch.ids),
            "vector": pa.FixedSizeListArray.from_arrays(numbers, batch.vectors.shape[1]),
            **{one: pa.array(values, table.schema.field(one).type) for one, values in batch.attributes.items()},
        }
        table.add(pa.table(columns))

    def finish(self, name: str, rows: int) -> None:
        from lancedb.index import HnswFlat

        table = self._tables.open(name)
        if rows < _FLAT or table.list_indices():
            return
        table.optimize()
        graph = HnswFlat(
            distance_type="dot",
            num_partitions=_partitions(rows),
            m=self.graph.links,
            ef_construction=self.graph.build_effort,
        )
        table.create_index("vector", config=graph)

    def search(self, name: str, queries: Floats, k: int, effort: int, where: Filter | None = None) -> list[Found]:
        table = self._tables.open(name)
        found: list[Found] = [[] for _ in queries]
        if not found:
            return found
        search = table.search(queries[0] if len(queries) == 1 else queries, vector_column_name="vector")
        search = search.distance_type("dot").ef(effort).nprobes(_partitions(table.count_rows()))
        if where is not None:
            search = search.where(text_of(where, _column, _value), prefilter=True)
        reply = search.limit(k).select(["id", "_distance"]).to_arrow(timeout=timedelta(seconds=self.graph.timeout))
        rows = reply["query_index"].to_pylist() if "query_index" in reply.column_names else [0] * reply.num_rows
        for row, key, distance in zip(rows, reply["id"].to_pylist(), reply["_distance"].to_pylist(), strict=True):
            found[row].append((key, 1.0 - distance))
        return found

    def target(self, alias: str) -> str | None:
        names = self._tables.names()
        name = dict(self._aliases()).get(alias) if _ALIASES in names else None
        return name if name in names else None

    def point(self, alias: str, name: str) -> None:
        import pyarrow as pa

        rows = pa.table({"alias": [alias], "table": [name]})
        if _ALIASES not in self._tables.names():
            self._tables.connection.create_table(_ALIASES, schema=rows.schema, exist_ok=True)
        change = self._tables.connection.open_table(_ALIASES).merge_insert("alias")
        change.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def drop(self, name: str) -> None:
        self._tables.forget(name)
        if name in self._tables.names():
            self._tables.connection.drop_table(name)

    def _aliases(self) -> list[tuple[str, str]]:
        rows = self._tables.connection.open_table(_ALIASES).to_arrow()
        return list(zip(rows["alias"].to_pylist(), rows["table"].to_pylist(), strict=True))


def _partitions(rows: int) -> int:
    return max(1, rows // _PARTITION)


def _column(name: str) -> str:
    return f"`{name}`"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return "'{}'".format(value.replace("'", "''"))
    if isinstance(value, float):
        return f"cast({value!r} as double)"  # or a column of integers would have to be compared with an integer
    return repr(value).lower() if isinstance(value, bool) else repr(value)
