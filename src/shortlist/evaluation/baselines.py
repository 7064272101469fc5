"""Baselines that a model must beat: cheaper ways to fill the same lists, none of which is trained by descent."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset
from shortlist.data.choices import check_choices, choices_alone
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, DataError, checked_list, did_you_mean
from shortlist.evaluation.ranks import Hidden
from shortlist.evaluation.scorers import ByRow, NeighbourScores, Scorer, Vectors, without
from shortlist.index import Lists
from shortlist.index.values import taken
from shortlist.loss import ALS, Chosen, Sweeps
from shortlist.sources import Cooccurrence, Neighbours, Transitions, ease_columns, ease_products, histories_of

__all__ = ["BASELINES", "Training", "baseline", "baseline_names", "left_out"]

EASE_WEIGHTS = 20_000**2  # weights of its matrix from items to items, at most
EASE_PRODUCTS = 1.5e11  # multiplications that take seconds
RECENT_SHARE = 0.1
SMALL_TRAINING = 5_000_000
LENGTH = 1_000_000  # items of a history that count: in effect all


@dataclass(frozen=True, eq=False)
class Training:
    """The data that baselines learn from: training pairs as rows of the asked queries and the catalogue.

    Attributes:
        asked: int64 ``[queries]``, the row of each asked query among ``queries`` training queries, −1 for one that
            chose nothing in training.
        query: int64 ``[pairs]``, the rows of distinct pairs.
        candidate: int64 ``[pairs]``, likewise.
        time: float64 ``[pairs]``, or None.
        counts: ``[candidates]``, training interactions, repeats counted.
        train: the training data themselves.
        query_ids: raw ids ``[queries]`` of the asked queries.
        place: int64 ``[candidates]``, the row of each candidate in ``train.candidates``, or −1.
    """

    asked: NDArray[np.int64]
    query: NDArray[np.int64]
    candidate: NDArray[np.int64]
    time: NDArray[np.float64] | None
    counts: NDArray[np.float64]
    queries: int
    train: Dataset
    query_ids: pl.Series
    place: NDArray[np.int64]

    @classmethod
    def of(cls, train: Dataset, query_ids: pl.Series, candidate_ids: pl.Series) -> Training:
        """The training data for these asked queries and this catalogue; other candidates, and rows of weight 0, are ignored.

        Raises:
            DataError: where every weight is 0.
        """
        check_choices(train, "evaluate(seen=)")
        train = choices_alone(train)
        row = _rows(train.candidates[train.candidate], candidate_ids)[train.candidate_rows]
        asked = _rows(query_ids, train.queries[train.query])
        chose = np.append(np.bincount(train.query_rows, minlength=len(train.queries)) > 0, False)
        asked[~chose[asked]] = -1  # parts of a split share a table of queries, also of those that chose nothing
        inside = row >= 0
        query, row = train.query_rows[inside].astype(np.int64), row[inside]
        time = None
        if train.timestamp is not None:
            time = train.times.to_physical().cast(pl.Float64).to_numpy()[inside]
        counts = np.bincount(row, minlength=len(candidate_ids)).astype(np.float64)
        last = np.lexsort((np.zeros(len(row)) if time is None else time, row, query))[::-1]
        _, first = np.unique(query[last] * len(candidate_ids) + row[last], return_index=True)
        kept = last[first]
        place = _rows(candidate_ids, train.candidates[train.candidate])
        distinct = (query[kept], row[kept], None if time is None else time[kept])
        return cls(asked, *distinct, counts, len(train.queries), train, query_ids, place)

    def histories(self) -> Lists:
        """The choices of each asked query, as rows of ``train.candidates``, oldest first."""
        distinct = self.query_ids.unique(maintain_order=True)  # a query may be asked in several contexts
        lists = histories_of(self.train, distinct, self.train.candidates[self.train.candidate], LENGTH)
        if len(distinct) == len(self.query_ids):
            return lists
        place = _rows(self.query_ids, distinct)
        return taken(lists, place)

    def by_neighbours(self, neighbours: Neighbours) -> NeighbourScores:
        """A table fitted on ``train`` as a scorer of this catalogue."""
        return NeighbourScores(neighbours, self.histories(), self.place, self.counts)


def popularity(training: Training) -> Scorer:
    """Training counts, the same for everyone."""
    return _for_everyone(training, training.counts)


def recent_popularity(training: Training) -> Scorer:
    """Counts over the latest tenth of the training interactions; needs timestamps."""
    if training.time is None:
        raise _no_times("recent")
    since = np.quantile(training.time, 1 - RECENT_SHARE)
    recent = training.candidate[training.time >= since]
    return _for_everyone(training, np.bincount(recent, minlength=len(training.counts)).astype(np.float64))


def ease(training: Training, strength: float | None = None) -> Scorer:
    """EASE: a linear model from items to items with nothing on its diagonal, in closed form (Steck 2019, "Embarrassingly
    shallow autoencoders for sparse data"), with all of its weights; see ``shortlist.sources.EASE``.

    Raises:
        ConfigError: where both sides are too large to invert, or the weights to hold.
    """
    size = len(training.train.candidates)
    if size**2 > EASE_WEIGHTS:
        raise ConfigError(
            f"the baseline 'ease' holds a matrix of all candidates; {size:,} are more than {int(EASE_WEIGHTS**0.5):,}.",
            hint="use 'cooccurrence' or 'ials'",
        )
    weights = ease_columns(training.train, strength)(0, size).contiguous()
    return _Linear(weights, training.histories(), training.place)


def cooccurrence(training: Training) -> Scorer:
    """Item-to-item: the sum over a query's history of a cosine of two items' sets of queries (Sarwar et al. 2001), each item
    with its 200 nearest; see ``shortlist.sources.Cooccurrence``."""
    return training.by_neighbours(Cooccurrence().fit(training.train))


def transitions(training: Training) -> Scorer:
    """Transitions: candidates that were chosen soon after others, from the latest items of a history; needs timestamps. See
    ``shortlist.sources.Transitions``."""
    if training.time is None:
        raise _no_times("transitions")
    return training.by_neighbours(Transitions().fit(training.train))


def ials(training: Training, dim: int = 64, sweeps: int = 8, seed: int = 42) -> Scorer:
    """Implicit alternating least squares (Hu, Koren, Volinsky 2008), by ``ALS`` with its own defaults."""
    shape = (training.queries, len(training.counts))
    chosen = Chosen.of(training.query, training.candidate, np.ones(len(training.query), np.float32), shape)
    found = Sweeps(chosen, ALS(), dim, torch.Generator().manual_seed(seed))
    for _ in range(sweeps):
        found.sweep()
    met = chosen.offsets.diff() > 0
    whole = torch.cat(
        [found.query, found.query[met].mean(0, keepdim=True)]
    )  # the last is for queries that training never saw
    return Vectors(whole[torch.from_numpy(training.asked)], found.candidate)


@dataclass(frozen=True, eq=False)
class _Linear(ByRow):
    """A dense matrix from items to items, which scores by a query's history."""

    weights: Tensor
    histories: Lists
    place: NDArray[np.int64]

    @property
    def candidates(self) -> int:  # type: ignore[override]
        return len(self.place)

    @property
    def queries(self) -> int:  # type: ignore[override]
        return len(self.histories)

    def scores(self, first: int, last: int, hidden: Hidden | None) -> Tensor:
        from scipy.sparse import csr_matrix

        offsets = self.histories.offsets[first : last + 1]
        items = self.histories.values[offsets[0] : offsets[-1]]
        rows = np.repeat(np.arange(last - first), np.diff(offsets))
        size = len(self.weights)
        chosen = csr_matrix((np.ones(len(items), np.float32), (rows, items)), shape=(last - first, size))
        found = np.zeros((last - first, size + 1), np.float32)  # the last column: candidates that the table lacks
        found[:, :size] = chosen @ self.weights.numpy()
        return without(torch.from_numpy(found[:, self.place]), hidden)


BASELINES: dict[str, Callable[[Training], Scorer]] = {
    "popularity": popularity,
    "recent": recent_popularity,
    "transitions": transitions,
    "cooccurrence": cooccurrence,
    "ease": ease,
    "ials": ials,
}


def left_out(seen: Dataset | None, untimed: str = "the training data has no timestamp") -> dict[str, str]:
    """The baselines that would need more than seconds for a catalogue and training data of this size, or are not possible,
    each with the reason; ``untimed`` is that for those that need times."""
    others = [name for name in BASELINES if name != "popularity"]
    if seen is None:
        return dict.fromkeys(others, "learns from the training data, which are not there")
    reasons: dict[str, str] = {}
    if seen.timestamp is None:
        reasons |= dict.fromkeys(("recent", "transitions"), untimed)
    if len(seen) > SMALL_TRAINING:
        too_many = f"{len(seen):,} training interactions are more than {SMALL_TRAINING:,}"
        reasons |= {name: too_many for name in others if name not in reasons and name != "recent"}
    products = ease_products(len(seen.queries), len(seen.candidates), len(seen))
    if "ease" not in reasons and (products > EASE_PRODUCTS or len(seen.candidates) ** 2 > EASE_WEIGHTS):
        smaller, many = min(len(seen.queries), len(seen.candidates)), len(seen.candidates)
        too_large = f"its matrix of {many:,} × {many:,} candidates is too large to hold"
        slow = f"inverting {smaller:,} × {smaller:,} takes more than seconds"
        reasons["ease"] = too_large if many**2 > EASE_WEIGHTS else slow
    if importlib.util.find_spec("scipy") is None:
        reasons |= {
            name: "needs scipy: pip install 'shortlist[train]'"
            for name in ("transitions", "cooccurrence", "ease", "ials")
            if name not in reasons
        }
    return reasons


def baseline_names(names: Sequence[str]) -> tuple[str, ...]:
    """The baselines asked for, each once; ConfigError for one that is not known."""
    names = checked_list(names, "baselines", "names", str)
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"there is no baseline {name!r}.", hint=did_you_mean(str(name), BASELINES))
    return tuple(dict.fromkeys(names))


def baseline(name: str, training: Training) -> Scorer:
    """The scorer of a baseline; errors are those of its function."""
    return BASELINES[name](training)


def _no_times(name: str) -> DataError:
    return DataError(
        f"the baseline {name!r} needs timestamps, and the training data has none.", hint="Dataset(…, timestamp=…)"
    )


def _for_everyone(training: Training, scores: NDArray[np.float64]) -> Scorer:
    column = torch.from_numpy(scores.astype(np.float32)).unsqueeze(1)
    return Vectors(torch.ones(len(training.asked), 1), column)


def _rows(ids: pl.Series, of: pl.Series) -> NDArray[np.int64]:
    """The row of each id in ``of``, −1 for an unknown one."""
    return IdMap(of).find(ids)
