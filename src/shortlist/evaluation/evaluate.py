"""Metrics on test pairs: by exact ranks over the whole catalogue, next to simple baselines, with seen items included and excluded."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np
import torch

from shortlist.data import Dataset
from shortlist.data.argument_checks import check_dataset, check_methods, check_model
from shortlist.errors import ConfigError, check_flags, checked_list, did_you_mean
from shortlist.evaluation.baselines import Training, baseline, baseline_names
from shortlist.evaluation.lists import LIST_METRICS
from shortlist.evaluation.measures import Measured, Measures
from shortlist.evaluation.metrics import AT_K, DEFAULT_KS, WHOLE, check_ks, measured, metric_names
from shortlist.evaluation.mixing import mixed
from shortlist.evaluation.ranked import RankedPairs
from shortlist.evaluation.ranks import Ties
from shortlist.evaluation.repeats import repeats
from shortlist.evaluation.result import Evaluation, Figures, Segment
from shortlist.evaluation.scorers import Cold, Mixed, Scorer, Vectors
from shortlist.evaluation.segments import grouped
from shortlist.evaluation.testset import TestSet
from shortlist.index import Index
from shortlist.intervals import Interval, bootstrap
from shortlist.model import TwoTower
from shortlist.sources import Mixture, towers_of

__all__ = ["METRICS", "Contest", "evaluate", "scorer_of"]

T = TypeVar("T")
ColdStart = Literal["auto", "unknown", "popularity"]
COLD_STARTS = ("auto", "unknown", "popularity")
METRICS = (*AT_K, *WHOLE, *LIST_METRICS)
"""Every metric, by name."""


def evaluate(
    model: TwoTower | Mixture,
    test: Dataset,
    *,
    seen: Dataset | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    metrics: Sequence[str] = ("top",),
    baselines: Sequence[str] = ("popularity",),
    index: Index | None = None,
    segments: Sequence[str] = (),
    intervals: bool = False,
    ties: Ties = "worst",
    weighted: bool = False,
    grade: str | None = None,
    released: str | None = None,
    cold_start: ColdStart = "auto",
) -> Evaluation:
    """Metrics of ``model`` on every pair of ``test``, over the whole catalogue, by candidate id.

    A pair counts for k when fewer than k other candidates score as high as its own.

    Args:
        model: a trained model.
        test: held-out interactions.
        seen: usually the training data. A query's choices there are left out of its competition in ``seen_out``, and
            are the history of a query that training never saw (``split_queries``).
        ks: the cut-offs of metrics that have one.
        metrics: names from ``METRICS``; those with a cut-off are measured at each of ``ks``. Definitions and sources
            are in ``shortlist.evaluation.metrics`` and ``shortlist.evaluation.lists``.
        baselines: names from ``BASELINES``, measured on the same pairs; all but "popularity" learn from ``seen``.
        index: an index over the model's candidates (ids are their rows), measured next to the exact ranks.
        segments: built-in groups ("query_history", "candidate_popularity", "head_tail", "warm_cold") or columns.
        intervals: 95% intervals by the bootstrap over queries.
        ties: "worst": ties count against the model; "expected": each metric of ranks is its mean over all orders of the
            candidates that tie.
        weighted: count each test pair by the test's weight column.
        grade: a column of the test interactions that says how good a choice was, for ndcg; a pair of grade 0 is not a
            choice and counts in no metric, as if the test did not have it.
        released: a column of the candidates' table with the time since when each exists, in the unit of the test's
            timestamps; a candidate competes only for later pairs. Only metrics of ranks can be measured so: not auc,
            not what lists are like, not an index, which know one catalogue for all pairs.
        cold_start: how a recommender answers a query that training never saw: "auto" by popularity where the query
            tower reads its id alone and nothing that it chose is in ``seen`` (unless a mixture has weights for such,
            ``by_history``), "unknown" from the shared unknown row, "popularity".

    Raises:
        ConfigError: for options that cannot work, or a model that was not trained.
        DataError: where the test data's columns do not fit, and where all weights are 0 and ``weighted``.
        TrainingError: where a vector is not finite.
        MissingExtraError: where a baseline's package is missing.
    """
    check_model(model, "evaluate(model)")
    check_dataset(test, "evaluate(test)")
    check_dataset(seen, "evaluate(seen=)", optional=True)
    check_methods(
        index, "evaluate(index=)", ("search",), "a built index", optional=True, hint="index=recommender.index"
    )
    check_flags("evaluate()", intervals=intervals, weighted=weighted)
    started = time.perf_counter()
    names = metric_names(metrics, METRICS)
    if released is not None:
        _check_released(names, index)
    check_ks(ks)
    segments = checked_list(segments, "evaluate(segments=)", "names", str)
    contest = Contest.of(model, test, seen, baselines, cold_start, weighted=weighted, grade=grade, released=released)
    found = contest.evaluation(names, ks, index=index, segments=segments, intervals=intervals, ties=ties)
    return replace(found, seconds=time.perf_counter() - started)


@dataclass(frozen=True, eq=False)
class Contest:
    """A model and baselines that are fitted, and the test set that they are measured on: as often as asked, ranked once.

    Attributes:
        asked: the part of the model that queries an index.
        ranked: the ranks that were counted, by scorer, seen candidates in or out, and ties.
    """

    data: Dataset
    seen: Dataset | None
    test: TestSet
    vectors: Vectors
    asked: Vectors | Mixed
    scorers: Mapping[str, Scorer]
    ranked: dict[tuple[str, str, Ties], RankedPairs] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: TwoTower | Mixture,
        data: Dataset,
        seen: Dataset | None,
        baselines: Sequence[str],
        cold_start: ColdStart = "auto",
        *,
        weighted: bool = False,
        grade: str | None = None,
        released: str | None = None,
    ) -> Contest:
        """Fits the baselines; all but popularity learn from ``seen``. Raises as ``evaluate`` does."""
        chosen = baseline_names(baselines)
        if seen is None and set(chosen) - {"popularity"}:
            raise ConfigError(
                f"the baselines {', '.join(sorted(set(chosen) - {'popularity'}))} learn from the training data.",
                hint="evaluate(…, seen=train)",
            )
        test = TestSet.of(towers_of(model), data, seen, weighted=weighted, grade=grade, released=released)
        vectors = test.vectors()
        own, asked = scorer_of(model, vectors, test, seen, cold_start)
        return cls(data, seen, test, vectors, asked, {"model": own, **_baselines(chosen, seen, test)})

    def evaluation(
        self,
        metrics: Sequence[str],
        ks: Sequence[int],
        *,
        only: Sequence[str] | None = None,
        index: Index | None = None,
        segments: Sequence[str] = (),
        intervals: bool = False,
        ties: Ties = "worst",
    ) -> Evaluation:
        """As ``evaluate`` with these options.

        Args:
            only: the scorers that are measured; by default all.
        """
        started = time.perf_counter()
        test = self.test
        tests = {"seen_in": test.with_all} if self.seen is None else {"seen_in": test.with_all, "seen_out": test}
        measures = Measures(tuple(metrics), tuple(sorted(ks)), ties, self.vectors.candidate.cpu().numpy())
        scorers = {name: one for name, one in self.scorers.items() if only is None or name in only}
        found = {
            name: {
                seen_as: measures.of(scorer, one, self._ranks(name, seen_as, one, ties))
                for seen_as, one in tests.items()
            }
            for name, scorer in scorers.items()
        }
        recall: dict[str, Figures] = {}
        if index is not None:
            own = scorers["model"]
            by_index = {name: measures.of_index(index, self.asked, own, one) for name, one in tests.items()}
            found = {"model": found["model"], "index": {name: one for name, (one, _) in by_index.items()}, **found}
            recall = {name: figures for name, (_, figures) in by_index.items()}
        parts = [part for name in segments for part in _segments(name, self.data, test, found, measures, intervals)]
        return Evaluation(
            _of_each(found, lambda one: one.figures),
            pairs=len(test),
            queries=len(test.queries),
            candidates=len(test.candidates),
            new_queries=test.new_queries,
            new_candidates=test.new_candidates,
            seconds=time.perf_counter() - started,
            intervals=_of_each(found, lambda one: bootstrap(one.sums)) if intervals else {},
            segments=parts,
            index_recall=recall,
            sums=_of_each(found, lambda one: one.sums),
            query_ids=test.query_ids,
            repeats=None if self.seen is None else repeats(self.data, self.seen),
        )

    def _ranks(self, scorer: str, seen_as: str, test: TestSet, ties: Ties) -> RankedPairs:
        """The ranks of a scorer, counted when they are first asked for."""
        key = (scorer, seen_as, ties)
        if key not in self.ranked:
            self.ranked[key] = RankedPairs.of(test, self.scorers[scorer], ties)
        return self.ranked[key]


def scorer_of(
    model: TwoTower | Mixture, vectors: Vectors, test: TestSet, seen: Dataset | None, cold_start: ColdStart
) -> tuple[Scorer, Vectors | Mixed]:
    """The model as a recommender would answer, and the part of it that queries an index."""
    if cold_start not in COLD_STARTS:
        raise ConfigError(f"evaluate() got cold_start={cold_start!r}.", hint=did_you_mean(str(cold_start), COLD_STARTS))
    asked: Vectors | Mixed = vectors
    without = np.ones(len(test.queries), np.bool_)
    if isinstance(model, Mixture):
        asked = mixed(model, vectors, test.queries, test.candidates, seen)
        without = np.diff(asked.context.histories.offsets) == 0
    cold = ~test.known & without
    by_model = not model.reads_ids_alone or (isinstance(model, Mixture) and bool(model.by_history))
    if (cold_start == "auto" and by_model) or cold_start == "unknown" or not cold.any():
        return asked, asked
    return Cold(asked, torch.from_numpy(cold), test.popularity()), asked


def _baselines(names: Sequence[str], seen: Dataset | None, test: TestSet) -> dict[str, Scorer]:
    """The baselines; all but popularity learn from ``seen``."""
    scorers: dict[str, Scorer] = {}
    training = None
    for name in names:
        if name == "popularity":
            scorers[name] = test.popularity()
        elif seen is not None:
            training = training or Training.of(seen, test.query_ids, test.candidate_ids)
            scorer = baseline(name, training)
            if name in ("ease", "ials"):  # the others rank candidates that they do not reach by popularity
                without = torch.from_numpy(training.asked < 0)
                scorer = Cold(scorer, without, test.popularity()) if without.any() else scorer
            scorers[name] = scorer.to(test.device) if isinstance(scorer, Vectors) else scorer
    return scorers


def _of_each(found: Mapping[str, Mapping[str, Measured]], value: Callable[[Measured], T]) -> dict[str, dict[str, T]]:
    """One value of every scorer, with seen candidates in and out."""
    return {scorer: {name: value(one) for name, one in by_seen.items()} for scorer, by_seen in found.items()}


def _check_released(metrics: Sequence[str], index: Index | None) -> None:
    others = [name for name in metrics if name in WHOLE or name in LIST_METRICS]
    others += [] if index is None else ["an index"]
    if others:
        raise ConfigError(
            f"{', '.join(others)} cannot be measured with released=: they use one catalogue for all pairs.",
            hint="measure them in another call, without released=",
        )


def _segments(
    name: str,
    data: Dataset,
    test: TestSet,
    found: Mapping[str, Mapping[str, Measured]],
    measures: Measures,
    intervals: bool,
) -> list[Segment]:
    rows = []
    for group, mask in grouped(name, data, test):
        for scorer, by_seen in found.items():
            for seen, one in by_seen.items():
                part = one.ranked.only(mask)
                sums = measured(part, measures.metrics, measures.ks)
                bounds: Mapping[str, Interval] = bootstrap(sums) if intervals else {}
                figures = {metric: value.value for metric, value in sums.items()}
                queries = len(np.unique(part.test.query))
                rows.append(Segment(name, group, scorer, seen, int(mask.sum()), queries, figures, bounds))
    return rows
