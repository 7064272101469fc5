"""Metrics of ranked test pairs: the share of choices near the top of the list, and how near.

For a query with the distinct truths ``T`` at places ``p`` of the list of the whole catalogue, ``hits`` is how many of
them have ``p ≤ k``. Repeated truths count once, except in ``top``, which is a mean over test rows. The missing places of a
list shorter than k are empty. A pair of grade 0 is not a choice: metrics are those of the test without it.

Where candidates tie and ties are expected (``RankedPairs.best``), each figure is its mean over all orders of those that tie,
in closed form: a truth has each of the places of its tie equally often, and m truths among t tied candidates have each
set of m of the t places equally often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError, checked_list, did_you_mean
from shortlist.evaluation.ranked import RankedPairs
from shortlist.intervals import PairSums

__all__ = ["AT_K", "DEFAULT_KS", "WHOLE", "check_ks", "headline_k", "measured", "metric_names"]

DEFAULT_KS = (1, 5, 10, 50, 100)


def top(ranked: RankedPairs, k: int) -> PairSums:
    """Top-k accuracy: the share of test pairs with rank ≤ k.

    Source: FactorizedTopK of TensorFlow Recommenders (there ties count for the model, here as ``ranks`` counts them).

    Ranks 1, 3 and 12 at k = 10: 2/3.
    """
    if ranked.best is None:
        return ranked.per_pair((ranked.rank <= k).astype(np.float64))
    chance = np.zeros(len(ranked.rank))
    found = np.isfinite(ranked.rank)
    best, worst = ranked.best[found], ranked.rank[found]
    chance[found] = np.clip((k - best + 1) / (worst - best + 1), 0, 1)
    return ranked.per_pair(chance)


def tops(ranked: RankedPairs, ks: Sequence[int]) -> list[PairSums]:
    """``top`` at each of ``ks``; where pairs count alike, by one count of how many pairs of each query are first reached by which k."""
    if ranked.best is not None or ranked.test.weight is not None:
        return [top(ranked, k) for k in ks]
    rising = sorted(set(ks))
    reached_by = np.zeros(len(ranked.rank), np.int64)  # the place of the least k that reaches a pair
    for k in rising:
        reached_by += ranked.rank > k
    reached_by *= ranked.queries
    reached_by += ranked.test.query
    size = (len(rising) + 1, ranked.queries)
    found = np.bincount(reached_by, minlength=size[0] * size[1]).reshape(size)
    hits = dict(zip(rising, np.cumsum(found[:-1], axis=0, dtype=np.float64), strict=True))
    return [PairSums(hits[k], ranked.pairs_per_query) for k in ks]


def recall(ranked: RankedPairs, k: int) -> PairSums:
    """Recall: hits / \\|T\\|, mean over queries (Manning, Raghavan, Schütze 2008, §8.3).

    Truths at 1 and 12, k = 10: 1/2.
    """
    return ranked.per_query(_hits(ranked, k) / _at_least_one(_truths(ranked)))


def capped_recall(ranked: RankedPairs, k: int) -> PairSums:
    """Recall that a list of k can reach: hits / min(k, \\|T\\|) (Liang et al. 2018, "Variational autoencoders for
    collaborative filtering", §4.2).

    Truths at 1, 2 and 12, k = 2: 2/2.
    """
    return ranked.per_query(_hits(ranked, k) / _at_least_one(np.minimum(_truths(ranked), k)))


def precision(ranked: RankedPairs, k: int) -> PairSums:
    """Precision: hits / k, also where the list is shorter (Manning et al. 2008, §8.4).

    Truths at 1 and 12, k = 10: 1/10.
    """
    return ranked.per_query(_hits(ranked, k) / k)


def hit_rate(ranked: RankedPairs, k: int) -> PairSums:
    """Hit rate: whether there is any hit (Deshpande, Karypis 2004).

    Truths at 1 and 12, k = 10: 1.
    """
    truths = ranked.truths
    # with n of t tied places among the first k, m truths all miss them with chance Π_{i < m} (t − i − n) / (t − i)
    taken = np.minimum(truths.within(k) / np.maximum(truths.size - truths.number + 1, 1), 1)
    with np.errstate(divide="ignore"):
        missed = truths.sums(np.log1p(-taken), ranked.queries)
    return ranked.per_query(-np.expm1(missed))


def ndcg(ranked: RankedPairs, k: int) -> PairSums:
    """Normalised discounted cumulative gain: Σ_{p ≤ k} g / log2(p + 1), over the best that the truths allow.

    The gain g is 1, or 2^grade − 1 where the pairs have grades (Järvelin, Kekäläinen 2002; Burges et al. 2005).

    Truths at 1 and 3 of two, k = 10: (1 + 1/2) / (1 + 1/log2 3) = 0.9197.
    """
    truths = ranked.truths
    gain = np.ones(len(truths.query)) if truths.grade is None else np.exp2(truths.grade) - 1
    found = truths.sums(gain * truths.mean(lambda place: 1 / np.log2(place + 1), k), ranked.queries)
    best = gain[np.lexsort((-gain, truths.query))]  # each query's gains, highest first; its truths stay in their span
    number = np.arange(len(best)) - truths.start[truths.query] + 1
    ideal = truths.sums(np.where(number <= k, best / np.log2(number + 1), 0.0), ranked.queries)
    return ranked.per_query(np.divide(found, ideal, out=np.zeros_like(found), where=ideal > 0))


def mrr(ranked: RankedPairs, k: int) -> PairSums:
    """Mean reciprocal rank: 1 / p of the best truth, 0 beyond k (Voorhees 1999).

    Truths at 3 and 12, k = 10: 1/3.
    """
    truths = ranked.truths
    first = (truths.before == 0) & (truths.number == 1)
    reciprocal = np.where(first, truths.mean(lambda place: 1 / place, k), 0.0)
    several = np.flatnonzero(first & truths.found & (truths.size > 1) & (truths.tied > 1))
    reciprocal[several] = _first_of_several(truths.place[several], truths.size[several], truths.tied[several], k)
    return ranked.per_query(truths.sums(reciprocal, ranked.queries))


def average_precision(ranked: RankedPairs, k: int) -> PairSums:
    """Mean average precision: Σ_{p_i ≤ k} i / p_i over min(k, \\|T\\|), truths in the order of their places
    (Manning et al. 2008, §8.4, cut at k as in Kaggle's MAP@k).

    Truths at 1 and 4 of two, k = 10: (1/1 + 2/4) / 2 = 0.75.
    """
    truths = ranked.truths
    # at the j-th of t tied places a truth has the c truths before the tie, itself, and j (m − 1) / (t − 1) others above it
    reciprocal = truths.mean(lambda place: 1 / place, k)
    place = np.where(truths.found, truths.place, 1.0)
    above = truths.chance(k) - place * reciprocal  # the mean of j / p
    others = (truths.tied - 1) / np.maximum(truths.size - 1, 1)
    precision = np.where(truths.size > 1, above * others, 0.0) + (truths.before + 1) * reciprocal
    return ranked.per_query(truths.sums(precision, ranked.queries) / _at_least_one(np.minimum(_truths(ranked), k)))


def debiased_recall(ranked: RankedPairs, k: int) -> PairSums:
    """Recall freed of popularity: each truth counts by one over its chance to be observed, which is taken to grow with the
    square root of its training count; self-normalised over all pairs (Yang et al. 2018, "Unbiased offline recommender
    evaluation for missing-not-at-random implicit feedback", with γ = 0: propensity ∝ count^{1/2}).

    Truths with counts 100 (found) and 4 (not found): (1/10) / (1/10 + 1/2) = 1/6.
    """
    truths = ranked.truths
    chance = truths.chance(k) / truths.propensity
    return PairSums(truths.sums(chance, ranked.queries), truths.sums(1 / truths.propensity, ranked.queries))


def auc(ranked: RankedPairs) -> PairSums:
    """Area under the ROC curve: the share of (truth, other candidate) pairs in the right order, mean over queries
    (Rendle et al. 2009, §4.1.1). A truth that cannot be found has every other candidate above it.

    Truths at 1 and 3 among 4 candidates: 3 of 4 pairs in order: 0.75. Had one of the truths been hidden and the other at
    2 of 4, with 2 of the 3 others below it: (0 + 2/3) / 2 = 1/3.
    """
    truths = ranked.truths
    competing = truths.sums(truths.found.astype(np.float64), ranked.queries)
    others = np.maximum(ranked.test.competing - competing, 0)[truths.query]
    place, number = truths.place + (truths.size - 1) / 2, truths.before + (truths.tied + 1) / 2  # means over ties
    above = np.where(truths.found, np.clip(place - number, 0, others), others)
    wrong = np.divide(above, others, out=(~truths.found).astype(np.float64), where=others > 0)
    return ranked.per_query(1 - truths.sums(wrong, ranked.queries) / _at_least_one(_truths(ranked)))


AT_K: dict[str, Callable[[RankedPairs, int], PairSums]] = {
    "top": top,
    "recall": recall,
    "capped_recall": capped_recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
    "map": average_precision,
    "debiased_recall": debiased_recall,
}
"""Metrics with a cut-off; their figures are called ``name_k``."""

WHOLE: dict[str, Callable[[RankedPairs], PairSums]] = {"auc": auc}
"""Metrics of the whole ranking."""


def metric_names(metrics: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The metrics asked for, each once; ConfigError for one that is not known.

    Example:
        >>> metric_names(["ndcg", "top", "ndcg"], [*AT_K])
        ('ndcg', 'top')
    """
    metrics = checked_list(metrics, "metrics", "names")
    for name in metrics:
        if name not in known:
            raise ConfigError(f"there is no metric {name!r}.", hint=did_you_mean(str(name), known))
    if not metrics:
        raise ConfigError("metrics is empty; at least one name was expected.", hint='metrics=["top", "ndcg"]')
    return tuple(dict.fromkeys(metrics))


def headline_k(candidates: int) -> int:
    """The cut-off to judge by: 10, or a tenth of a smaller catalogue.

    Example:
        >>> headline_k(1682), headline_k(40), headline_k(7)
        (10, 4, 1)
    """
    return max(1, min(10, candidates // 10))


def check_ks(ks: Sequence[int]) -> None:
    """Raise ConfigError unless every k is a whole number of at least 1."""
    ks = checked_list(ks, "ks", "whole numbers")
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ConfigError(f"ks holds {k!r}; whole numbers of at least 1 were expected.")
    if not ks:
        raise ConfigError("ks is empty; at least one k was expected.", hint="ks=(1, 10, 100)")


def measured(ranked: RankedPairs, metrics: Sequence[str], ks: Sequence[int]) -> Mapping[str, PairSums]:
    """The ranked metrics among ``metrics``, at each of ``ks``, by the names of their figures."""
    sums: dict[str, PairSums] = {}
    chosen = ranked.chosen
    for name in metrics:
        if name == "top":
            sums |= {f"top_{k}": one for k, one in zip(ks, tops(chosen, ks), strict=True)}
        elif name in AT_K:
            sums |= {f"{name}_{k}": AT_K[name](chosen, k) for k in ks}
        elif name in WHOLE:
            sums[name] = WHOLE[name](chosen)
    return sums


def _first_of_several(
    place: NDArray[np.float64], size: NDArray[np.float64], tied: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """The mean of 1 / p over where the first of ``tied`` truths is among ``size`` places from ``place`` on, 0 beyond k.

    If the first j places hold none of the m truths, the next of the t − j holds one with chance m / (t − j).
    """
    mean = np.zeros(len(place))
    none_yet = np.ones(len(place))
    left = np.arange(len(place))
    offset = 0
    while len(left := left[(place[left] + offset <= k) & (none_yet[left] > 0)]):
        chance = np.minimum(tied[left] / (size[left] - offset), 1)
        mean[left] += none_yet[left] * chance / (place[left] + offset)
        none_yet[left] *= 1 - chance
        offset += 1
    return mean


def _hits(ranked: RankedPairs, k: int) -> NDArray[np.float64]:
    return ranked.truths.sums(ranked.truths.chance(k), ranked.queries)


def _truths(ranked: RankedPairs) -> NDArray[np.float64]:
    return np.diff(ranked.truths.start).astype(np.float64)


def _at_least_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(values, 1)
