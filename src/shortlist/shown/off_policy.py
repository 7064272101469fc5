"""The clicks that a new bundle's lists would have brought, estimated from lists that were shown by another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import TableLike
from shortlist.data.argument_checks import check_seed
from shortlist.data.ids import few
from shortlist.display import Tabular
from shortlist.errors import ConfigError, DataError
from shortlist.intervals import Interval, interval_of
from shortlist.language import WIDTH, counted, folded, padded, shown
from shortlist.shown.estimators import Sums, effective
from shortlist.shown.examination import Examination, estimated
from shortlist.shown.impressions import Impressions, Places, check_apart, read_impressions
from shortlist.shown.new_lists import NewLists, check_k, read_new_lists
from shortlist.shown.text import interval_text

__all__ = ["ESTIMATORS", "OffPolicyEvaluation", "PolicyValue", "off_policy_evaluate"]

TITLES = {"ips": "IPS", "snips": "SNIPS", "dr": "doubly robust"}

ESTIMATORS = ("ips", "snips", "dr")
FEWEST_CLICKS = 10  # that an estimate is worth, below which its interval means nothing


@dataclass(frozen=True)
class PolicyValue:
    """Clicks per list under the new lists, by one estimator.

    Attributes:
        value: expected clicks per list.
        interval: its 95% confidence interval.
        gain: the value less the clicks per list as shown.
        gain_interval: and its interval.
    """

    value: float
    interval: Interval
    gain: float
    gain_interval: Interval

    @property
    def real(self) -> bool:
        """Whether the gain or loss is more than chance at 5%."""
        return self.gain_interval.low > 0 or self.gain_interval.high < 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "value": self.value,
            "interval": list(self.interval.ends),
            "gain": self.gain,
            "gain_interval": list(self.gain_interval.ends),
        }


@dataclass(frozen=True)
class OffPolicyEvaluation(Tabular):
    """How many clicks the new lists would have brought, next to the lists as shown.

    Attributes:
        shown: clicks per list in the first k places, as shown.
        shown_interval: its 95% confidence interval.
        ips: by inverse propensities.
        snips: by self-normalised inverse propensities.
        dr: doubly robust.
        k: places of the new lists.
        lists: how many lists were shown.
        queries: to how many queries.
        rows: places shown.
        clicks: of them clicked.
        support: the share of what the new lists show, counted by how likely it is looked at, that was shown to the same
            query.
        effective_rows: the effective sample size: so many places shown by the new bundle itself would say as much.
        effective_clicks: the same for clicks.
        examination: the chances that places are looked at.
        notes: what else a reader should know.
    """

    shown: float
    shown_interval: Interval
    ips: PolicyValue
    snips: PolicyValue
    dr: PolicyValue
    k: int
    lists: int
    queries: int
    rows: int
    clicks: int
    support: float
    effective_rows: float
    effective_clicks: float
    examination: Examination
    notes: tuple[str, ...] = ()

    def verdict(self) -> str:
        """The doubly robust estimate in one sentence."""
        gain = self.dr.gain
        if not self.dr.real:
            return "No difference beyond chance between the new lists and those shown."
        more = "more" if gain > 0 else "fewer"
        share = f" ({gain / self.shown:+.0%})" if self.shown else ""
        return f"The new lists would bring {more} clicks than those shown{share}."

    def to_frame(self) -> pl.DataFrame:
        """A row for the lists as shown and for each estimator: estimator, value, low, high, gain, gain_low, gain_high, real.

        Values are clicks per list; the gain is that over the lists as shown.
        """
        rows = [("shown", self.shown, *self.shown_interval.ends, None, None, None, None)]
        for name in ESTIMATORS:
            one = getattr(self, name)
            rows.append((name, one.value, *one.interval.ends, one.gain, *one.gain_interval.ends, one.real))
        figures = ("value", "low", "high", "gain", "gain_low", "gain_high")
        schema = {"estimator": pl.String, **dict.fromkeys(figures, pl.Float64), "real": pl.Boolean}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        names = ("k", "lists", "queries", "rows", "clicks", "support", "effective_rows", "effective_clicks")
        return {
            "shown": {"value": self.shown, "interval": list(self.shown_interval.ends)},
            **{name: getattr(self, name).to_dict() for name in ESTIMATORS},
            **{name: getattr(self, name) for name in names},
            "examination": self.examination.to_dict(),
            "notes": list(self.notes),
            "verdict": self.verdict(),
        }

    def __repr__(self) -> str:
        real = "more than chance" if self.dr.real else "no more than chance"
        return (
            f"OffPolicyEvaluation({counted(self.lists, 'list')} · clicks per list {self.shown:.4f}, "
            f"new lists {self.dr.value:.4f} · {real})"
        )

    def __str__(self) -> str:
        return _text(self)


def off_policy_evaluate(
    shown: TableLike,
    new: Any,
    *,
    query: str = "query",
    candidate: str = "candidate",
    place: str = "place",
    clicked: str = "clicked",
    propensity: str | None = None,
    k: int | None = None,
    examination: Examination | Sequence[float] | None = None,
    least_support: float = 0.9,
    least_effective: float = 100.0,
    resamples: int = 1000,
    seed: int = 0,
) -> OffPolicyEvaluation:
    """The clicks per list that ``new`` would have had, from the clicks on lists that another bundle showed.

    A place shown has the weight w = e_new / (p e_shown), where e is the chance that a place is looked at, by the place in
    the new list and in the list shown (0 where the new list does not have the candidate), and p the chance that the
    candidate was shown to the query. Over the lists shown:

    1. IPS: Σ w click / lists. Right on average where everything that the new lists show could have been shown.
    2. SNIPS: Σ w click / Σ w e_shown × Σ e_new / lists, which varies less (Swaminathan, Joachims 2015, "The
       self-normalized estimator for counterfactual learning"). It differs from IPS where ``propensity`` is given or
       support is not complete.
    3. DR: Σ_new e_new like + Σ w (click − e_shown like), over lists, where ``like`` is the candidate's click rate among
       other queries. Right on average where either the propensities or the click rates are (Dudík, Langford, Li 2011,
       "Doubly robust policy evaluation and learning").

    Intervals are a bootstrap over queries; of one query there are none, and no gain is called real. They take the chances that places
    are looked at as known.

    Args:
        shown: one row per place shown, in any form that ``Dataset`` takes: query, candidate, place and click.
        new: the new bundle's lists: a ``Recommender``, or a table of one list for each query (query, candidate, place).
            It must not have learned from the clicks in ``shown``.
        query: the column of query ids.
        candidate: the column of candidate ids.
        place: the column of places, from 1.
        clicked: the column that says whether it was clicked.
        propensity: the column with the chance that the candidate was in the list shown to this query, at any place. None:
            the share of the query's lists that have it, which supports only what each query was shown.
        k: places of the new lists; by default those of the longest list shown.
        examination: the chances that places are looked at, relative to the first; None: they are estimated from pairs
            shown at several places (``Examination.estimate``).
        least_support: the support below which the estimate is refused.
        least_effective: the effective number of places shown below which it is refused.
        resamples: draws for the intervals.
        seed: of the draws, and of the parts in which click rates are measured.

    Raises:
        ConfigError: for an option that cannot work.
        DataError: for a bad table, and where the impressions cannot say how the new lists would have done: too little
            support, too small an effective sample, fewer than 10 effective clicks, or propensities that contradict what
            was shown.

    Example:
        >>> shown = {"query": list("aabb") * 200, "candidate": [1, 2, 2, 1] * 200, "place": [1, 2] * 400}
        >>> shown["clicked"] = [True, False, False, True] * 200  # everybody clicks candidate 1
        >>> new = {"query": ["a", "b"], "candidate": [1, 1], "place": [1, 1]}
        >>> result = off_policy_evaluate(shown, new, examination=[1.0, 1.0])
        >>> round(result.ips.value, 6), result.support
        (1.0, 1.0)
    """
    check_seed(seed, "off_policy_evaluate()")
    _check_numbers(least_support, least_effective, resamples)
    columns = Places(query, candidate, place, clicked)
    check_apart(query=query, candidate=candidate, place=place, clicked=clicked, propensity=propensity)
    log = read_impressions(shown, columns, [] if propensity is None else [propensity])
    k = check_k(k, log.deepest)
    chances = _chances(examination, log)
    lists = read_new_lists(new, log, columns, k)
    propensities = None if propensity is None else _propensities(log.table[propensity])
    sums = Sums.of(log, lists, chances, propensities, k, seed)
    notes = [*lists.notes]
    if examination is None:
        notes.append("the intervals take the estimated chances that places are looked at as known")
    drawn = sums.drawn(resamples, seed)
    if propensities is not None:
        _check_propensities(sums, drawn)
    _check_support(sums, lists, least_support)
    _check_sample(sums, least_effective)
    return _result(log, sums, drawn, k, chances, tuple(notes))


def _chances(examination: Examination | Sequence[float] | None, log: Impressions) -> Examination:
    if examination is None:
        return estimated(log)
    return examination if isinstance(examination, Examination) else Examination(examination)


def _propensities(values: pl.Series) -> NDArray[np.float64]:
    numbers = values.cast(pl.Float64, strict=False) if values.dtype.is_numeric() else None
    if numbers is None or numbers.null_count() or not bool(((numbers > 0) & (numbers <= 1)).all()):
        raise DataError(
            f"the propensities {values.name!r} are {_wrong_propensities(values, numbers)}; numbers above 0 and at most 1 were expected.",
            hint="the chance that the candidate was in the list shown to this query",
        )
    checked: NDArray[np.float64] = numbers.to_numpy()
    return checked


def _wrong_propensities(values: pl.Series, numbers: pl.Series | None) -> str:
    """The type of the column given for propensities, or how many rows hold something else, with the first of them."""
    if numbers is None:
        return f"of type {values.dtype}"
    wrong = ~((numbers > 0) & (numbers <= 1)).fill_null(False)
    at = int(wrong.arg_max() or 0)
    return (
        f"others in {int(wrong.sum()):,} of {counted(len(values), 'row')}, the first {values[at]!r} in row {at + 1:,}"
    )


def _check_numbers(least_support: object, least_effective: object, resamples: object) -> None:
    if isinstance(least_support, bool) or not isinstance(least_support, (int, float)) or not 0 <= least_support <= 1:
        raise ConfigError(f"least_support is {least_support!r}; a share from 0 to 1 was expected.", hint="0.9")
    if isinstance(least_effective, bool) or not isinstance(least_effective, (int, float)) or not least_effective >= 0:
        raise ConfigError(f"least_effective is {least_effective!r}; a number from 0 was expected.", hint="100")
    if isinstance(resamples, bool) or not isinstance(resamples, int) or resamples < 2:
        raise ConfigError(f"resamples is {resamples!r}; a whole number from 2 was expected.", hint="1000")


def _check_propensities(sums: Sums, drawn: NDArray[np.float64]) -> None:
    """DataError where more was shown of what the new lists have than the propensities allow."""
    low, _ = interval_of(drawn[:, 4])
    if sums.support > 1.1 and low > 1:
        raise DataError(
            f"the propensities are too low: by them, {min(sums.support, 1e4):,.0%} of what the new lists show was shown; at most "
            "100% can be.",
            hint="a propensity is the chance that the candidate was in the list at any place, not at this one",
        )


def _check_support(sums: Sums, new: NewLists, least: float) -> None:
    if not sums.asked.sum():
        raise DataError("the new lists are empty.", hint="check that the new bundle knows these queries and candidates")
    if sums.support > 0 and sums.support >= least:
        return
    never = ""
    if len(new.unshown):
        never = (
            f"; {counted(len(new.unshown), 'candidate')} {'was' if len(new.unshown) == 1 else 'were'} never shown to anybody: "
            f"{few(new.unshown)}"
        )
    raise DataError(
        f"the impressions support {sums.support:.0%} of what the new lists show, counted by how likely it is looked at; "
        f"at least {least:.0%} was expected{never}.",
        hint="interleave the two bundles, show some candidates by chance and log their propensity, or compare shorter "
        "lists (k=); least_support= accepts less, and counts what is not supported as SNIPS and DR guess it",
    )


def _check_sample(sums: Sums, least: float) -> None:
    rows, clicks = effective(sums.weights), effective(sums.weights * sums.clicked)
    if rows < least:
        raise DataError(
            f"the effective sample size is {rows:.0f} places shown; at least {least:g} was expected: few places shown "
            "have most of the weight.",
            hint="collect more impressions; least_effective= accepts fewer",
        )
    if clicks < FEWEST_CLICKS:
        raise DataError(
            f"the estimate would rest on {clicks:.1f} effective clicks; at least {FEWEST_CLICKS} were expected.",
            hint="collect more impressions",
        )


def _result(
    log: Impressions,
    sums: Sums,
    drawn: NDArray[np.float64],
    k: int,
    examination: Examination,
    notes: tuple[str, ...],
) -> OffPolicyEvaluation:
    def interval(draws: NDArray[np.float64]) -> Interval:
        """None of one query: all its draws are equal, which says nothing of others."""
        return interval_of(draws) if len(log.query_ids) > 1 else Interval(float("nan"), float("nan"))

    values = sums.values()
    estimates = {
        name: PolicyValue(
            float(values[at]),
            interval(drawn[:, at]),
            float(values[at] - values[0]),
            interval(drawn[:, at] - drawn[:, 0]),
        )
        for at, name in enumerate(ESTIMATORS, start=1)
    }
    return OffPolicyEvaluation(
        shown=float(values[0]),
        shown_interval=interval(drawn[:, 0]),
        **estimates,
        k=k,
        lists=int(log.lists.sum()),
        queries=len(log.query_ids),
        rows=len(log),
        clicks=int(log.clicked.sum()),
        support=sums.support,
        effective_rows=effective(sums.weights),
        effective_clicks=effective(sums.weights * sums.clicked),
        examination=examination,
        notes=notes,
    )


def _text(result: OffPolicyEvaluation) -> str:
    """How much was measured, a line per estimator, and the verdict."""
    head = f"{counted(result.lists, 'list')} shown to {counted(result.queries, 'query')}, {counted(result.clicks, 'click')}; new lists of {result.k}"
    basis = (
        f"support {min(result.support, 1):.0%} of what the new lists show; effective sample "
        f"{result.effective_rows:,.0f} of {counted(result.rows, 'place')} shown, {result.effective_clicks:,.0f} clicks"
    )
    rows = [
        f"{padded(shown('clicks per list'), 15)}  {padded(shown('value'), 7, right=True)}  {'95%':>18}  "
        f"{padded(shown('gain'), 8, right=True)}  {'95%':>20}",
        f"{padded(shown('as shown'), 15)}  {result.shown:7.4f}  {interval_text(result.shown_interval):>18}",
    ]
    for name, title in TITLES.items():
        one = getattr(result, name)
        rows.append(
            f"{title:<15}  {one.value:7.4f}  {interval_text(one.interval):>18}  {one.gain:+8.4f}  "
            f"{interval_text(one.gain_interval, '+'):>20}"
        )
    said = [part for line in (head, basis) for part in folded(shown(line), WIDTH)]
    notes = [part for note in result.notes for part in folded(shown(f"note: {note}"), WIDTH)]
    return "\n".join([*said, "", *rows, "", shown(result.verdict()), *notes])
