"""Metrics of ranked test pairs: what share of what people chose is near the top, and how near.

For a query with the distinct truths ``T`` at places ``p`` of the list of the whole catalogue, ``hits`` is how many of
them have ``p ≤ k``. Repeated truths count once, except in ``top``, which is a mean over test rows. A list that ends
before k has its missing places empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import ConfigError, did_you_mean
from shortlist.evaluation.ranked import PairSums, Ranked

__all__ = ["AT_K", "WHOLE", "measured", "metric_names"]


def top(ranked: Ranked, k: int) -> PairSums:
    """Top-k accuracy: the share of test pairs with rank ≤ k.

    Source: FactorizedTopK of TensorFlow Recommenders (there ties count for the model, here as ``ranks`` counts them).

    Ranks 1, 3 and 12 at k = 10: 2/3.
    """
    return ranked.per_pair((ranked.rank <= k).astype(np.float64))


def recall(ranked: Ranked, k: int) -> PairSums:
    """Recall: hits / \\|T\\|, mean over queries (Manning, Raghavan, Schütze 2008, §8.3).

    Truths at 1 and 12, k = 10: 1/2.
    """
    return ranked.per_query(_hits(ranked, k) / _at_least_one(_truths(ranked)))


def capped_recall(ranked: Ranked, k: int) -> PairSums:
    """Recall that a list of k can reach: hits / min(k, \\|T\\|) (Liang et al. 2018, "Variational autoencoders for
    collaborative filtering", §4.2).

    Truths at 1, 2 and 12, k = 2: 2/2.
    """
    return ranked.per_query(_hits(ranked, k) / _at_least_one(np.minimum(_truths(ranked), k)))


def precision(ranked: Ranked, k: int) -> PairSums:
    """Precision: hits / k, also where the list is shorter (Manning et al. 2008, §8.4).

    Truths at 1 and 12, k = 10: 1/10.
    """
    return ranked.per_query(_hits(ranked, k) / k)


def hit_rate(ranked: Ranked, k: int) -> PairSums:
    """Hit rate: whether there is any hit (Deshpande, Karypis 2004).

    Truths at 1 and 12, k = 10: 1.
    """
    return ranked.per_query((_hits(ranked, k) > 0).astype(np.float64))


def ndcg(ranked: Ranked, k: int) -> PairSums:
    """Normalised discounted cumulative gain: Σ_{p ≤ k} g / log2(p + 1), over the best that the truths allow.

    The gain g is 1, or 2^grade − 1 where the pairs have grades (Järvelin, Kekäläinen 2002; Burges et al. 2005).

    Truths at 1 and 3 of two, k = 10: (1 + 1/2) / (1 + 1/log2 3) = 0.9197.
    """
    truths = ranked.truths
    gain = np.ones(len(truths.query)) if truths.grade is None else np.exp2(truths.grade) - 1
    found = truths.sums(np.where(truths.place <= k, gain / np.log2(truths.place + 1), 0.0), ranked.queries)
    best = gain[np.lexsort((-gain, truths.query))]  # each query's gains, highest first; its truths stay in their span
    ideal = truths.sums(np.where(truths.number <= k, best / np.log2(truths.number + 1), 0.0), ranked.queries)
    return ranked.per_query(np.divide(found, ideal, out=np.zeros_like(found), where=ideal > 0))


def mrr(ranked: Ranked, k: int) -> PairSums:
    """Mean reciprocal rank: 1 / p of the best truth, 0 beyond k (Voorhees 1999).

    Truths at 3 and 12, k = 10: 1/3.
    """
    truths = ranked.truths
    first = (truths.number == 1) & (truths.place <= k)
    return ranked.per_query(truths.sums(np.where(first, 1 / truths.place, 0.0), ranked.queries))


def average_precision(ranked: Ranked, k: int) -> PairSums:
    """Mean average precision: Σ_{p_i ≤ k} i / p_i over min(k, \\|T\\|), truths in the order of their places
    (Manning et al. 2008, §8.4, cut at k as in Kaggle's MAP@k).

    Truths at 1 and 4 of two, k = 10: (1/1 + 2/4) / 2 = 0.75.
    """
    truths = ranked.truths
    reached = np.where(truths.place <= k, truths.number / truths.place, 0.0)
    return ranked.per_query(truths.sums(reached, ranked.queries) / _at_least_one(np.minimum(_truths(ranked), k)))


def debiased_recall(ranked: Ranked, k: int) -> PairSums:
    """Recall freed of popularity: each truth counts by one over its chance to be observed, which is taken to grow with the
    square root of its training count; self-normalised over all pairs (Yang et al. 2018, "Unbiased offline recommender
    evaluation for missing-not-at-random implicit feedback", with γ = 0: propensity ∝ count^{1/2}).

    Truths with counts 100 (found) and 4 (not found): (1/10) / (1/10 + 1/2) = 1/6.
    """
    truths = ranked.truths
    chance = np.ones(len(truths.query)) if truths.propensity is None else truths.propensity
    return PairSums(truths.sums((truths.place <= k) / chance, ranked.queries), truths.sums(1 / chance, ranked.queries))


def auc(ranked: Ranked) -> PairSums:
    """Area under the ROC curve: the share of (truth, other candidate) pairs in the right order, mean over queries
    (Rendle et al. 2009, §4.1.1). A truth that cannot be found has every other candidate above it.

    Truths at 1 and 3 among 4 candidates: 3 of 4 pairs in order: 0.75.
    """
    truths = ranked.truths
    others = np.maximum(ranked.competing[truths.query] - truths.siblings, 0)
    above = np.clip(truths.place - truths.number, 0, others)
    wrong = truths.sums(np.divide(above, others, out=np.zeros(len(above)), where=others > 0), ranked.queries)
    counts = _at_least_one(_truths(ranked))
    return ranked.per_query(1 - wrong / counts)


AT_K: dict[str, Callable[[Ranked, int], PairSums]] = {
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

WHOLE: dict[str, Callable[[Ranked], PairSums]] = {"auc": auc}
"""Metrics of the whole ranking."""


def metric_names(metrics: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The metrics asked for, each once; ConfigError for one that is not known.

    >>> metric_names(["ndcg", "top", "ndcg"], [*AT_K])
    ('ndcg', 'top')
    """
    if isinstance(metrics, str):
        raise ConfigError(f"metrics is {metrics!r}; a list of names was expected.", hint=f'metrics=["{metrics}"]')
    for name in metrics:
        if name not in known:
            raise ConfigError(f"there is no metric {name!r}.", hint=did_you_mean(str(name), known))
    if not metrics:
        raise ConfigError("metrics is empty; at least one name was expected.", hint='metrics=["top", "ndcg"]')
    return tuple(dict.fromkeys(metrics))


def measured(ranked: Ranked, metrics: Sequence[str], ks: Sequence[int]) -> Mapping[str, PairSums]:
    """The ranked metrics among ``metrics``, at each of ``ks``, by the names of their figures."""
    sums: dict[str, PairSums] = {}
    for name in metrics:
        if name in AT_K:
            sums |= {f"{name}_{k}": AT_K[name](ranked, k) for k in ks}
        elif name in WHOLE:
            sums[name] = WHOLE[name](ranked)
    return sums


def _hits(ranked: Ranked, k: int) -> NDArray[np.float64]:
    truths = ranked.truths
    return truths.sums((truths.place <= k).astype(np.float64), ranked.queries)


def _truths(ranked: Ranked) -> NDArray[np.float64]:
    return np.diff(ranked.truths.start).astype(np.float64)


def _at_least_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(values, 1)
