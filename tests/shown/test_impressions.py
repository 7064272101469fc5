"""The table of shown places: every form, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.shown.impressions import Places, flags, read_impressions

COLUMNS = Places("query", "candidate", "place", "clicked")
SHOWN = {"query": ["b", "b", "a", "b"], "candidate": [7, 9, 7, 9], "place": [1, 2, 1, 1], "clicked": [1, 0, 0, 1]}


def test_rows_and_how_many_lists_there_were():
    log = read_impressions(SHOWN, COLUMNS)
    assert log.query_ids.ids.to_list() == ["b", "a"]
    assert log.query.tolist() == [0, 0, 1, 0]
    assert log.candidate.tolist() == [0, 1, 0, 1]
    assert log.lists.tolist() == [2, 1]  # b was shown place 1 twice
    assert log.clicked.tolist() == [1, 0, 0, 1]
    assert log.deepest == 2
    pair, times = log.pairs()
    assert times[pair].tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl"])
def test_files(tmp_path: Path, name: str):
    frame = pl.DataFrame(SHOWN).with_columns(pl.col("clicked") > 0)
    getattr(frame, {"csv": "write_csv", "parquet": "write_parquet", "jsonl": "write_ndjson"}[name.partition(".")[2]])(
        tmp_path / name
    )
    log = read_impressions(tmp_path / name, COLUMNS)
    assert (log.query.tolist(), log.clicked.tolist()) == ([0, 0, 1, 0], [1, 0, 0, 1])


@pytest.mark.parametrize(("values", "expected"), [([True, False], [1, 0]), ([0, 1], [0, 1]), ([1.0, 0.0], [1, 0])])
def test_yes_and_no(values, expected):
    assert flags(pl.Series("clicked", values)).tolist() == expected


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("clicked", [0, 1, 2, 0], "holds '2', of type Int64; expected true or false"),
        ("clicked", [0.5, 1.0, 0.0, 0.0], "holds '0.5'"),
        ("clicked", ["yes", "no", "no", "no"], "expected true or false"),
        ("clicked", [None, 1, 1, 1], "1 null"),
        ("place", [0, 1, 1, 2], "holds '0', of type Int64; expected whole numbers from 1"),
        ("place", [1.0, 1.0, 1.0, 2.0], "whole numbers from 1"),
        ("place", [1, None, 1, 2], "a null"),
        ("place", [1, 2**40, 1, 2], "whole numbers from 1"),
        ("query", ["a", None, "b", "b"], "every row must have an id"),
        ("candidate", [1.5, 2.5, 3.5, 4.5], "ids are strings or integers"),
    ],
)
def test_what_is_refused(column, values, words):
    with pytest.raises(sl.DataError, match=words):
        read_impressions({**SHOWN, column: values}, COLUMNS)


INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


@pytest.mark.parametrize("kind", INTEGERS)
def test_places_of_every_integer_type(kind):
    rows = {"query": [1, 1, 1, 1, 2, 2], "candidate": list("xyyxxy"), "place": [1, 2, 1, 2, 1, 2]}
    rows["clicked"] = [1, 0, 1, 1, 0, 1]
    new = {name: rows[name][2:] for name in ("query", "candidate", "place")}
    rows = {name: values * 20 for name, values in rows.items()}
    typed = pl.DataFrame(rows, schema_overrides={"place": kind, "clicked": kind})
    chances = sl.Examination.estimate(rows).chances
    assert sl.Examination.estimate(typed).chances == chances
    for k in (1, 300):  # no Int8 is so large
        options = {"k": k, "examination": chances, "least_effective": 10, "resamples": 10}
        found = sl.off_policy_evaluate(typed, pl.DataFrame(new, schema_overrides={"place": kind}), **options)
        assert found.to_dict() == sl.off_policy_evaluate(rows, new, **options).to_dict()
    for wrong in (0, pl.select(kind.max()).item()):
        if not 1 <= wrong < 1 << 31:
            with pytest.raises(sl.DataError, match=rf"holds '{wrong}', of type {kind}"):
                read_impressions(typed.with_columns(pl.Series("place", [1, wrong] * 60, kind)), COLUMNS)


def test_an_empty_table_and_missing_columns():
    with pytest.raises(sl.DataError, match="empty"):
        read_impressions(pl.DataFrame(SHOWN).clear(), COLUMNS)
    with pytest.raises(sl.DataError, match="no column 'clicked'"):
        read_impressions({name: values for name, values in SHOWN.items() if name != "clicked"}, COLUMNS)
    with pytest.raises(sl.ConfigError, match="query and candidate are both 'x'"):
        Places("x", "x", "place", "clicked")


@pytest.mark.parametrize(
    ("values", "hint"),
    [([0, 1, 1, 2], "where places begin at 0"), ([1.0, 1.0, 1.0, 2.0], r"cast\(pl.Int64\)"), ([1, None, 1, 2], "drop_nulls"),
     (["1", "1", "1", "2"], r"cast\(pl.Int64\)")],
)  # fmt: skip
def test_the_hint_on_places_fits_what_came(values, hint):
    with pytest.raises(sl.DataError) as caught:
        read_impressions({**SHOWN, "place": values}, COLUMNS)
    assert re.search(hint, str(caught.value.hint))


def test_lists_of_which_some_places_are_missing_are_as_many_as_their_candidates_say():
    # x at the first place, then at the second, where the rest of both lists was a pin that is left out
    partial = {"query": ["a", "a", "b"], "candidate": ["x", "x", "x"], "place": [1, 2, 2], "clicked": [1, 0, 1]}
    assert read_impressions(partial, COLUMNS).lists.tolist() == [2, 1]
