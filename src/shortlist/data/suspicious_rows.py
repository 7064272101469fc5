"""Rows that are read as choices but may not be, or not at their time: events that take a choice back, a crawler, missing times."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import polars as pl

from shortlist.data.condition_text import literal, quoted
from shortlist.data.formats import format_of
from shortlist.data.ids import unpatterned
from shortlist.data.opened_files import UNREADABLE
from shortlist.data.source import Source, SourceFile
from shortlist.data.text import Text
from shortlist.language import counted

__all__ = ["crawler", "doubtful_order", "doubtful_rows", "doubtful_times", "first_rows"]

ROWS, FILES, BYTES = 200_000, 8, 1 << 24  # read of a table at most: rows, files, and bytes of a text file

LOOKED_AT = 1_000_000
LONGEST = 100  # characters of an id that a condition in a message writes out
FEW_VALUES = 64
UNITS = {  # the numbers that are times from 1985 to 2100 in each unit
    "seconds": (4.8e8, 4.1e9),
    "milliseconds": (4.8e11, 4.1e12),
    "microseconds": (4.8e14, 4.1e15),
    "nanoseconds": (4.8e17, 4.1e18),
}
FAR, OTHERS = 3, 10  # a time is alone so many times the span of the others away from them, of which there are so many
TIED, SORTED = 100, 0.95  # an order within equal times is a sort if so many pairs have it, and so large a share of them
SHARE, TIMES, QUERIES = 0.1, 5, 10  # a crawler has so much of all rows, so many times the mean, among so many queries

_TAKEN_BACK = re.compile(
    r"(?:^|[\W_])(?:remov(?:e|es|ed|al)|delet(?:e|es|ed|ion)|cancel\w*|returns?|returned|refund\w*|chargeback\w*|"
    r"unlike\w*|dislike\w*|unfollow\w*|unsubscri\w*|unsave\w*|reject\w*|storno\w*|취소|반품|환불)(?:$|[\W_])",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"quantit|qty|amount|units|count|price|total|revenue|sales|menge|cantidad|수량|금액", re.IGNORECASE
)


def doubtful_rows(frame: pl.DataFrame, known: Collection[str], whole: bool = True) -> Iterator[str]:
    """Signs that some rows are not choices, as sentences.

    Args:
        known: columns that have another role already, or by which rows were chosen.
        whole: whether ``frame`` is all rows, or some of them.
    """
    some = "" if whole else f" among {frame.height:,} that were looked at"
    for name, kind in frame.schema.items():
        if name in known:
            continue
        if kind in (pl.String, pl.Categorical, pl.Enum):
            values = unpatterned(frame[name]).cast(pl.String)
            if values.head(LOOKED_AT).n_unique() > FEW_VALUES:
                continue
            back = [one for one in values.unique().drop_nulls().sort().to_list() if _TAKEN_BACK.search(one)]
            if back:
                rows = int(values.is_in(back).sum())
                texts = ", ".join(literal(one) for one in back[:3])
                yield (
                    f"{counted(rows, 'row')} with {texts} as {name!r}{some}, which sounds like taking a choice back "
                    f'and is taken for a choice (to leave them out: --where "{quoted(name)} not in ({texts})", Events(where=…))'
                )
        elif kind.is_numeric() and _QUANTITY.search(name):
            rows = int((unpatterned(frame[name]) < 0).sum())
            if rows:
                yield (
                    f"{counted(rows, 'row')} with a negative {name!r}{some}, as cancellations have, taken for choices "
                    f'(to leave them out: --where "{quoted(name)} > 0", Events(where=…))'
                )


def doubtful_times(times: pl.Series, column: str, some: str = "") -> Iterator[str]:
    """Signs that the order in time is not what the numbers say: two units, or one time far from all others.

    Args:
        some: which of all rows these are, in words.
    """
    mixed = list(_mixed_units(times, column, some))
    yield from mixed or _lone_times(times, column, some)


def _lone_times(times: pl.Series, column: str, some: str) -> Iterator[str]:
    """Whether the earliest or the latest time is ``FAR`` times as far from the others as these are from each other, as 0,
    1970-01-01 and 9999-12-31 are, which programs write for a missing time; at most two sentences."""
    if not len(times) or not (times.dtype.is_numeric() or times.dtype.is_temporal()):
        return  # no times: another check refuses them
    numbers = times if times.dtype.is_numeric() else times.to_physical()
    first: Any = numbers.min()
    last: Any = numbers.max()
    others = numbers.filter((numbers > first) & (numbers < last))
    if len(others) < OTHERS or others.min() == others.max():
        return
    low, high = float(others.min()), float(others.max())
    for end, gap, where in ((first, low - float(first), "before"), (last, float(last) - high, "after")):
        if gap <= FAR * (high - low):
            continue
        rows, value = (
            counted(int((numbers == end).sum()), "row"),
            str(times.min() if where == "before" else times.max()),
        )
        leave = (
            f'--where "{quoted(column)} <> {end}", Events(where=…)' if numbers is times else "--where, Events(where=…)"
        )
        if where == "before":
            yield (
                f"the timestamp column {column!r} has {rows}{some} at {value}, far before all others, as programs write a missing "
                f"time; they count as the earliest (to leave them out: {leave})"
            )
        else:
            yield (
                f"the timestamp column {column!r} has {rows}{some} at {value}, far after all others, as programs write a missing "
                f"time; they count as the latest, which models are measured on (to leave them out: {leave})"
            )


def _mixed_units(times: pl.Series, column: str, some: str) -> Iterator[str]:
    """Whether numbers seem to be times in seconds next to times in milliseconds or smaller units; one sentence, or none."""
    if not times.dtype.is_numeric():
        return
    sizes = times.cast(pl.Float64)
    found = {unit: times.filter(sizes.is_between(low, high)) for unit, (low, high) in UNITS.items()}
    units = [f"{len(values):,} in {unit} (such as {values[0]})" for unit, values in found.items() if len(values)]
    if len(units) > 1 and sum(map(len, found.values())) == len(times):
        yield (
            f"the timestamp column {column!r} seems to mix units{some}: {', '.join(units)}; the order in time is wrong "
            "unless they are written in one unit"
        )


def doubtful_order(rows: pl.DataFrame, columns: tuple[str, str, str], some: str = "") -> Iterator[str]:
    """Whether choices of one query at one time are sorted by their ids, so that the order of rows, which counts there, says nothing; at
    most one sentence.

    Args:
        columns: of queries, candidates and times.
        some: which of all rows these are, in words.
    """
    query, candidate, time = columns
    roles = {"query": query, "candidate": candidate, "time": time}
    frame = pl.DataFrame({role: rows.get_column(name) for role, name in roles.items()})
    if any(kind.is_nested() or kind == pl.Object for kind in frame.dtypes):
        return  # no ids or times: other checks refuse them
    if len(frame) > 2 * ROWS:  # all rows of some queries
        frame = frame.filter(pl.col("query").hash() % (len(frame) // ROWS) == 0)
    before = pl.all().shift().name.prefix("before_")
    ordered = frame.drop_nulls().sort("query", "time", maintain_order=True).with_columns(before)
    pairs = ordered.filter(
        pl.col("query") == pl.col("before_query"),
        pl.col("time") == pl.col("before_time"),
        pl.col("candidate") != pl.col("before_candidate"),
    )
    ascending = int((pairs["candidate"] > pairs["before_candidate"]).sum())
    share = ascending / max(len(pairs), 1)
    if len(pairs) < TIED or 1 - SORTED < share < SORTED:
        return
    sorted_pairs = max(ascending, len(pairs) - ascending)
    yield (
        f"choices of one {query} at one time{some} are sorted by {candidate} ({sorted_pairs:,} of "
        f"{counted(len(pairs), 'pair')}): equal times count in the order of rows, which says nothing here, and models of sequences learn the sort "
        "(give finer times, or shuffle the rows before)"
    )


def first_rows(source: Source, without: Collection[str]) -> tuple[pl.DataFrame, bool]:
    """The first rows of some files, evenly spread, of all columns but these; and whether these are all rows."""
    places = np.unique(np.linspace(0, len(source.files) - 1, min(len(source.files), FILES)).astype(int)).tolist()
    heads = []
    for place in places:
        try:
            head = _first_rows(source, source.files[place], ROWS // len(places))
        except UNREADABLE:  # the reader of the whole file gives the error
            continue
        heads.append(head.drop([name for name in head.columns if name in without]))
    heads = [head for head in heads if head.schema == heads[0].schema]
    if not heads:
        return pl.DataFrame(), False
    whole = len(heads) == len(source.files) and all(head.height < ROWS // len(places) for head in heads)
    return pl.concat(heads), whole


def _first_rows(source: Source, file: SourceFile, rows: int) -> pl.DataFrame:
    kind = format_of(file.name) or source.kind
    if (
        source.lake is not None
        or kind.family in ("parquet", "arrow")
        or kind.packed is not None
        or source.store is not None
    ):
        return source.scan(file, source.schema().names()).head(rows).collect()
    with open(file.path, "rb") as stream:
        content = stream.read(BYTES)
    if len(content) == BYTES:
        content = content[: content.rfind(b"\n") + 1]
    return Text(content, kind, source.reading, source.as_text, source.ids).load(None, None, {}).head(rows).collect()


def crawler(counts: pl.DataFrame, column: str) -> Iterator[str]:
    """Whether one query has so many of all rows that it looks like a crawler or a shared account; one sentence, or none.

    Args:
        counts: each distinct query (``id``), and how many ``rows`` it has.
        column: what its ids are called.
    """
    total, most = int(counts["rows"].sum()), int(counts["rows"].max())  # type: ignore[arg-type]
    if len(counts) < QUERIES or most < SHARE * total or most < TIMES * total / len(counts):
        return
    heaviest = counts.filter(pl.col("rows") == most)["id"].sort()[0]
    value = literal(heaviest) if isinstance(heaviest, str) else str(heaviest)
    leave = f' (to leave it out: --where "{quoted(column)} <> {value}")' if len(value) < LONGEST else ""
    value = value if len(value) < LONGEST else f"{value[:40]}…"
    yield (
        f"one {column}, {value}, has {most:,} of {counted(total, 'row')} ({most / total:.0%}), as a crawler or a shared account has; "
        f"the model learns its choices more than anyone's{leave}"
    )
