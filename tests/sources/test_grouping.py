"""Groups of a column's values, against loops over its values."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain_stage import frequent, groups_of, nearness

from shortlist.errors import DataError
from shortlist.sources import Grouping

words = st.lists(st.none() | st.sampled_from("abcdefg") | st.text(max_size=2), max_size=20)
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-3, 3).map(float)


def found(grouping: Grouping, column: pl.Series) -> list[list[int]]:
    """The groups of each row."""
    return [[one for one in row if one >= 0] for row in grouping.numbers(column).tolist()]


@given(words, st.sampled_from([pl.String, pl.Categorical]))
def test_words_by_how_often_they_are(values: list[str | None], kind: Any) -> None:
    column = pl.Series("word", values, dtype=pl.String).cast(kind)
    grouping = Grouping.of(column)
    expected = frequent(values)
    assert (None if grouping is None else [*grouping.values]) == expected
    if grouping is not None:
        assert grouping.size == len(grouping.values)
        assert found(grouping, column) == [groups_of(grouping, one) for one in values]


@given(st.lists(st.none() | st.lists(st.none() | st.sampled_from("abcdefghijkl"), max_size=12), max_size=9))
def test_lists_of_words_each_once_and_at_most_eight(values: list[list[str | None] | None]) -> None:
    column = pl.Series("word", values, dtype=pl.List(pl.String))
    grouping = Grouping.of(column)
    expected = frequent([one for each in values for one in each or ()])
    assert (None if grouping is None else [*grouping.values]) == expected
    if grouping is not None:
        assert found(grouping, column) == [groups_of(grouping, one) for one in values]
        assert grouping.numbers(column).shape[1] <= 8


@given(st.lists(st.none() | st.integers(0, 30) | st.integers(0, 3), max_size=60))
def test_whole_numbers_by_value_where_they_are_few(values: list[int | None]) -> None:
    column = pl.Series("age", values, dtype=pl.Int64)
    grouping, distinct = Grouping.of(column), {*values} - {None}
    if len(distinct) < 2:
        assert grouping is None
    else:
        assert grouping is not None
        assert bool(grouping.values) == (len(distinct) <= 16)
        if grouping.values:
            assert [*grouping.values] == frequent(values)
        assert found(grouping, column) == [groups_of(grouping, one) for one in values]


@given(st.lists(st.none() | numbers, max_size=60))
def test_numbers_by_bins(values: list[float | None]) -> None:
    column = pl.Series("price", values, dtype=pl.Float64)
    grouping = Grouping.of(column)
    finite = [one for one in values if one is not None and math.isfinite(one)]
    clipped = [min(max(one, -1e150), 1e150) for one in finite]
    if len({*clipped}) < 2:
        assert grouping is None
        return
    if grouping is None:  # numbers too near for an edge between them
        assert min(clipped) == max(clipped) or max(clipped) - min(clipped) < 1e-300
        return
    assert 1 <= len(grouping.edges) <= 15
    assert [*grouping.edges] == sorted({*grouping.edges})
    expected = [
        groups_of(grouping, one if one is None or not math.isfinite(one) else min(max(one, -1e150), 1e150))
        for one in values
    ]
    assert found(grouping, column) == expected
    assert {0, grouping.size - 1} <= {group for row in expected for group in row}
    near = grouping.nearness(column, grouping.numbers(column)[:, 0].astype(np.int64))
    assert np.isfinite(near).all()
    assert (near >= 0).all()
    assert (near <= 1).all()


@given(st.lists(st.none() | st.integers(-50, 50).map(lambda one: one / 4), min_size=3, max_size=40))
def test_nearness_of_numbers_is_that_of_a_loop(values: list[float | None]) -> None:
    column = pl.Series("price", values, dtype=pl.Float64)
    grouping = Grouping.of(column)
    if grouping is None:
        return
    groups = grouping.numbers(column)[:, 0].astype(np.int64)
    expected = nearness(values, groups.tolist(), grouping.edges)
    assert grouping.nearness(column, groups) == pytest.approx(np.array(expected), rel=1e-6, abs=1e-9)


def test_by_hand() -> None:
    # eight values, edges at their sixteenths: 1 is the lowest and no edge
    column = pl.Series("price", [1.0, 2, 3, 4, None, math.nan, math.inf])
    grouping = Grouping.of(column)
    assert grouping is not None
    assert found(grouping, column)[0] == [0]
    assert found(grouping, column)[4:] == [[], [], []]
    words = Grouping("genre", values=("drama", "war"))
    assert words.nearness(pl.Series(["drama"]), np.array([0])).tolist() == [[1, 0], [0, 1]]
    assert words.numbers(pl.Series([], dtype=pl.String)).shape == (0, 1)
    assert words.numbers(pl.Series([None, None])).tolist() == [[-1], [-1]]
    assert Grouping.of(pl.Series("b", [True, False, True])) == Grouping("b", values=(True, False))


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("a", [], dtype=pl.String), pl.Series("a", [None, None]), pl.Series("a", ["x"] * 3),
        pl.Series("a", [1, 1]), pl.Series("a", [2.0, 2.0]), pl.Series("a", [math.nan, None]),
        pl.Series("a", [math.inf, -math.inf]), pl.Series("a", [[], []], dtype=pl.List(pl.String)),
        pl.Series("a", [{"b": 1}, {"b": 2}]), pl.Series("a", [b"x", b"y"]), pl.Series("a", [[1.5], [2.5]]),
        pl.Series("a", [object(), object()]), pl.Series("a", [f"w{one}" for one in range(200)]),
        pl.Series("a", [[[1]], [[2]]]), pl.Series("a", [[1.0, 2.0]] * 2, dtype=pl.Array(pl.Float32, 2)),
        pl.Series("a", [dt.date(2020, 1, 1)] * 2),
    ],
)  # fmt: skip
def test_columns_without_groups(column: pl.Series) -> None:
    assert Grouping.of(column) is None


def test_times_are_alike_in_every_unit() -> None:
    days = pl.Series("born", [dt.date(1970 + one, 1, 1) for one in range(40)] + [None])
    grouping = Grouping.of(days)
    assert grouping is not None
    assert grouping.times
    expected = grouping.numbers(days).tolist()
    assert expected[-1] == [-1]
    for kind in (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns")):
        other = days.cast(kind)
        assert grouping.numbers(other).tolist() == expected
        assert Grouping.of(other) == grouping
    for column in (pl.Series("t", [dt.time(one, 5) for one in range(20)]), pl.Series("t", [dt.timedelta(one) for one in range(20)])):  # fmt: skip
        grouping = Grouping.of(column)
        assert grouping is not None
        assert grouping.numbers(column)[0].tolist() == [0]


COLUMNS = {
    "words": pl.Series("a", ["x", "y", None]),
    "lists": pl.Series("a", [["x"], ["y", "x"], None]),
    "integers": pl.Series("a", [1, 2, None]),
    "booleans": pl.Series("a", [True, False, None]),
    "floats": pl.Series("a", [0.5, 1.5, None]),
    "times": pl.Series("a", [dt.date(2020, 1, 1), dt.date(2021, 1, 1), None]),
    "nothing": pl.Series("a", [None, None, None]),
    "structs": pl.Series("a", [{"b": 1}, None, None]),
    "objects": pl.Series("a", [object(), object(), object()]),
}
LIKE = {  # columns whose values another kind of column takes
    "words": {"lists"}, "lists": {"words"}, "integers": set(), "booleans": set(), "floats": {"integers"}, "times": set(),
}  # fmt: skip


@pytest.mark.parametrize("kind", LIKE)
@pytest.mark.parametrize("other", COLUMNS)
def test_values_of_another_kind_are_refused_by_name(kind: str, other: str) -> None:
    grouping = Grouping.of(COLUMNS[kind])
    assert grouping is not None
    if other in {kind, "nothing", *LIKE[kind]}:
        assert len(grouping.numbers(COLUMNS[other])) == 3
        return
    with pytest.raises(DataError, match=r"the column 'a' is of type .*; in training it had values such as "):
        grouping.numbers(COLUMNS[other])
