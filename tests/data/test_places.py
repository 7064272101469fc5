"""Every error about a value of a table names where it was: file and line of text, file and row of others, the row of a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.four_ways import WAYS, read

import shortlist as sl
from shortlist.errors import DataError

GOOD = {"u": ["a", "b"], "i": ["x", "y"], "t": ["2024-05-01", "2024-05-02"], "w": [1.0, 2.0], "e": ["buy", "buy"]}
BAD: dict[str, dict[str, list[Any]]] = {  # the third row is the bad one; the second is left out by a condition
    "a null query": {"u": ["a", None, None]},
    "a null candidate": {"i": ["x", None, None]},
    "a null time": {"t": ["2024-05-01", None, None]},
    "a time that is none": {"t": ["2024-05-01", "soon", "later"]},
    "a time without a zone": {"t": ["2024-05-01T10:00:00Z", "2024-05-02", "2024-05-01T10:00:00"]},
    "a time that reads both ways": {"t": ["05/05/2024", "05/05/2024", "05/01/2024"]},
    "a null weight": {"w": [1.0, None, None]},
    "a negative weight": {"w": [1.0, -1.0, -2.0]},
    "a weight that is text": {"w": ["1", "many", "none"]},
    "a weight with a comma": {"w": ["1", "1,5", "2,5"]},
}
FORMS = {"csv": "line {}", "jsonl": "line {}", "json": "row {}", "parquet": "row {}", "arrow": "row {}"}


def write(frame: pl.DataFrame, path: Path) -> None:
    match path.suffix:
        case ".csv":
            frame.write_csv(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case ".json":
            frame.write_json(path)
        case ".parquet":
            frame.write_parquet(path)
        case ".arrow":
            frame.write_ipc(path)


def table(kind: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two good rows, and three of which the third is bad and the second is no choice."""
    changed = BAD[kind]
    bad = {"u": ["a", "b", "c"], "i": ["x", "y", "z"], "t": ["2024-05-03"] * 3, "w": [1.0, 1.0, 1.0]}
    bad |= {"e": ["buy", "look", "buy"], **changed}
    good = dict(GOOD)
    for column, values in changed.items():
        good[column] = [values[0]] * 2
    return pl.DataFrame(good, strict=False), pl.DataFrame(bad, strict=False)


def read_by(way: str, place: Path, shards: Path, **options: Any) -> None:
    if way == "memory":
        sl.Dataset(place, **options)
    else:
        sl.Shards.encode(place, shards, **options)


@pytest.mark.parametrize("condition", [None, "e = 'buy'"])
@pytest.mark.parametrize("way", ["memory", "disk"])
@pytest.mark.parametrize("ending", FORMS)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_value_is_named_by_its_place(kind: str, ending: str, way: str, condition: str, tmp_path: Path) -> None:
    good, bad = table(kind)
    folder = tmp_path / "log"
    folder.mkdir()
    if condition is None:
        bad = bad[[0, 2]]
    write(good, folder / f"a.{ending}")
    write(bad, folder / f"b.{ending}")
    columns = {"query": "u", "candidate": "i", "timestamp": "t", "weight": "w"}
    events = sl.Events(where=condition)
    row = (2 if condition is None else 3) + (ending == "csv")
    with pytest.raises(DataError) as caught:
        read_by(way, folder, tmp_path / "shards", **columns, events=events)
    assert f"{FORMS[ending].format(row)} of 'b.{ending}'" in str(caught.value)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_value_of_a_frame_is_named_by_its_row(kind: str) -> None:
    _, bad = table(kind)
    with pytest.raises(DataError, match=r"the first in row [02] \(counted from 0\)"):
        sl.Dataset(bad, "u", "i", "t", "w", events=sl.Events(where="e = 'buy'"))


@pytest.mark.parametrize("way", ["memory", "disk"])
def test_an_id_that_is_no_whole_number_is_named(way: str, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"u": [1.0, 2.5, 3.5], "i": ["x", "y", "z"], "e": [1, 0, 1]}).write_parquet(path)
    events = sl.Events(where="e = 1", strip_ids=True)
    with pytest.raises(DataError, match=r"such as 3.5, the first in row 3 of 'log.parquet'"):
        read_by(way, path, tmp_path / "shards", query="u", candidate="i", events=events)


@pytest.mark.parametrize("way", WAYS)
def test_the_command_line_names_it_too(way: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("u,i,w\na,x,1\nb,y,-1\n")
    with pytest.raises(DataError, match=r"the first in line 3 of 'log.csv'"):
        read(way, path, {"weight": "w"}, {})


def test_a_null_in_a_table_of_features_is_named(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("i,year\nx,1999\n,2000\n")
    with pytest.raises(DataError, match=r"candidates table has 1 null in 'i' .*line 3 of 'films.csv'"):
        sl.Dataset(pl.DataFrame(GOOD), "u", "i", candidates=path)
