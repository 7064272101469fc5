"""Leaks from the test into the training: named findings, and refusals of data that cannot be a test."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from shortlist.data import Dataset
from shortlist.data.argument_checks import check_dataset, check_model
from shortlist.errors import DataError
from shortlist.evaluation.diagnostics import Finding
from shortlist.language import counted
from shortlist.model import TwoTower

__all__ = ["LEAKS", "audit"]

LEAKS = (
    "future_in_training",
    "duplicates",
    "repeated_pairs",
    "later_features",
    "whole_data_features",
    "target_context",
)
"""Every leak, by name."""

UNIX = 10**8  # whole numbers from here on are taken for seconds or finer since 1970
FEWEST = 5  # ids whose values must differ between a statistic of the whole data and one of the training data
AGREE = 0.95
MOST_OFFSET = 14 * 3600 * 1e6  # microseconds by which a time without a zone may differ from UTC


def audit(train: Dataset, test: Dataset, *, model: TwoTower | None = None) -> tuple[Finding, ...]:
    """Leaks from ``test`` into ``train``, in the order of ``LEAKS``; nothing for a clean split.

    future_in_training: training interactions at or after the first test interaction. Figures then measure filling gaps,
        not predicting, which is harder (Ji, Sun, Zhang, Li 2023, "A critical study on data leakage in recommender
        system offline evaluation"). Only ``split_by_time`` is free of it: the last choice of one query is earlier than
        the first of another.
    duplicates: interactions (query, candidate and, where both parts have it, time) that are in both parts.
    repeated_pairs: test pairs that the query also chose in training at another time; "seen items excluded" cannot find
        them, and without that they are remembered, not predicted.
    later_features: columns of the tables that hold, for ids that occur in training, a moment after the first test
        interaction.
    whole_data_features: columns of the tables that equal a count, sum, mean, least or most over train and test
        together, and not over train alone.
    target_context: columns of the test interactions themselves that ``model``'s query tower reads, such as the time of
        the choice. Known at the moment of a request, they are fair; an outcome is not.

    Args:
        train: the training part.
        test: the test part.
        model: its query tower is checked for ``target_context``; None for the split alone.

    Raises:
        DataError: for what can be no test of this training: other id columns or types, other kinds of time, every test
            interaction in the training data, or all training after all of the test.

    Example:
        >>> log = {"user": list("aabb"), "film": [1, 2, 1, 3], "time": [10, 40, 20, 30]}
        >>> from shortlist.data import split_by_time
        >>> data = Dataset(log, query="user", candidate="film", timestamp="time")
        >>> audit(*split_by_time(data, at=30))
        ()
        >>> train, test = (data.with_interactions(data.interactions[rows]) for rows in ([1, 2], [0, 3]))
        >>> audit(train, test)[0].figures
        {'rows': 2, 'share': 1.0, 'own': 1}
    """
    check_dataset(train, "audit(train)")
    check_dataset(test, "audit(test)")
    if model is not None:
        check_model(model, "audit(model=)", "TwoTower")
    _refuse(train, test)
    found: list[Finding] = []
    if train.timestamp is not None and test.timestamp is not None:
        found += _future(train, test)
    found += _shared(train, test)
    read = None if model is None else {*model.query.columns, *model.candidate.columns}
    if test.timestamp is not None:
        found += _later_features(train, test, read)
    found += _whole_data_features(train, test, read)
    if model is not None:
        found += _target_context(test, model)
    return tuple(found)


def _refuse(train: Dataset, test: Dataset) -> None:
    for role in ("query", "candidate"):
        in_train, in_test = getattr(train, role), getattr(test, role)
        types = train.interactions.schema[in_train], test.interactions.schema[in_test]
        if in_train != in_test:
            raise DataError(
                f"the training data's {role} is {in_train!r} and the test's {in_test!r}; expected the same."
            )
        if (types[0] == pl.String) != (types[1] == pl.String):
            raise DataError(
                f"{in_train!r} is {types[0]} in the training data and {types[1]} in the test: no id can occur in both.",
                hint="read both tables in the same way",
            )
    if train.timestamp is not None and test.timestamp is not None:
        times = [part.times for part in (train, test)]
        if times[0].dtype.is_numeric() != times[1].dtype.is_numeric():
            raise DataError(
                f"the training data's times are of type {times[0].dtype} and the test's of {times[1].dtype}; "
                "they cannot be compared.",
                hint="cast one of them",
            )
        first, last = _number(times[0]).min(), _number(times[1]).max()
        if isinstance(first, float) and isinstance(last, float) and first > last:
            raise DataError(
                f"all training interactions (from {times[0].min()!s}) are later than all test interactions (up to "
                f"{times[1].max()!s}): the past cannot be tested with the future.",
                hint="swap the two parts, or use split_by_time",
            )
    if len(_in_both(train, test, timed=True)) == len(test):
        raise DataError(
            f"all {counted(len(test), 'test interaction')} are also in the training data, so this would measure memory.",
            hint="hold interactions out: split_by_time, split_last, split_queries or split_random",
        )


def _future(train: Dataset, test: Dataset) -> Iterator[Finding]:
    in_train, in_test = train.times, test.times
    number, first = _number(in_train), _number(in_test).min()
    later = int((number >= first).sum())
    if not later:
        return
    latest = pl.DataFrame({"id": train.interactions[train.query], "time": number}).group_by("id").agg(pl.max("time"))
    asked = pl.DataFrame({"id": test.interactions[test.query], "own": _number(in_test)})
    own = int((asked.join(latest, on="id", how="left")).select((pl.col("time") > pl.col("own")).sum()).item())
    message = (
        f"{later:,} of {counted(len(in_train), 'training interaction')} ({later / len(in_train):.0%}) are not earlier than the first of "
        f"the test ({in_test.min()!s}), and for {own:,} of {counted(len(test), 'test pair')} the query's own later choices are "
        "trained on"
    )
    hint = "for figures as in real use: split_by_time"
    yield Finding("future_in_training", message, hint, {"rows": later, "share": later / len(in_train), "own": own})


def _shared(train: Dataset, test: Dataset) -> Iterator[Finding]:
    same = len(_in_both(train, test, timed=True))
    pairs = len(_in_both(train, test, timed=False))
    if same:
        message = f"{same:,} of {counted(len(test), 'test interaction')} are also in the training data"
        hint = "drop duplicate rows before the split: frame.unique()"
        yield Finding("duplicates", message, hint, {"rows": same, "share": same / len(test)})
    if pairs > same:
        message = (
            f"{pairs - same:,} of {counted(len(test), 'test pair')} have a candidate that the query chose in training, at "
            "another time"
        )
        hint = "where choices repeat, look at the rows with seen items left in; else keep each pair's first choice only"
        figures = {"rows": pairs - same, "share": (pairs - same) / len(test)}
        yield Finding("repeated_pairs", message, hint, figures)


def _in_both(train: Dataset, test: Dataset, timed: bool) -> pl.DataFrame:
    """The test interactions that are in the training data too, by pair, or by pair and time where both have one."""
    names = [train.query, train.candidate]
    sides = [part.interactions.select(names) for part in (train, test)]
    if timed and train.timestamp is not None and test.timestamp is not None:
        sides = [
            side.with_columns(_number(part.times).alias("\0time"))
            for side, part in zip(sides, (train, test), strict=True)
        ]
    return sides[1].join(sides[0].unique(), on=sides[0].columns, how="semi")


def _later_features(train: Dataset, test: Dataset, read: set[str] | None) -> Iterator[Finding]:
    times = test.times
    first = times.min()
    for owner, column, values in _table_columns(train, read):
        if times.dtype.is_temporal() != values.dtype.is_temporal():
            continue
        if not times.dtype.is_temporal():
            if not values.dtype.is_numeric():
                continue
            least = values.drop_nulls().min()
            if (
                not isinstance(least, (int, float))
                or least < UNIX
                or not isinstance(first, (int, float))
                or first < UNIX
            ):
                continue
        elif values.dtype in (pl.Time, pl.Duration):
            continue
        known = values.drop_nulls()
        zoned = [getattr(column.dtype, "time_zone", None) is not None for column in (times, values)]
        unsure = MOST_OFFSET if zoned[0] != zoned[1] else 0.0
        later = int((_number(known) - unsure > _number(times).min()).sum())
        if later:
            message = (
                f"the {owner}' {column!r} is later than the first test interaction ({first!s}) for {later:,} of "
                f"{len(known):,} {owner} that occur in training"
            )
            hint = f"use {column!r} as it was before the test, or remove it from the towers"
            yield Finding("later_features", message, hint, {"rows": later, "share": later / len(known)})


def _whole_data_features(train: Dataset, test: Dataset, read: set[str] | None) -> Iterator[Finding]:
    whole = pl.concat([part.interactions for part in (train, test)], how="diagonal_relaxed")
    for owner, key in (("queries", train.query), ("candidates", train.candidate)):
        table = getattr(train, owner)
        columns = [
            name for name in table.columns if name != key and table.schema[name].is_numeric() and _is_read(name, read)
        ]
        if not columns:
            continue
        joined = table.select(key, *columns)
        for suffix, rows in (("train", train.interactions), ("whole", whole)):
            joined = joined.join(_statistics(rows, key, suffix), on=key, how="left")
        for column in columns:
            yield from _as_whole(joined, owner, column)


def _statistics(rows: pl.DataFrame, key: str, suffix: str) -> pl.DataFrame:
    """Counts, and sums, means, extremes of every numeric column, by ``key``; columns ``what\0suffix``."""
    names = [name for name, dtype in rows.schema.items() if dtype.is_numeric() and name != key]
    wanted = [pl.len().cast(pl.Float64).alias(f"count\0{suffix}")]
    for name in names:
        for what in ("sum", "mean", "min", "max"):
            number = getattr(pl.col(name).cast(pl.Float64), what)()
            wanted.append(number.alias(f"{what} of {name}\0{suffix}"))
    return rows.group_by(key).agg(wanted)


def _as_whole(joined: pl.DataFrame, owner: str, column: str) -> Iterator[Finding]:
    values = joined[column].cast(pl.Float64).to_numpy()
    for name in joined.columns:
        what, _, suffix = name.partition("\0")
        if suffix != "whole":
            continue
        whole, in_train = joined[name].to_numpy(), joined[f"{what}\0train"].to_numpy()
        telling = (
            np.isfinite(whole) & np.isfinite(in_train) & np.isfinite(values) & ~np.isclose(whole, in_train, rtol=1e-6)
        )
        if np.count_nonzero(telling) < FEWEST:
            continue
        agrees = np.isclose(values, whole, rtol=1e-5)[telling].mean()
        if agrees >= AGREE:
            message = f"the {owner}' {column!r} is the {what} over train and test together"
            hint = "compute it from the training part only, after the split"
            yield Finding("whole_data_features", message, hint, {"share": float(agrees), "ids": int(telling.sum())})
            return


def _target_context(test: Dataset, model: TwoTower) -> Iterator[Finding]:
    own = [name for name in model.query.columns if name not in test.queries.columns and name != test.query]
    context = [name for name in own if name in test.interactions.columns]
    if context:
        names = ", ".join(map(repr, context))
        time = ", including the time of the choice" if test.timestamp in context else ""
        message = f"the query tower reads {names} of each test interaction{time}"
        hint = "fair only for values known at the time of the request, before the choice; otherwise remove it from the tower"
        yield Finding("target_context", message, hint, {"columns": len(context)})


def _table_columns(train: Dataset, read: set[str] | None) -> Iterator[tuple[str, str, pl.Series]]:
    """Owner, name and values of every feature column, for the ids that occur in training."""
    for owner, key, rows in (
        ("queries", train.query, train.query_rows),
        ("candidates", train.candidate, train.candidate_rows),
    ):
        table = getattr(train, owner)[np.unique(rows)]
        for name in table.columns:
            if name != key and _is_read(name, read):
                yield owner, name, table[name]


def _is_read(name: str, read: set[str] | None) -> bool:
    return read is None or name in read


def _number(times: pl.Series) -> pl.Series:
    """Times as float64, of any unit of date and time in microseconds."""
    if times.dtype.is_temporal():
        times = times.cast(pl.Datetime("us"))
    return pl.Series(times.to_physical().cast(pl.Float64))
