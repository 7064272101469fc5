"""Candidates that the rules for a list choose among, and the lift that ``boost`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shortlist.recommender.answers import MODEL, Answers
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.state import State

__all__ = ["Best", "Boosts", "Pool", "RowsOf"]

RowsOf: TypeAlias = (
    "Callable[[str, str], NDArray[np.int64]]"  # from a condition and its option to the rows that meet it
)
Best: TypeAlias = "Callable[[int, NDArray[np.int64] | None], list[Pool]]"  # so many of each query, of these rows alone


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates of one query, best first: by the model, then by the fallback."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    sources: NDArray[np.uint8]

    @classmethod
    def of(cls, answers: Answers, number: int) -> Pool:
        """One list of some."""
        part = slice(answers.offsets[number], answers.offsets[number + 1])
        rows = answers.rows[part]
        sources = np.full(len(rows), MODEL, np.uint8) if answers.sources is None else answers.sources[part]
        return cls(rows, answers.scores[part].astype(np.float64), sources)

    @classmethod
    def empty(cls) -> Pool:
        """No candidates."""
        return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))

    @classmethod
    def each(cls, answers: Answers) -> list[Pool]:
        """Every list."""
        return [cls.of(answers, number) for number in range(len(answers))]

    @classmethod
    def joined(cls, parts: list[Pool]) -> Pool:
        """Several pools of one query as one."""
        return cls(*(np.concatenate([getattr(one, name) for one in parts]) for name in ("rows", "scores", "sources")))

    def spans(self, k: int) -> dict[int, float]:
        """The distance between the best and the k-th score of each source; 1 where there is none."""
        highest = {
            source: np.sort(self.scores[self.sources == source])[::-1][:k]
            for source in np.unique(self.sources).tolist()
        }
        return {source: float(scores[0] - scores[-1]) or 1.0 for source, scores in highest.items()}

    def sorted(self) -> Pool:
        """Best first; equal scores by row."""
        order = np.lexsort((self.rows, -self.scores, self.sources))
        return Pool(self.rows[order], self.scores[order], self.sources[order])

    def without(self, rows: Iterable[int]) -> Pool:
        """Less some rows."""
        rows = [*rows]
        if not rows:
            return self
        kept = ~np.isin(self.rows, np.array(rows, np.int64))
        return Pool(self.rows[kept], self.scores[kept], self.sources[kept])

    def relevance(self) -> NDArray[np.float64]:
        """From 1 for the best to 0 for the last of the first source's candidates; below 0, by place, for the others'."""
        if not len(self.rows):
            return self.scores
        first = self.sources == self.sources[0]
        most, least = self.scores[first].max(), self.scores[first].min()
        scaled = (self.scores - least) / (most - least) if most > least else np.zeros(len(self.rows))
        place = np.arange(1, len(self.rows) + 1) / len(self.rows)
        return np.where(first, scaled, -place)


@dataclass(frozen=True, eq=False)
class Boosts:
    """The lift that conditions give each candidate row, in spans, and the rows in groups of one lift."""

    lift: NDArray[np.float64] | None
    groups: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, state: State, rules: Rerank, rows_of: RowsOf) -> Boosts:
        if not rules.boost:
            return cls(None, ())
        lift = np.zeros(state.size)
        for condition, factor in rules.boost.items():
            lift[rows_of(condition, "boost")] += factor
        return cls(lift, [np.flatnonzero(lift == one) for one in np.unique(lift)])

    def pools(self, best: Best, size: int) -> list[Pool]:
        """The best candidates of each query, ``size`` of each group, so that lifted ones are among them; scores as found.

        Args:
            best: a function that gives so many candidates of each query, of some rows alone where these are given.
        """
        parts = [best(size, rows) for rows in self.groups] if self.groups else [best(size, None)]
        return [Pool.joined(list(of_one)) for of_one in zip(*parts, strict=True)]

    def lifted(self, pool: Pool, spans: Mapping[int, float]) -> Pool:
        """The pool with lifted scores, in the spans of each source."""
        if self.lift is None or not self.lift[pool.rows].any():
            return pool
        span = np.array([spans.get(source, 1.0) for source in pool.sources.tolist()])
        return Pool(pool.rows, pool.scores + span * self.lift[pool.rows], pool.sources).sorted()
