"""The held-out rows that contenders are measured on, and by which figure."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.argument_checks import shown
from shortlist.data.choices import choice_counts
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, did_you_mean
from shortlist.evaluation.evaluate import scorer_of
from shortlist.evaluation.measures import Measures
from shortlist.evaluation.metrics import AT_K, headline_k
from shortlist.evaluation.repeats import repeats
from shortlist.evaluation.testset import TestSet, checked_weights
from shortlist.intervals import PairSums
from shortlist.language import counted
from shortlist.model import TwoTower
from shortlist.sources import Mixture, towers_of

__all__ = ["Figure", "Trial", "parsed_metric", "times_number_rows"]

SCORES = 60_000_000  # of all asked queries together
FEWEST, MOST = 500, 20_000  # queries
DEEPER = 10  # times the cut-off; both cut-offs together rank contenders that are level
MOSTLY = 0.5  # share of rows that are copies, from which they are not repeated choices
AGAIN = 0.5  # from this share of held-out pairs that were chosen before, seen items compete
PLACED = (
    "ndcg",
    "mrr",
    "map",
)  # metrics by the place in a list, which models differ in where the list is the whole catalogue


@dataclass(frozen=True, eq=False)
class Figure:
    """A model's figure on the held-out rows.

    Attributes:
        sums: by query.
        seconds: time that measuring took.
        deep: the figure at ``DEEPER`` times the cut-off, where the catalogue is large enough for it to differ.
    """

    value: float
    sums: PairSums
    seconds: float
    deep: Figure | None = None

    @property
    def error(self) -> float:
        """The standard error of the value, over queries."""
        weight = self.sums.denominator
        counted = weight > 0
        if counted.sum() < 2:
            return float("nan")
        away = self.sums.numerator[counted] - self.value * weight[counted]
        return float(np.sqrt((away**2).sum()) / weight.sum())

    def alternated(self, other: Figure) -> Figure:
        """This figure for queries with even rows, and another figure for odd ones."""
        odd = np.arange(len(self.sums.numerator)) % 2 == 1
        sums = PairSums(
            np.where(odd, other.sums.numerator, self.sums.numerator),
            np.where(odd, other.sums.denominator, self.sums.denominator),
        )
        deep = None if self.deep is None or other.deep is None else self.deep.alternated(other.deep)
        return Figure(sums.value, sums, self.seconds + other.seconds, deep)

    def scaled(self, factor: float) -> Figure:
        """The figure times a factor."""
        sums = PairSums(self.sums.numerator * factor, self.sums.denominator)
        return Figure(sums.value, sums, self.seconds)

    def plus(self, other: Figure) -> Figure:
        """The sum of two figures that count the same queries by the same weights."""
        sums = PairSums(self.sums.numerator + other.sums.numerator, self.sums.denominator)
        return Figure(sums.value, sums, self.seconds + other.seconds)

    def lead_over(self, other: Figure) -> tuple[float, float]:
        """How far it is ahead of another one on the same queries, and the standard error of that: infinite for one query alone."""
        weight = max(float(self.sums.denominator.sum()), 1e-300)
        gain = (self.sums.numerator - other.sums.numerator) / weight
        error = float(np.sqrt(((gain - gain.mean()) ** 2).sum()))
        return float(gain.sum()), error if (self.sums.denominator > 0).sum() > 1 else float("inf")


@dataclass(frozen=True, eq=False)
class Trial:
    """Held-out rows of whole queries, and how they are counted.

    Attributes:
        train: what contenders learn from.
        test: the held-out rows of the queries that are asked, at most so many that queries × candidates stays within
            ``SCORES``.
        held_out: all held-out rows.
        metric: the figure's metric.
        k: its cut-off.
        exclude_seen: whether what a query chose in ``train`` is left out.
        again: share of held-out pairs that are in ``train``.
        new: share of those of new queries.
        weighted: whether pairs count by their weight.
        copies: rows of ``train`` that are copies of another: the same query, candidate and time. Without times, 0 unless most
            rows are copies: people may choose again.
        unmet: share of held-out pairs of candidates that nobody chose in ``train``.
    """

    train: Any
    seen: Dataset
    test: Dataset
    held_out: Dataset
    metric: str
    k: int
    exclude_seen: bool
    again: float
    new: float
    weighted: bool = False
    copies: int = 0
    unmet: float = 0.0

    @classmethod
    def of(
        cls, train: Any, seen: Dataset, held_out: Dataset, by: str | None, seed: int, weighted: bool = False
    ) -> Trial:
        """The trial on these held-out rows.

        Args:
            by: the figure, for example "recall@10"; None takes recall at 10, or at a tenth of a smaller catalogue.

        Raises:
            ConfigError: for a figure in which models cannot differ.
            DataError: where all held-out rows have weight 0 and ``weighted``.
        """
        checked_weights(held_out, weighted)
        size = len(train.candidates)
        metric, k = parsed_metric(by) if by is not None else ("recall", headline_k(size))
        if by is not None and k >= size and metric not in PLACED:
            raise ConfigError(
                f"by is {shown(by)}, a list as long as the catalogue ({counted(size, 'candidate')}) or longer, in which every model has "
                "the same figure.",
                hint=f"a shorter list, such as {metric}@{headline_k(size)}",
            )
        met = IdMap(seen.queries[seen.query].gather(np.unique(seen.query_rows)))
        known = met.find(held_out.queries[held_out.query]) >= 0
        again = repeats(held_out, seen).share
        return cls(
            train,
            seen,
            _asked(held_out, size, seed),
            held_out,
            metric,
            k,
            again <= AGAIN,
            again,
            float((~known[held_out.query_rows]).mean()),
            weighted,
            _copies(train),
            _unmet(train, held_out),
        )

    @property
    def name(self) -> str:
        """The figure as people write it."""
        return f"{self.metric}@{self.k}"

    def measure(self, model: TwoTower | Mixture) -> Figure:
        """A model's figure, by exact ranks over the whole catalogue; new queries are answered as a recommender does."""
        started = time.perf_counter()
        test = TestSet.of(towers_of(model), self.test, self.seen, weighted=self.weighted)
        scorer, _ = scorer_of(model, test.vectors(), test, self.seen, "auto")
        measured = Measures((self.metric,), self.ks).of(scorer, test if self.exclude_seen else test.with_all)
        sums = [measured.sums[f"{self.metric}_{k}"] for k in self.ks]
        return self.figure(sums, time.perf_counter() - started)

    @property
    def ks(self) -> tuple[int, ...]:
        """The cut-off, and ``DEEPER`` times it where that is at most half of the catalogue."""
        deep = DEEPER * self.k
        return (self.k, deep) if 2 * deep <= len(self.train.candidates) else (self.k,)

    def figure(self, sums: Sequence[PairSums], seconds: float) -> Figure:
        """A figure from its sums at each of ``ks``."""
        deep = Figure(sums[1].value, sums[1], seconds) if len(sums) > 1 else None
        return Figure(sums[0].value, sums[0], seconds, deep)


def parsed_metric(by: str) -> tuple[str, int]:
    """A figure such as "recall@10" as a name and a cut-off. ConfigError for anything else."""
    match = re.fullmatch(r"([a-z_]+)@(\d+)", by.strip()) if isinstance(by, str) else None
    if match is None or int(match.group(2)) < 1:
        raise ConfigError(
            f"by is {shown(by)}; a metric with a cut-off was expected.", hint="for example recall@10 or ndcg@20"
        )
    name, k = match.group(1), int(match.group(2))
    if name not in AT_K:
        raise ConfigError(f"there is no metric {name!r} with a cut-off.", hint=did_you_mean(name, AT_K))
    return name, k


def times_number_rows(data: Dataset) -> bool:
    """Whether the times only number each query's own rows: nearly every query begins at the same one, and has none twice."""
    if data.timestamp is None or not data.interactions.schema[data.timestamp].is_integer():
        return False
    rows = pl.DataFrame({"query": data.query_rows, "time": data.times})
    first = rows.group_by("query").agg(pl.len().alias("rows"), pl.col("time").min()).filter(pl.col("rows") > 1)["time"]
    if len(first) < 10 or first.value_counts()["count"].max() <= 0.9 * len(first):  # type: ignore[operator]
        return False
    return rows.n_unique() > 0.99 * len(rows)


def _unmet(train: Any, held_out: Dataset) -> float:
    """The share of held-out pairs of candidates that nobody chose in the training data."""
    counts = choice_counts(train, "candidate")
    met = IdMap(train.candidates[train.candidate].gather(np.flatnonzero(counts)))
    known = met.find(held_out.candidates[held_out.candidate]) >= 0
    return float((~known[held_out.candidate_rows]).mean())


def _copies(data: Any) -> int:
    """Rows with the query, candidate and time of another row; without times, 0 unless they are most of the rows."""
    if not isinstance(data, Dataset):
        return 0
    columns = [data.query, data.candidate, *([] if data.timestamp is None else [data.timestamp])]
    copies = len(data) - data.interactions.select(columns).n_unique()
    return copies if data.timestamp is not None or copies > MOSTLY * len(data) else 0


def _asked(held_out: Dataset, candidates: int, seed: int) -> Dataset:
    """The rows of so many queries as can be measured in a second or two, drawn by ``seed``."""
    asked: NDArray[np.integer] = np.unique(held_out.query_rows)
    most = int(min(MOST, max(FEWEST, SCORES // max(candidates, 1))))
    if len(asked) <= most:
        return held_out
    drawn = np.random.default_rng(seed).choice(asked, most, replace=False)
    inside = pl.Series(np.isin(held_out.query_rows, drawn))
    return held_out.with_interactions(held_out.interactions.filter(inside))
