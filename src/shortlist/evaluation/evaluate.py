"""Metrics on test pairs: by exact ranks over the whole catalogue, next to simple baselines, seen items in and out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.given import check_dataset
from shortlist.errors import ConfigError, DataError, did_you_mean
from shortlist.evaluation.baselines import Training, baseline, baseline_names
from shortlist.evaluation.intervals import Interval, bootstrap
from shortlist.evaluation.lists import LIST_METRICS, Lists, described, ranked_in_lists
from shortlist.evaluation.metrics import AT_K, WHOLE, measured, metric_names
from shortlist.evaluation.ranked import PairSums, Ranked
from shortlist.evaluation.ranks import Hidden, Released, Ties, found_ranks
from shortlist.evaluation.repeats import repeats
from shortlist.evaluation.result import Evaluation, Figures, Segment
from shortlist.evaluation.scorers import Cold, Mixed, Scorer, Vectors, among
from shortlist.evaluation.segments import grouped
from shortlist.evaluation.validator import DEFAULT_KS, Validator, checked_weights
from shortlist.index import Index, search_heads
from shortlist.index import Lists as IdLists
from shortlist.model import TwoTower
from shortlist.sources import Filters, Mixture, search_blend, towers_of

__all__ = ["METRICS", "Bench", "PairColumns", "evaluate", "scorer_of"]

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

    A pair counts for k when fewer than k other candidates score as high as its own: ties count against the model. With
    ``ties="expected"`` each metric of ranks is its mean over all orders of the candidates that tie.

    seen: usually the training data; what a query chose there is left out of its competition in ``seen_out``, and is the
        history of one that training never saw (``split_queries``).
    metrics: names from ``METRICS``; those with a cut-off are measured at each of ``ks``. Definitions and sources are in
        ``shortlist.evaluation.metrics`` and ``shortlist.evaluation.lists``.
    baselines: names from ``BASELINES``, measured on the same pairs; all but "popularity" learn from ``seen``.
    index: an index over the model's candidates (ids are their rows), measured next to the exact ranks.
    segments: built-in groups ("query_history", "candidate_popularity", "head_tail", "warm_cold") or columns.
    intervals: 95% intervals by the bootstrap over queries.
    weighted: count each test pair by the test's weight column. grade: a column of the test interactions that says how
        good a choice was, for ndcg; a pair of grade 0 is not a choice and counts in no metric, as if the test did not have
        it. released: a column of the candidates' table with the time since when each exists, in
        the unit of the test's timestamps; a candidate competes only for later pairs. Only metrics of ranks can
        be measured so: not auc, not what lists are like, not an index, which know one catalogue for all pairs.

    cold_start: how a recommender answers a query that training never saw: "auto" by popularity where the query tower reads its
        id alone and nothing that it chose is in ``seen``, "unknown" from the shared unknown row, "popularity".

    Raises ConfigError for options that cannot work, or a model that was not trained; DataError where the test data's
    columns do not fit; TrainingError where a vector is not finite; MissingExtraError where a baseline's package is
    missing.
    """
    check_dataset(test, "evaluate(test)")
    check_dataset(seen, "evaluate(seen=)", optional=True)
    started = time.perf_counter()
    names = metric_names(metrics, METRICS)
    chosen = baseline_names(baselines)
    if seen is None and set(chosen) - {"popularity"}:
        raise ConfigError(
            f"the baselines {', '.join(sorted(set(chosen) - {'popularity'}))} learn from the training data.",
            hint="evaluate(…, seen=train)",
        )
    if released is not None:
        _check_released(names, index)
    towers = towers_of(model)
    validator = Validator(towers, test, ks, seen)
    columns: dict[str, Hidden | None] = {"seen_in": None}
    if validator.hidden is not None:
        columns["seen_out"] = validator.hidden
    vectors = Vectors(*validator.vectors())
    own, asked = scorer_of(model, vectors, validator, seen, cold_start)
    bench = Bench(
        validator,
        tuple(sorted(ks)),
        names,
        ties,
        _test_columns(validator, test, weighted, grade),
        _release(validator, test, released),
        vectors.candidate.cpu().numpy(),
    )
    scorers = {"model": own, **_baselines(chosen, seen, validator, towers)}
    found = {
        name: {seen_as: bench.measure(scorer, hidden) for seen_as, hidden in columns.items()}
        for name, scorer in scorers.items()
    }
    recall: dict[str, Figures] = {}
    if index is not None:
        by_index = {name: bench.search(index, asked, own, hidden) for name, hidden in columns.items()}
        found = {"model": found["model"], "index": {name: one for name, (one, _) in by_index.items()}, **found}
        recall = {name: figures for name, (_, figures) in by_index.items()}
    parts = [segment for name in segments for segment in _segments(name, test, validator, found, bench, intervals)]
    pairs = validator.pairs
    return Evaluation(
        _of_each(found, lambda one: one.figures),
        pairs=len(pairs),
        queries=len(pairs.queries),
        candidates=len(pairs.candidates),
        new_queries=pairs.new_queries,
        new_candidates=pairs.new_candidates,
        seconds=time.perf_counter() - started,
        intervals=_of_each(found, lambda one: bootstrap(one.sums)) if intervals else {},
        segments=parts,
        index_recall=recall,
        sums=_of_each(found, lambda one: one.sums),
        query_ids=pairs.query_ids,
        repeats=None if seen is None else repeats(test, seen),
    )


def scorer_of(
    model: TwoTower | Mixture, vectors: Vectors, validator: Validator, seen: Dataset | None, cold_start: ColdStart
) -> tuple[Scorer, Vectors | Mixed]:
    """The model as a recommender would answer, and the part of it that an index is asked by."""
    if cold_start not in COLD_STARTS:
        raise ConfigError(f"evaluate() got cold_start={cold_start!r}.", hint=did_you_mean(str(cold_start), COLD_STARTS))
    pairs = validator.pairs
    asked: Vectors | Mixed = vectors
    without = np.ones(len(pairs.queries), np.bool_)
    if isinstance(model, Mixture):
        histories = model.histories_of(pairs.query_ids, seen)
        asked = Mixed(vectors, model.neighbours, histories, model.blend)
        without = np.diff(histories.offsets) == 0
    towers = towers_of(model)
    cold = ~pairs.known & without
    if (cold_start == "auto" and not towers.reads_ids_alone) or cold_start == "unknown" or not cold.any():
        return asked, asked
    popular = Vectors(*validator.popularity())
    return Cold(asked, torch.from_numpy(cold), popular), asked


def _baselines(names: Sequence[str], seen: Dataset | None, validator: Validator, model: TwoTower) -> dict[str, Scorer]:
    """The baselines; all but popularity learn from ``seen``."""
    scorers: dict[str, Scorer] = {}
    training = None
    for name in names:
        if name == "popularity":
            scorers[name] = Vectors(*validator.popularity())
        elif seen is not None:
            training = training or Training.of(seen, validator.pairs.query_ids, validator.candidate_ids)
            scorer = baseline(name, training)
            if name in ("ease", "ials"):  # the others have popularity behind what they know
                without = torch.from_numpy(training.asked < 0)
                scorer = Cold(scorer, without, Vectors(*validator.popularity())) if without.any() else scorer
            scorers[name] = scorer.to(model.device) if isinstance(scorer, Vectors) else scorer
    return scorers


@dataclass(frozen=True, eq=False)
class Measured:
    """One scorer with one set of hidden candidates."""

    ranked: Ranked
    sums: Mapping[str, PairSums]
    figures: Figures


def _of_each(found: Mapping[str, Mapping[str, Measured]], value: Callable[[Measured], T]) -> dict[str, dict[str, T]]:
    """One value of every scorer, with seen candidates in and out."""
    return {scorer: {name: value(one) for name, one in by_seen.items()} for scorer, by_seen in found.items()}


@dataclass(frozen=True, eq=False)
class PairColumns:
    """What the test says of each pair: float64 ``[pairs]``, or None."""

    weight: NDArray[np.float64] | None
    grade: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Bench:
    """The test pairs, ready to be measured for any scorer."""

    validator: Validator
    ks: tuple[int, ...]
    metrics: tuple[str, ...]
    ties: Ties
    columns: PairColumns
    released: Released | None
    vectors: NDArray[np.float32]  # the model's candidates, by which the diversity of any scorer's lists is told

    def measure(self, scorer: Scorer, hidden: Hidden | None) -> Measured:
        """All metrics of a scorer, by exact ranks."""
        validator = self.validator
        pairs = (validator.pair_query, validator.pair_candidate)

        def places(favourable: bool) -> NDArray[np.float64]:
            rank = scorer.ranks(*pairs, hidden, self.released, favourable=favourable)
            return found_ranks(rank, scorer.candidates).numpy()

        ranked = self._ranked(places(False), hidden, None if self.ties == "worst" else places(True))
        lists = None
        if self._describes_lists:
            lists = scorer.top(self.ks[-1], hidden).cpu().numpy()
        return self._measured(ranked, lists, self.metrics)

    def search(
        self, index: Index, asked: Vectors | Mixed, own: Scorer, hidden: Hidden | None
    ) -> tuple[Measured, Figures]:
        """All metrics of what an index finds, and its recall of the exact lists at each k, over the candidates that it has.

        asked: what the index is asked by; own: the same with popularity for queries of which nothing is known.
        """
        vectors = asked.vectors if isinstance(asked, Mixed) else asked
        queries = np.ascontiguousarray(vectors.query.flatten(1).cpu().numpy())
        exclude = None if hidden is None else _as_lists(hidden, len(queries))
        if isinstance(asked, Mixed):
            candidates = vectors.candidate.cpu().numpy()
            hits = search_blend(
                index, lambda rows: candidates[rows], asked.neighbours, asked.blend, queries, asked.histories, self.ks[-1],
                Filters(exclude=exclude),
            )  # fmt: skip
        else:
            hits = search_heads(index, queries, self.ks[-1], exclude=exclude)
        rows = np.full((len(queries), self.ks[-1]), -1, np.int64)
        lengths = np.diff(hits.offsets)
        rows[
            np.repeat(np.arange(len(queries)), lengths),
            np.arange(len(hits.ids)) - np.repeat(hits.offsets[:-1], lengths),
        ] = hits.ids
        inside = among(hidden, index.size)
        exact = asked.first(index.size).top(self.ks[-1], inside).cpu().numpy()
        if isinstance(own, Cold):
            cold = own.cold.cpu().numpy()
            rows[cold] = own.popular.first(index.size).top(self.ks[-1], inside).cpu().numpy()[cold]
            exact[cold] = -1  # an index is not asked for them, and misses nothing
        ranked = ranked_in_lists(self._ranked(np.zeros(len(self.validator.pairs)), hidden), rows)
        recall = {f"recall_{k}": _overlap(exact[:, :k], rows[:, :k]) for k in self.ks}
        return self._measured(ranked, rows, [name for name in self.metrics if name not in WHOLE]), recall

    @property
    def _describes_lists(self) -> bool:
        return any(name in LIST_METRICS for name in self.metrics)

    def _ranked(
        self, rank: NDArray[np.float64], hidden: Hidden | None, best: NDArray[np.float64] | None = None
    ) -> Ranked:
        pairs = self.validator.pairs
        competing = np.full(len(pairs.queries), len(pairs.candidates), np.int64)
        if hidden is not None:
            competing -= np.bincount(hidden.query.cpu().numpy(), minlength=len(competing))
        return Ranked(
            pairs.pair_query,
            pairs.pair_candidate,
            rank,
            len(pairs.queries),
            competing,
            best,
            self.columns.weight,
            self.columns.grade,
            np.sqrt(np.maximum(pairs.candidate_counts, 1))[pairs.pair_candidate],
        )

    def _measured(self, ranked: Ranked, rows: NDArray[np.int64] | None, metrics: Sequence[str]) -> Measured:
        sums = measured(ranked, metrics, self.ks)
        figures = {name: one.value for name, one in sums.items()}
        if rows is not None and self._describes_lists:
            counts = self.validator.pairs.candidate_counts
            figures |= described(Lists(rows, ranked.competing, counts, self.vectors), metrics, self.ks)
        return Measured(ranked, sums, figures)


def _test_columns(validator: Validator, test: Dataset, weighted: bool, grade: str | None) -> PairColumns:
    weights = checked_weights(test, weighted)
    grades = None
    if grade is not None:
        if grade not in test.interactions.columns or not test.interactions.schema[grade].is_numeric():
            raise DataError(f"grade is {grade!r}; a column of numbers in the test interactions was expected.")
        grades = test.interactions[grade].cast(pl.Float64).to_numpy()
        if not (good := np.isfinite(grades) & (grades >= 0)).all():
            row = int(good.argmin())
            first = ", ".join(f"{test.interactions[one][row]!r}" for one in (test.query, test.candidate))
            raise DataError(
                f"the grades in {grade!r} must be finite numbers of at least 0, none of them null; the first that is not "
                f"is of ({first}).",
                hint="leave those rows out, or fill them",
            )
    return PairColumns(weights, grades)


def _check_released(metrics: Sequence[str], index: Index | None) -> None:
    others = [name for name in metrics if name in WHOLE or name in LIST_METRICS]
    others += [] if index is None else ["an index"]
    if others:
        raise ConfigError(
            f"{', '.join(others)} cannot be measured with released=: they use one catalogue for all pairs.",
            hint="measure them in another call, without released=",
        )


def _release(validator: Validator, test: Dataset, released: str | None) -> Released | None:
    """When each candidate came to be, and when each pair happened, as float64; null is "always there"."""
    if released is None:
        return None
    table = validator.pairs.candidates
    if released not in table.columns:
        raise DataError(
            f"released is {released!r}; the candidates' table has no such column.",
            hint="name the column with each candidate's release time, or omit released",
        )
    if test.timestamp is None:
        raise DataError("released= needs the time of each test pair.", hint="Dataset(…, timestamp=…)")
    since, moment = table[released], test.times
    kinds = {_kind_of_time(column.dtype) for column in (since, moment)}
    if len(kinds) > 1 or None in kinds:
        raise DataError(
            f"candidates' {released!r} is of type {since.dtype} and the test's {test.timestamp!r} of {moment.dtype}; "
            "expected numbers in both, dates and times without a time zone in both, or with a time zone in both.",
            hint="give the one without a time zone the zone that it was written in: .dt.replace_time_zone('Asia/Seoul')"
            if kinds == {"naive", "zoned"}
            else f"convert one of them, so that {released!r} is the time from which a candidate can be chosen",
        )
    if since.dtype.is_temporal():
        since, moment = since.cast(pl.Datetime("us")), moment.cast(pl.Datetime("us"))
    times = [column.to_physical().cast(pl.Float64).fill_null(-np.inf).to_numpy() for column in (since, moment)]
    device = validator.model.device
    return Released(*(torch.tensor(one, dtype=torch.float64, device=device) for one in times))


def _kind_of_time(dtype: pl.DataType) -> str | None:
    """Which times a column can be compared with; None if it is not a moment. A zoned moment is not a naive one."""
    if isinstance(dtype, pl.Datetime):
        return "naive" if dtype.time_zone is None else "zoned"
    return "naive" if dtype == pl.Date else "number" if dtype.is_numeric() else None


def _segments(
    name: str,
    test: Dataset,
    validator: Validator,
    found: Mapping[str, Mapping[str, Measured]],
    bench: Bench,
    intervals: bool,
) -> list[Segment]:
    rows = []
    for group, mask in grouped(name, test, validator.pairs):
        for scorer, by_seen in found.items():
            for seen, one in by_seen.items():
                part = one.ranked.only(mask)
                sums = measured(part, bench.metrics, bench.ks)
                sure: Mapping[str, Interval] = bootstrap(sums) if intervals else {}
                figures = {metric: value.value for metric, value in sums.items()}
                queries = len(np.unique(part.query))
                rows.append(Segment(name, group, scorer, seen, int(mask.sum()), queries, figures, sure))
    return rows


def _as_lists(hidden: Hidden, queries: int) -> IdLists:
    """Hidden candidates as one list per query."""
    offsets = np.zeros(queries + 1, np.int64)
    np.cumsum(np.bincount(hidden.query.cpu().numpy(), minlength=queries), out=offsets[1:])
    return IdLists(offsets, hidden.candidate.cpu().numpy())


def _overlap(exact: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """The share of exact lists' candidates that are found."""
    apart = np.arange(len(exact), dtype=np.int64)[:, None] << 40
    wanted = (exact + apart)[exact >= 0]
    return len(np.intersect1d(wanted, (found + apart)[found >= 0])) / max(len(wanted), 1)
