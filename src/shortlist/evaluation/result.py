"""The result of an evaluation, as values and as text; and whether two models really differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shortlist._above import room_above
from shortlist.data.argument_checks import check_kind, check_seed
from shortlist.display import Framed, Tabular, frame_html
from shortlist.errors import ConfigError, did_you_mean
from shortlist.evaluation.figures import Figures, Segment, plain_intervals
from shortlist.evaluation.repeats import Repeats
from shortlist.evaluation.text import TITLES, evaluation_html, evaluation_text, figure_name, headline_figure
from shortlist.intervals import ENDS, Interval, PairSums, chance, interval_of, p_in_words, resampled
from shortlist.language import counted

__all__ = ["Comparison", "Evaluation", "Figures", "Segment", "compare"]


COLUMNS = {
    **dict.fromkeys(("scorer", "seen", "segment", "group"), pl.String),
    **dict.fromkeys(("pairs", "queries"), pl.Int64),
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
}  # of an evaluation's frame


@dataclass(frozen=True, eq=False)
class Evaluation(Tabular):
    """Figures of a model and of its baselines, on the same test pairs.

    Attributes:
        figures: ``figures["model"]["seen_in"]["top_10"]`` is the share of pairs whose candidate is among the ten best
            of the whole catalogue for its query; ``seen_out`` leaves out the query's choices in training. Other keys
            are "index" (the same model through an approximate index) and the names of the baselines.
        pairs: how many pairs were measured.
        queries: how many queries were measured.
        candidates: how many candidates competed.
        new_queries: pairs whose query training never saw.
        new_candidates: pairs whose candidate training never saw.
        seconds: time taken.
        intervals: 95% confidence intervals in the same shape, where asked for.
        segments: groups of the pairs, likewise.
        index_recall: how much of the exact top k the index finds, by "seen_in"/"seen_out" and k.
        skipped: baselines that could not be measured, and why.
        sums: each metric's fraction per query (``PairSums``), from which intervals and comparisons are made.
        query_ids: the raw ids of those queries.
        repeats: how many test pairs repeat a choice of training, where ``seen`` was given; ``notes`` says what follows.
    """

    figures: Mapping[str, Mapping[str, Figures]]
    pairs: int
    queries: int
    candidates: int
    new_queries: int
    new_candidates: int
    seconds: float
    intervals: Mapping[str, Mapping[str, Mapping[str, Interval]]] = field(default_factory=dict)
    segments: Sequence[Segment] = ()
    index_recall: Mapping[str, Figures] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    sums: Mapping[str, Mapping[str, Mapping[str, PairSums]]] = field(default_factory=dict, repr=False)
    query_ids: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String), repr=False)
    repeats: Repeats | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that help to read the figures."""
        return () if self.repeats is None else self.repeats.notes

    def __getitem__(self, scorer: str) -> Mapping[str, Figures]:
        return self.figures[scorer]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: a key per scorer, then counts and the other results."""
        counts = ("pairs", "queries", "candidates", "new_queries", "new_candidates")
        plain: dict[str, Any] = {name: {k: dict(v) for k, v in value.items()} for name, value in self.figures.items()}
        plain |= {name: getattr(self, name) for name in counts}
        if self.intervals:
            plain["intervals"] = {
                name: {seen: plain_intervals(values) for seen, values in by_seen.items()}
                for name, by_seen in self.intervals.items()
            }
        if self.segments:
            plain["segments"] = [segment.to_dict() for segment in self.segments]
        if self.index_recall:
            plain["index_recall"] = {seen: dict(values) for seen, values in self.index_recall.items()}
        if self.skipped:
            plain["skipped"] = dict(self.skipped)
        if self.repeats is not None:
            plain |= {"repeated": self.repeats.repeated, "notes": list(self.notes)}
        return plain

    def to_frame(self) -> pl.DataFrame:
        """A row per figure: scorer, seen ("seen_in" or "seen_out"), segment, group, pairs, queries, metric, value, low, high.

        Segment and group are null where all test pairs count; low and high, the 95% interval, where there is none: none was asked for, or
        fewer than two queries count.
        """
        whole = [
            (None, scorer, seen, self.pairs, self.queries, values, self.intervals.get(scorer, {}).get(seen, {}))
            for scorer, by_seen in self.figures.items()
            for seen, values in by_seen.items()
        ]
        groups = [
            (one, one.scorer, one.seen, one.pairs, one.queries, one.figures, one.intervals) for one in self.segments
        ]
        rows = []
        for segment, scorer, seen, pairs, queries, values, intervals in (*whole, *groups):
            named = (None, None) if segment is None else (segment.name, segment.group)
            for metric, value in values.items():
                low, high = intervals[metric].ends if metric in intervals else (None, None)
                rows.append((scorer, seen, *named, pairs, queries, metric, value, low, high))
        return pl.DataFrame(rows, schema=COLUMNS, orient="row")

    def plot(self) -> Any:
        """A chart of each metric by k, with intervals where there are some.

        Without altair it is a chart that notebooks draw, with ``to_dict`` (Vega-Lite) and ``save("evaluation.html")``.

        Raises:
            ConfigError: where no metric has a k.
        """
        return room_above("plots").evaluation_plot(self)

    def _repr_html_(self) -> str:
        return evaluation_html(self.headline(), self.notes, self.figures, self.intervals)

    def headline(self) -> str:
        """How much was measured, on one line."""
        return (
            f"{counted(self.pairs, 'test pair')} of {counted(self.queries, 'query')} against {counted(self.candidates, 'candidate')}"
            f" ({self.new_queries:,} with a query new to the model, {self.new_candidates:,} with a new candidate)"
        )

    def __repr__(self) -> str:
        """How much was measured, and the figure nearest to the top 10 of the model and of the three best others."""
        seen = "seen_out" if "seen_out" in self.figures["model"] else "seen_in"
        by_scorer = {name: by_seen[seen] for name, by_seen in self.figures.items() if seen in by_seen}
        headline = headline_figure(by_scorer["model"])
        parts = [f"Evaluation({counted(self.pairs, 'test pair')}"]
        if headline is not None:
            values = {name: figures.get(headline, math.nan) for name, figures in by_scorer.items()}
            others = sorted((one for one in values if one != "model"), key=lambda one: -values[one])[:3]
            listed = ", ".join(f"{name} {values[name]:.4f}" for name in ("model", *others))
            parts.append(f"{figure_name(headline)}: {listed}")
        return " · ".join([*parts, f"{TITLES[seen]})"])

    def __str__(self) -> str:
        head = [self.headline(), *self.notes]
        return evaluation_text(head, self.figures, self.intervals, self.segments, self.index_recall)


class _Compared(NamedTuple):
    """The fields of ``Comparison``."""

    metric: str
    first: float
    second: float
    difference: float
    interval: Interval
    p_value: float
    queries: int


class Comparison(_Compared, Framed):
    """A paired comparison: the same test, two models.

    Attributes:
        metric: the metric that was compared.
        first: the first model's figure.
        second: the second model's figure.
        difference: the second's figure less the first's.
        interval: the difference's 95% confidence interval.
        p_value: how often chance alone would give a difference as large.
        queries: how many were compared.
        real: whether the difference is more than chance at 5%.
    """

    __slots__ = ()

    @property
    def real(self) -> bool:
        return self.p_value < 0.05

    def to_frame(self) -> pl.DataFrame:
        """One row: metric, first, second, difference, low, high, p_value, queries, real."""
        plain = self._asdict()
        low, high = plain.pop("interval").ends
        names = ("metric", "first", "second", "difference")
        return pl.DataFrame(
            [{name: plain.pop(name) for name in names} | {"low": low, "high": high} | plain | {"real": self.real}],
            schema_overrides=ENDS,
        )

    def __repr__(self) -> str:
        return f"Comparison({self!s})"

    def _repr_html_(self) -> str:
        return frame_html("Comparison", self.to_frame(), [str(self)])

    def __str__(self) -> str:
        verdict = "a real difference" if self.real else "no difference beyond chance"
        return (
            f"{self.metric}: {self.first:.4f} → {self.second:.4f} ({self.difference:+.4f}, "
            f"95% {self.interval.low:+.4f} to {self.interval.high:+.4f}, {p_in_words(self.p_value)}, "
            f"{counted(self.queries, 'query')}): {verdict}"
        )


def compare(
    first: Evaluation,
    second: Evaluation,
    metric: str = "top_10",
    *,
    seen: str | None = None,
    scorers: tuple[str, str] = ("model", "model"),
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Whether ``second`` really differs from ``first``, query by query on the same test.

    The interval is a bootstrap over queries of the difference; the p-value a randomisation test that swaps the two models
    for each query (Smucker, Allan, Carterette 2007, "A comparison of statistical significance tests for information
    retrieval evaluation").

    Args:
        first: an evaluation.
        second: another one, on the same test.
        metric: for example "top_100".
        seen: "seen_in" or "seen_out"; by default the latter where both have it.
        scorers: which of each evaluation's scorers to compare, for example ``("popularity", "model")`` of one
            evaluation given twice.
        resamples: draws for the interval, and as many for the p-value.
        seed: of the draws.

    Raises:
        ConfigError: for a metric, scorer or test that the two do not share.

    Example:
        sl.compare(sl.evaluate(old, test, seen=train), sl.evaluate(new, test, seen=train), "top_100")
    """
    for one, name in ((first, "first"), (second, "second")):
        check_kind(one, f"compare({name})", "Evaluation", hint="shortlist.evaluate(model, test, seen=train)")
    check_seed(seed, "compare()")
    if first.pairs != second.pairs or not first.query_ids.equals(second.query_ids):
        raise ConfigError(
            f"the two evaluations have different tests ({first.pairs:,} and {second.pairs:,} pairs).",
            hint="evaluate both models on the same test data",
        )
    sums = [_sums(one, scorer, seen, metric) for one, scorer in zip((first, second), scorers, strict=True)]
    pairs = int(np.count_nonzero(sums[0].denominator + sums[1].denominator))
    weight = max(float(sums[0].denominator.sum()), 1e-300)
    gain = (sums[1].numerator - sums[0].numerator) / weight
    difference = float(gain.sum())
    drawn = resampled(sums, min(resamples, 2000), seed)
    return Comparison(
        metric,
        sums[0].value,
        sums[1].value,
        difference,
        interval_of(drawn[:, 1] - drawn[:, 0]),
        chance(gain, resamples, seed),
        pairs,
    )


def _sums(evaluation: Evaluation, scorer: str, seen: str | None, metric: str) -> PairSums:
    if scorer not in evaluation.sums:
        raise ConfigError(f"the evaluation has no scorer {scorer!r}.", hint=did_you_mean(scorer, evaluation.sums))
    by_seen = evaluation.sums[scorer]
    seen = seen or ("seen_out" if "seen_out" in by_seen else "seen_in")
    if seen not in by_seen:
        raise ConfigError(f"the evaluation has no figures for {seen!r}.", hint=did_you_mean(seen, by_seen))
    if metric not in by_seen[seen]:
        raise ConfigError(
            f"the evaluation has no query-wise metric {metric!r}.", hint=did_you_mean(metric, by_seen[seen])
        )
    return by_seen[seen][metric]
