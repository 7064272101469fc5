"""Splits on tables small enough to work by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import Dataset, Split, split_by_time, split_last, split_queries, split_random
from shortlist.errors import ConfigError, DataError


def log(times: list[Any], users: list[int] | None = None, dtype: Any = None) -> Dataset:
    frame = pl.DataFrame(
        {"u": users or [0] * len(times), "c": list(range(len(times))), "t": pl.Series(times, dtype=dtype)}
    )
    return Dataset(frame, "u", "c", timestamp="t")


def held_out(split: Split) -> list[int]:
    """The candidates of the test part: each row of ``log`` has the candidate of its number."""
    return split.test.interactions["c"].to_list()


# --- at random -----------------------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.data())
def test_a_random_split_has_the_exact_size_and_keeps_the_order(rows: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, rows - 1))
    train, test = split_random(log(list(range(rows))), test=count, seed=data.draw(st.integers(0, 2**64)))
    assert (len(train), len(test)) == (rows - count, count)
    for part in (train, test):
        numbers = part.interactions["c"].to_list()
        assert numbers == sorted(numbers)
        assert part.candidate_rows.tolist() == numbers
    assert sorted(train.interactions["c"].to_list() + test.interactions["c"].to_list()) == list(range(rows))


@pytest.mark.parametrize(
    ("test", "rows", "count"), [(0.2, 10, 2), (0.25, 10, 2), (0.35, 10, 4), (3, 10, 3), (0.5, 3, 2)]
)
def test_sizes(test: float, rows: int, count: int) -> None:
    assert len(split_random(log(list(range(rows))), test=test).test) == count


def test_a_seed_repeats_and_another_differs() -> None:
    data = log(list(range(100)))
    assert held_out(split_random(data, seed=7)) == held_out(split_random(data, seed=7))
    assert held_out(split_random(data, seed=7)) != held_out(split_random(data, seed=8))


def test_a_seed_holds_the_same_rows_out_everywhere() -> None:
    assert held_out(split_random(log(list(range(20))), test=5, seed=42)) == [0, 1, 4, 10, 17]


def test_equal_draws_are_broken_by_the_order_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Even:
        def __init__(self, seed: int) -> None:
            pass

        def random_raw(self, size: int) -> np.ndarray[Any, Any]:
            return np.array([5, 1, 5, 5][:size], dtype=np.uint64)

    monkeypatch.setattr(np.random, "Philox", Even)
    assert held_out(split_random(log([0, 0, 0, 0]), test=2)) == [0, 1]
    assert held_out(split_random(log([0, 0, 0, 0]), test=3)) == [0, 1, 2]


def test_rows_are_drawn_evenly() -> None:
    counts = np.zeros(20)
    data = log(list(range(20)))
    for seed in range(500):
        counts[held_out(split_random(data, test=5, seed=seed))] += 1
    assert counts.min() > 80  # 125 on average, standard deviation 9.7
    assert counts.max() < 170


@pytest.mark.parametrize("test", [0.0, 1.0, -0.1, 1.5, 0, 10, -1, True, "half", None, float("nan"), 0.01, 0.99])
def test_impossible_sizes(test: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        split_random(log(list(range(10))), test=test)
    assert repr(test) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("seed", [-1, 1.5, "x", None, True])
def test_impossible_seeds(seed: Any) -> None:
    with pytest.raises(ConfigError, match="expected an integer"):
        split_random(log([1, 2, 3]), test=1, seed=seed)


def test_the_report_counts_what_is_unseen() -> None:
    rows = {"u": ["a", "a", "b", "a", "b"], "c": [1, 2, 1, 3, 3], "t": [1, 2, 3, 4, 5]}
    split = split_by_time(Dataset(rows, "u", "c", timestamp="t"), at=3)
    report = split.report  # train: a1 a2; test: b1 a3 b3
    assert (report.train_rows, report.test_rows) == (2, 3)
    assert (report.unseen_queries, report.unseen_candidates) == (2, 2)
    assert report.cut == 3
    assert repr(split) == (
        "Split(split by time: 2 train, 3 test · test rows with an unseen query 2, an unseen candidate 2 · cut at 3)"
    )


def test_both_parts_share_the_tables_and_the_encoding() -> None:
    data = Dataset({"u": ["b", "a", "b"], "c": [3, 2, 1], "w": [1.0, 2.0, 3.0]}, "u", "c", weight="w")
    for part in split_random(data, test=1):
        assert part.queries is data.queries
        assert part.candidates is data.candidates
        assert part.query_rows.dtype == np.int32
        again = data.with_interactions(part.interactions)
        assert part.query_rows.tolist() == again.query_rows.tolist()
        assert part.candidate_rows.tolist() == again.candidate_rows.tolist()
        assert part.weights is not None
        assert part.weights.tolist() == part.interactions["w"].to_list()


# --- by time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "test", "expected", "tied"),
    [
        ([5, 1, 4, 2, 3], 2, [0, 2], 0),
        ([5, 1, 4, 2, 3], 0.2, [0], 0),
        ([1, 2, 2, 2, 3], 2, [4], 3),  # 1 or 4 rows: 1 is nearer to 2
        ([1, 2, 2, 2, 3], 3, [1, 2, 3, 4], 3),  # 4 is nearer to 3
        ([1, 2, 2, 3], 2, [3], 2),  # 1 and 3 are as near: the smaller
        ([1, 2, 2, 2], 1, [1, 2, 3], 3),  # an empty test part is no choice
        ([1, 1, 1, 2], 3, [3], 3),  # an empty train part is no choice
    ],
)
def test_the_cut_never_separates_equal_timestamps(times: list[int], test: Any, expected: list[int], tied: int) -> None:
    split = split_by_time(log(times), test=test)
    assert held_out(split) == expected
    assert split.report.tied == tied
    assert split.report.cut == min(times[row] for row in expected)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30).filter(lambda t: len(set(t)) > 1), st.data())
def test_everything_in_test_is_later_than_everything_in_train(times: list[int], data: st.DataObject) -> None:
    train, test = split_by_time(log(times), test=data.draw(st.integers(1, len(times) - 1)))
    assert train.interactions["t"].max() < test.interactions["t"].min()  # type: ignore[operator]
    assert len(train) + len(test) == len(times)


DAYS = [datetime(2024, 1, day) for day in (1, 2, 3)]
ZONED = [day.replace(tzinfo=timezone.utc) for day in DAYS]
SEOUL = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("times", "dtype", "at"),
    [
        ([10, 20, 30], pl.Int64, 30),
        ([10, 20, 30], pl.Int64, 20.5),
        ([10.5, 20.5, 30.5], pl.Float64, 30),
        ([10, 20, 30], pl.UInt32, np.int64(21)),
        (DAYS, pl.Datetime("ms"), datetime(2024, 1, 2, 0, 0, 1)),
        (DAYS, pl.Datetime("ns"), date(2024, 1, 3)),
        (DAYS, pl.Datetime("us"), "2024-01-03"),
        (ZONED, pl.Datetime("us", "UTC"), "2024-01-03"),
        (ZONED, pl.Datetime("us", "UTC"), datetime(2024, 1, 3, tzinfo=timezone.utc)),
        ([day.date() for day in DAYS], pl.Date, date(2024, 1, 3)),
        ([day.date() for day in DAYS], pl.Date, "2024-01-03"),
        (ZONED, pl.Datetime("us", "UTC"), "2024-01-03T09:00:00+09:00"),
        (ZONED, pl.Datetime("us", "UTC"), "2024-01-02T19:00:00-05:00"),
        (ZONED, pl.Datetime("ns", "UTC"), datetime(2024, 1, 3, 9, tzinfo=SEOUL)),
        (ZONED, pl.Datetime("us", "Asia/Seoul"), "2024-01-03T09:00"),
        (ZONED, pl.Datetime("us", "Asia/Seoul"), "2024-01-03T00:00:00+00:00"),
        (ZONED, pl.Datetime("ms", "Asia/Seoul"), datetime(2024, 1, 3, tzinfo=timezone.utc)),
        (ZONED, pl.Datetime("us", "America/New_York"), datetime(2024, 1, 3, 9, tzinfo=SEOUL)),
    ],
)
def test_a_cut_at_a_moment(times: list[Any], dtype: Any, at: Any) -> None:
    assert held_out(split_by_time(log(times, dtype=dtype), at=at)) == [2]


@pytest.mark.parametrize("at", ["2024-03-31T02:30", "2024-10-27T02:30"])
def test_a_cut_at_a_time_that_clocks_leave_out_or_show_twice(at: str) -> None:
    moments = [datetime.fromisoformat(at).replace(tzinfo=timezone.utc) + timedelta(days=days) for days in (-1, 0, 1)]
    split = split_by_time(log(moments, dtype=pl.Datetime("us", "Europe/Berlin")), at=at)
    assert held_out(split) == [1, 2]  # 2:30 in UTC is 4:30 and 3:30 there


@pytest.mark.parametrize("rows", [2, 3, 40, 2000])
def test_times_in_nanoseconds_are_cut_between_two_of_them(rows: int) -> None:
    """A moment of Python has microseconds, and some rows have the same one."""
    times = [1_700_000_000_000_000_000 + n for n in range(rows)]
    for test in (1, rows // 2):
        split = split_by_time(log(times, dtype=pl.Datetime("ns")), test=test)
        assert held_out(split) == list(range(rows - test, rows))
    split = split_by_time(log([times[0], *[times[1]] * 3], dtype=pl.Datetime("ns", "Asia/Seoul")), test=1)
    assert (held_out(split), split.report.tied) == ([1, 2, 3], 3)
    with pytest.raises(DataError, match="all 3 interactions share the timestamp 2023-11-14 22:13:20"):
        split_by_time(log(times[:1] * 3, dtype=pl.Datetime("ns")), test=1)


def test_datetimes_are_cut_by_fraction_too() -> None:
    split = split_by_time(log(DAYS), test=1)
    assert held_out(split) == [2]
    assert split.report.cut == datetime(2024, 1, 3)


@pytest.mark.parametrize(
    ("times", "at", "says"),
    [
        ([1, 2], "2024-01-01", "expected a number"),
        ([1, 2], float("nan"), "expected a number"),
        ([1, 2], True, "expected a number"),
        ([1, 2], DAYS[0], "expected a number"),
        (DAYS, 5, "expected a date, a datetime or ISO text"),
        (DAYS, "soon", "expected a date, a datetime or ISO text"),
        (DAYS, ZONED[0], "has a time zone but the timestamps have none"),
        ([1, 2], 1, "leaves the train part empty: the timestamps are between 1 and 2"),
        ([1, 2], 3, "leaves the test part empty"),
    ],
)
def test_impossible_moments(times: list[Any], at: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        split_by_time(log(times), at=at)
    assert caught.value.hint


def test_a_cut_needs_one_size_and_two_moments() -> None:
    with pytest.raises(ConfigError, match="both test and at"):
        split_by_time(log([1, 2]), test=1, at=2)
    with pytest.raises(DataError, match="all 3 interactions share the timestamp 4"):
        split_by_time(log([4, 4, 4]), test=1)


@pytest.mark.parametrize("split", [split_by_time, split_last])
def test_time_is_needed(split: Any) -> None:
    with pytest.raises(DataError, match=f"{split.__name__} needs a timestamp column.* have 'u', 'c'") as caught:
        split(Dataset({"u": [1, 1], "c": [1, 2]}, "u", "c"))
    assert caught.value.hint == "Dataset(…, timestamp=…)"


# --- the last of each query ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("users", "times", "n", "expected", "tied", "whole"),
    [
        ([1, 1, 2, 2], [5, 6, 8, 7], 1, [1, 2], 0, 0),
        ([1, 1, 1, 2], [5, 9, 9, 1], 1, [2], 1, 1),  # a tie: the later row; query 2 has but one
        ([1, 1, 1, 2, 2], [9, 5, 9, 1, 1], 1, [2, 4], 2, 0),
        ([1, 1, 1, 2, 2], [1, 2, 3, 1, 2], 2, [1, 2], 0, 1),  # 2 has no more than n: whole in train
        ([1, 1, 1], [7, 7, 3], 2, [0, 1], 0, 0),  # tied, but the tie decides nothing
        ([1, 1, 1, 1], [7, 7, 7, 3], 2, [1, 2], 1, 0),
        ([2, 1, 2, 1], [-5, -1, -6, -2], 1, [0, 1], 0, 0),
    ],
)
def test_the_last_of_each_query(
    users: list[int], times: list[int], n: int, expected: list[int], tied: int, whole: int
) -> None:
    split = split_last(log(times, users), n=n)
    assert held_out(split) == expected
    assert (split.report.tied, split.report.whole) == (tied, whole)
    assert split.train.interactions["c"].to_list() == [row for row in range(len(times)) if row not in expected]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=40), st.integers(1, 3))
def test_the_last_agree_with_a_plain_loop(rows: list[tuple[int, int]], n: int) -> None:
    groups: dict[int, list[int]] = {}
    for number, (user, _) in enumerate(rows):
        groups.setdefault(user, []).append(number)
    long = [group for group in groups.values() if len(group) > n]
    data = log([time for _, time in rows], [user for user, _ in rows])
    if not long:
        with pytest.raises(DataError, match="no query has more than"):
            split_last(data, n=n)
        return
    expected = sorted(row for group in long for row in sorted(group, key=lambda row: rows[row][1])[-n:])
    assert held_out(split_last(data, n=n)) == expected


@pytest.mark.parametrize("times", [[1.5, 0.5, 2.5], DAYS[1:] + DAYS[:1], ["2024-01-02", "2024-01-03", "2024-01-01"]])
def test_last_of_any_kind_of_timestamp(times: list[Any]) -> None:
    latest = max(range(3), key=lambda row: times[row])
    assert held_out(split_last(log(times))) == [latest]


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "1"])
def test_impossible_n(n: Any) -> None:
    with pytest.raises(ConfigError, match="expected an integer ≥ 1"):
        split_last(log([1, 2, 3]), n=n)


# --- held-out queries ----------------------------------------------------------------------------------------------


def test_held_out_queries_worked_by_hand() -> None:
    """Users of 4, 1, 3 and 3 rows; all three that can be parted are wanted less one, half of each given."""
    users = [1, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4]
    split = split_queries(log([9, 8, 7, 6, 1, 3, 3, 2, 1, 2, 3], users), queries=2, given=0.5, seed=1, by_time=True)
    assert split.given is not None
    held = sorted(set(split.test.interactions["u"].to_list()))
    assert len(held) == 2
    by_user = {
        1: ([2, 3], [0, 1]),
        3: ([5, 7], [6]),
        4: ([8, 9], [10]),
    }  # 3: times 3 3 2, the later of equal rows is tested
    assert sorted(split.given.interactions["c"].to_list()) == sorted(row for user in held for row in by_user[user][0])
    assert sorted(held_out(split)) == sorted(row for user in held for row in by_user[user][1])
    assert 2 in split.train.interactions["u"].to_list()
    assert (split.report.held_out, split.report.whole) == (2, 1)
    assert split.report.unseen_queries == len(split.test)
    assert "2 queries held out, 4 of their interactions given" in repr(split)


@given(st.lists(st.integers(0, 6), min_size=3, max_size=60), st.data())
def test_held_out_queries_have_no_row_in_train_and_one_in_each_other_part(
    users: list[int], data: st.DataObject
) -> None:
    counts = {user: users.count(user) for user in set(users)}
    able = [user for user, count in counts.items() if count > 1]
    share = data.draw(st.sampled_from([0.01, 0.3, 0.5, 0.8, 0.99]))
    if len(able) < 2:
        with pytest.raises((ConfigError, DataError)):
            split_queries(log(list(range(len(users))), users), queries=1, given=share)
        return
    number = data.draw(st.integers(1, len(able) - 1))
    seed, by_time = data.draw(st.integers(0, 99)), data.draw(st.booleans())
    split = split_queries(log(list(range(len(users))), users), queries=number, given=share, seed=seed, by_time=by_time)
    assert split.given is not None
    held = set(split.test.interactions["u"].to_list())
    assert len(held) == number
    assert held == set(split.given.interactions["u"].to_list())
    assert not held & set(split.train.interactions["u"].to_list())
    for user in held:
        known = split.given.interactions.filter(u=user)["c"].to_list()
        asked = split.test.interactions.filter(u=user)["c"].to_list()
        assert len(known) == min(max(round(share * counts[user]), 1), counts[user] - 1)
        assert not by_time or max(known) < min(asked)
    every = [row for part in (split.train, split.given, split.test) for row in part.interactions["c"].to_list()]
    assert sorted(every) == list(range(len(users)))
    assert sorted(split.seen.interactions["c"].to_list() + held_out(split)) == list(range(len(users)))


def test_seen_is_train_where_nothing_is_given() -> None:
    split = split_random(log(list(range(10))))
    assert split.seen is split.train


@pytest.mark.parametrize("wrong", [{"given": 1.0}, {"given": 0}, {"queries": 2}, {"queries": 0.0}, {"seed": -1}])
def test_impossible_held_out_queries(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected"):
        split_queries(log(list(range(4)), [1, 1, 2, 2]), **{"queries": 1, **wrong})


def test_held_out_queries_need_two_interactions_each() -> None:
    with pytest.raises(DataError, match="no query has two interactions"):
        split_queries(log([1, 2], [1, 2]))
    with pytest.raises(DataError, match="needs a timestamp"):
        split_queries(Dataset({"u": [1, 1, 2, 2], "c": [1, 2, 3, 4]}, "u", "c"), queries=1, by_time=True)
