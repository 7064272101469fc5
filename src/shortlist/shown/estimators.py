"""The sums that off-policy estimators are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.intervals import PairSums, resampled
from shortlist.shown.examination import Examination
from shortlist.shown.impressions import Impressions
from shortlist.shown.new_lists import NewLists

__all__ = ["FOLDS", "PRIOR", "Sums", "effective"]

FOLDS = 5
PRIOR = 10.0  # examinations that a candidate's click rate is drawn towards the mean by


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums that the estimators need, float64 ``[queries]`` each but for the last two.

    Attributes:
        lists: how many were shown.
        clicks: in the first k places.
        weighted: Σ w click.
        supported: Σ w e_shown.
        asked: Σ e_new over the lists.
        robust: the doubly robust terms.
        weights: w, ``[rows]``.
        clicked: ``[rows]``.
    """

    lists: NDArray[np.float64]
    clicks: NDArray[np.float64]
    weighted: NDArray[np.float64]
    supported: NDArray[np.float64]
    asked: NDArray[np.float64]
    robust: NDArray[np.float64]
    weights: NDArray[np.float64]
    clicked: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        log: Impressions,
        new: NewLists,
        examination: Examination,
        propensities: NDArray[np.float64] | None,
        k: int,
        seed: int,
    ) -> Sums:
        """The sums of a log and of new lists of ``k`` places."""
        queries = len(log.query_ids)

        def by_query(owner: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(owner, values, minlength=queries).astype(np.float64)

        looked, looked_new = examination.at(log.place), examination.at(new.place)
        if propensities is None:
            pair, times = log.pairs()
            propensities = np.minimum(times[pair] / log.lists[log.query], 1.0)
        weights = _joined(log, new, looked_new) / (propensities * looked)
        liked, liked_new = _click_rates(log, new, looked, seed)
        lists = log.lists.astype(np.float64)
        return cls(
            lists=lists,
            clicks=by_query(log.query, log.clicked * (log.place <= k)),
            weighted=by_query(log.query, weights * log.clicked),
            supported=by_query(log.query, weights * looked),
            asked=lists * by_query(new.query, looked_new),
            robust=lists * by_query(new.query, looked_new * liked_new)
            + by_query(log.query, weights * (log.clicked - looked * liked)),
            weights=weights,
            clicked=log.clicked,
        )

    def fractions(self) -> list[PairSums]:
        """Clicks as shown, IPS, the self-normalised rate, what the new lists ask for, DR, and support; as fractions."""
        parts = (
            (self.clicks, self.lists),
            (self.weighted, self.lists),
            (self.weighted, self.supported),
            (self.asked, self.lists),
            (self.robust, self.lists),
            (self.supported, self.asked),
        )
        return [PairSums(*part) for part in parts]

    def values(self) -> NDArray[np.float64]:
        """Clicks as shown, IPS, SNIPS, DR, support."""
        (values,) = _combined(np.array([[one.value for one in self.fractions()]]))
        found: NDArray[np.float64] = values
        return found

    def drawn(self, resamples: int, seed: int) -> NDArray[np.float64]:
        """The same ``[resamples, 5]``, of queries drawn again."""
        return _combined(resampled(self.fractions(), resamples, seed))

    @property
    def support(self) -> float:
        """The share of what the new lists show that was shown."""
        asked = float(self.asked.sum())
        return float(self.supported.sum()) / asked if asked else 0.0


def _combined(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    shown, ips, rate, asked, robust, support = parts.T
    return np.stack([shown, ips, rate * asked, robust, support], axis=1)


def _joined(log: Impressions, new: NewLists, looked_new: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance that each row's candidate is looked at in the query's new list; 0 where it is not in it."""
    size = len(log.candidate_ids)
    inside = new.candidate >= 0
    keys = (new.query * size + new.candidate)[inside]
    order = np.argsort(keys)
    keys, values = keys[order], looked_new[inside][order]
    wanted = log.query * size + log.candidate
    at = np.searchsorted(keys, wanted)
    found = np.zeros(len(wanted), bool)
    found[at < len(keys)] = keys[at[at < len(keys)]] == wanted[at < len(keys)]
    result: NDArray[np.float64] = np.zeros(len(wanted))
    result[found] = values[at[found]]
    return result


def _click_rates(
    log: Impressions, new: NewLists, looked: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much each candidate is liked when looked at, among queries of other parts, for the rows and the new lists.

    A candidate's rate is drawn towards the mean of all by ``PRIOR`` examinations.
    """
    queries, size = len(log.query_ids), len(log.candidate_ids)
    part = np.random.default_rng(seed).permutation(queries) % FOLDS
    cell = part[log.query] * (size + 1) + log.candidate
    clicks = np.bincount(cell, log.clicked, minlength=FOLDS * (size + 1)).reshape(FOLDS, size + 1)
    looks = np.bincount(cell, looked, minlength=FOLDS * (size + 1)).reshape(FOLDS, size + 1)
    clicks, looks = clicks.sum(0) - clicks, looks.sum(0) - looks  # of the other parts; the last column stays 0
    total = looks.sum(1, keepdims=True)
    mean = np.divide(clicks.sum(1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    rate = (clicks + PRIOR * mean) / (looks + PRIOR)
    rows: NDArray[np.float64] = rate[part[log.query], log.candidate]
    items: NDArray[np.float64] = rate[part[new.query], new.candidate]  # −1 is the last column, the mean
    return rows, items


def effective(weights: NDArray[np.float64]) -> float:
    """Kish's effective sample size, (Σ w)² / Σ w²."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0
