"""Milvus, embedded in a file or as a cluster."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any, ClassVar

from shortlist.index.databases.base import DatabaseIndex, Graph, remembered
from shortlist.index.databases.contract import Attribute, Batch, Database, Found, Rows
from shortlist.index.databases.filters import Filter, text_of
from shortlist.index.native_log import without_native_log
from shortlist.index.values import Floats

__all__ = ["Milvus", "milvus_trouble"]

_MOST = 16_384  # results of a search, at most: Milvus's own limit
_LONGEST = 65_535  # bytes of a text
_WORDS = frozenset({"and", "or", "not", "in", "like", "is", "null", "true", "false", "id", "vector"})


def milvus_trouble(uri: str = "x.db") -> str | None:
    """Why Milvus at ``uri`` cannot be used here, or None if it can."""
    package = Milvus._missing(uri)
    return None if package is None else f"the package {package!r} is not installed"


class Milvus(DatabaseIndex):
    """A Milvus collection with an HNSW graph; the vectors are kept too, for exact scores, filters and live changes.

    Args:
        uri: a file that ends in ``.db`` (embedded, through milvus-lite), or ``http://host:19530`` of a cluster. The
            token of a cluster is read from the environment variable MILVUS_TOKEN; it is never stored.
        collection: the name that always leads to the newest build (a Milvus alias). The collection itself carries the
            digest of its vectors in its name, so that a running index and a saved one always find their own.
        links: neighbours of a node of the graph.
        build_effort: candidates looked at for each node when the graph is built.
        search_effort: candidates looked at per query; by default 200, at least k.
        recall: not supported; None.
        timeout: seconds that a search may take.

    ``save`` writes the vectors and the uri. ``load`` looks for the collection there, and fills it again from the
    vectors where it is missing. Changes are searched exactly, in this process, until ``rebuild()``.

    Raises:
        ConfigError: for an invalid uri or a number out of range.
        SearchError: for a database that cannot be reached.
    """

    kind: ClassVar[str] = "milvus"
    title: ClassVar[str] = "Milvus"
    _address: ClassVar[str] = "a file that ends in .db, or http://host:port,"
    _example: ClassVar[str] = 'Milvus("movies.db")'
    _secret: ClassVar[str] = "set the environment variable MILVUS_TOKEN"
    _most: ClassVar[int] = _MOST

    @classmethod
    def _accepts(cls, uri: str) -> bool:
        return uri.endswith(".db") or "://" in uri

    @classmethod
    def _missing(cls, uri: str) -> str | None:
        if importlib.util.find_spec("pymilvus") is None:
            return "pymilvus"
        return "milvus-lite" if uri.endswith(".db") and importlib.util.find_spec("milvus_lite") is None else None

    def _opened(self, uri: str, graph: Graph) -> Database:
        place = str(Path(uri).absolute()) if uri.endswith(".db") else uri
        from pymilvus.exceptions import MilvusException

        errors = (MilvusException, OSError, RuntimeError)
        return _Milvus(f"Milvus at {uri!r}", errors, graph, place, os.environ.get("MILVUS_TOKEN", ""))


def _connected(uri: str, token: str) -> Any:
    from pymilvus import MilvusClient

    with without_native_log():
        return MilvusClient(uri, token=token)


def _written(value: Any) -> str:
    """A value, or a list of them, as an expression writes it."""
    return json.dumps(value, ensure_ascii=False)


def _among(name: str, values: list[Any], negated: bool) -> str:
    some = _written(values)
    return f"({name} is not null and {name} not in {some})" if negated else f"{name} in {some}"


class _Milvus:
    """The calls of ``Database``."""

    def __init__(self, place: str, errors: tuple[type[Exception], ...], graph: Graph, uri: str, token: str) -> None:
        self.place, self.errors, self.graph = place, errors, graph
        self._uri, self._token = uri, token

    @property
    def client(self) -> Any:
        """The client, connected at the first call."""
        return remembered(_connected, self._uri, self._token)

    def names(self, start: str) -> list[str]:
        return [str(name) for name in self.client.list_collections() if str(name).startswith(start)]

    def count(self, name: str) -> int:
        if not self.client.has_collection(name):
            return -1
        return int(self.client.get_collection_stats(name)["row_count"])

    def takes(self, attribute: Attribute) -> bool:
        name = attribute.name
        return name.isidentifier() and name.isascii() and name.lower() not in _WORDS and attribute.longest <= _LONGEST

    def create(self, name: str, rows: Rows) -> None:
        from pymilvus import DataType

        client = self.client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        if rows.has_integer_ids:
            schema.add_field("id", DataType.INT64, is_primary=True)
        else:
            longest = max((len(text.encode()) for text in rows.ids.tolist()), default=1)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=max(1, longest))
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.dim)
        kinds = {"integer": DataType.INT64, "number": DataType.DOUBLE, "boolean": DataType.BOOL}
        for one in rows.attributes:
            if one.kind == "text":
                schema.add_field(one.name, DataType.VARCHAR, max_length=max(1, one.longest), nullable=True)
            else:
                schema.add_field(one.name, kinds[one.kind], nullable=True)
        index = client.prepare_index_params()
        graph = {"M": self.graph.links, "efConstruction": self.graph.build_effort}
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
        client.create_collection(name, schema=schema, index_params=index)

    def insert(self, name: str, batch: Batch) -> None:
        columns = {"id": batch.ids, "vector": batch.vectors.tolist(), **batch.attributes}
        self.client.insert(name, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])

    def finish(self, name: str, rows: int) -> None:
        self.client.flush(name)
        self.client.load_collection(name)

    def search(self, name: str, queries: Floats, k: int, effort: int, where: Filter | None = None) -> list[Found]:
        found = self.client.search(
            name,
            data=queries.tolist(),
            limit=k,
            filter="" if where is None else text_of(where, str, _written, _among, equal="=="),
            search_params={"metric_type": "IP", "params": {"ef": min(effort, 2 * _MOST)}},
            output_fields=[],
            consistency_level="Strong",
            timeout=self.graph.timeout,
        )
        return [[(hit["id"], float(hit["distance"])) for hit in hits] for hits in found]

    def target(self, alias: str) -> str | None:
        for name in self.client.list_collections():
            if alias in self.client.list_aliases(name)["aliases"]:
                return str(name)
        return None

    def point(self, alias: str, name: str) -> None:
        change = self.client.create_alias if self.target(alias) is None else self.client.alter_alias
        change(name, alias)

    def drop(self, name: str) -> None:
        if self.client.has_collection(name):
            self.client.release_collection(name)
            self.client.drop_collection(name)
