"""An index whose graph is a collection in a vector database; the vectors are kept too, for exact scores, filters and live changes."""

from __future__ import annotations

import functools
import hashlib
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shortlist._forks import refuse_after_fork
from shortlist.errors import ConfigError, MissingExtraError
from shortlist.index.approximate import ApproximateIndex, Width
from shortlist.index.base import Snapshot
from shortlist.index.checks import check_counts
from shortlist.index.databases.contract import Database, Rows
from shortlist.index.databases.filters import Among
from shortlist.index.databases.places import check_no_secret
from shortlist.index.databases.publish import publish, reported
from shortlist.index.halves import whole
from shortlist.index.storage import Reader
from shortlist.index.values import Floats, Ints

__all__ = ["DatabaseIndex", "Graph", "remembered"]

_EFFORT = 200
_PUSHED = 100_000  # candidates of a filter that go along with a query


@dataclass(frozen=True)
class Graph:
    """How a database builds and searches.

    Attributes:
        timeout: seconds that a search may take.
    """

    links: int
    build_effort: int
    timeout: float


@dataclass(frozen=True)
class _Settings:
    uri: str
    collection: str
    links: int
    build_effort: int
    search_effort: int | None
    timeout: float = 10.0
    recall: float | None = None


@dataclass(frozen=True)
class _Native:
    """A collection, as a search needs it."""

    database: Database
    name: str
    size: int


class DatabaseIndex(ApproximateIndex):
    """A collection in a vector database as an index.

    A kind gives ``_accepts`` (whether it can be at an address), ``_missing`` (the package that it lacks) and ``_opened`` (the
    database there).

    ``save`` writes the vectors and the uri, never a credential. ``load`` looks for the collection there, and fills it again
    from the vectors where it is missing. The ids of a filter that leaves at most 100,000 candidates go along with the query;
    fewer than 20,000, and changes until ``rebuild()``, are searched exactly in this process.

    Args:
        uri: the address of the database, without a credential.
        collection: the name that always leads to the newest build.
        links: neighbours of a node of the graph.
        build_effort: candidates looked at for each node when the graph is built.
        search_effort: candidates looked at per query; by default 200, at least k.
        recall: not supported; None.
        timeout: seconds that a search may take.
    """

    title: ClassVar[str]
    _address: ClassVar[str]
    """The form of an address, in errors."""
    _example: ClassVar[str]
    _secret: ClassVar[str]
    """Where a credential belongs, as a hint."""
    at_search: ClassVar[tuple[str, ...]] = ("search_effort",)
    _most: ClassVar[int] = 16_384
    """Results of a search, at most."""

    def __init__(
        self,
        uri: str,
        collection: str = "shortlist",
        links: int = 32,
        build_effort: int = 100,
        search_effort: int | None = None,
        recall: None = None,
        timeout: float = 10.0,
    ) -> None:
        if isinstance(uri, str):
            check_no_secret(self.title, uri, self._secret)
        if not isinstance(uri, str) or not self._accepts(uri):
            raise ConfigError(f"{self.title}'s uri is {uri!r}; {self._address} was expected.", hint=self._example)
        if not isinstance(collection, str) or not collection.isidentifier() or not collection.isascii():
            raise ConfigError(f"{self.title}'s collection is {collection!r}; letters, digits and _ were expected.")
        if recall is not None:
            raise ConfigError(
                f"{self.title} does not support recall=.", hint="use Quantized(recall=0.95) or Faiss(recall=0.95)"
            )
        check_counts(self.title, {"links": links, "build_effort": build_effort, "search_effort": search_effort})
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            raise ConfigError(
                f"{self.title}'s timeout is {timeout!r}; seconds above 0 were expected.", hint="timeout=10"
            )
        super().__init__(_Settings(uri, collection, links, build_effort, search_effort, timeout))
        self._check_options(collection, links, build_effort)

    # What a kind gives.

    def _check_options(self, collection: str, links: int, build_effort: int) -> None:
        """ConfigError for what this database cannot do, though others can."""

    @classmethod
    @abstractmethod
    def _accepts(cls, uri: str) -> bool:
        """Whether the database can have this address."""

    @classmethod
    @abstractmethod
    def _missing(cls, uri: str) -> str | None:
        """The package that is not installed, or None if nothing is missing."""

    @abstractmethod
    def _opened(self, uri: str, graph: Graph) -> Database:
        """The database at ``uri``, not yet connected."""

    # What all have.

    @property
    def uri(self) -> str:
        """Where the database is."""
        return str(self._settings.uri)

    @property
    def collection(self) -> str:
        """The alias that leads to the newest build."""
        return str(self._settings.collection)

    @property
    def search_effort(self) -> int:
        """Candidates that the database looks at per query."""
        return int(self._settings.search_effort or _EFFORT)

    def require(self) -> None:
        """Check that the database can be reached.

        Raises:
            MissingExtraError: where its client is not installed.
            SearchError: where the database does not answer.
        """
        database = self.database()
        with reported(database):
            database.target(self.collection)

    def database(self) -> Database:
        """The database, connected. Errors as for ``require``."""
        refuse_after_fork(self.title)
        package = self._missing(self.uri)
        if package is not None:
            raise MissingExtraError(package, self.kind, self.title)
        settings = self._settings
        return self._opened(self.uri, Graph(settings.links, settings.build_effort, settings.timeout))

    def _rerank(self, n: int, k: int) -> int:
        return min(n, 2 * k + 16)

    def _train(self, vectors: Floats) -> Any:
        database, size = self.database(), vectors.shape[0]
        version = self._version(vectors)
        name = f"{self.collection}_{version}"
        with reported(database):
            complete = database.count(name) == size
            if complete:
                database.finish(name, size)
                if database.target(self.collection) != name:
                    database.point(self.collection, name)
        if not complete:
            rows = Rows(np.arange(size, dtype=np.int64), vectors)
            publish(database, self.uri, self.collection, version, rows, effort=self.search_effort)
        return _Native(database, name, size)

    def _version(self, vectors: Floats) -> str:
        """The part of a collection's name that depends on these vectors and settings."""
        built = f"{self._settings.links}/{self._settings.build_effort}/{vectors.shape}".encode()
        return hashlib.sha256(built + np.ascontiguousarray(vectors).view(np.uint8).data).hexdigest()[:16]

    def _probe(self, native: Any, queries: Floats, width: Width, open_: npt.NDArray[np.bool_] | None = None) -> Ints:
        refuse_after_fork(self.title)
        where, results = None, width.results
        if open_ is not None:
            free = np.flatnonzero(open_)
            if free.size <= _PUSHED:  # then no result is lost to the filter, and as many as without one are enough
                where, results = Among("id", free), math.ceil(results * free.size / native.size)
        limit = max(1, min(results, native.size, self._most))
        effort = max(int(self.search_effort * width.effort), limit)
        with reported(native.database):
            found = native.database.search(native.name, queries, limit, effort, where)
        positions = np.full((queries.shape[0], limit), -1, np.int64)
        for row, hits in enumerate(found):
            ids = np.unique([key for key, _ in hits]).astype(np.int64)
            positions[row, : ids.size] = ids
        return positions

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Any:
        return self._train(whole(snapshot.base.vectors))


@functools.lru_cache(maxsize=64)
def remembered(connect: Callable[..., Any], *arguments: Any) -> Any:
    """The result of ``connect``, the same one for the same arguments: one connection per place and process."""
    return connect(*arguments)
