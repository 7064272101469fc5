"""Doubts about rows: said once, with numbers."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.data.memory_and_disk import from_disk, in_memory, told

from shortlist.data import suspicious_rows
from shortlist.data.events import Events
from shortlist.data.suspicious_rows import doubtful_order, doubtful_times

CLEAN = pl.DataFrame({"who": ["ann", "bob", "cat"], "what": ["x", "y", "z"], "at": [1, 2, 3]})


@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"event": ["view", "cart", "remove_from_cart"]}, "1 row with 'remove_from_cart' as 'event'"),
        ({"status": ["paid", "Cancelled", "REFUNDED"]}, "2 rows with 'Cancelled', 'REFUNDED' as 'status'"),
        ({"Quantity": [1, -6, 2]}, "1 row with a negative 'Quantity'"),
        (
            {"who": ["ann", "ann ", "bob"]},
            "1 of 3 ids in 'who' differ from another only by blanks, such as 'ann' and 'ann '",
        ),
        ({"who": ["ann", "Ann", "bob"]}, "only by upper and lower case, such as 'Ann' and 'ann'"),
        ({"who": ["\u00fc", "u\u0308", "bob"]}, "only by Unicode's normal form"),
        ({"who": ["ann", "who", "bob"]}, "1 of the rows have the column's own name, 'who', as 'who'"),
        ({"what": ["NaN", "None", "z"]}, "2 of the rows have 'NaN', 'None' as 'what'"),
        ({"what": ["12346.0", "12347.0", "x"]}, "2 of 3 ids in 'what' are whole numbers with .0, such as '12346.0'"),
    ],
)
def test_what_looks_wrong_is_said_once_with_numbers(
    read: Any, columns: dict[str, list[Any]], says: str, tmp_path: Path
) -> None:
    (found,) = told(read, CLEAN.with_columns(**{name: pl.Series(values) for name, values in columns.items()}), tmp_path)
    assert says in found


@pytest.mark.parametrize("read", [in_memory, from_disk])
def test_clean_tables_are_read_in_silence(read: Any, tmp_path: Path) -> None:
    log = CLEAN.with_columns(event=pl.Series(["view", "returning", "cart"]), lat=pl.Series([-1.5, 2.0, 3.0]))
    assert told(read, log, tmp_path) == []


@pytest.mark.parametrize("read", [in_memory, from_disk])
def test_events_that_are_spoken_for_are_not_warned_of(read: Any, tmp_path: Path) -> None:
    log = CLEAN.with_columns(event=pl.Series(["view", "cart", "remove_from_cart"]), qty=pl.Series([1, 2, -1]))
    assert told(read, log, tmp_path, Events(where="event <> 'remove_from_cart' and qty > 0")) == []


@pytest.mark.parametrize("read", [in_memory, from_disk])
def test_a_crawler_is_named(read: Any, tmp_path: Path) -> None:
    """bot has 30 of 60 rows among 31 queries; without it nobody stands out."""
    log = pl.DataFrame(
        {"who": ["bot"] * 30 + [f"u{n}" for n in range(30)], "what": [n % 7 for n in range(60)], "at": list(range(60))}
    )
    (found,) = told(read, log, tmp_path)
    assert "one who, 'bot', has 30 of 60 rows (50%)" in found
    (tmp_path / "again").mkdir()
    assert told(read, log, tmp_path / "again", Events(where="who <> 'bot'")) == []


@pytest.mark.parametrize(("length", "named"), [(60, True), (200, False)])
def test_a_crawler_can_be_left_out_by_the_condition_that_is_given(length: int, named: bool, tmp_path: Path) -> None:
    bot = "b" * length
    log = pl.DataFrame({"who": [bot] * 30 + [f"u{n}" for n in range(30)], "what": [n % 7 for n in range(60)], "at": 0})
    (found,) = told(in_memory, log, tmp_path)
    where = found.partition('--where "')[2].partition('")')[0]
    assert bool(where) == named
    if named:
        assert told(in_memory, log, tmp_path, Events(where=where)) == []
    assert len(found) < 300


@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([1_700_000_000, 1_700_000_001_000, 1_700_000_002], "2 in seconds (such as 1700000000), 1 in milliseconds"),
        ([1.7e15, 1.7e12, 1.7e15], "1 in milliseconds (such as 1700000000000.0), 2 in microseconds"),
        ([1_700_000_000, 1_700_000_001, 1_700_000_002], None),
        ([1_700_000_000, 1_700_000_001_000, 3], None),  # 3 is no time, so these are other numbers
        ([1, 2, 3], None),
    ],
)
def test_times_in_two_units_are_named(read: Any, times: list[Any], words: str | None, tmp_path: Path) -> None:
    found = told(read, CLEAN.with_columns(at=pl.Series(times)), tmp_path)
    assert len(found) == (words is not None)
    assert all(str(words) in one for one in found)


DAYS = [datetime(2024, 1, 1) + timedelta(days=day) for day in range(20)]


@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize(
    ("times", "says"),
    [
        ([*range(1_700_000_000, 1_700_000_018), 0, 0], "2 rows at 0, far before all others"),
        ([*range(1_700_000_000, 1_700_000_018), 0, 0], 'where "at <> 0"'),
        ([float(time) for time in range(1_700_000_000, 1_700_000_019)] + [-1.0], "1 row at -1.0, far before"),
        ([*range(2000, 2018), 99_999_999, 99_999_999], "2 rows at 99999999, far after all others"),
        ([*DAYS[:18], datetime(9999, 12, 31), datetime(9999, 12, 31)], "2 rows at 9999-12-31 00:00:00, far after"),
        ([*DAYS[:19], datetime(1970, 1, 1)], "1 row at 1970-01-01 00:00:00, far before"),
        ([*[day.date() for day in DAYS[:19]], date(1900, 1, 1)], "1 row at 1900-01-01, far before"),
        ([*range(1000, 1020)], None),
        ([7] * 20, None),
        ([0] * 10 + [1] * 10, None),
        ([0, *range(40, 59)], None),
        ([0] * 19 + [1_700_000_000], None),
        (DAYS, None),
    ],
)
def test_a_time_that_is_far_from_all_others_is_named(
    read: Any, times: list[Any], says: str | None, tmp_path: Path
) -> None:
    """0 or the year 9999 is written for a missing time: such rows would be the earliest, or all that models are measured on."""
    log = pl.DataFrame({"who": [f"u{n % 5}" for n in range(20)], "what": [n % 7 for n in range(20)], "at": times})
    found = told(read, log, tmp_path)
    assert len(found) == (says is not None)
    assert says is None or says in found[0]


def test_both_ends_are_named() -> None:
    times = pl.Series([0, *range(1_700_000_000, 1_700_000_018), 4_000_000_000])
    assert [("before" in one, "after" in one) for one in doubtful_times(times, "at")] == [(True, False), (False, True)]


def tied(rows: int, users: int = 20) -> pl.DataFrame:
    """Choices at few times, so that most of a query's have a time with others."""
    generator = np.random.default_rng(0)
    items = [f"i{number:03d}" for number in generator.integers(0, 200, rows)]
    return pl.DataFrame(
        {"who": generator.integers(0, users, rows), "what": items, "at": generator.integers(0, 4, rows)}
    )


@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize("descending", [False, True])
def test_equal_times_in_the_order_of_ids_are_warned_of(read: Any, descending: bool, tmp_path: Path) -> None:
    (found,) = told(read, tied(300).sort("who", "at", "what", descending=[False, False, descending]), tmp_path)
    assert re.search(r"choices of one who at one time are sorted by what \((\d+) of \1 pairs\)", found)


@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize(
    "log", [tied(300), tied(300).sort("what").unique(["who", "at"], maintain_order=True), tied(40).sort("what")]
)
def test_equal_times_in_another_order_and_few_of_them_are_not(read: Any, log: pl.DataFrame, tmp_path: Path) -> None:
    assert told(read, log, tmp_path) == []


def test_of_many_rows_all_of_some_queries_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicious_rows, "ROWS", 500)
    rows = tied(5_000, users=200).sort("who", "at", "what")
    (found,) = doubtful_order(rows, ("who", "what", "at"))
    assert 100 <= int(found.partition(" pairs)")[0].rpartition(" ")[2].replace(",", "")) < 1_000
