"""The outcome of a choice: the winner, the result of every contender, and both in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import polars as pl

from shortlist.choosing.trial import Figure, Trial
from shortlist.display import Tabular, table_html
from shortlist.language import WIDTH, counted, cut, folded, padded, shown
from shortlist.model import TwoTower
from shortlist.sources import Mixture
from shortlist.train.recipes import Recipe

__all__ = ["Choice", "Tried", "luck"]

NAMES = {"random": "drawn at random", "time": "the latest", "last": "the last of each query"}
SMALL = 200  # queries, below which a figure says little
CEILING = 0.05
COPIES = 0.01  # share of rows, from which copies are mentioned
SHOWN = 0.0005  # share of new queries that is not 0.0%
MOSTLY_NEW = 0.9  # share of held-out pairs of new queries, from which they say little of known ones
CHANCE = 0.05  # of preferring some model to popularity where none is better


@dataclass(frozen=True, eq=False)
class Tried:
    """A contender and its result.

    Attributes:
        recipe: with the epochs, share and temperature that were found.
        figure: None where it was not measured.
        seconds: time for fitting and measuring.
        reason: why it was not measured.
        note: what else to know, such as columns that were not read.
    """

    name: str
    kind: str
    rank: int
    recipe: Recipe
    figure: Figure | None = None
    seconds: float = 0.0
    reason: str | None = None
    note: str | None = None
    model: TwoTower | Mixture | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain: dict[str, Any] = {"name": self.name, "kind": self.kind, "seconds": round(self.seconds, 3)}
        if self.note is not None:
            plain["note"] = self.note
        if self.figure is None:
            return {**plain, "figure": None, "reason": self.reason}
        return {**plain, "figure": self.figure.value, "standard_error": self.figure.error}


@dataclass(frozen=True, eq=False)
class Choice(Tabular):
    """The outcome of ``choose``.

    Attributes:
        model: the winner, trained on all rows where ``refitted``.
        recipe: the winner's recipe; ``recipe.train(data)`` repeats it.
        chosen: the winner as it was measured, with the model from before the refit.
        tried: every contender, best first, then those that were not measured.
        trial: the held-out rows and the figure.
        split: how the rows were held out: "time", "last" or "random".
        budget: seconds given.
        seconds: seconds taken.
        refitted: whether ``model`` was trained again on all rows.
    """

    model: TwoTower | Mixture
    recipe: Recipe
    chosen: Tried
    tried: tuple[Tried, ...]
    trial: Trial
    split: str
    budget: float
    seconds: float
    refitted: bool

    def to_frame(self) -> pl.DataFrame:
        """A row per contender, best first: name, kind, figure, standard_error, seconds, chosen, reason, note.

        Figure and its error are null where a contender was not measured; ``reason`` says why.
        """
        rows = [
            {
                "name": one.name,
                "kind": one.kind,
                "figure": None if one.figure is None else one.figure.value,
                "standard_error": None if one.figure is None else one.figure.error,
                "seconds": one.seconds,
                "chosen": one is self.chosen,
                "reason": one.reason,
                "note": one.note,
            }
            for one in self.tried
        ]
        schema = {
            **dict.fromkeys(("name", "kind"), pl.String),
            **dict.fromkeys(("figure", "standard_error", "seconds"), pl.Float64),
            "chosen": pl.Boolean,
            **dict.fromkeys(("reason", "note"), pl.String),
        }
        return pl.DataFrame(rows, schema=schema)

    def __repr__(self) -> str:
        measured = sum(one.figure is not None for one in self.tried)
        figure = "" if self.chosen.figure is None else f" · {self.trial.name} {self.chosen.figure.value:.4f}"
        return f"Choice({self.chosen.name}{figure} · best of {counted(measured, 'model')})"

    def _repr_html_(self) -> str:
        """The contenders that were measured as a table; below it the verdict, and why others were not tried."""
        measured = [one for one in self.tried if one.figure is not None]
        rows = [
            ["*" if one is self.chosen else "", one.name, one.figure.value, one.figure.error, f"{one.seconds:.1f}"]
            for one in measured
            if one.figure is not None
        ]
        heads = ("", shown("model"), self.trial.name, "± s.e.", shown("seconds"))
        return table_html("Choice", heads, rows, [*map(shown, self.verdict()), *_skipped(self)])

    def table(self) -> str:
        """The contenders as text: figure ± standard error, seconds; the reason for those that were not measured."""
        return _table(self)

    def verdict(self) -> list[str]:
        """The winner, its lead, and notes on the table, in plain sentences."""
        return _verdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON and for a bundle's metadata."""
        trial = self.trial
        return {
            "chosen": self.chosen.name,
            "figure": None if self.chosen.figure is None else self.chosen.figure.value,
            "by": trial.name,
            "seen_items_excluded": trial.exclude_seen,
            "weighted": trial.weighted,
            "held_out": len(trial.held_out),
            "held_out_how": NAMES[self.split],
            "measured_pairs": len(trial.test),
            "chosen_before": trial.again,
            "new_queries": trial.new,
            "budget": self.budget,
            "seconds": self.seconds,
            "refitted": self.refitted,
            "contenders": [one.to_dict() for one in self.tried],
            "verdict": self.verdict(),
        }

    def __str__(self) -> str:
        return "\n".join([self.table(), "", *(part for line in self.verdict() for part in _folded(shown(line)))])


def _table(choice: Choice) -> str:
    """The contenders, best first; the chosen one is marked. At most 80 columns."""
    trial = choice.trial
    seen = "seen items excluded" if trial.exclude_seen else "seen items left in"
    seconds = padded(shown("seconds"), 7, right=True)
    lines = [f"  {padded(shown('model'), 36)}{trial.name:>11}  {'± s.e.':>7}  {seconds}"]
    for one in choice.tried:
        if one.figure is None:
            continue
        mark = "*" if one is choice.chosen else " "
        lines.append(
            f"{mark} {padded(cut(one.name, 36), 36)}{one.figure.value:>11.4f}  {_plain(one.figure.error):>7}  {one.seconds:>7.1f}"
        )
    pairs, queries = len(trial.test), int((choice.chosen.figure.sums.denominator > 0).sum())  # type: ignore[union-attr]
    lines.append(
        shown(f"  on {counted(pairs, 'held-out pair')} of {counted(queries, 'query')} ({NAMES[choice.split]}), {seen}")
    )
    for line in _skipped(choice):
        lines += _folded(f"  {line}")
    for one in choice.tried:
        if one.note is not None:
            lines += _folded(f"  {one.name}: {shown(one.note)}")
    return "\n".join(lines)


def _skipped(choice: Choice) -> list[str]:
    """A line for each contender that was not measured, with the reason."""
    return [shown(f"not tried: {one.name}: {one.reason}") for one in choice.tried if one.figure is None]


def _folded(line: str) -> list[str]:
    """A line as lines of at most 80 columns; all but the first are indented."""
    return folded(line, WIDTH, rest="    ")


def _verdict(choice: Choice) -> list[str]:
    """Plain sentences: the winner, its lead, whether that is more than chance, and notes on the table."""
    trial, chosen = choice.trial, choice.chosen
    assert chosen.figure is not None
    lines = [f"chosen: {chosen.name} ({trial.name} {chosen.figure.value:.4f})"]
    lines += _against(choice)
    lines.append(
        "the model was then trained again on all rows; the figures are from before that"
        if choice.refitted
        else "the model was trained without the held-out rows"
    )
    if trial.again > CEILING and trial.exclude_seen:
        lines.append(
            f"repeats: {trial.again:.1%} of the held-out pairs were chosen before by the same query; with seen items excluded "
            f"no model can find these, so {1 - trial.again:.1%} is the maximum"
        )
    elif trial.again > CEILING:
        lines.append(
            f"repeats: {trial.again:.1%} of the held-out pairs were chosen before by the same query, so seen items were left in; "
            "ask for lists with exclude_seen=False (--include-seen)"
        )
    if trial.copies > COPIES * len(trial.train):
        lines.append(
            f"copies: {trial.copies:,} of {counted(len(trial.train), 'row')} are copies of another row with the same query, candidate"
            f"{'' if trial.train.timestamp is None else ' and time'}; if a join multiplied them, remove them and train again"
        )
    if trial.new >= SHOWN:
        lines.append(
            f"new queries: {trial.new:.1%} of the held-out pairs; models of ids alone answer them by popularity, those that read "
            "features or histories by their own list"
        )
    if trial.unmet >= CEILING:
        lines.append(
            f"new candidates: {trial.unmet:.1%} of the held-out pairs have candidates that nobody chose before; models of ids "
            "cannot find them, models of features can: candidates= (--candidates)"
        )
    lines.append(f"next: {_advice(choice)}")
    return lines


def luck(contenders: int) -> float:
    """The standard errors by which the best of so many is ahead by chance alone in one choice of twenty, at most (Bonferroni)."""
    return NormalDist().inv_cdf(1 - CHANCE / contenders)


def _against(choice: Choice) -> list[str]:
    """The winner against popularity, and against the best model of another kind."""
    chosen = choice.chosen
    lines = []
    measured = [one for one in choice.tried if one.figure is not None and one is not chosen]
    others: list[Tried] = [one for one in measured if one.name == "popularity"]
    others += [one for one in measured if one.kind != chosen.kind and one.kind != "popularity"][:1]
    for one in others:
        lead, error = chosen.figure.lead_over(one.figure)  # type: ignore[union-attr, arg-type]
        figures = f"{lead:+.4f} ± {_plain(error)}"
        if error == float("inf"):
            lines.append(f"not to be compared with {one.name} ({lead:+.4f}): one query was measured")
            continue
        if lead > 2 * error or lead < -luck(len(measured) + 1) * error:
            lines.append(f"{'ahead of' if lead > 0 else 'behind'} {one.name} ({figures})")
        elif lead >= 0:
            lines.append(f"level with {one.name} ({figures})")
        else:
            lines.append(f"simpler than {one.name}, and behind it by no more than chance ({figures})")
    return lines


def _advice(choice: Choice) -> str:
    """One line that fits this model and this table."""
    trial, chosen = choice.trial, choice.chosen
    queries = int((chosen.figure.sums.denominator > 0).sum())  # type: ignore[union-attr]
    unmeasured = [one for one in choice.tried if one.figure is None and one.reason and "were left" in one.reason]
    if trial.new > MOSTLY_NEW:
        return (
            f"nearly all held-out pairs ({trial.new:.0%}) have new queries, so the order above says little of known ones; "
            "models differ by person only where people have several choices"
        )
    if trial.unmet > MOSTLY_NEW:
        return (
            "nearly everything held out is new, so give a table of the candidates' features: candidates= (--candidates)"
        )
    measured = len([one for one in choice.tried if one.figure is not None])
    if queries < SMALL and len(unmeasured) <= measured:
        return f"only {queries} {'query was' if queries == 1 else 'queries were'} measured; collect more interactions before you trust the order above"
    if unmeasured:
        return f"a longer budget= (--budget) would also try {', '.join(one.name for one in unmeasured[:3])}"
    if chosen.kind == "popularity":
        return "no model here is better than popularity: more interactions per query, or tables of features, would help"
    if trial.train.timestamp is None:
        return "if the table has a column of times, name it: timestamp= (--time); transitions and histories are then tried too"
    if trial.new > 0.2:
        return "many queries are new; a table of their features, queries= (--queries), would help them"
    return "shortlist report shows where the model is good and where it is not; shortlist serve answers over HTTP"


def _plain(error: float) -> str:
    """A standard error; "-" where one query alone was measured."""
    return "-" if error != error or error == float("inf") else f"{error:.4f}"
