"""Vectors of new queries from what they chose, on the trained vectors alone: no torch, no tower."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError
from shortlist.index import Halves, Lists
from shortlist.recommender.latest import Latest
from shortlist.sources import without

__all__ = ["FoldIn", "Prior", "VectorsOf"]

Vector = NDArray[np.float64]
VectorsOf: TypeAlias = (
    "Callable[[NDArray[np.int64]], NDArray[np.float32]]"  # from candidate rows to vectors [rows, dim]
)

COMPETITORS = 1 << 14  # so many candidates are used in place of a larger catalogue
QUERIES = 1 << 16  # trained queries that the distribution is estimated from
ASKED = 128  # trained queries that the temperature is estimated from
STEPS, HALVINGS = 8, 30
TINY = 1e-12
NOTHING = np.zeros(0, np.int64)
REMEMBERED = 1 << 11  # vectors of the queries asked latest
PRODUCT, VECTOR = (
    1 << 18,
    1 << 13,
)  # multiplications of a product, and of one with a vector, that OpenBLAS does in one thread


@dataclass(frozen=True, eq=False)
class Prior:
    """The distribution of queries before they choose, and how candidates compete for their choice.

    A query q is taken to be one of the trained ones' kind, q = m + L z with z ~ N(0, I), where m and L Lᵀ are mean and
    covariance of the trained queries' vectors; and to choose candidate i with the probability

        n_i exp((q − m)·c_i / T) / Σ_j n_j exp((q − m)·c_j / T)

    where n are the training counts: the average query chooses by popularity. Both are scale-free, hold with and without
    logQ correction, and leave alone a dimension that all queries share (that of an item bias).

    Attributes:
        mean: ``[dim]``.
        spread: L, ``[dim, rank]``.
        competing: rows of candidates.
        shares: their n, which sum to 1.
        temperature: T.
    """

    mean: Vector
    spread: NDArray[np.float64]
    competing: NDArray[np.int64]
    shares: Vector
    temperature: float = 1.0

    @classmethod
    def of(
        cls,
        vectors_of: VectorsOf,
        queries: NDArray[np.float32] | Halves,
        counts: NDArray[np.int64],
        trained: NDArray[np.int64],
        chosen: Lists | None = None,
        temperature: float | None = None,
        deleted: NDArray[np.int64] = NOTHING,
    ) -> Prior:
        """The prior of a model's vectors.

        Catalogues of more than 16,384 candidates are replaced by so many, drawn in proportion to the counts.

        Args:
            vectors_of: the vectors of candidate rows.
            queries: ``[queries, dim]``.
            counts: ``[candidates]``, how often each was chosen.
            trained: rows of the queries that training had.
            chosen: per query, the rows that it chose.
            temperature: None takes the one under which the trained queries' choices are likeliest, or 1 where
                ``chosen`` is empty.
            deleted: rows of candidates that do not compete, and count as chosen by nobody.

        Raises:
            ConfigError: where no query was trained, or for a temperature that is not above 0.
        """
        if temperature is not None and not 0 < temperature < np.inf:
            raise ConfigError(f"fold-in got temperature={temperature}; a number above 0 was expected.")
        mean, spread = _distribution(queries[_some(trained, QUERIES)])
        alive = np.ones(len(counts), np.int64)
        alive[deleted] = 0
        counts = counts * alive
        counts = counts if counts.any() else alive
        if np.count_nonzero(alive) <= COMPETITORS:
            competing = np.flatnonzero(counts)
            weight = counts[competing]
        else:
            ends = np.cumsum(counts)
            drawn = np.searchsorted(ends, np.random.default_rng(0).integers(ends[-1], size=COMPETITORS), side="right")
            competing, weight = np.unique(drawn, return_counts=True)
        prior = cls(mean, spread, competing.astype(np.int64), weight / weight.sum(), temperature or 1.0)
        if temperature is not None or chosen is None:
            return prior
        chosen = without(chosen, deleted) if len(deleted) else chosen
        informative = _some(trained[np.diff(chosen.offsets)[trained] > 0], ASKED)
        return (
            replace(prior, temperature=_likeliest(prior, vectors_of, queries, chosen, informative))
            if len(informative)
            else prior
        )


@dataclass(frozen=True, eq=False)
class FoldIn:
    """Vectors of queries from what they chose: the likeliest under a ``Prior``, by the candidates' current vectors."""

    prior: Prior
    candidates: VectorsOf

    def vectors_of(
        self, chosen: Sequence[NDArray[np.int64]], expected: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Vectors ``[queries, dim]`` that are likeliest for queries that chose these candidate rows, each counted once.

        Args:
            expected: ``[queries, dim]``, the vector expected of each query before it chooses; by default the mean. A query
                with an empty list gets this vector.
        """
        mean = self.prior.mean
        before = np.tile(mean, (len(chosen), 1)) if expected is None else expected.astype(np.float64)
        found = [self._known(np.unique(rows), at, expected is None) for rows, at in zip(chosen, before, strict=True)]
        return np.array(found, np.float32).reshape(len(chosen), len(mean))

    @cached_property
    def _latest(self) -> Latest:
        return Latest(REMEMBERED)

    def _known(self, rows: NDArray[np.int64], before: Vector, average: bool) -> Vector:
        """The vector, computed once for a query that is asked again before it chooses something else."""
        key = hashlib.blake2b(rows.tobytes() + (b"" if average else before.tobytes()), digest_size=16).digest()
        found: Vector | None = self._latest.get(key)
        if found is None:
            found = self._vector(rows, before, average)
            self._latest.put(key, found)
        return found

    @cached_property
    def _competitors(self) -> NDArray[np.float64]:
        """The competitors' vectors, ``[competing, dim]``, in the unit of the temperature."""
        return self._scaled(self.prior.competing)

    @cached_property
    def _reach(self) -> NDArray[np.float64]:
        """The change of the competitors' scores by each z: ``[competing, rank]``."""
        return self._competitors @ self.prior.spread

    def _scaled(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.candidates(rows).astype(np.float64) / self.prior.temperature

    def _vector(self, rows: NDArray[np.int64], before: Vector, average: bool) -> Vector:
        """Newton's method on the posterior of z, which is concave: steps are halved until they rise."""
        if not len(rows):
            return before
        spread = self.prior.spread
        own = self._scaled(rows) @ spread
        offset = np.zeros(1) if average else _scores(self._competitors, before - self.prior.mean)
        total, count = own.sum(0), len(rows)
        z = np.zeros(spread.shape[1])
        height, chances = self._posterior(z, total, count, offset)
        for _ in range(STEPS):
            mean, second = _moments(self._reach, chances)
            slope = total - count * mean - z
            step = np.linalg.solve(count * (second - np.outer(mean, mean)) + np.eye(len(z)), slope)
            gain = slope @ step
            for _ in range(HALVINGS):
                higher, shares = self._posterior(z + step, total, count, offset)
                if higher >= height:
                    break
                step /= 2
            if gain < TINY or higher < height:
                break
            z, height, chances = z + step, higher, shares
        return before + spread @ z

    def _posterior(self, z: Vector, total: Vector, count: int, offset: Vector) -> tuple[float, Vector]:
        """The log posterior at ``z``, but for a constant, and each competitor's probability ``[competing]``."""
        logits = _scores(self._reach, z) + offset
        largest = logits.max()
        odds = self.prior.shares * np.exp(logits - largest)
        mass = odds.sum()
        return float(total @ z - count * (largest + np.log(mass)) - z @ z / 2), odds / mass


def _scores(rows: NDArray[np.float64], vector: Vector) -> Vector:
    """``rows @ vector``, in the thread that asks: a second one that is busy would keep it waiting for milliseconds."""
    found = np.empty(len(rows))
    size = max(1, VECTOR // max(1, rows.shape[1]))
    for first in range(0, len(rows), size):
        np.matmul(rows[first : first + size], vector, out=found[first : first + size])
    return found


def _moments(rows: NDArray[np.float64], shares: Vector) -> tuple[Vector, NDArray[np.float64]]:
    """The weighted mean ``[rank]`` of rows and of their outer products ``[rank, rank]``, in the thread that asks."""
    rank = rows.shape[1]
    mean, second = np.zeros(rank), np.zeros((rank, rank))
    size = max(16, PRODUCT // max(1, rank * rank))
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        weighted = some * shares[first : first + size, None]
        mean += weighted.sum(0)
        second += weighted.T @ some
    return mean, second


def _likeliest(
    prior: Prior, vectors_of: VectorsOf, queries: NDArray[np.float32] | Halves, chosen: Lists, some: NDArray[np.int64]
) -> float:
    """The temperature under which the choices of ``some`` queries are likeliest; the log of it is concave in 1/T."""
    away = queries[some].astype(np.float64) - prior.mean
    scores = away @ vectors_of(prior.competing).astype(np.float64).T  # [asked, competing]
    counts = np.diff(chosen.offsets)[some]
    own = sum(
        float((vectors_of(chosen.row(row)).astype(np.float64) @ one).sum())
        for row, one in zip(some.tolist(), away, strict=True)
    )
    scores -= (top := scores.max(axis=1, keepdims=True))
    low, high = np.log(1e-3), np.log(1e3)  # of 1/T
    for _ in range(30):
        middle = (low + high) / 2
        odds = prior.shares * np.exp(scores * np.exp(middle))
        expected = (odds * (scores + top)).sum(1) / odds.sum(1)
        low, high = (middle, high) if own > counts @ expected else (low, middle)
    return float(np.exp(-(low + high) / 2))


def _distribution(queries: NDArray[np.float32]) -> tuple[Vector, NDArray[np.float64]]:
    """Mean ``[dim]`` and a root L ``[dim, rank]`` of the covariance.

    With few queries the covariance is shrunk towards its diagonal; else vectors could not move in directions without spread.
    """
    if not len(queries):
        raise ConfigError(
            "fold-in needs trained queries, and there are none.",
            hint="train the model on more interactions, or use popularity",
        )
    mean = queries.mean(0, dtype=np.float64)
    away = queries - mean
    covariance = away.T @ away / len(queries)
    lean = len(mean) / (len(mean) + len(queries))
    covariance = (1 - lean) * covariance + lean * np.diag(np.diag(covariance))
    values, directions = np.linalg.eigh(covariance)
    kept = values > max(values[-1] * 1e-9, 0.0)
    return mean, directions[:, kept] * np.sqrt(values[kept])


def _some(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Up to ``most`` of them, evenly spread."""
    return values if len(values) <= most else values[np.linspace(0, len(values) - 1, most).astype(np.int64)]
