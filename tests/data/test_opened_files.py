"""The files of a table, each opened once: types, empty files, copies of text, and errors that name the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest
from tests.store.faults import files_up_to

from shortlist.data.source import Source, find
from shortlist.errors import DataError


def written(folder: Path, **texts: str) -> Source:
    """A source of CSV files of these names and texts."""
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    return find(folder)


def test_counts_and_stamps_are_of_all_files(tmp_path: Path) -> None:
    source = written(tmp_path, a="x\n1\n", b="")
    assert (source.file_count, source.untyped, list(source.stamps)) == (1, True, ["a.csv", "b.csv"])


def test_an_empty_file_has_no_rows_and_no_columns(tmp_path: Path) -> None:
    source = written(tmp_path, a="x\n1\n", b="")
    assert source._opened(source.files[1]) is None
    assert source._types(source.files[1]) == {}


def test_a_column_without_a_value_has_no_type_among_several_files(tmp_path: Path) -> None:
    """With a single file it is text."""
    several = written(tmp_path, a="x,y\n1,\n", b="x,y\n2,3\n")
    assert several._types(several.files[0]) == {"x": pl.Int64(), "y": pl.Null()}
    single = find(tmp_path / "a.csv")
    assert single._types(single.files[0]) == {"x": pl.Int64(), "y": pl.String()}


def test_a_file_is_opened_once(tmp_path: Path) -> None:
    source = written(tmp_path, a="x\n1\n")
    first = source._opened(source.files[0])
    (tmp_path / "a.csv").write_text("x\n2\n")
    assert source._opened(source.files[0]) is first
    assert first is not None
    assert first.collect()["x"].to_list() == [1]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "arrow"])
def test_copies_are_parquet_files_by_number(ending: str, tmp_path: Path) -> None:
    data, copies = tmp_path / "data", tmp_path / "copies"
    data.mkdir()
    copies.mkdir()
    for name, value in (("a", 1), ("b", 2)):
        frame, path = pl.DataFrame({"x": [value]}), data / f"{name}.{ending}"
        if ending == "csv":
            frame.write_csv(path)
        elif ending == "jsonl":
            frame.write_ndjson(path)
        else:
            frame.write_ipc_stream(path)
    source = find(data, copies=copies)
    assert source.frame()["x"].to_list() == [1, 2]
    assert {path.name: pl.read_parquet(path)["x"].to_list() for path in copies.iterdir()} == {
        "00000.parquet": [1],
        "00001.parquet": [2],
    }


def test_errors_name_the_file_among_several_and_else_the_place(tmp_path: Path) -> None:
    several = written(tmp_path, a="x\n1\n", b="x\n2\n")
    single = find(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r": 'b\.csv' could not be read as csv: broken\."), several._naming("b.csv"):
        raise OSError("broken")
    naming = single._naming(single.files[0])
    with pytest.raises(DataError, match=r"a\.csv' could not be read as csv: broken\.") as error, naming:
        raise ValueError("broken\nin detail")
    assert error.value.message.startswith(f"the interactions table {str(tmp_path / 'a.csv')!r} could")
    with pytest.raises(DataError, match=r"^as it is"), several._naming("b.csv"):
        raise DataError("as it is.")
    with pytest.raises(KeyError), several._naming("b.csv"):
        raise KeyError("a bug")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "arrow"])
def test_a_full_disk_of_copies_is_not_the_files_fault(ending: str, tmp_path: Path) -> None:
    data, copies = tmp_path / f"data.{ending}", tmp_path / "copies"
    frame = pl.DataFrame({"x": range(5000), "y": [f"{n * 7919 % 5003}" for n in range(5000)]})
    if ending.startswith("csv"):
        text = frame.write_csv().encode()
        data.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    elif ending == "jsonl":
        frame.write_ndjson(data)
    else:
        frame.write_ipc_stream(data)
    copies.mkdir()
    with files_up_to(4096), pytest.raises(DataError, match=r"could not be copied to '.*copies': File too large"):
        find(data, copies=copies).frame()
