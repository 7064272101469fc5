"""The calls that a database answers, whichever it is, and the rows that a collection is filled with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shortlist.index.databases.filters import Filter
from shortlist.index.values import Floats

__all__ = ["Attribute", "Batch", "Database", "Found", "Rows"]

ROWS = 10_000
"""Rows in an insert, and in memory in addition to the vectors."""

Kind: TypeAlias = Literal["text", "integer", "number", "boolean"]
Found: TypeAlias = "list[tuple[Any, float]]"
"""The answer to a query: ids with their inner products, best first."""


@dataclass(frozen=True)
class Attribute:
    """A column of the candidates, to filter by.

    Attributes:
        longest: bytes of the longest text; 0 for other kinds.
        read: the values of the rows from one number up to another, None where there is none.
    """

    name: str
    kind: Kind
    longest: int
    read: Callable[[int, int], list[Any]]


@dataclass(frozen=True)
class Batch:
    """Some rows in a row: the number of the first, and lists of equal length.

    Attributes:
        counting: whether all ids of the collection are integers from 0 on.
    """

    start: int
    counting: bool
    ids: list[Any]
    vectors: Floats
    attributes: dict[str, list[Any]]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a collection: ``id`` (integers or text, distinct), ``vector``, and attributes."""

    ids: NDArray[Any]
    vectors: Floats
    attributes: tuple[Attribute, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @property
    def has_integer_ids(self) -> bool:
        """Whether the ids are integers; else they are text."""
        return bool(np.issubdtype(self.ids.dtype, np.integer))

    @property
    def has_counting_ids(self) -> bool:
        """Whether the ids are integers from 0 on."""
        return self.has_integer_ids and bool((self.ids >= 0).all())

    def batches(self) -> Iterator[Batch]:
        """The rows in parts, in order."""
        counting = self.has_counting_ids
        for low in range(0, len(self), ROWS):
            high = min(low + ROWS, len(self))
            values = {one.name: one.read(low, high) for one in self.attributes}
            yield Batch(low, counting, self.ids[low:high].tolist(), np.asarray(self.vectors[low:high]), values)


class Database(Protocol):
    """A place with collections. Calls may come from any number of threads.

    A collection has a name of letters, digits and ``_``; an alias is another name that leads to one of them.
    """

    place: str
    """Its name in messages: "Milvus at 'movies.db'"."""

    errors: tuple[type[Exception], ...]
    """The errors that its client raises where it does not answer or refuses."""

    def names(self, start: str) -> list[str]:
        """The collections whose names begin with ``start``."""

    def count(self, name: str) -> int:
        """How many rows a collection has; -1 where there is none."""

    def takes(self, attribute: Attribute) -> bool:
        """Whether a column of this name and kind can be stored."""

    def create(self, name: str, rows: Rows) -> None:
        """Makes an empty collection for rows like these."""

    def insert(self, name: str, batch: Batch) -> None:
        """Adds rows, in one call."""

    def finish(self, name: str, rows: int) -> None:
        """Makes what was inserted durable and searchable by its graph; nothing to do for a finished collection."""

    def search(self, name: str, queries: Floats, k: int, effort: int, where: Filter | None = None) -> list[Found]:
        """The k best of each query that meet ``where``, or fewer; stops with an error after the time-out.

        Raises:
            ConfigError: for a filter that the database does not know.
        """

    def target(self, alias: str) -> str | None:
        """The collection that an alias leads to, if there is one."""

    def point(self, alias: str, name: str) -> None:
        """Lets the alias lead to a collection, in one step."""

    def drop(self, name: str) -> None:
        """Releases a collection and removes it; nothing to do where there is none."""
