"""Which of two interleaved bundles people prefer, from their clicks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shortlist.data import TableLike
from shortlist.data.argument_checks import check_seed
from shortlist.data.ids import few, require_column
from shortlist.data.readers import read_table
from shortlist.display import Tabular
from shortlist.errors import DataError
from shortlist.intervals import ENDS, Interval, PairSums, bootstrap, chance, p_in_words, wilson
from shortlist.language import WIDTH, counted, folded, shown
from shortlist.shown.impressions import check_apart, flags

__all__ = ["Preference", "preference"]

DRAWS = 10_000


@dataclass(frozen=True)
class Preference(Tabular):
    """Lists won by each of two interleaved bundles.

    Attributes:
        a: what one bundle is called.
        b: and the other.
        wins_a: lists on which more of a's candidates were clicked than of b's.
        wins_b: and the other way round.
        ties: lists with as many clicks for either.
        share: of lists with a click that b won, a tie counting as half; 0.5 where neither is better.
        interval: its 95% confidence interval.
        p_value: how often chance alone would bring a difference as large.
        queries: how many queries clicked.
    """

    a: str
    b: str
    wins_a: int
    wins_b: int
    ties: int
    share: float
    interval: Interval
    p_value: float
    queries: int

    @property
    def real(self) -> bool:
        """Whether the preference is more than chance at 5%."""
        return self.p_value < 0.05

    def to_frame(self) -> pl.DataFrame:
        """One row: a, b, wins_a, wins_b, ties, share, low, high, p_value, queries, real."""
        plain = dict(vars(self))
        low, high = plain.pop("interval").ends
        last = {name: plain.pop(name) for name in ("p_value", "queries")}
        return pl.DataFrame([{**plain, "low": low, "high": high, **last, "real": self.real}], schema_overrides=ENDS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**vars(self), "interval": list(self.interval.ends), "real": self.real}

    def __repr__(self) -> str:
        lists = self.wins_a + self.wins_b + self.ties
        real = "more than chance" if self.real else "no more than chance"
        return f"Preference({self.b} wins {self.share:.1%} of {counted(lists, 'clicked list')} · {real})"

    def __str__(self) -> str:
        better = self.b if self.share > 0.5 else self.a
        verdict = f"{better} is preferred" if self.real else "no preference beyond chance"
        lists = self.wins_a + self.wins_b + self.ties
        head = f"clicks on {counted(lists, 'list')} of {counted(self.queries, 'query')}: {verdict}"
        wins = f"{self.a} wins {self.wins_a:,}, {self.b} wins {self.wins_b:,}, {counted(self.ties, 'tie')}"
        p = p_in_words(self.p_value)
        share = f"{self.b} wins {self.share:.1%} of them (95% {self.interval.low:.1%} to {self.interval.high:.1%}, {p})"
        return "\n".join(part for line in (head, wins, share) for part in folded(shown(line), WIDTH))


def preference(
    shown: TableLike,
    *,
    query: str = "query",
    team: str = "team",
    clicked: str = "clicked",
    request: str | None = None,
    seed: int = 0,
) -> Preference:
    """Which bundle's candidates were clicked more on interleaved lists.

    A list is won by the bundle with more clicks on the candidates that it picked (Chapelle, Joachims, Radlinski, Yue 2012,
    "Large-scale validation and analysis of interleaved search evaluation"). Lists without a click on a candidate of
    either say nothing. The interval is the wider of a bootstrap over queries and, which counts where they are few, Wilson's score interval
    of as many observations as there are queries; the p-value is a randomisation test that turns each query's wins round.

    Args:
        shown: one row per place of the interleaved lists, in any form that ``Dataset`` takes, such as
            ``Interleaved.to_frame`` with a column of clicks.
        query: the column of query ids.
        team: the column that says for which bundle a place counts; null for neither.
        clicked: the column that says whether it was clicked.
        request: the column that tells the lists of one query apart; by default all its rows count as one list.
        seed: of the draws.

    Raises:
        DataError: for a bad table, for other than two bundles, and where nothing was clicked.

    Example:
        >>> shown = {"query": list("aabbcc"), "team": list("abbaab"), "clicked": [True, False, True, False, True, False]}
        >>> result = preference(shown)
        >>> result.wins_a, result.wins_b, result.ties
        (2, 1, 0)
    """
    check_seed(seed, "preference()")
    check_apart(query=query, team=team, clicked=clicked, request=request)
    others = [team, clicked, *([] if request is None else [request])]
    read = read_table(shown, "impressions", ids=(query,), others=others)
    for column in (query, *others):
        require_column(read, column, "column")
    names = read.frame[team].drop_nulls().cast(pl.String).unique().sort()
    if len(names) != 2:
        raise DataError(
            f"{team!r} has {counted(len(names), 'bundle')}{': ' + few(names) if len(names) else ''}; two were expected.",
            hint="keep the lists of the two bundles that were interleaved",
        )
    a, b = names.to_list()
    count = pl.DataFrame({"clicked": flags(read.frame[clicked]), "team": read.frame[team].cast(pl.String)})
    keys = {"query": read.frame[query]} | ({} if request is None else {"request": read.frame[request]})
    lists = (
        count.with_columns(**keys)
        .group_by(list(keys), maintain_order=True)
        .agg(
            a=pl.col("clicked").filter(pl.col("team") == a).sum(),
            b=pl.col("clicked").filter(pl.col("team") == b).sum(),
        )
        .filter(pl.col("a") + pl.col("b") > 0)
    )
    if lists.is_empty():
        raise DataError(f"no candidate of {a!r} or {b!r} was clicked.", hint="collect more impressions")
    won = (pl.col("b") - pl.col("a")).sign()
    by_query = (
        lists.with_columns(won=won)
        .group_by("query", maintain_order=True)
        .agg(gain=pl.col("won").sum(), lists=pl.len().cast(pl.Float64))
    )
    gain, number = by_query["gain"].to_numpy(), by_query["lists"].to_numpy()
    sums = PairSums((number + gain) / 2, number)
    signs = np.sign((lists["b"] - lists["a"]).to_numpy())
    return Preference(
        a,
        b,
        int((signs < 0).sum()),
        int((signs > 0).sum()),
        int((signs == 0).sum()),
        sums.value,
        _interval(sums, seed),
        chance(gain, DRAWS, seed),
        len(by_query),
    )


def _interval(sums: PairSums, seed: int) -> Interval:
    """The wider of both; a bootstrap of queries that all agree has no width, and of one query no ends."""
    few = wilson(sums.value, len(sums.numerator))
    drawn = bootstrap({"share": sums}, seed=seed)["share"]
    return Interval(float(np.fmin(few.low, drawn.low)), float(np.fmax(few.high, drawn.high)))
