"""EASE: a linear model from items to items with nothing on its diagonal, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.choices import choice_counts
from shortlist.errors import ConfigError
from shortlist.index.values import offsets_of
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.tables import check_fit, check_settings, chosen_matrix, distinct_choices

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from torch import Tensor

__all__ = ["EASE", "ease_columns", "ease_products", "side_of"]

TILE = 1 << 24  # weights computed at a time
STRENGTH = 22.0
MOST = 30_000  # rows of the matrix to invert, at most
CONDITION = 1e5  # condition number up to which float32 keeps the digits of the weights (largest error on Steam 4e-7 of 0.5), in half the time


@dataclass(frozen=True)
class EASE:
    """Settings of EASE as a neighbour source: each candidate keeps its ``neighbours`` heaviest weights above 0.

    With X ``[queries, candidates]`` of 0 and 1 and P = (XᵀX + strength · I)⁻¹, the weights are B = I − P · diag(1 / diag P).
    The matrix that is inverted is the smaller of candidates × candidates and queries × queries: with
    K = (XXᵀ + strength · I)⁻¹, P = (I − XᵀKX) / strength, so B[i, j] = (XᵀKX)[i, j] / (1 − (XᵀKX)[j, j]), which are sums of rows
    of KX, since X is sparse.

    Source: Steck 2019, "Embarrassingly shallow autoencoders for sparse data".

    Args:
        strength: the ridge penalty; None takes 22 · √(interactions per candidate), since the best penalty grows with how often
            items are chosen (Last.fm, Steam, MovieLens: 45, 100, 150; the best of 20 to 500 was 50, 100, 200 to 500).
        neighbours: neighbours that each candidate keeps.
        candidates: this many of the most chosen candidates take part; the others have no neighbours.
        length: of a query's history only this many of the latest are read.
        age: weight of an item of a history against the next later one; below 1 where people choose what is like their latest
            choices.

    Raises:
        ConfigError: for settings out of range.
    """

    strength: float | None = None
    neighbours: int = 200
    candidates: int = 6_000
    length: int = 500
    age: float = 1.0

    def __post_init__(self) -> None:
        check_settings(self, strength=(1e-6, 1e12), age=(1e-6, 1))

    def fit(self, train: Dataset | Shards) -> Neighbours:
        """The table of ``train``.

        Raises:
            DataError: for anything but a Dataset or Shards, and where every weight is 0.
            MissingExtraError: without scipy or torch.
            ConfigError: where both queries and candidates are more than 30,000.
        """
        check_fit(self, train)
        import torch

        taken = self._taking_part(train)
        weights = ease_columns(train, self.strength, taken)
        most, size = min(self.neighbours, len(taken)), len(taken)
        counts = np.zeros(len(train.candidates), np.int64)
        found, values = [], []
        for start in range(0, size, max(1, TILE // size)):
            tile = weights(start, min(start + max(1, TILE // size), size))  # [rows, taken]
            best, columns = torch.topk(tile, most, dim=1)
            kept = best > 0
            counts[taken[start : start + len(tile)]] = kept.sum(1).numpy()
            found.append(taken[columns[kept].numpy()].astype(np.int32))
            values.append(best[kept].numpy())
        offsets = offsets_of(counts)
        ids = train.candidates[train.candidate]
        return Neighbours(offsets, np.concatenate(found), np.concatenate(values), self.age, self.length, "ease", ids)

    def _taking_part(self, train: Dataset | Shards) -> NDArray[np.int64]:
        """Rows of the candidates that are chosen most often, rising."""
        often = choice_counts(train, "candidate")
        return np.sort(np.argsort(-often, kind="stable")[: min(self.candidates, max(int((often > 0).sum()), 1))])


def side_of(queries: int, candidates: int) -> int:
    """Rows of the matrix that EASE inverts: of the smaller side. ConfigError where that is too large."""
    side = min(queries, candidates)
    if side > MOST:
        raise ConfigError(
            f"EASE inverts a matrix of all candidates, or of all queries; {candidates:,} and {queries:,} are both more "
            f"than {MOST:,}.",
            hint="use Cooccurrence() or als()",
        )
    return side


def ease_products(queries: int, candidates: int, pairs: int) -> float:
    """The number of multiplications of EASE, to estimate its time."""
    side = float(min(queries, candidates))
    return side**3 if candidates <= queries else side**3 + float(pairs) * (queries + candidates)


def ease_columns(train: Dataset | Shards, strength: float | None = None, taken: NDArray[np.int64] | None = None):  # type: ignore[no-untyped-def]
    """A function that gives rows ``low`` to ``high`` of EASE's B among the candidates ``taken`` (None: all), as float32
    ``[rows, taken]``."""
    import torch
    from torch.nn.functional import embedding_bag

    matrix = chosen_matrix(distinct_choices(train, len(train)), train)
    matrix = matrix if taken is None else matrix[:, taken].tocsr()
    queries, candidates = matrix.shape
    side_of(queries, candidates)
    if strength is None:
        strength = STRENGTH * max(matrix.nnz / max(len(np.unique(matrix.indices)), 1), 1.0) ** 0.5
    if candidates <= queries:
        inverse = _inverse(matrix.T @ matrix, strength)
        scale = -1 / inverse.diagonal()

        def of_inverse(low: int, high: int) -> Tensor:
            return _hollow((inverse[low:high] * scale).float(), low)

        return of_inverse
    met = np.flatnonzero(np.diff(matrix.indptr))  # a query without a choice adds nothing
    chosen = matrix[met].T.tocsr()  # [candidates, queries]
    half = chosen @ _inverse(chosen.T @ chosen, strength).numpy()  # XᵀK, [candidates, queries]
    whole = np.asarray(chosen.multiply(half).sum(1), np.float64).ravel()  # the diagonal of XᵀKX
    factor = torch.from_numpy(1 / (1 - whole)).float()
    other = torch.from_numpy(half.T.astype(np.float32, order="C"))  # KX, [queries, candidates]
    offsets, queries_of = (torch.from_numpy(one.astype(np.int64)) for one in (chosen.indptr, chosen.indices))

    def of_sums(low: int, high: int) -> Tensor:
        own = offsets[low : high + 1]
        sums = embedding_bag(queries_of[own[0] : own[-1]], other, own - own[0], mode="sum", include_last_offset=True)
        return _hollow(sums.mul_(factor), low)

    return of_sums


def _inverse(products: csr_matrix, strength: float) -> Tensor:
    """Of a matrix of products, with ``strength`` added to its diagonal: float32 where that keeps the digits, else float64."""
    import torch

    dense = torch.from_numpy(products.toarray())
    dense.diagonal().add_(strength)
    if float(dense.sum(1).max()) >= CONDITION * strength:  # no eigenvalue is larger than the largest sum of a row
        dense = dense.double()
    return torch.cholesky_inverse(torch.linalg.cholesky(dense))


def _hollow(tile: Tensor, first: int) -> Tensor:
    """Rows of B, of which the first is candidate ``first``, with 0 on the diagonal."""
    rows = np.arange(len(tile))
    tile[rows, first + rows] = 0
    return tile
