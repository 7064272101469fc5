"""Folders and files of every form hold the same rows in memory, from disk, in Python and on the command line."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.four_ways import WAYS, rows

import shortlist as sl

A = pl.DataFrame({"u": ["a", "b"], "i": [1, 2]})
B = pl.DataFrame({"u": ["c"], "i": [3]})
STALE = pl.DataFrame({"u": ["zz"], "i": [99]})
ROWS_A, ROWS_B = [("a", 1), ("b", 2)], [("c", 3)]


def put(folder: Path, **files: pl.DataFrame) -> None:
    for name, frame in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(path) if ".csv" in name else frame.write_parquet(path)


def brackets(root: Path) -> Path:
    put(root, **{"log[12]/x.parquet": A, "log1/x.parquet": STALE, "log2/x.parquet": STALE})
    return root / "log[12]"


def bracket_in_a_file(root: Path) -> Path:
    put(root, **{"t[1].parquet": A, "t1.parquet": STALE})
    return root / "t[1].parquet"


def star(root: Path) -> Path:
    put(root, **{"log*/x.parquet": A, "log1/x.parquet": STALE})
    return root / "log*"


def pattern_below_brackets(root: Path) -> str:
    put(root, **{"log[12]/a.parquet": A, "log[12]/b.parquet": B, "log1/a.parquet": STALE})
    return str(root / "log[12]" / "*.parquet")


def linked(root: Path) -> Path:
    put(root, **{"real/x.parquet": A, "log/y.parquet": B})
    os.symlink(root / "real", root / "log" / "linked")
    return root / "log"


def linked_to_itself(root: Path) -> Path:
    put(root, **{"log/day/x.parquet": A})
    os.symlink(root / "log" / "day", root / "log" / "latest")
    os.symlink(root / "log", root / "log" / "round")
    return root / "log"


def linked_file_twice(root: Path) -> Path:
    put(root, **{"log/x.parquet": A})
    os.symlink(root / "log" / "x.parquet", root / "log" / "again.parquet")
    return root / "log"


def two_endings(root: Path) -> Path:
    put(root, **{"log/x.parquet": A, "log/y.pq": B, "log/README.csv": STALE})
    return root / "log"


def capitals(root: Path) -> Path:
    put(root, **{"log/x.PARQUET": A, "log/y.Pq": B})
    return root / "log"


def an_empty_file(root: Path) -> Path:
    put(root, **{"log/x.parquet": A})
    (root / "log" / "part-1.parquet").write_bytes(b"")
    return root / "log"


def no_rows(root: Path) -> Path:
    put(root, **{"log/0.parquet": A.clear(), "log/1.parquet": A})
    return root / "log"


def hidden(*where: str) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        put(root, **{"log/day=1/x.parquet": A, **{f"log/{name}": STALE for name in where}})
        return root / "log"

    return made


def hidden_above(root: Path) -> Path:
    put(root, **{"_work/.run/log/x.parquet": A})
    return root / "_work" / ".run" / "log"


def hidden_by_name(root: Path) -> Path:
    put(root, **{"_old.parquet": A})
    return root / "_old.parquet"


def hidden_to_a_pattern(root: Path) -> str:
    put(root, **{"log/x.parquet": A, "log/_temporary/y.parquet": STALE, "log/.z.parquet": STALE})
    return str(root / "log" / "**" / "*.parquet")


def a_folder_of_text(root: Path) -> Path:
    put(root, **{"log/0.csv": A, "log/1.csv": B, "log/2.csv": A.clear()})
    (root / "log" / "3.csv").write_text("")
    (root / "log" / "_SUCCESS").write_text("")
    return root / "log"


def folders_by_pattern(root: Path) -> str:
    put(root, **{"log/day=1/x.parquet": A, "log/day=2/x.parquet": B, "log/other/x.parquet": STALE})
    return str(root / "log" / "day=*")


def cast(first: dict[str, Any], second: dict[str, Any]) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        put(root, **{"log/0.parquet": A.cast(first), "log/1.parquet": B.cast(second)})  # type: ignore[arg-type]
        return root / "log"

    return made


def with_columns(first: dict[str, Any], second: dict[str, Any]) -> Callable[[Path], Path]:
    def made(root: Path) -> Path:
        put(root, **{"log/0.parquet": A.with_columns(**first), "log/1.parquet": B.with_columns(**second)})
        return root / "log"

    return made


def nulls_first(root: Path) -> Path:
    put(root, **{"log/0.parquet": pl.DataFrame(schema={"u": pl.Null, "i": pl.Null}), "log/1.parquet": A})
    return root / "log"


def arrow_files(root: Path) -> Path:
    (root / "log").mkdir()
    A.write_ipc(root / "log" / "0.arrow")
    B.write_ipc_stream(root / "log" / "1.feather")
    return root / "log"


BOTH = [*ROWS_A, *ROWS_B]
FOLDERS: dict[str, tuple[Callable[[Path], Any], list[tuple[Any, ...]]]] = {
    "brackets in a folder's name": (brackets, ROWS_A),
    "brackets in a file's name": (bracket_in_a_file, ROWS_A),
    "a star in a folder's name": (star, ROWS_A),
    "a pattern below brackets": (pattern_below_brackets, BOTH),
    "a link to a folder": (linked, BOTH),
    "a link to a folder that is there": (linked_to_itself, ROWS_A),
    "a link to a file that is there": (linked_file_twice, ROWS_A),
    ".pq beside .parquet": (two_endings, BOTH),
    "capitals": (capitals, BOTH),
    "an empty file": (an_empty_file, ROWS_A),
    "a file without rows": (no_rows, ROWS_A),
    "Spark's staging": (hidden("_temporary/0/task/part-9.parquet", ".spark-staging-1/x.parquet"), ROWS_A),
    "Jupyter's checkpoints": (hidden(".ipynb_checkpoints/x.parquet", "day=1/.x.parquet"), ROWS_A),
    "an underscore": (hidden("_old.parquet", "day=1/_y.parquet", "day=2/x.parquet._COPYING_"), ROWS_A),
    "hidden above the folder": (hidden_above, ROWS_A),
    "hidden, but named": (hidden_by_name, ROWS_A),
    "hidden to a pattern": (hidden_to_a_pattern, ROWS_A),
    "a folder of text": (a_folder_of_text, BOTH),
    "folders by a pattern": (folders_by_pattern, BOTH),
    "int64 then int32": (cast({"i": pl.Int64}, {"i": pl.Int32}), BOTH),
    "int32 then int64": (cast({"i": pl.Int32}, {"i": pl.Int64}), BOTH),
    "uint64 then int8": (cast({"i": pl.UInt64}, {"i": pl.Int8}), BOTH),
    "categories then text": (cast({"u": pl.Categorical}, {"u": pl.String}), BOTH),
    "two enums": (cast({"u": pl.Enum(["a", "b"])}, {"u": pl.Enum(["b", "c"])}), BOTH),
    "a column that comes later": (with_columns({}, {"extra": pl.lit(1)}), BOTH),
    "a column that goes later": (with_columns({"extra": pl.lit(1)}, {}), BOTH),
    "a column of two types that nobody named": (with_columns({"x": pl.lit(1)}, {"x": pl.lit("one")}), BOTH),
    "an empty file of nulls first": (nulls_first, ROWS_A),
    "Arrow as file and stream": (arrow_files, BOTH),
}


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("way", WAYS)
def test_folders_hold_the_same_rows(kind: str, way: str, tmp_path: Path) -> None:
    made, expected = FOLDERS[kind]
    assert rows(way, made(tmp_path), {}, {}) == expected


def test_times_of_two_units_are_one_moment(tmp_path: Path) -> None:
    """Noon of May Day, in milliseconds and in microseconds."""
    noon = pl.lit("2024-05-01T12:00:00").str.to_datetime()
    put(
        tmp_path,
        **{
            "log/0.parquet": A.with_columns(t=noon.cast(pl.Datetime("ms"))),
            "log/1.parquet": B.with_columns(t=noon.cast(pl.Datetime("us"))),
        },
    )
    for way in WAYS:
        found = rows(way, tmp_path / "log", {"timestamp": "t"}, {})
        assert {str(row[2]) for row in found} == {"2024-05-01 12:00:00"}
        assert len(found) == 3


@pytest.mark.parametrize("way", WAYS)
def test_partitions_are_columns(way: str, tmp_path: Path) -> None:
    put(
        tmp_path, **{"log/i=7/dt=2024-05-01/x.parquet": A.select("u"), "log/i=8/dt=2024-05-02/x.parquet": B.select("u")}
    )
    found = rows(way, tmp_path / "log", {"timestamp": "dt"}, {})
    assert [(u, i, str(day)) for u, i, day in found] == [
        ("a", 7, "2024-05-01"),
        ("b", 7, "2024-05-01"),
        ("c", 8, "2024-05-02"),
    ]


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["7", "8"], [7, 8]),
        (["07", "8"], ["07", "8"]),
        (["a%2Fb", "c d"], ["a/b", "c d"]),
    ],
)
def test_a_partitions_values_are_integers_only_when_all_read_back(
    values: list[str], read: list[Any], tmp_path: Path
) -> None:
    for value in values:
        put(tmp_path, **{f"log/i={value}/x.parquet": B.select("u")})
    assert sl.Dataset(tmp_path / "log", "u", "i").interactions["i"].to_list() == read


def test_a_null_partition_is_null(tmp_path: Path) -> None:
    put(tmp_path, **{"log/c=__HIVE_DEFAULT_PARTITION__/x.parquet": A, "log/c=KR/x.parquet": B})
    data = sl.Dataset(tmp_path / "log", "u", "i")
    assert sorted(data.interactions.rows(), key=str) == [("a", 1, None), ("b", 2, None), ("c", 3, "KR")]


def test_a_files_own_column_comes_before_its_partition(tmp_path: Path) -> None:
    put(tmp_path, **{"log/i=7/x.parquet": A})
    assert sl.Dataset(tmp_path / "log", "u", "i").interactions["i"].to_list() == [1, 2]


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    data = sl.Dataset(hidden("_a.parquet", "_b/c.parquet")(tmp_path), "u", "i")
    assert data.notes == ("2 files left out, hidden or staging (such as '_a.parquet')",)
    assert sl.Dataset(an_empty_file(tmp_path / "2"), "u", "i").notes == (
        "1 file left out, empty (such as 'part-1.parquet')",
    )
    shards = sl.Shards.encode(an_empty_file(tmp_path / "3"), tmp_path / "shards", query="u", candidate="i")
    assert shards.notes == ("1 file left out, empty (such as 'part-1.parquet')",)
    linked = sl.Dataset(linked_file_twice(tmp_path / "4"), "u", "i")
    assert linked.notes == ("1 file left out, a link to a file that is read already (such as 'again.parquet')",)
    assert sl.Dataset(two_endings(tmp_path / "5"), "u", "i").notes == (
        "1 file of another format left out (such as 'README.csv')",
    )


def test_a_column_of_two_types_is_left_out_aloud_and_refused_where_it_is_named(tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.parquet": A.with_columns(x=pl.lit(1)), "log/1.parquet": B.with_columns(x=pl.lit("one"))})
    with pytest.warns(sl.ShortlistWarning, match="'x' of the interactions table is Int32 in '0.parquet' and String"):
        assert sl.Dataset(tmp_path / "log", "u", "i").interactions.columns == ["u", "i"]
    with pytest.raises(sl.DataError, match=r"'x' of the interactions table is Int32 in '0\.parquet' and String in '1"):
        sl.Dataset(tmp_path / "log", "u", "i", weight="x")
    with pytest.raises(sl.DataError, match=r"'x' of the interactions table is Int32 in '0\.parquet' and String in '1"):
        sl.Shards.encode(tmp_path / "log", tmp_path / "shards", query="u", candidate="i", weight="x")


@pytest.mark.parametrize("kind", [pl.String(), pl.Float64(), pl.Boolean()])
def test_ids_of_two_types_name_both_files(kind: pl.DataType, tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.parquet": A, "log/1.parquet": B.cast({"i": kind})})
    for way in WAYS:
        with pytest.raises(sl.DataError, match=r"'i' .* is Int64 in '0\.parquet' and .* in '1\.parquet'"):
            rows(way, tmp_path / "log", {}, {})


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_file_is_named(way: str, tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.parquet": A})
    (tmp_path / "log" / "1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(sl.DataError, match=r"log': '1\.parquet' could not be read as parquet") as caught:
        rows(way, tmp_path / "log", {}, {})
    assert caught.value.hint is not None


@pytest.mark.parametrize("way", WAYS)
def test_a_link_to_nothing_is_refused(way: str, tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.parquet": A})
    os.symlink(tmp_path / "gone.parquet", tmp_path / "log" / "1.parquet")
    with pytest.raises(sl.DataError, match=r"1\.parquet' cannot be opened"):
        rows(way, tmp_path / "log", {}, {})


def test_a_folder_of_two_text_formats_is_refused(tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.csv": A})
    A.write_ndjson(tmp_path / "log" / "1.jsonl")
    with pytest.raises(sl.DataError, match="files of several formats"):
        sl.Dataset(tmp_path / "log", "u", "i")


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path: Path) -> None:
    put(tmp_path, **{"log/1/x.parquet": A, "log/2/x.parquet": B})
    shards = sl.Shards.encode(f"{tmp_path}/log/*/x.parquet", tmp_path / "shards", query="u", candidate="i")
    assert sorted(shards.source) == ["1/x.parquet", "2/x.parquet"]


def test_a_folder_that_grows_is_read_as_it_was_listed(tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.parquet": A})
    where = {"query": "u", "candidate": "i", "block_rows": 1, "piece_rows": 1}

    def grow(done: int, total: int) -> None:
        put(tmp_path, **{f"log/new-{done}.parquet": STALE})

    shards = sl.Shards.encode(tmp_path / "log", tmp_path / "shards", on_piece=grow, **where)  # type: ignore[arg-type]
    assert sorted(shards.to_dataset().interactions.rows()) == ROWS_A
    with pytest.raises(sl.DataError, match=r"'new-1\.parquet' is new"):
        sl.Shards.encode(tmp_path / "log", tmp_path / "shards", **where)  # type: ignore[arg-type]


def test_an_encoding_that_was_cut_off_goes_on_without_files_that_came_since(tmp_path: Path) -> None:
    put(tmp_path, **{"log/0.parquet": A})
    where: dict[str, Any] = {"query": "u", "candidate": "i", "block_rows": 1, "piece_rows": 1}

    def stop(done: int, total: int) -> None:
        put(tmp_path, **{"log/new.parquet": STALE})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sl.Shards.encode(tmp_path / "log", tmp_path / "shards", on_piece=stop, **where)
    shards = sl.Shards.encode(tmp_path / "log", tmp_path / "shards", **where)
    assert sorted(shards.to_dataset().interactions.rows()) == ROWS_A


def test_columns_of_any_name_are_read(tmp_path: Path) -> None:
    """Names that Polars, or a reader within, could take for something else."""
    for name in ("*", "^u.*$", "len", "count", "__count", "__row", "0", "literal", "u.x", "", "row"):
        frame = pl.DataFrame({name: ["a", "b"], "i": [1, 2], "h": [3, 3]})
        path = tmp_path / "t.parquet"
        frame.write_parquet(path)
        shards = sl.Shards.encode(path, tmp_path / "shards", query=name, candidate="i", context=["h"], overwrite=True)
        assert sorted(shards.to_dataset().interactions.rows()) == [("a", 1, 3), ("b", 2, 3)]
        shards = sl.Shards.encode(path, tmp_path / "shards", query="i", candidate="h", context=[name], overwrite=True)
        assert sorted(shards.to_dataset().interactions.rows()) == [(1, 3, "a"), (2, 3, "b")]


def test_keep_reads_the_named_columns_alone(tmp_path: Path) -> None:
    frame = A.with_columns(w=pl.lit(1.0), x=pl.lit(1), y=pl.lit(2))
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    for source in (tmp_path / "t.parquet", tmp_path / "t.csv", frame):
        assert sl.Dataset(source, "u", "i", weight="w", keep=["y"]).interactions.columns == ["u", "i", "w", "y"]
        assert sl.Dataset(source, "u", "i").interactions.columns == ["u", "i", "w", "x", "y"]


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz", "jsonl", "arrow", "feather"])
@pytest.mark.parametrize("folder", ["log[12]", "log*", "lo?2", "x[x", "k=1"])
def test_no_folders_name_is_a_pattern(folder: str, ending: str, tmp_path: Path) -> None:
    """For files of every format, and for the folder that is written."""
    place = tmp_path / folder / f"t.{ending}"
    place.parent.mkdir()
    text = A.write_csv().encode()
    written = {
        "parquet": lambda: A.write_parquet(place),
        "csv": lambda: place.write_bytes(text),
        "csv.gz": lambda: place.write_bytes(gzip.compress(text)),
        "jsonl": lambda: A.write_ndjson(place),
        "arrow": lambda: A.write_ipc(place),
        "feather": lambda: A.write_ipc_stream(place),
    }
    written[ending]()
    for number in (1, 2):
        put(tmp_path, **{f"log{number}/t.parquet": STALE})
    assert sl.Dataset(place, "u", "i").interactions.rows() == ROWS_A
    shards = sl.Shards.encode(place.parent, tmp_path / "s" / folder, query="u", candidate="i", context=[])
    assert sorted(shards.to_dataset().interactions.rows()) == ROWS_A


def test_a_file_that_is_there_packed_and_unpacked_is_refused(tmp_path: Path) -> None:
    put(tmp_path, **{"log/a.csv": A})
    (tmp_path / "log" / "a.csv.gz").write_bytes(gzip.compress(A.write_csv().encode()))
    with pytest.raises(sl.DataError, match=r"'a\.csv' and 'a\.csv\.gz', which look like one file twice"):
        sl.Dataset(tmp_path / "log", "u", "i")


def test_a_folder_of_nothing_but_hidden_files_says_so(tmp_path: Path) -> None:
    put(tmp_path, **{"log/_a.parquet": A})
    with pytest.raises(sl.DataError, match=r"no files but hidden or staging ones, such as '_a\.parquet'"):
        sl.Dataset(tmp_path / "log", "u", "i")


@pytest.mark.parametrize("ending", ["parquet", "csv", "csv.gz", "jsonl", "feather"])
def test_an_object_store_holds_the_same_rows(ending: str, tmp_path: Path) -> None:
    store = pytest.importorskip("fsspec").filesystem("memory")
    text = A.write_csv().encode()
    contents = {
        "parquet": lambda: put(tmp_path, x=A) or (tmp_path / "x").read_bytes(),
        "csv": lambda: text,
        "csv.gz": lambda: gzip.compress(text),
        "jsonl": lambda: A.write_ndjson().encode(),
        "feather": lambda: A.write_ipc_stream(None).getvalue(),
    }
    try:
        for name in (f"k=1/a.{ending}", f"_temporary/b.{ending}"):
            store.pipe(f"/shop/log/{name}", contents[ending]())
        store.pipe(f"/shop/log/empty.{ending}", b"")
        data = sl.Dataset("memory://shop/log", "u", "i")
        assert [row[:2] for row in data.interactions.rows()] == ROWS_A
        assert data.interactions.columns == ["u", "i", "k"]
        assert [note.partition(",")[0] for note in data.notes] == ["1 file left out", "1 file left out"]
        shards = sl.Shards.encode("memory://shop/log", tmp_path / "s", query="u", candidate="i", context=["k"])
        assert sorted(shards.to_dataset().interactions.rows()) == [("a", 1, 1), ("b", 2, 1)]
    finally:
        store.rm("/shop", recursive=True)


@pytest.mark.parametrize("way", WAYS)
def test_a_file_without_the_columns_of_the_others_is_named(way: str, tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "a.csv").write_text("u,i\n1,2\n2,3\n")
    (tmp_path / "csv" / "b.csv").write_text("5,6\n7,8\n")
    with pytest.raises(
        sl.DataError, match=r"'b.csv' has no column 'u', which other files have; it has '5', '6'"
    ) as caught:
        rows(way, tmp_path / "csv", {}, {})
    assert "no header line" in str(caught.value.hint)
    (tmp_path / "parquet").mkdir()
    pl.DataFrame({"u": [1], "i": [2]}).write_parquet(tmp_path / "parquet" / "a.parquet")
    pl.DataFrame({"vector": [1.0]}).write_parquet(tmp_path / "parquet" / "b.parquet")
    with pytest.raises(sl.DataError, match=r"'b.parquet' has no column 'u', which other files have; it has 'vector'"):
        rows(way, tmp_path / "parquet", {}, {})
