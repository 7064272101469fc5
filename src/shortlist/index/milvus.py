"""Milvus, embedded in a file or as a cluster: the database has the graph, everything else is as in every index."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shortlist._forks import refuse_after_fork
from shortlist.errors import ConfigError, MissingExtraError, SearchError
from shortlist.index.approximate import ApproximateIndex, Width
from shortlist.index.base import Snapshot
from shortlist.index.checks import check_counts
from shortlist.index.halves import whole
from shortlist.index.native_log import without_native_log
from shortlist.index.storage import Reader
from shortlist.index.values import Floats, Ints

__all__ = ["Milvus", "milvus_trouble"]

_MOST = 16_384  # results of a search, at most: Milvus's own limit
_ROWS = 10_000  # rows in an insert
_FIELD = "vector"


def milvus_trouble(uri: str = "x.db") -> str | None:
    """Why Milvus at ``uri`` cannot be used here, or None if it can."""
    if importlib.util.find_spec("pymilvus") is None:
        return "the package 'pymilvus' is not installed"
    if uri.endswith(".db") and importlib.util.find_spec("milvus_lite") is None:
        return "the package 'milvus-lite' is not installed"
    return None


@functools.lru_cache(maxsize=16)
def _client(uri: str, token: str) -> Any:
    """One connection per place and process."""
    from pymilvus import MilvusClient

    with without_native_log():
        return MilvusClient(uri, token=token)


@dataclass(frozen=True)
class _Settings:
    uri: str
    collection: str
    links: int
    build_effort: int
    search_effort: int | None
    recall: float | None = None


@dataclass(frozen=True)
class _Native:
    """A collection, as a search needs it."""

    client: Any
    name: str
    size: int


class Milvus(ApproximateIndex):
    """A Milvus collection with an HNSW graph; the vectors are kept too, for exact scores, filters and live changes.

    Args:
        uri: a file that ends in ``.db`` (embedded, through milvus-lite), or ``http://host:19530`` of a cluster. The
            token of a cluster is read from the environment variable MILVUS_TOKEN; it is never stored.
        collection: the name that always leads to the newest build (a Milvus alias). The collection itself carries the
            digest of its vectors in its name, so that a running index and a saved one always find their own.
        links: neighbours of a node of the graph.
        build_effort: candidates looked at for each node when the graph is built.
        search_effort: candidates looked at per query; by default 200, at least k.
        recall: the share of the true best that searches should find; ``build`` tunes ``search_effort`` to it.

    ``save`` writes the vectors and the uri. ``load`` looks for the collection there, and fills it again from the
    vectors where it is missing. Changes are searched exactly, in this process, until ``rebuild()``.

    Raises:
        ConfigError: for an invalid uri or a number out of range.
        SearchError: for a database that cannot be reached.
    """

    kind: ClassVar[str] = "milvus"
    at_search: ClassVar[tuple[str, ...]] = ("search_effort",)

    def __init__(
        self,
        uri: str,
        collection: str = "shortlist",
        links: int = 32,
        build_effort: int = 100,
        search_effort: int | None = None,
        recall: None = None,
    ) -> None:
        if not isinstance(uri, str) or not (uri.endswith(".db") or "://" in uri):
            raise ConfigError(
                f"Milvus's uri is {uri!r}; a file that ends in .db, or http://host:port, was expected.",
                hint='Milvus("movies.db")',
            )
        if not isinstance(collection, str) or not collection.isidentifier() or not collection.isascii():
            raise ConfigError(f"Milvus's collection is {collection!r}; letters, digits and _ were expected.")
        if recall is not None:
            raise ConfigError(
                "Milvus does not support recall=.", hint="use Quantized(recall=0.95) or Faiss(recall=0.95)"
            )
        check_counts("Milvus", {"links": links, "build_effort": build_effort, "search_effort": search_effort})
        super().__init__(_Settings(uri, collection, links, build_effort, search_effort))

    def require(self) -> None:
        """Check that the database can be reached.

        Raises:
            MissingExtraError: where its client is not installed.
            SearchError: where the database does not answer.
        """
        self._connected()

    def _rerank(self, n: int, k: int) -> int:
        return min(n, 2 * k + 16)

    def _connected(self) -> Any:
        refuse_after_fork("Milvus")
        uri = str(self._settings.uri)
        trouble = milvus_trouble(uri)
        if trouble is not None:
            raise MissingExtraError(trouble.split("'")[1], "milvus", "Milvus")
        place = str(Path(uri).absolute()) if uri.endswith(".db") else uri
        with _reported(uri):
            return _client(place, os.environ.get("MILVUS_TOKEN", ""))

    def _train(self, vectors: Floats) -> Any:
        client, settings = self._connected(), self._settings
        built = f"{settings.links}/{settings.build_effort}/{vectors.shape}".encode()
        digest = hashlib.sha256(built + np.ascontiguousarray(vectors).view(np.uint8).data).hexdigest()[:16]
        native = _Native(client, f"{settings.collection}_{digest}", vectors.shape[0])
        with _reported(settings.uri):
            if not _complete(native):
                _fill(native, vectors, settings)
            client.load_collection(native.name)
            _point(client, settings.collection, native.name)
        return native

    def _probe(self, native: Any, queries: Floats, width: Width, open_: npt.NDArray[np.bool_] | None = None) -> Ints:
        refuse_after_fork("Milvus")
        effort = self._settings.search_effort or 200
        limit = min(width.results, native.size, _MOST)
        look = min(max(int(effort * width.effort), limit), 2 * _MOST)
        with _reported(self._settings.uri):
            found = native.client.search(
                native.name,
                data=queries.tolist(),
                limit=limit,
                search_params={"metric_type": "IP", "params": {"ef": look}},
                output_fields=[],
                consistency_level="Strong",
            )
        positions = np.full((queries.shape[0], limit), -1, np.int64)
        for row, hits in enumerate(found):
            ids = np.unique([hit["id"] for hit in hits]).astype(np.int64)
            positions[row, : ids.size] = ids
        return positions

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Any:
        return self._train(whole(snapshot.base.vectors))


@contextlib.contextmanager
def _reported(uri: str) -> Iterator[None]:
    """Turns the database's errors into ``SearchError``."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, OSError, RuntimeError) as error:
        raise SearchError(
            f"Milvus at {uri!r} did not answer: {str(error)[:300]}",
            hint="check that it runs, and that no other process has the file open; the index keeps its own copy of the vectors.",
        ) from error


def _complete(native: _Native) -> bool:
    """Whether the collection exists with all its rows."""
    if not native.client.has_collection(native.name):
        return False
    rows = native.client.get_collection_stats(native.name)["row_count"]
    if int(rows) == native.size:
        return True
    native.client.drop_collection(native.name)  # an interrupted build
    return False


def _fill(native: _Native, vectors: Floats, settings: Any) -> None:
    from pymilvus import DataType

    client = native.client
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field(_FIELD, DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    index = client.prepare_index_params()
    graph = {"M": settings.links, "efConstruction": settings.build_effort}
    index.add_index(_FIELD, index_type="HNSW", metric_type="IP", params=graph)
    client.create_collection(native.name, schema=schema, index_params=index)
    for low in range(0, native.size, _ROWS):
        rows = vectors[low : low + _ROWS].tolist()
        client.insert(native.name, [{"id": low + i, _FIELD: row} for i, row in enumerate(rows)])
    client.flush(native.name)


def _point(client: Any, alias: str, name: str) -> None:
    """Lets ``alias`` lead to the newest build."""
    change = client.alter_alias if alias in client.list_aliases()["aliases"] else client.create_alias
    change(name, alias)
