"""Settings that promise a recall, built."""

from __future__ import annotations

import warnings

from shortlist.errors import SearchError, ShortlistWarning
from shortlist.index.approximate import ApproximateIndex
from shortlist.index.contract import Index
from shortlist.index.values import Floats, Ints
from shortlist.tuning.tuner import tune_index

__all__ = ["keep_promise"]


def keep_promise(settings: ApproximateIndex, vectors: Floats, ids: Ints | None, queries: Floats | None) -> Index:
    """The index that ``settings`` promise; exact search, with a ShortlistWarning, where no setting keeps the promise.

    Raises:
        SearchError: no queries, or too few, to measure a recall on.
        MissingExtraError: the package behind the index is not installed.
    """
    tuned = (
        dict.fromkeys(settings.at_search) if settings.built else {}
    )  # for other vectors, so they are left open again
    plain = settings.unbuilt(recall=None, **tuned)
    promise = settings.settings()
    name = type(settings).__name__
    if queries is None:
        raise SearchError(
            f"{name}(recall={promise['recall']:g}) needs queries to keep its promise; none were given.",
            hint="index = settings.build(vectors, ids, queries=a_sample_of_real_queries)",
        )
    settings.require()
    tuning = tune_index(vectors, queries, recall=promise["recall"], k=promise["k"], template=plain, ids=ids)
    if tuning.chosen.backend == "exact":
        warnings.warn(
            f"{name} cannot keep recall@{tuning.k} ≥ {tuning.recall:g} on these vectors; exact search is used, at "
            f"{tuning.chosen.milliseconds:.3g} ms a query.\nhint: ask for a lower recall, or give the settings",
            ShortlistWarning,
            stacklevel=4,
        )
    return tuning.index
