"""Four ways to hold interactions out: at random, after a moment, the last of each query, of queries never trained on."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.argument_checks import check_dataset
from shortlist.data.dataset import Dataset
from shortlist.data.split import Split, SplitReport
from shortlist.errors import ConfigError, DataError, check_flags
from shortlist.language import counted

__all__ = ["split_by_time", "split_last", "split_queries", "split_random"]


def split_random(dataset: Dataset, test: float | int = 0.2, seed: int = 42) -> Split:
    """Holds out interactions of ``dataset`` chosen at random; both parts keep the order of the rows.

    1. Each row draws a 64-bit number from numpy's Philox bit generator, a stream that depends on ``seed`` alone.
    2. The rows with the smallest numbers are the test part: exactly ``round(test · rows)`` of them, or ``test`` of them
       when it is an integer.

    Args:
        dataset: stays as it is.
        test: the share of the interactions to hold out, or how many.
        seed: of the draw; a whole number of at least 0.

    Raises:
        ConfigError: for a size that leaves either part empty, and for a seed that is not an integer ≥ 0.

    Example:
        >>> data = Dataset({"user": list("aabbc"), "film": [1, 2, 1, 3, 2]}, query="user", candidate="film")
        >>> train, test = split_random(data, test=0.4, seed=42)
        >>> len(train), len(test)
        (3, 2)
    """
    check_dataset(dataset, "split_random()")
    count = _test_count(test, len(dataset))
    draws = _draws(seed, len(dataset))
    border = np.partition(draws, count - 1)[count - 1]
    mask = draws <= border
    mask[np.flatnonzero(draws == border)[::-1][: int(mask.sum()) - count]] = False  # equal draws: the earlier rows
    return _split(dataset, mask, "random")


def split_by_time(dataset: Dataset, test: float | int | None = None, at: Any = None) -> Split:
    """Holds out the interactions of ``dataset`` from one moment on: one global cut, as a system that goes live would see it.

    Give either ``at`` or ``test``. Rows with equal timestamps are never separated: with ``test``, the cut falls between two
    timestamps, where the size of the test part is nearest to the requested one (the smaller of two as near).

    Args:
        dataset: stays as it is.
        test: the share of the interactions to hold out, or how many; 0.2 when neither is given.
        at: the first moment of the test part, in the type of the timestamps; its time zone may be another than theirs.

    Raises:
        DataError: without a timestamp column or when all rows share one timestamp.
        ConfigError: for a size or moment that leaves either part empty.

    Example:
        >>> log = {"user": list("aabb"), "film": [1, 2, 1, 3], "time": [10, 30, 20, 30]}
        >>> data = Dataset(log, query="user", candidate="film", timestamp="time")
        >>> split_by_time(data, at=30)
        Split(split by time: 2 train, 2 test · test rows with an unseen query 0, an unseen candidate 2 · cut at 30)
    """
    check_dataset(dataset, "split_by_time()")
    times = _timestamps(dataset, "split_by_time")
    if at is not None and test is not None:
        raise ConfigError("split_by_time got both test and at; expected one of them.", hint="leave one out")
    if at is None:
        cut, tied = _cut_for_count(times, _test_count(0.2 if test is None else test, len(times)))
        later = times.to_physical() >= cut
        return _split(dataset, later.to_numpy(), "by time", cut=times.filter(later).min(), tied=tied)
    mask = (times >= _moment(at, times)).to_numpy()
    if mask.all() or not mask.any():
        raise ConfigError(
            f"at={at!r} leaves the {'train' if mask.all() else 'test'} part empty: the timestamps are between "
            f"{times.min()!s} and {times.max()!s}.",
            hint="choose a moment after the first of them, and not after the last",
        )
    return _split(dataset, mask, "by time", cut=times.filter(pl.Series(mask)).min())


def split_last(dataset: Dataset, n: int = 1) -> Split:
    """Holds out the last ``n`` interactions of each query of ``dataset`` ("leave one out" for n = 1).

    Tie rule: interactions of a query with the same timestamp count in the order of their rows; the later row is the
    later one. Queries with ``n`` interactions or fewer stay whole in the train part.

    Args:
        dataset: stays as it is.
        n: how many interactions of each query to hold out.

    Raises:
        DataError: without a timestamp column, or when no query has more than ``n`` interactions.
        ConfigError: for n < 1.

    Example:
        >>> log = {"user": list("aaabb"), "film": [1, 2, 3, 1, 2], "time": [5, 9, 9, 7, 6]}
        >>> data = Dataset(log, query="user", candidate="film", timestamp="time")
        >>> train, test = split_last(data)
        >>> test.interactions.rows()   # a's films 2 and 3 tie at 9: the later row, 3, is the last
        [('a', 3, 9), ('b', 1, 7)]
    """
    check_dataset(dataset, "split_last()")
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ConfigError(f"n is {n!r}; expected an integer ≥ 1.", hint="n=1 holds out the last interaction")
    times = _timestamps(dataset, "split_last")
    rows = dataset.query_rows
    by_time = times.rank("dense").to_numpy()
    order = np.lexsort((by_time, rows))  # [rows]: by query, then time, then original row (lexsort is stable)
    counts = np.bincount(rows, minlength=dataset.queries.height)  # [queries]
    long_enough = counts > n
    if not long_enough.any():
        raise DataError(
            f"no query has more than {counted(n, 'interaction')}, so split_last would leave the test part empty "
            f"(the longest has {int(counts.max())}).",
            hint="choose a smaller n, or split_random",
        )
    ends = np.cumsum(counts)[long_enough]  # one past the last row of each query, in ``order``
    mask = np.zeros(len(rows), dtype=np.bool_)
    for back in range(1, n + 1):
        mask[order[ends - back]] = True
    tied = by_time[order[ends - n]] == by_time[order[ends - n - 1]]
    whole = int(((counts > 0) & ~long_enough).sum())
    return _split(dataset, mask, "last", tied=int(tied.sum()), whole=whole)


def split_queries(
    dataset: Dataset, queries: float | int = 0.1, given: float = 0.8, seed: int = 42, *, by_time: bool = False
) -> Split:
    """Holds whole queries of ``dataset`` out, and gives a part of each one's interactions: can it serve someone new?

    Strong generalisation (Marlin 2004; as in Liang et al. 2018): the model is trained without these queries, so that
    one that knows them by their id alone cannot answer. The towers see what is ``given`` through a history or by
    folding in.

    1. Queries with one interaction cannot be divided: they stay in train (``report.whole``).
    2. Of the others, ``queries`` of them are drawn as in ``split_random``, by ``seed``.
    3. Of each, ``given`` of its n interactions, at least 1 and at most n - 1, ``round(given · n)`` otherwise, are
       ``split.given``; the rest is the test part.

    Args:
        dataset: stays as it is.
        queries: the share of the queries to hold out, or how many.
        given: the share of a held-out query's interactions that is given.
        seed: of the queries, and of their given interactions.
        by_time: give the earlier interactions, equal times in the order of their rows; by default those given are
            drawn.

    Raises:
        ConfigError: for a share or number that leaves a part empty.
        DataError: where no query has two interactions, and for ``by_time`` without a timestamp column.

    Example:
        >>> log = {"user": list("aaaabbbbcc"), "film": [1, 2, 3, 4, 1, 2, 3, 4, 1, 2], "time": [4, 3, 2, 1] * 2 + [1, 2]}
        >>> data = Dataset(log, query="user", candidate="film", timestamp="time")
        >>> split = split_queries(data, queries=1, given=0.75, by_time=True)
        >>> split.given.interactions.rows(), split.test.interactions.rows()
        ([('a', 2, 3), ('a', 3, 2), ('a', 4, 1)], [('a', 1, 4)])
    """
    check_dataset(dataset, "split_queries()")
    check_flags("split_queries()", by_time=by_time)
    if isinstance(given, bool) or not isinstance(given, (int, float, np.number)) or not 0 < given < 1:
        raise ConfigError(f"given is {given!r}; a share between 0 and 1 was expected.", hint="given=0.8")
    rows = dataset.query_rows
    counts = np.bincount(rows, minlength=dataset.queries.height)  # [queries]
    able = np.flatnonzero(counts > 1)
    if not len(able):
        raise DataError(
            "no query has two interactions, so no part of them can be given while the rest is held out.",
            hint="split_random, or k_core(data, 2) first",
        )
    draws = _draws(seed, len(able) + len(rows))
    number = _test_count(queries, len(able), "queries", "queries with two interactions")
    out = np.zeros(dataset.queries.height, np.bool_)
    out[able[np.argsort(draws[: len(able)], kind="stable")[:number]]] = True
    place = _timestamps(dataset, "by_time=True").rank("dense").to_numpy() if by_time else draws[len(able) :]
    order = np.lexsort((place, rows))  # [rows]: by query, then time or chance
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    position = np.empty(len(rows), np.int64)
    position[order] = np.arange(len(rows)) - starts[rows[order]]
    known = np.clip(np.rint(given * counts).astype(np.int64), 1, np.maximum(counts - 1, 1))
    held = out[rows]
    test = held & (position >= known[rows])
    part = dataset._filtered(held & ~test)
    whole = int(np.count_nonzero(counts == 1))
    details = {"held_out": number, "given_rows": len(part), "whole": whole}
    split = _split(dataset, test, "held-out queries", ~held, **details)
    return Split(split.train, split.test, split.report, part)


def _split(
    dataset: Dataset, mask: NDArray[np.bool_], method: str, rest: NDArray[np.bool_] | None = None, **details: Any
) -> Split:
    train, test = dataset._filtered(~mask if rest is None else rest), dataset._filtered(mask)
    report = SplitReport(
        method=method,
        train_rows=len(train),
        test_rows=len(test),
        unseen_queries=_unseen(train.query_rows, test.query_rows, dataset.queries.height),
        unseen_candidates=_unseen(train.candidate_rows, test.candidate_rows, dataset.candidates.height),
        **details,
    )
    return Split(train, test, report)


def _unseen(train: NDArray[np.int32], test: NDArray[np.int32], size: int) -> int:
    seen = np.zeros(size, dtype=np.bool_)
    seen[train] = True
    return int((~seen[test]).sum())


def _draws(seed: int, count: int) -> NDArray[np.uint64]:
    """``count`` random numbers that depend on the seed alone, uint64."""
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; expected an integer ≥ 0.", hint="for example seed=42")
    draws: NDArray[np.uint64] = np.random.Philox(int(seed)).random_raw(count)
    return draws


def _test_count(test: float | int, rows: int, name: str = "test", noun: str = "rows") -> int:
    """How many of ``rows`` the test part has; refuses a size that leaves either part empty."""
    if isinstance(test, bool) or not isinstance(test, (int, float, np.integer, np.floating)):
        raise ConfigError(
            f"{name} is {test!r}; expected a fraction between 0 and 1, or a number of {noun}.",
            hint=f"for example {name}=0.2",
        )
    whole = isinstance(test, (int, np.integer))
    if not whole and not 0 < test < 1:
        raise ConfigError(
            f"{name} is {test!r}; expected a fraction between 0 and 1.",
            hint=f"a number of {noun} is given as an integer",
        )
    count = int(test) if whole else round(float(test) * rows)
    if not 0 < count < rows:
        raise ConfigError(
            f"{name}={test!r} of {rows:,} {noun} would make a test part of {count:,}; expected 1 to {rows - 1:,}.",
            hint="choose a size that leaves some in both parts",
        )
    return count


def _timestamps(dataset: Dataset, what: str) -> pl.Series:
    if dataset.timestamp is None:
        raise DataError(
            f"{what} needs a timestamp column, but this Dataset has none; its interactions have "
            f"{', '.join(map(repr, dataset.interactions.columns))}.",
            hint="Dataset(…, timestamp=…)",
        )
    return dataset.times


def _cut_for_count(times: pl.Series, count: int) -> tuple[Any, int]:
    """The first timestamp of the test part as a number, since Python's have no nanoseconds, and how many rows share the timestamp
    that the wanted cut would fall into."""
    numbers = times.to_physical()
    ordered = numbers.sort(descending=True)
    border = ordered[count - 1]  # the wanted test part ends within the rows of this timestamp
    later, equal = int((numbers > border).sum()), int((numbers == border).sum())
    small, large = later, later + equal
    fits = [size for size in (small, large) if 0 < size < len(times)]
    if not fits:
        raise DataError(
            f"all {counted(len(times), 'interaction')} share the timestamp {times[0]}; they cannot be split by time.",
            hint="use split_random (on the command line: leave out --time)",
        )
    size = min(fits, key=lambda size: abs(size - count))  # the first, smaller one when both are as near
    return ordered[size - 1], equal if equal > 1 else 0


def _moment(at: Any, times: pl.Series) -> Any:
    """``at`` in a type that compares with ``times``."""
    number = isinstance(at, (int, float, np.integer, np.floating)) and not isinstance(at, bool)
    if times.dtype.is_numeric():
        if number and at == at:
            return at
        expected, hint = "a number", "for unix seconds: at=datetime(…, tzinfo=timezone.utc).timestamp()"
    else:
        if isinstance(at, str):
            at = _parsed(at)
        if isinstance(at, (date, datetime)):
            return _like(at, times)
        expected, hint = "a date, a datetime or ISO text", 'for example at="1998-03-01"'
    raise ConfigError(f"at is {at!r}, and the timestamps are of type {times.dtype}; expected {expected}.", hint=hint)


def _parsed(text: str) -> Any:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _like(at: date, times: pl.Series) -> Any:
    """``at`` as a datetime in the time zone of ``times`` (midnight for a date). One without a zone is read in theirs; one with
    a zone is refused where they have none."""
    moment = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day)
    zone = getattr(times.dtype, "time_zone", None)
    if zone is not None:
        own = ZoneInfo(zone)
        return moment.replace(tzinfo=own) if moment.tzinfo is None else moment.astimezone(own)
    if moment.tzinfo is not None:
        raise ConfigError(
            f"at={at!r} has a time zone but the timestamps have none.", hint="give at without a time zone"
        )
    return moment
