"""Ids: types, and values that stay as they are."""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import Dataset, Reading, Shards
from shortlist.errors import DataError

ODD = ["", " ", "1", "01", "é", "e\u0301", "用户", "🙂", "a\x00b", "null", "NaN", "x" * 100_000]
LARGE = [2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0, -1]
texts = st.text(max_size=20) | st.sampled_from(ODD)
numbers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(LARGE)


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")  # ids that look wrong are meant
@given(st.lists(st.tuples(texts, numbers), min_size=1, max_size=30))
def test_odd_ids_come_back_through_their_rows(pairs: list[tuple[str, int]]) -> None:
    data = Dataset({"u": [u for u, _ in pairs], "c": [c for _, c in pairs]}, "u", "c")
    assert data.queries.schema["u"] == pl.String
    assert data.candidates.schema["c"] == pl.Int64
    assert data.queries["u"][data.query_rows].to_list() == [u for u, _ in pairs]
    assert data.candidates["c"][data.candidate_rows].to_list() == [c for _, c in pairs]
    assert data.queries["u"].to_list() == sorted({u for u, _ in pairs}, key=str.encode)
    assert data.candidates["c"].to_list() == sorted({c for _, c in pairs})


@pytest.mark.parametrize("dtype", [pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64])
def test_integer_types_stay(dtype: Any) -> None:
    data = Dataset(pl.DataFrame({"u": [3, 1], "c": [2, 2]}, schema={"u": dtype, "c": dtype}), "u", "c")
    assert data.queries["u"].dtype == data.candidates["c"].dtype == data.interactions["u"].dtype == dtype
    assert data.queries["u"].to_list() == [1, 3]


def test_python_integers_on_both_sides_of_the_signed_range() -> None:
    data = Dataset([{"u": "a", "c": 1}, {"u": "a", "c": 2**64 - 1}], "u", "c")
    assert data.candidates.schema["c"] == pl.UInt64
    assert data.candidates["c"].to_list() == [1, 2**64 - 1]


WIDE = [
    kind for name in ("Int128", "UInt128") if (kind := getattr(pl, name, None)) is not None
]  # by the version of Polars


@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize("column", ["u", "c"])
def test_integers_beyond_64_bits_are_refused(kind: Any, column: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"u": [1, 2], "c": [3, 4], "n": [1, 2]})
    wide = frame.with_columns(pl.Series(column, [1, 2**70], kind))
    side = "queries" if column == "u" else "candidates"
    told = rf"'{column}' \((query|candidate)\) is of type {kind}, with ids from 1 to {2**70}; ids are .* of 64 bits"
    for table in (wide, wide.lazy()):
        with pytest.raises(DataError, match=told):
            Dataset(table, "u", "c")
    with pytest.raises(DataError, match=f"with ids from 1 to {2**70}"):
        Dataset(wide.to_dicts(), "u", "c")
    with pytest.raises(DataError, match=told):
        Dataset(frame, "u", "c", **{side: wide})
    wide.write_ipc(tmp_path / "log.arrow")
    for read in (Dataset, lambda path, u, i: Shards.encode(path, tmp_path / "shards", query=u, candidate=i)):
        with pytest.raises(DataError, match=told):
            read(tmp_path / "log.arrow", "u", "c")


def test_the_same_digits_in_both_columns_stay_apart() -> None:
    data = Dataset({"u": ["1", "2"], "c": [1, 2]}, "u", "c")
    assert data.queries["u"].to_list() == ["1", "2"]
    assert data.candidates["c"].to_list() == [1, 2]


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["b", "a"])])
def test_categories_become_strings(dtype: Any) -> None:
    frame = pl.DataFrame({"u": ["b", "a"], "c": [1, 2]}).with_columns(pl.col("u").cast(dtype))
    data = Dataset(frame, "u", "c", queries=frame.select("u"))
    assert data.interactions["u"].dtype == data.queries["u"].dtype == pl.String
    assert data.queries["u"].to_list() == ["b", "a"]


@pytest.mark.parametrize("mark", [";", "|", ":", "^"])
def test_another_separator_is_named(mark: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"u{mark}i\n1{mark}2\n")
    with pytest.raises(DataError) as caught:
        Dataset(tmp_path / "t.csv", "u", "i", reading=Reading(separator=","))
    assert f"--separator '{mark}'" in str(caught.value.hint)
    assert Dataset(tmp_path / "t.csv", "u", "i", reading=Reading(separator=mark)).interactions.rows() == [(1, 2)]


@pytest.mark.parametrize(
    "ids",
    [
        [0.25, 0.5, 0.75, 1.0],
        [2.0**53, 2.0**53 + 2, 2.0**60, 1.0],
        [1.0, float("inf"), 2.0, 3.0],
        [1.0, 2.0, 3.0, 4.0],
        [True, False, True, False],
        [b"\xff", b"\xfe", b"a", b""],
        [timedelta(1), timedelta(microseconds=1), timedelta(2), timedelta(0)],
        [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)],
        [datetime(2024, 1, 1), datetime(2024, 1, 1, 1), datetime(2024, 1, 3), datetime(2024, 1, 4)],
        [time(1), time(2), time(3), time(4)],
        [Decimal("0.25"), Decimal("0.5"), Decimal(1), Decimal(2)],
        [2**70, 2**70 + 1, 1, 2],
        [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}],
        [uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=3), uuid.UUID(int=4)],
    ],
    ids=lambda ids: type(ids[0]).__name__,
)
def test_what_a_hint_says_of_ids_of_another_type_can_be_run(ids: list[Any]) -> None:
    """Its code makes a column that can be read, in which no two ids have become one."""
    frame = pl.DataFrame({"who": pl.Series(ids, dtype=_type_of(ids[0])), "what": ["x", "y", "z", "x"]})
    with pytest.raises(DataError) as error:
        Dataset(frame, "who", "what")
    code = re.search(r"frame\.with_columns\(.*?\)\)(?=[,;]|$)", str(error.value.hint))
    assert code is not None
    mended = eval(code[0], {"pl": pl, "frame": frame})
    assert len(Dataset(mended, "who", "what").queries) == len(set(map(str, ids)))


def _type_of(one: Any) -> Any:
    return pl.Object if isinstance(one, uuid.UUID) else pl.Int128 if type(one) is int else None
