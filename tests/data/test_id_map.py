"""The map between raw ids and rows: columns, single ids, what is not there, live changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist import DataError
from shortlist.data import id_map
from shortlist.data.id_map import IdMap, _Fixed

ODD = ["", " ", "\0", "a", "A", "x" * 100_000, "x" * 99_999, "\u00e9", "e\u0301", "😀", "007", "7", "null", "NaN"]
INTS = [0, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 7]


@pytest.fixture(params=[64, 2048])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to how many strings are looked up one by one."""
    monkeypatch.setattr(id_map, "FEW_TEXTS", request.param)


def codes(ids: list[object], values: list[object], repeat: int) -> list[int]:
    """Through the dictionary (few values) or the join (many)."""
    encoded = IdMap(pl.Series(ids)).encode(pl.Series("v", values * repeat, dtype=pl.Series(ids).dtype))
    assert encoded.dtype == "int32"
    assert encoded.tolist() == encoded.tolist()[: len(values)] * repeat
    return encoded.tolist()[: len(values)]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("repeat", [1, 100])
@pytest.mark.parametrize("ids", [ODD, INTS])
def test_every_id_has_its_place_plus_one(ids: list[object], repeat: int):
    assert codes(ids, ids, repeat) == list(range(1, len(ids) + 1))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("repeat", [1, 100])
def test_null_and_unseen_values_share_code_zero(repeat: int):
    assert codes(["b", "a"], ["a", None, "c", "b", ""], repeat) == [2, 0, 0, 1, 0]
    assert codes([2**53], [2**53, 2**53 + 1, None], repeat) == [1, 0, 0]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("repeat", [1, 100])
def test_integers_of_another_width(repeat: int):
    small = IdMap(pl.Series([1, 255], dtype=pl.UInt8))
    assert small.encode(pl.Series([255, 256, -1, 257] * repeat)).tolist() == [2, 0, 0, 0] * repeat
    wide = IdMap(pl.Series([1, 2**64 - 1], dtype=pl.UInt64))
    assert wide.encode(pl.Series([-1, 1] * repeat)).tolist() == [0, 1] * repeat


def test_most_frequent_first_then_by_value():
    assert IdMap.of_values(pl.Series(["b", None, "c", "a", "c", None, None])).ids.to_list() == ["c", "a", "b"]
    assert IdMap.of_values(pl.Series([3, 1, 3, 2])).ids.to_list() == [3, 1, 2]


def test_sizes():
    known = IdMap(pl.Series(["b", "a"]))
    assert (len(known), known.cardinality) == (2, 3)
    assert repr(known) == "IdMap(2 ids of type String)"


@given(st.lists(st.text(max_size=5), unique=True, max_size=20), st.lists(st.text(max_size=5), max_size=100))
def test_a_dictionary_says_the_same(ids: list[str], values: list[str]):
    encoded = IdMap(pl.Series(ids, dtype=pl.String)).encode(pl.Series(values, dtype=pl.String))
    assert encoded.tolist() == [ids.index(value) + 1 if value in ids else 0 for value in values]


@pytest.mark.parametrize("ids", [[3, 5], ["3", "5"], [3, 10**15]])
def test_parts_join_seamlessly(ids: list[object], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(id_map, "AT_A_TIME", 7)
    values = [number % 11 for number in range(100)]
    asked = pl.Series(values).cast(pl.Series(ids).dtype)
    assert IdMap(pl.Series(ids)).find(asked).tolist() == [
        {3: 0, 5: 1 if ids[1] in (5, "5") else -1}.get(value, -1) for value in values
    ]


CLOSE = st.integers(-20, 20)
FAR = st.sampled_from([0, 1, -(2**63), -(2**63) + 1, 2**62, 2**63 - 1])


@given(
    st.sampled_from([CLOSE, FAR, CLOSE | FAR]).flatmap(
        lambda ids: st.tuples(st.lists(ids, unique=True, max_size=20), st.lists(st.none() | ids, max_size=30))
    ),
    st.sampled_from([1, 80]),
)
def test_integers_close_together_and_far_apart(problem: tuple[list[int], list[int | None]], repeat: int):
    """Close ones are found in an array, far ones by a join, a few far above the others by both; the ends of 64 bits are ids."""
    ids, values = problem
    known, asked = IdMap(pl.Series(ids, dtype=pl.Int64)), pl.Series("u", values * repeat, dtype=pl.Int64)
    wanted = [ids.index(value) if value in ids else -1 for value in values] * repeat
    assert known.find(asked).tolist() == known.match(asked).tolist() == wanted
    assert known.encode(asked).tolist() == [row + 1 for row in wanted]
    if -1 not in wanted:
        assert known.require(asked).tolist() == wanted


def test_a_few_ids_far_above_the_others_leave_these_in_an_array():
    ids = [7, 10**12, 3, 5, 4]
    known = IdMap(pl.Series(ids))
    assert (
        known.find(pl.Series([10**12, None, 3, 10**12 - 1, 4, 6, -1] * 20)).tolist() == [1, -1, 2, -1, 4, -1, -1] * 20
    )
    table = known._fixed._table
    assert table is not None
    assert table.rows.tolist() == [2, 4, 3, -1, 0]  # of 3 to 7
    assert IdMap(pl.Series([3, 10**12, 2 * 10**12]))._fixed._table is None  # most are far


def test_to_match_a_column_builds_no_dictionary_however_short_it_is():
    known = IdMap(pl.Series(["b", "a"]))
    assert known.match(pl.Series(["a", "c", None])).tolist() == [1, -1, -1]
    assert known._fixed._row_of is None


def test_rows_that_must_be_there():
    known = IdMap(pl.Series(["b", "a"]))
    found = known.require(pl.Series("user", ["a", "b"] * 100))
    assert (found.dtype, found.tolist()) == (np.int32, [1, 0] * 100)
    with pytest.raises(DataError, match="200 interactions with a 'user' that is not in its table, such as 'x', 'y'"):
        known.require(pl.Series("user", ["a", "x", "y"] * 100))


def test_a_few_rows_of_a_large_table_build_no_dictionary():
    known = IdMap(pl.Series(["b", "a"]))
    assert known.require(pl.Series("user", ["a"])).tolist() == [1]
    assert known._fixed._row_of is None


def test_single_ids_go_both_ways(monkeypatch: pytest.MonkeyPatch):
    known = IdMap(pl.Series("user", ["b", "a", "c"]))
    assert (known.name, known.strings, IdMap(pl.Series([1])).strings) == ("user", True, False)
    assert known.rows(["c", "never seen", None, "b"]) == [2, -1, -1, 0]
    assert dict(known.row_of) == {"b": 0, "a": 1, "c": 2}
    assert known.take(np.array([2, 0, 2])) == ["c", "b", "c"]
    monkeypatch.setattr(id_map, "LISTED", 2)  # too many to keep as a list
    assert known.take(np.array([2, 0, 2])) == ["c", "b", "c"]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("repeat", [1, 100])
def test_after_a_live_change(repeat: int):
    """b goes, d comes at row 3; rows stay, and the map before is as it was."""
    before = IdMap(pl.Series("item", ["a", "b", "c"]))
    after = before.changed(pl.Series("item", ["a", "b", "c", "d"]), ["d"], {"d": 3}, ["b"])
    asked = pl.Series("item", ["a", "b", "c", "d", None] * repeat)
    assert after.find(asked).tolist() == [0, -1, 2, 3, -1] * repeat
    assert before.find(asked).tolist() == [0, 1, 2, -1, -1] * repeat
    assert (len(before), len(after)) == (3, 4)
    assert after.take(np.array([1, 3])) == ["b", "d"]
    again = after.changed(after.ids, more={"b": 1})
    assert again.rows(["b", "d"]) == [1, 3]
    assert after.rows(["b"]) == [-1]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pl.Series([1.5]), "Float64; ids are strings or integers"),
        (pl.Series([True]), "Boolean"),
        (pl.Series(["a", None]), "1 null;"),
        (pl.Series(["a", "b", "a"]), "1 repeated id;"),
    ],
)
def test_what_cannot_be_a_vocabulary(ids: pl.Series, message: str):
    with pytest.raises(DataError, match=message):
        IdMap.checked(ids)


@pytest.mark.parametrize(
    ("ids", "values"),
    [
        (pl.Series(["1"]), pl.Series("user", [1])),
        (pl.Series([1]), pl.Series("user", ["1"])),
        (pl.Series([1]), pl.Series("user", [1.0])),
        (pl.Series([1]), pl.Series("user", [True])),
    ],
)
def test_values_of_another_type(ids: pl.Series, values: pl.Series):
    with pytest.raises(DataError, match=f"'user' holds {values.dtype}.*{ids.dtype}") as error:
        IdMap(ids).encode(values)
    assert f"cast the column to {ids.dtype}" in error.value.hint


STEP = st.one_of(
    st.tuples(st.just("came"), st.sets(st.integers(0, 20), max_size=4)),
    st.tuples(st.just("went"), st.sets(st.integers(0, 20), max_size=4)),
)


def merged(known: IdMap) -> IdMap:
    """The same after so many changes that they became one map."""
    after = IdMap(known.ids)
    after._fixed = known._fixed.merged(known.ids, known._added, known._more, known._gone)
    return after


@given(st.sets(st.integers(0, 15)), st.lists(STEP, max_size=8), st.booleans())
def test_changed_ids_are_found_as_if_they_were_alone(
    first: set[int], steps: list[tuple[str, set[int]]], merging: bool
) -> None:
    """An id that comes back gets its own row again; one that was never there gets the next."""
    of_row = sorted(first)
    rows = {one: row for row, one in enumerate(of_row)}
    states = [(IdMap(pl.Series("id", of_row, pl.Int64)), dict(rows), list(of_row))]
    for kind, some in steps:
        found, rows, of_row = states[-1][0], dict(states[-1][1]), list(states[-1][2])
        if kind == "came":
            added = [one for one in sorted(some) if one not in of_row]
            of_row += added
            more = {one: of_row.index(one) for one in some if one not in rows}
            rows |= more
            after = found.changed(pl.Series("id", of_row, pl.Int64), added, more)
        else:
            rows = {one: row for one, row in rows.items() if one not in some}
            after = found.changed(found.ids, gone=sorted(some & set(of_row)))
        if merging:
            after = merged(after)
        states.append((after, rows, of_row))
    for found, rows, of_row in states:  # older ones stay as they were
        assert dict(found.row_of) == rows
        assert len(found.row_of) == len(rows)
        assert found.rows([*range(-1, 22), None]) == [rows.get(one, -1) for one in (*range(-1, 22), None)]  # type: ignore[call-overload]
        assert [found.row_of.get(one, -1) for one in range(22)] == [rows.get(one, -1) for one in range(22)]
        assert [one in found.row_of for one in range(22)] == [one in rows for one in range(22)]
        assert found.take(np.arange(len(of_row))[::-1]) == of_row[::-1]
        assert found.find(pl.Series(range(22))).tolist() == [rows.get(one, -1) for one in range(22)]
        many = found.find(pl.Series([*range(22)] * 4))  # looked up as a column
        assert many.tolist() == [rows.get(one, -1) for one in range(22)] * 4


def test_many_changes_become_one_map() -> None:
    found = IdMap(pl.Series("id", list(range(100))))
    for number in range(100, 170):
        found = found.changed(pl.Series("id", list(range(number + 1))), [number], {number: number}, [number - 100])
    assert isinstance(found.row_of, dict) or len(found._more) < 64
    assert sorted(found.row_of) == list(range(70, 170))
    assert found.take(np.array([0, 99, 100, 169])) == [0, 99, 100, 169]


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt16, pl.UInt64, pl.String])
def test_a_few_ids_are_found_without_a_map(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a table of 10 rows, looked through 3 at a time; after two searches there is a map."""
    for name, value in (("PIECE", 5), ("SEARCHED", 3), ("SEARCHES", 2)):
        monkeypatch.setattr(id_map, name, value)
    values: list[Any] = [f"n{row}" for row in range(10)] if kind == pl.String else list(range(5, 15))
    absent: list[Any] = ["n10", ""] if kind == pl.String else [4, -1, 2**17, 2**64, -(2**70)]
    for one in [*values, *absent, None]:
        found = IdMap(pl.Series("id", values, kind))
        expected = values.index(one) if one in values else -1
        assert found.rows([one]) == [expected]
        assert found._fixed._row_of is None
        assert found.rows([one, values[3]]) == [expected, 3]
        assert found.rows([one]) == [expected]
        assert found._fixed._row_of is not None


@pytest.mark.parametrize("ids", [["b", "a", "c"], [3, 1, 2]])
def test_all_ids_in_their_order_are_found_without_a_look_at_each(
    ids: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    for name in ("rows", "by_column"):
        own = getattr(_Fixed, name)
        monkeypatch.setattr(
            _Fixed, name, lambda self, values, own=own: looked_up.append(len(values)) or own(self, values)
        )
    known = IdMap(pl.Series(ids))
    assert known.find(pl.Series("other", ids)).tolist() == [0, 1, 2]
    assert known.encode(pl.Series(ids)).tolist() == [1, 2, 3]
    assert looked_up == []
    assert known.find(pl.Series(ids[::-1])).tolist() == [2, 1, 0]
    assert known.find(pl.Series(ids[:2])).tolist() == [0, 1]
    assert known.find(pl.Series([*ids[:2], None], dtype=known.ids.dtype)).tolist() == [0, 1, -1]
    assert looked_up == [3, 2, 3]


def test_ids_that_are_gone_are_not_found_in_their_order() -> None:
    ids = pl.Series("id", list(range(200)))
    for gone in ([7], list(range(0, 200, 2))):  # a few, and enough for a map of their own
        known = IdMap(ids).changed(ids, gone=gone)
        assert known.find(ids).tolist() == [-1 if one in gone else one for one in range(200)]
        assert known.encode(ids).tolist() == [0 if one in gone else one + 1 for one in range(200)]
