"""What a recommender answers: raw ids, scores, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Item", "Recommendation", "Recommendations"]

Id = str | int


@dataclass(frozen=True)
class Item:
    """One recommended candidate; ``source`` is "model", or the fallback that filled the place."""

    id: Id
    score: float
    source: str


@dataclass(frozen=True)
class Recommendation(Sequence[Item]):
    """The list of one query, best first. ``known`` is whether the query occurred in training."""

    query: Id | None
    known: bool
    items: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    @property
    def ids(self) -> list[Id]:
        """The candidates' ids, best first."""
        return [item.id for item in self.items]

    @property
    def scores(self) -> list[float]:
        """Their scores."""
        return [item.score for item in self.items]

    def __str__(self) -> str:
        width = max((len(str(item.id)) for item in self.items), default=0)
        rows = [
            f"  {rank:>3}. {item.id!s:<{width}}  {item.score:10.4f}" + ("" if item.source == "model" else f"  {item.source}")
            for rank, item in enumerate(self.items, start=1)
        ]
        head = f"{self.query}" + ("" if self.known else "  (unknown to the model)")
        return "\n".join([head, *(rows or ["  nothing is left to recommend"])])


@dataclass(frozen=True, eq=False)
class Recommendations(Sequence[Recommendation]):
    """One list per query, in the order asked.

    ``print`` shows them; ``to_frame`` and ``to_dicts`` hand them on; ``recommendations[0].ids`` are raw ids of the type
    that the interactions had.
    """

    query_column: str
    candidate_column: str
    queries: Sequence[Id | None]
    known: NDArray[np.bool_]
    lists: tuple[tuple[Item, ...], ...]
    dtypes: tuple[pl.DataType, pl.DataType]

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return Recommendation(self.queries[index], bool(self.known[index]), self.lists[index])

    def __iter__(self) -> Iterator[Recommendation]:
        return (self[number] for number in range(len(self)))

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON: query, known, and items of id, score and source."""
        return [
            {
                "query": answer.query,
                "known": answer.known,
                "items": [{"id": item.id, "score": item.score, "source": item.source} for item in answer],
            }
            for answer in self
        ]

    def to_frame(self) -> pl.DataFrame:
        """A row per item: query id, rank from 1, candidate id, score, source, known."""
        rows = [
            (answer.query, rank, item.id, item.score, item.source, answer.known)
            for answer in self
            for rank, item in enumerate(answer, start=1)
        ]
        schema = {
            self.query_column: self.dtypes[0],
            "rank": pl.Int64(),
            self.candidate_column: self.dtypes[1],
            "score": pl.Float64(),
            "source": pl.String(),
            "known": pl.Boolean(),
        }
        return pl.DataFrame(rows, schema=schema, orient="row")
