"""What any model has to be ahead of: popularity, tables of neighbours, EASE, iALS, Mult-VAE, SASRec of RecTools and of RePlay, and a query
made of the latest items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

import shortlist as sl
from benchmarks.quality import sasrec
from benchmarks.quality.measures import Scorer
from benchmarks.quality.multvae import mult_vae
from benchmarks.quality.problems import Problem
from shortlist.index import Lists
from shortlist.loss import ALS, Chosen, Sweeps, solve

FOLD_STEPS = 24  # from nothing, where the steps of a sweep start from the last one's end


def popularity(problem: Problem, seed: int = 0) -> Scorer:
    """Training counts, the same for every query."""
    counts = np.bincount(problem.train.candidate_rows, minlength=len(problem.train.candidates)).astype(np.float32)
    return lambda rows: np.broadcast_to(counts, (len(rows), len(counts)))


def transitions(problem: Problem, seed: int = 0, **options: float) -> Scorer:
    """The package's ``Transitions``, what a table of neighbours has no score for by popularity."""
    return _of_neighbours(problem, sl.Transitions(**options).fit(problem.train))


def cooccurrence(problem: Problem, seed: int = 0, **options: float) -> Scorer:
    """The package's ``Cooccurrence``, likewise."""
    return _of_neighbours(problem, sl.Cooccurrence(**options).fit(problem.train))


def _of_neighbours(problem: Problem, table: sl.Neighbours) -> Scorer:
    """A table's scores of what is given; candidates without one are below all others, by training counts."""
    offsets, items = problem.histories
    size = len(problem.train.candidates)
    popular = (-1 / (1 + np.bincount(problem.train.candidate_rows, minlength=size))).astype(np.float32)

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        histories = Lists.of([items[offsets[row] : offsets[row + 1]].astype(np.int64) for row in rows])
        near = table.dense(histories, size)
        return np.where(near > 0, near, popular)

    return score


def ease(problem: Problem, seed: int = 0, *, regularization: float = 200.0) -> Scorer:
    """``X B`` with B the ridge regression of each item on all others (Steck 2019, "Embarrassingly shallow autoencoders")."""
    weights = weights_of(_matrix(problem.train), regularization)
    given = _matrix(problem.given)
    return lambda rows: np.asarray(given[rows] @ weights, dtype=np.float32)


def weights_of(matrix: sparse.csr_matrix, regularization: float) -> NDArray[np.float32]:
    """EASE's B ``[items, items]``: I − P · diag(1 / diag P), P = (XᵀX + λI)⁻¹."""
    together = torch.from_numpy(np.asarray((matrix.T @ matrix).todense(), dtype=np.float64))
    together.diagonal().add_(regularization)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(together))
    weights = -inverse / inverse.diagonal()
    weights.diagonal().zero_()
    return weights.float().numpy()


def ials(
    problem: Problem,
    seed: int = 0,
    *,
    dim: int = 64,
    unobserved: float = 0.1,
    regularization: float = 0.003,
    exponent: float = 1.0,
    sweeps: int = 16,
) -> Scorer:
    """The package's ``ALS``, with the asked queries folded in from what is given of them, also those that training never saw.

    The baseline ``ials`` of an evaluation is another objective: ``implicit`` decays all rows alike.
    """
    task = ALS(unobserved, regularization, exponent)
    found = Sweeps(_chosen(problem.train), task, dim, torch.Generator().manual_seed(seed))
    for _ in range(sweeps):
        found.sweep()
    items = found.candidate
    vectors = solve(_chosen(problem.given), items, task, steps=FOLD_STEPS).numpy()
    return lambda rows: vectors[rows] @ items.numpy().T


def recency(problem: Problem, seed: int = 0, *, regularization: float = 200.0, half_life: float = 5.0) -> Scorer:
    """EASE's weights asked with the history weighted by age: an item counts half after ``half_life`` further ones."""
    weights = weights_of(_matrix(problem.train), regularization)
    offsets, items = problem.histories

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        query = np.zeros((len(rows), weights.shape[0]), dtype=np.float32)
        for place, row in enumerate(rows):
            history = items[offsets[row] : offsets[row + 1]]
            np.add.at(query[place], history, 0.5 ** (np.arange(len(history))[::-1] / half_life))
        return query @ weights

    return score


BASELINES: dict[str, Callable[..., Scorer]] = {
    "popularity": popularity,
    "transitions": transitions,
    "cooccurrence": cooccurrence,
    "ease": ease,
    "ials": ials,
    "recency": recency,
    "mult-vae": lambda problem, seed=0, **options: mult_vae(
        _matrix(problem.train), _matrix(problem.given), seed, **options
    ),
    "rectools-sasrec": sasrec.rectools,
    "replay-sasrec": sasrec.replay,
}
SEEDED = {"ials", "mult-vae", "rectools-sasrec", "replay-sasrec"}
"""Baselines whose result depends on a seed."""


def _matrix(data: object) -> sparse.csr_matrix:
    """Who chose what as 0 and 1, ``[queries, candidates]``."""
    shape = (len(data.queries), len(data.candidates))
    matrix = sparse.csr_matrix(
        (np.ones(len(data), dtype=np.float32), (data.query_rows, data.candidate_rows)), shape=shape
    )
    matrix.data[:] = 1.0
    return matrix


def _chosen(data: object) -> Chosen:
    matrix = _matrix(data).tocoo()
    return Chosen.of(matrix.row.astype(np.int64), matrix.col.astype(np.int64), matrix.data, matrix.shape)
