"""Tuning a recommender's index to a promised recall, on its own queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.argument_checks import check_dataset, check_function, check_model, check_seed
from shortlist.display import Tabular
from shortlist.errors import ConfigError, DataError
from shortlist.index import whole
from shortlist.index.promise import Tuning, tuning_html
from shortlist.index.values import taken
from shortlist.recommender.answers import exact_served, searched
from shortlist.recommender.contexts import context_of
from shortlist.recommender.pipeline import overlap_of
from shortlist.recommender.recommender import Recommender
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.sources import Filters
from shortlist.tuning.tuner import tune_index

__all__ = ["Accuracy", "TunedRecommender", "tune"]

KEPT = ("recall", "k", "candidates", "dim", "tune_queries", "held_out_queries", "reason", "missing", "chosen")


@dataclass(frozen=True)
class Accuracy:
    """Top-k accuracy on test pairs through exact search and through the tuned index, seen items excluded.

    Attributes:
        pairs: test pairs asked.
        left_out: test pairs whose query or candidate training did not have, and those that are among the seen.
        exact: by k, the share of the pairs whose candidate is in its query's list by exact search.
        index: the same through the tuned index.
    """

    pairs: int
    left_out: int
    exact: dict[int, float]
    index: dict[int, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: ``top_10`` and so on, for both."""
        both = {"exact": self.exact, "index": self.index}
        named = {side: {f"top_{k}": value for k, value in values.items()} for side, values in both.items()}
        return {"pairs": self.pairs, "left_out": self.left_out, **named}


@dataclass(frozen=True)
class TunedRecommender(Tabular):
    """A recommender with a tuned index.

    Attributes:
        recommender: like the one given, with the index that was chosen.
        tuning: how the index was found.
        accuracy: what the index costs on test pairs, where some were given.
        mixture_recall: of a mixture, the share of its exact top k, by all sources together, that its lists have; else None.
            The index misses nothing that tables and ranked lists find, so it is about the index's recall or higher.
    """

    recommender: Recommender
    tuning: Tuning
    accuracy: Accuracy | None
    mixture_recall: float | None = None

    def to_frame(self) -> pl.DataFrame:
        """A row per setting that was timed, as ``Tuning.to_frame`` has them."""
        return self.tuning.to_frame()

    def __repr__(self) -> str:
        return f"TunedRecommender({self.tuning.chosen.backend} · {self.tuning.reason})"

    def _repr_html_(self) -> str:
        return tuning_html(self.tuning, "TunedRecommender")

    def to_dict(self) -> dict[str, Any]:
        """Everything measured, fit for JSON."""
        measured = self.tuning.to_dict()
        if self.mixture_recall is not None:
            measured = {**measured, "mixture_recall": self.mixture_recall}
        return measured if self.accuracy is None else {**measured, "accuracy": self.accuracy.to_dict()}


def tune(
    recommender: Recommender,
    *,
    recall: float = 0.95,
    k: int = 100,
    backends: Sequence[str] | None = None,
    test: Dataset | None = None,
    sample: int = 2000,
    seconds: float | None = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> TunedRecommender:
    """A recommender like the given one, with the fastest index that finds ``recall`` of the true top ``k``.

    Candidates that were deleted take no part. The queries measured are a sample of the recommender's known queries, half to choose settings by and half to check
    the promise on; see ``shortlist.tuning.tune_index`` for the options. The given recommender stays as it is.

    Args:
        recommender: a trained recommender.
        recall: the mean recall to keep.
        k: over the top k.
        backends: kinds of indexes to try, by default all that can run here.
        test: pairs to measure top-k accuracy on, through exact search and through the tuned index.
        sample: how many queries to measure.
        seconds: stop trying settings after this time.
        seed: of the sample.
        say: called with a line of text after each step.

    Raises:
        ConfigError: where the query tower reads columns that only a request has.
        SearchError: for fewer than 40 known queries.

    Example:
        tuned = sl.tune(recommender, recall=0.95, k=100)
        tuned.recommender.save("my.shortlist", overwrite=True)
    """
    check_model(recommender, "tune(recommender)", "Recommender")
    check_dataset(test, "tune(test=)", optional=True)
    check_seed(seed, "tune()")
    check_function(say, "tune(say=)", optional=True)
    served = recommender.served
    dead = served.state.dead
    alive = np.setdiff1d(np.arange(served.state.size), dead, assume_unique=True) if len(dead) else None
    tuning = tune_index(
        whole(served.vectors) if alive is None else served.vectors_of(alive),
        known_queries(served.state),
        ids=alive,
        recall=recall,
        k=k,
        backends=backends,
        sample=sample,
        seconds=seconds,
        seed=seed,
        say=say,
    )
    now = replace(served, index=tuning.index)
    accuracy = None if test is None else _accuracy(served, now, tuning, test)
    measured = {name: value for name, value in tuning.to_dict().items() if name in KEPT}
    mixture = None
    if served.state.near is not None:
        mixture = overlap_of(now, tuning.k, sample)
        measured["mixture_recall"] = mixture
    metadata = {**served.metadata, "tuning": measured}
    again = replace(served, index=tuning.index, reason=tuning.reason, metadata=metadata, origin={})
    return TunedRecommender(Recommender(again), tuning, accuracy, mixture)


def known_queries(state: State) -> NDArray[np.float32]:
    """Vectors ``[vectors, dim]`` of the queries that training had, every head one. ConfigError where they are made of columns that only a request has."""
    if state.query_vectors is None:
        raise ConfigError(
            "the query tower reads columns that only a request has, so there are no stored queries to tune on.",
            hint="tune on vectors of real requests: shortlist.tuning.tune_index(vectors, queries)",
        )
    return np.ascontiguousarray(state.query_vectors[state.known].reshape(-1, state.dim))


def _accuracy(served: Served, tuned: Served, tuning: Tuning, test: Dataset) -> Accuracy:
    state = served.state
    if (test.query, test.candidate) != (state.query, state.candidate):
        raise DataError(
            f"the test table has ids {test.query!r} and {test.candidate!r}; {state.query!r} and {state.candidate!r} "
            "were expected."
        )
    queries = state.query_ids.find(test.queries[test.query])[test.query_rows]
    candidates = state.candidate_ids.find(test.candidates[test.candidate])[test.candidate_rows]
    size = len(state.candidates)
    both = (queries >= 0) & (candidates >= 0)
    keys = queries[both] * size + candidates[both]
    seen = np.repeat(np.arange(len(state.queries)), np.diff(state.seen.offsets)) * size + state.seen.values
    keys = keys[~np.isin(keys, seen)]
    if not keys.size:
        raise DataError(
            "no test pairs are left: none has a known query and a candidate that the query has not seen.",
            hint="give interactions that the bundle was not trained on",
        )
    ks = sorted({min(k, size) for k in (10, 100, tuning.k)})
    return Accuracy(
        int(keys.size), len(test) - int(keys.size), _hit_shares(exact_served(served), keys, ks),
        _hit_shares(tuned, keys, ks),
    )  # fmt: skip


def _hit_shares(served: Served, keys: NDArray[np.int64], ks: Sequence[int]) -> dict[int, float]:
    """By k, the share of (query, candidate) keys whose candidate is in the query's list."""
    state = served.state
    assert state.query_vectors is not None
    size = len(state.candidates)
    rows = np.unique(keys // size)
    seen = Filters(taken(state.seen, rows))
    context = context_of(served, rows)
    shares = {}
    for k in ks:
        hits = searched(served, np.ascontiguousarray(state.query_vectors[rows]), k, seen, context)
        found = np.repeat(rows, np.diff(hits.offsets)) * size + hits.ids
        shares[k] = float(np.isin(keys, found).mean())
    return shares
