"""Qdrant: a server by its address, or its engine embedded in a folder."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from shortlist.errors import SearchError
from shortlist.index.databases.base import DatabaseIndex, Graph, remembered
from shortlist.index.databases.contract import Attribute, Batch, Database, Found, Rows
from shortlist.index.databases.filters import Filter
from shortlist.index.databases.places import is_folder
from shortlist.index.databases.qdrant_filters import condition
from shortlist.index.values import Floats

__all__ = ["Qdrant"]

_MOST = 16_384
_FILLING = 3600  # seconds that a server may take to build its graph after the last row
_ALIASES = "aliases.json"
_INDEXED = 10_000  # kB of vectors from which the embedded engine searches by a graph; fewer exactly, as by default


class Qdrant(DatabaseIndex):
    """A Qdrant collection with an HNSW graph; the vectors are kept too, for exact scores, filters and live changes.

    Args:
        uri: ``http://host:6333`` of a server, or a folder, in which Qdrant's engine runs within this process (one process at a
            time). The key of a server is read from the environment variable QDRANT_API_KEY; it is never stored.
        collection: the name that always leads to the newest build (a Qdrant alias; in a folder, ``aliases.json``).
        links: neighbours of a node of the graph.
        build_effort: candidates looked at for each node when the graph is built.
        search_effort: candidates looked at per query; by default 200, at least k.
        recall: not supported; None.
        timeout: seconds that a search on a server may take.

    ``save`` writes the vectors and the uri. ``load`` looks for the collection there, and fills it again from the vectors where
    it is missing. Changes are searched exactly, in this process, until ``rebuild()``.

    Raises:
        ConfigError: for an invalid uri or a number out of range.
        SearchError: for a database that cannot be reached.
    """

    kind: ClassVar[str] = "qdrant"
    title: ClassVar[str] = "Qdrant"
    _address: ClassVar[str] = "http://host:6333, or a folder,"
    _example: ClassVar[str] = 'Qdrant("http://localhost:6333")'
    _secret: ClassVar[str] = "set the environment variable QDRANT_API_KEY"
    _most: ClassVar[int] = _MOST

    @classmethod
    def _accepts(cls, uri: str) -> bool:
        return uri.startswith(("http://", "https://")) or is_folder(uri)

    @classmethod
    def _missing(cls, uri: str) -> str | None:
        module, package = ("qdrant_edge", "qdrant-edge-py") if is_folder(uri) else ("qdrant_client", "qdrant-client")
        return package if importlib.util.find_spec(module) is None else None

    def _opened(self, uri: str, graph: Graph) -> Database:
        if is_folder(uri):
            return _Embedded(f"Qdrant at {uri!r}", graph, Path(uri).absolute())
        return _Server(f"Qdrant at {uri!r}", graph, uri, os.environ.get("QDRANT_API_KEY", ""))


def _connected(uri: str, key: str) -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(url=uri, api_key=key or None, check_compatibility=False)


def _points(batch: Batch, point: Any) -> list[Any]:
    """Points of a batch: numbered by their ids where these are integers from 0 on, else by their place."""
    payloads: list[dict[str, Any]] = [{"id": key} for key in batch.ids]
    for name, values in batch.attributes.items():
        for payload, value in zip(payloads, values, strict=True):
            if value is not None:
                payload[name] = value
    numbers = batch.ids if batch.counting else range(batch.start, batch.start + len(batch.ids))
    return [
        point(number, vector, payload)
        for number, vector, payload in zip(numbers, batch.vectors.tolist(), payloads, strict=True)
    ]


def _found(points: Any) -> list[tuple[Any, float]]:
    return [(point.payload["id"], float(point.score)) for point in points]


class _Server:
    """The calls of ``Database``, to a server."""

    def __init__(self, place: str, graph: Graph, uri: str, key: str) -> None:
        import httpx
        from qdrant_client.http.exceptions import ApiException

        self.place, self.graph = place, graph
        self.errors: tuple[type[Exception], ...] = (ApiException, httpx.HTTPError, OSError, ValueError)
        self._uri, self._key = uri, key
        self._seconds = max(1, math.ceil(graph.timeout))

    @property
    def client(self) -> Any:
        """The client, made at the first call."""
        return remembered(_connected, self._uri, self._key)

    def names(self, start: str) -> list[str]:
        found = [str(one.name) for one in self.client.get_collections().collections]
        return [name for name in found if name.startswith(start)]

    def count(self, name: str) -> int:
        return int(self.client.count(name, exact=True).count) if self.client.collection_exists(name) else -1

    def takes(self, attribute: Attribute) -> bool:
        return _plain(attribute.name)

    def create(self, name: str, rows: Rows) -> None:
        from qdrant_client import models

        graph = models.HnswConfigDiff(m=self.graph.links, ef_construct=self.graph.build_effort)
        vectors = models.VectorParams(size=rows.dim, distance=models.Distance.DOT, hnsw_config=graph)
        self.client.create_collection(name, vectors_config=vectors)
        kinds = {"text": "keyword", "integer": "integer", "number": "float", "boolean": "bool"}
        for one in rows.attributes:
            self.client.create_payload_index(name, one.name, field_schema=kinds[one.kind], wait=True)
        if not rows.has_integer_ids:
            self.client.create_payload_index(name, "id", field_schema="keyword", wait=True)

    def insert(self, name: str, batch: Batch) -> None:
        from qdrant_client import models

        def point(number: int, vector: list[float], payload: dict[str, Any]) -> Any:
            return models.PointStruct(id=number, vector=vector, payload=payload)

        points = _points(batch, point)
        for low in range(0, len(points), 1000):  # a request has at most 32 MB
            self.client.upsert(name, points[low : low + 1000], wait=True)

    def finish(self, name: str, rows: int) -> None:
        end = time.monotonic() + _FILLING
        while (status := str(self.client.get_collection(name).status.value)) in ("yellow", "grey"):
            if time.monotonic() > end:
                raise SearchError(
                    f"{self.place} has not built the graph of {name!r} within an hour.", hint="look at its log"
                )
            time.sleep(0.1)
        if status != "green":
            raise SearchError(f"{self.place} reports {status!r} for the collection {name!r}.", hint="look at its log")

    def search(self, name: str, queries: Floats, k: int, effort: int, where: Filter | None = None) -> list[Found]:
        from qdrant_client import models

        chosen = None if where is None else condition(where, models)
        acorn = None if where is None else models.AcornSearchParams(enable=True)  # steps over what the filter closes
        params = models.SearchParams(hnsw_ef=effort, acorn=acorn)
        requests = [
            models.QueryRequest(query=query, limit=k, filter=chosen, params=params, with_payload=["id"])
            for query in queries.tolist()
        ]
        replies = self.client.query_batch_points(name, requests, timeout=self._seconds) if requests else []
        return [_found(reply.points) for reply in replies]

    def target(self, alias: str) -> str | None:
        for one in self.client.get_aliases().aliases:
            if one.alias_name == alias:
                return str(one.collection_name)
        return None

    def point(self, alias: str, name: str) -> None:
        from qdrant_client import models

        made = models.CreateAlias(collection_name=name, alias_name=alias)
        change: list[Any] = [models.CreateAliasOperation(create_alias=made)]
        if self.target(alias) is not None:
            change.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        self.client.update_collection_aliases(change)

    def drop(self, name: str) -> None:
        self.client.delete_collection(name)


_shards: dict[Path, Any] = {}  # a folder can be opened once
_opening = threading.Lock()


class _Embedded:
    """The calls of ``Database``, to Qdrant's engine in this process: a folder for each collection, and a file of aliases."""

    def __init__(self, place: str, graph: Graph, folder: Path) -> None:
        self.place, self.graph, self._folder = place, graph, folder
        self.errors: tuple[type[Exception], ...] = (OSError,)

    def names(self, start: str) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.is_dir() and path.name.startswith(start))

    def count(self, name: str) -> int:
        from qdrant_edge import CountRequest

        return int(_engine(self._shard(name).count, CountRequest())) if (self._folder / name).is_dir() else -1

    def takes(self, attribute: Attribute) -> bool:
        return _plain(attribute.name)

    def create(self, name: str, rows: Rows) -> None:
        import qdrant_edge as edge

        scratch = self._folder / f".{name}.writing"
        shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
        scratch.mkdir(parents=True)
        vectors = edge.EdgeVectorParams(rows.dim, edge.Distance.Dot)
        graph = edge.HnswIndexConfig(self.graph.links, self.graph.build_effort, full_scan_threshold=_INDEXED)
        segments = edge.EdgeOptimizersConfig(indexing_threshold=_INDEXED)
        config = edge.EdgeConfig(vectors=vectors, hnsw_config=graph, optimizers=segments)
        _engine(_engine(edge.EdgeShard.create, str(scratch), config).close)
        os.rename(scratch, self._folder / name)  # a folder of this name can be opened
        kinds = edge.PayloadSchemaType
        of = {"text": kinds.Keyword, "integer": kinds.Integer, "number": kinds.Float, "boolean": kinds.Integer}
        wanted = {one.name: of[one.kind] for one in rows.attributes}
        for column, kind in wanted.items() if rows.has_integer_ids else {**wanted, "id": kinds.Keyword}.items():
            _engine(self._shard(name).update, edge.UpdateOperation.create_field_index(column, kind))

    def insert(self, name: str, batch: Batch) -> None:
        import qdrant_edge as edge

        def point(number: int, vector: list[float], payload: dict[str, Any]) -> Any:
            # this engine's MatchValue takes True for 1
            return edge.Point(
                number, vector, {key: int(one) if isinstance(one, bool) else one for key, one in payload.items()}
            )

        _engine(self._shard(name).update, edge.UpdateOperation.upsert_points(_points(batch, point)))

    def finish(self, name: str, rows: int) -> None:
        shard = self._shard(name)
        _engine(shard.optimize)
        _engine(shard.flush)

    def search(self, name: str, queries: Floats, k: int, effort: int, where: Filter | None = None) -> list[Found]:
        import qdrant_edge as edge

        if len(queries) == 0:
            return []
        chosen = None if where is None else condition(where, edge)
        acorn = None if where is None else edge.AcornSearchParams(enable=True)
        params = edge.SearchParams(hnsw_ef=effort, acorn=acorn)
        requests = [
            edge.QueryRequest(
                limit=k, query=edge.Query.Nearest(query), params=params, filter=chosen, with_payload=["id"]
            )
            for query in queries.tolist()
        ]
        return [_found(points) for points in _engine(self._shard(name).query_batch, edge.QueryBatchRequest(requests))]

    def target(self, alias: str) -> str | None:
        name = self._aliases().get(alias)
        return name if name is not None and (self._folder / name).is_dir() else None

    def point(self, alias: str, name: str) -> None:
        path = self._folder / _ALIASES
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps({**self._aliases(), alias: name}, indent=1), encoding="utf-8")
        os.replace(scratch, path)

    def drop(self, name: str) -> None:
        path = self._folder / name
        with _opening:
            shard = _shards.pop(path, None)
            if shard is not None:
                _engine(shard.close)
        shutil.rmtree(path, ignore_errors=True)

    def _aliases(self) -> dict[str, str]:
        path = self._folder / _ALIASES
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    def _shard(self, name: str) -> Any:
        from qdrant_edge import EdgeShard

        path = self._folder / name
        with _opening:
            if path not in _shards:
                _shards[path] = _engine(EdgeShard.load, str(path))
            return _shards[path]


def _engine(call: Any, *arguments: Any) -> Any:
    """The result of a call of the engine; its errors, which have no class of their own, as ``OSError``."""
    try:
        return call(*arguments)
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise OSError(str(error)) from error


def _plain(name: str) -> bool:
    """Whether a name is a key of a payload; others would be read as a path."""
    return name not in ("id", "vector") and not set(name) & set('.[]"')
