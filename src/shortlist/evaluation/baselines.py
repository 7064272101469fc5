"""What a model must beat: cheaper ways to fill the same lists, each as vectors whose dot product is its score."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset
from shortlist.errors import ConfigError, DataError, MissingExtraError, did_you_mean
from shortlist.features import Vocabulary

__all__ = ["BASELINES", "Scorer", "Training", "affordable_baselines", "baseline", "baseline_names", "ease_weights"]

EASE_CANDIDATES = 20_000
HISTORY_ELEMENTS = 1 << 29
RECENT_SHARE = 0.1
SMALL_CATALOGUE = 5_000
SMALL_TRAINING = 2_000_000


class Scorer(NamedTuple):
    """Query vectors ``[queries, dim]`` and candidate vectors ``[candidates, dim]``; scores are their dot products."""

    query: Tensor
    candidate: Tensor

    def to(self, device: torch.device) -> Scorer:
        """The same on another device."""
        return Scorer(self.query.to(device), self.candidate.to(device))


@dataclass(frozen=True, eq=False)
class Training:
    """What baselines learn from: training pairs as rows of the asked queries and the catalogue.

    asked: int64 ``[queries]``, the row of each asked query among ``queries`` training queries, −1 for one that training
    never saw. query, candidate: int64 ``[pairs]``, distinct pairs. time: float64 ``[pairs]``, or None. counts:
    ``[candidates]``, training interactions, repeats counted.
    """

    asked: NDArray[np.int64]
    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    time: NDArray[np.float64] | None
    counts: NDArray[np.float64]
    queries: int

    @classmethod
    def of(cls, train: Dataset, query_ids: pl.Series, candidate_ids: pl.Series) -> Training:
        """The training data for these asked queries and this catalogue; candidates beyond it are passed over."""
        row = _rows(train.candidates[train.candidate], candidate_ids)[train.candidate_rows]
        asked = _rows(query_ids, train.queries[train.query])
        inside = row >= 0
        query, row = train.query_rows[inside].astype(np.int64), row[inside]
        time = None
        if train.timestamp is not None:
            time = train.interactions[train.timestamp].to_physical().cast(pl.Float64).to_numpy()[inside]
        counts = np.bincount(row, minlength=len(candidate_ids)).astype(np.float64)
        last = np.lexsort((np.zeros(len(row)) if time is None else time, row, query))[::-1]
        _, first = np.unique(query[last] * len(candidate_ids) + row[last], return_index=True)
        kept = last[first]
        return cls(asked, query[kept], row[kept], None if time is None else time[kept], counts, len(train.queries))

    def histories(self) -> Tensor:
        """What each asked query chose, as a dense matrix of 0 and 1, float32 ``[queries, candidates]``.

        Raises ConfigError where that would take more than 2 GiB.
        """
        shape = (len(self.asked), len(self.counts))
        if shape[0] * shape[1] > HISTORY_ELEMENTS:
            raise ConfigError(
                f"item-to-item baselines need the histories of all asked queries in memory, here {shape[0]:,} × "
                f"{shape[1]:,}.",
                hint="evaluate a sample of the test rows, or use 'ials'",
            )
        distinct, position = np.unique(self.asked, return_inverse=True)  # a query may be asked in several contexts
        rows = np.searchsorted(distinct, self.query)
        here = distinct[np.minimum(rows, len(distinct) - 1)] == self.query
        matrix = torch.zeros(len(distinct), shape[1])
        matrix[torch.from_numpy(rows[here]), torch.from_numpy(self.candidate[here])] = 1
        return matrix if np.array_equal(distinct, self.asked) else matrix[torch.from_numpy(position)]


def popularity(training: Training) -> Scorer:
    """Training counts, the same for everyone."""
    return _for_everyone(training, training.counts)


def recent_popularity(training: Training) -> Scorer:
    """Counts over the latest tenth of the training interactions; needs timestamps."""
    if training.time is None:
        raise DataError(
            "the baseline 'recent' needs timestamps, and the training data has none.",
            hint="Dataset(…, timestamp=…)",
        )
    since = np.quantile(training.time, 1 - RECENT_SHARE)
    recent = training.candidate[training.time >= since]
    return _for_everyone(training, np.bincount(recent, minlength=len(training.counts)).astype(np.float64))


def ease(training: Training, strength: float = 500.0) -> Scorer:
    """EASE: a linear model from items to items with nothing on its diagonal, in closed form (Steck 2019, "Embarrassingly
    shallow autoencoders for sparse data"): B = I − P · diag(1 / diag P), P = (XᵀX + λI)⁻¹.

    Raises ConfigError for a catalogue too large to invert.
    """
    size = len(training.counts)
    if size > EASE_CANDIDATES:
        raise ConfigError(
            f"the baseline 'ease' inverts a matrix of all candidates; {size:,} are more than {EASE_CANDIDATES:,}.",
            hint="use 'cooccurrence' or 'ials'",
        )
    weights = ease_weights(_cooccurrences(training), strength)
    return Scorer(training.histories(), weights.T.contiguous())


def ease_weights(together: Tensor, strength: float) -> Tensor:
    """EASE's B, float32 ``[candidates, candidates]``, from how many queries chose both, XᵀX, of that shape,
    which may be written over."""
    gram = together.double()
    gram.diagonal().add_(strength)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = -inverse / inverse.diagonal()
    weights.diagonal().zero_()
    return weights.float()


def cooccurrence(training: Training) -> Scorer:
    """Item-to-item: the sum over a query's history of the cosine of two items' sets of queries (Sarwar et al. 2001).

    Raises ConfigError for a catalogue too large for a matrix of it.
    """
    size = len(training.counts)
    if size > EASE_CANDIDATES:
        raise ConfigError(
            f"the baseline 'cooccurrence' keeps a matrix of all candidates; {size:,} are more than {EASE_CANDIDATES:,}.",
            hint="use 'ials'",
        )
    gram = _cooccurrences(training)
    norms = gram.diagonal().clamp(min=1).sqrt()
    similar = gram / norms / norms.unsqueeze(1)
    similar.diagonal().zero_()
    return Scorer(training.histories(), similar)


def ials(
    training: Training,
    dim: int = 32,
    alpha: float = 3.0,
    regularization: float = 10.0,
    epochs: int = 15,
    seed: int = 42,
) -> Scorer:
    """Implicit alternating least squares (Hu, Koren, Volinsky 2008) by the package ``implicit``.

    Raises MissingExtraError without it.
    """
    try:
        from implicit.als import AlternatingLeastSquares
        from scipy.sparse import csr_matrix
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError as missing:
        raise MissingExtraError("implicit", "baselines", "the baseline 'ials'") from missing
    shape = (training.queries, len(training.counts))
    chosen = csr_matrix((np.ones(len(training.query), np.float32), (training.query, training.candidate)), shape=shape)
    with threadpool_limits(1, "blas"):  # implicit has threads of its own
        model = AlternatingLeastSquares(
            dim, regularization=regularization, alpha=alpha, iterations=epochs, random_state=seed
        )
        model.fit(chosen, show_progress=False)
    vectors = np.concatenate([model.user_factors, np.zeros((1, dim), np.float32)])[training.asked]
    return Scorer(torch.from_numpy(vectors), torch.from_numpy(np.array(model.item_factors)))


BASELINES: dict[str, Callable[[Training], Scorer]] = {
    "popularity": popularity,
    "recent": recent_popularity,
    "cooccurrence": cooccurrence,
    "ease": ease,
    "ials": ials,
}


def affordable_baselines(seen: Dataset | None, candidates: int) -> list[str]:
    """Baselines that need no more than seconds for a catalogue and training data of this size."""
    names = ["popularity"]
    if seen is None or len(seen) > SMALL_TRAINING:
        return names
    if seen.timestamp is not None:
        names.append("recent")
    if candidates <= SMALL_CATALOGUE:
        names += ["cooccurrence", "ease"]
    if importlib.util.find_spec("implicit") is not None:
        names.append("ials")
    return names


def baseline_names(names: Sequence[str]) -> tuple[str, ...]:
    """The baselines asked for, each once; ConfigError for one that is not known."""
    if isinstance(names, str):
        raise ConfigError(f"baselines is {names!r}; a list of names was expected.", hint=f'baselines=["{names}"]')
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"there is no baseline {name!r}.", hint=did_you_mean(str(name), BASELINES))
    return tuple(dict.fromkeys(names))


def baseline(name: str, training: Training) -> Scorer:
    """The scorer of a baseline; errors as its function says."""
    return BASELINES[name](training)


def _for_everyone(training: Training, scores: NDArray[np.float64]) -> Scorer:
    column = torch.from_numpy(scores.astype(np.float32)).unsqueeze(1)
    return Scorer(torch.ones(len(training.asked), 1), column)


def _cooccurrences(training: Training) -> Tensor:
    """How many queries chose both, float32 ``[candidates, candidates]``; training queries go in parts."""
    size = len(training.counts)
    gram = torch.zeros(size, size)
    order = np.argsort(training.query, kind="stable")
    query, candidate = training.query[order], training.candidate[order]
    step = max(1, (1 << 26) // max(size, 1))
    for start in range(0, training.queries, step):
        first, last = np.searchsorted(query, [start, start + step])
        part = torch.zeros(min(step, training.queries - start), size)
        part[torch.from_numpy(query[first:last] - start), torch.from_numpy(candidate[first:last])] = 1
        gram.addmm_(part.T, part)
    return gram


def _rows(ids: pl.Series, of: pl.Series) -> NDArray[np.int64]:
    """The row of each id in ``of``, −1 where it is not there."""
    return Vocabulary(of).encode(ids).astype(np.int64) - 1
