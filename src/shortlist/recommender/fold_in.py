"""Vectors of new queries from what they chose, on the trained vectors alone: no torch, no tower."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
TRIES = 80  # steps towards a vector, and halves of steps; a few to fifteen are usual
TINY = 1e-10  # of the log posterior: what the last step may still gain
NOTHING = np.zeros(0, np.int64)
REMEMBERED = 1 << 11  # vectors of the queries asked latest
PRODUCT = 1 << 18  # multiplications of a product that OpenBLAS does in one thread


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
        variances: of the candidates' scores in the direction of each z, ``[rank]``; the columns of L are chosen so that no
            two of them vary together. Steps to the likeliest vector are measured by them.
    """

    mean: Vector
    spread: NDArray[np.float64]
    competing: NDArray[np.int64]
    shares: Vector
    temperature: float
    variances: Vector

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
        competing, shares = competing.astype(np.int64), weight / weight.sum()
        competitors = vectors_of(competing).astype(np.float64)
        if temperature is None and chosen is not None:
            chosen = without(chosen, deleted) if len(deleted) else chosen
            asked = _some(trained[np.diff(chosen.offsets)[trained] > 0], ASKED)
            if len(asked):
                away = queries[asked].astype(np.float64) - mean
                own = [vectors_of(chosen.row(row)).astype(np.float64) for row in asked.tolist()]
                temperature = _likeliest(away, own, competitors, shares)
        temperature = temperature or 1.0
        spread, variances = _apart(spread, competitors / temperature, shares)
        return cls(mean, spread, competing, shares, temperature, variances)


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
        """The competitors' vectors, ``[dim, competing]``, in the unit of the temperature."""
        return np.ascontiguousarray(self._scaled(self.prior.competing).T)

    @cached_property
    def _reach(self) -> NDArray[np.float64]:
        """The change of the competitors' scores by each z: ``[rank, competing]``."""
        reach: NDArray[np.float64] = self.prior.spread.T @ self._competitors
        return reach

    def _scaled(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.candidates(rows).astype(np.float64) / self.prior.temperature

    def _vector(self, rows: NDArray[np.int64], before: Vector, average: bool) -> Vector:
        """The top of the posterior of z, which is concave: steps by its slopes so far (BFGS) are halved until they rise."""
        if not len(rows):
            return before
        spread = self.prior.spread
        total, count = (self._scaled(rows) @ spread).sum(0), len(rows)
        offset = np.zeros(1) if average else _scores(self._competitors, before - self.prior.mean)
        scale, moves = 1 / (1 + count * self.prior.variances), _Moves()
        z = np.zeros(spread.shape[1])
        height, slope = self._posterior(z, total, count, offset)
        step = scale * slope
        for _ in range(TRIES):
            if slope @ step < TINY:
                z = z + step
                break
            higher, after = self._posterior(z + step, total, count, offset)
            if higher < height:
                step = step / 2
                continue
            moves.add(step, slope - after)
            z, height, slope = z + step, higher, after
            step = moves.step(slope, scale)
        return before + spread @ z

    def _posterior(self, z: Vector, total: Vector, count: int, offset: Vector) -> tuple[float, Vector]:
        """The log posterior at ``z``, but for a constant, and its slope ``[rank]``."""
        logits = _scores(self._reach, z) + offset
        largest = logits.max()
        odds = self.prior.shares * np.exp(logits - largest)
        mass = odds.sum()
        height = float(total @ z - count * (largest + np.log(mass)) - z @ z / 2)
        return height, total - _weighted(self._reach, odds) * (count / mass) - z


class _Moves:
    """The steps taken so far, from which the next is made: BFGS, in the two loops of Nocedal (1980)."""

    def __init__(self) -> None:
        self._moves: list[tuple[Vector, Vector, float]] = []

    def add(self, step: Vector, fall: Vector) -> None:
        """Record a step, and by how much the slope fell along it."""
        bend = float(step @ fall)
        if bend > 0:  # but for rounding it is
            self._moves.append((step, fall, bend))

    def step(self, slope: Vector, scale: Vector) -> Vector:
        """The next step; the first is the slope times ``scale``."""
        shares = []
        for step, fall, bend in reversed(self._moves):
            shares.append(share := (step @ slope) / bend)
            slope = slope - share * fall
        found = scale * slope
        for (step, fall, bend), share in zip(self._moves, reversed(shares), strict=True):
            found = found + (share - (fall @ found) / bend) * step
        return found


def _scores(columns: NDArray[np.float64], vector: Vector) -> Vector:
    """``vector @ columns``, in the thread that asks: a second one that is busy would keep it waiting for milliseconds.

    A row of zeros makes it a product of matrices, of which OpenBLAS does thirty times as many multiplications in one thread.
    """
    pair, found = np.zeros((2, len(columns))), np.empty((2, columns.shape[1]))
    pair[0] = vector
    for part in _parts(columns):
        np.matmul(pair, columns[:, part], out=found[:, part])
    scores: Vector = found[0]
    return scores


def _weighted(columns: NDArray[np.float64], weights: Vector) -> Vector:
    """``columns @ weights``, likewise."""
    pair, found = np.zeros((2, len(weights))), np.zeros((2, len(columns)))
    pair[0] = weights
    for part in _parts(columns):
        found += pair[:, part] @ columns[:, part].T
    sums: Vector = found[0]
    return sums


def _parts(columns: NDArray[np.float64]) -> list[slice]:
    """Parts of the columns whose product with two vectors one thread does."""
    rows, count = columns.shape
    size = max(1, PRODUCT // max(1, 2 * rows))
    return [slice(first, first + size) for first in range(0, count, size)]


def _apart(
    spread: NDArray[np.float64], competitors: NDArray[np.float64], shares: Vector
) -> tuple[NDArray[np.float64], Vector]:
    """The root of the same covariance of whose columns no two change the competitors' scores together; and the variances of
    those changes, ``[rank]``.
    """
    reach = competitors @ spread
    away = reach - shares @ reach
    variances, directions = np.linalg.eigh((away * shares[:, None]).T @ away)
    return spread @ directions, np.maximum(variances, 0.0)


def _likeliest(
    away: NDArray[np.float64], own: Sequence[NDArray[np.float64]], competitors: NDArray[np.float64], shares: Vector
) -> float:
    """The temperature under which the choices of some queries are likeliest; the log of it is concave in 1/T.

    Args:
        away: the queries' vectors less the mean, ``[asked, dim]``.
        own: of each the vectors of what it chose.
        competitors: ``[competing, dim]``.
        shares: of each competitor.
    """
    scores = away @ competitors.T  # [asked, competing]
    counts = np.array([len(vectors) for vectors in own])
    chosen = sum(float((vectors @ one).sum()) for vectors, one in zip(own, away, strict=True))
    scores -= (top := scores.max(axis=1, keepdims=True))
    low, high = np.log(1e-3), np.log(1e3)  # of 1/T
    for _ in range(30):
        middle = (low + high) / 2
        odds = shares * np.exp(scores * np.exp(middle))
        expected = (odds * (scores + top)).sum(1) / odds.sum(1)
        low, high = (middle, high) if chosen > counts @ expected else (low, middle)
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
