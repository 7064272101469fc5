"""Every kind of table reads to the same Dataset, and text keeps its ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shortlist.data import Dataset
from shortlist.errors import DataError

COLUMNS = {"u": ["b", "a", "b"], "c": [2**53 + 1, 7, 7], "note": ["x", None, "é"]}
FRAME = pl.DataFrame(COLUMNS)


def as_pandas(_: Path) -> Any:
    pytest.importorskip("pyarrow")
    return pytest.importorskip("pandas").DataFrame(COLUMNS)


def as_arrow(_: Path) -> Any:
    return pytest.importorskip("pyarrow").table(COLUMNS)


def written(name: str, write: str, **options: Any) -> Callable[[Path], Path]:
    def source(folder: Path) -> Path:
        getattr(FRAME, write)(folder / name, **options)
        return folder / name

    return source


def in_a_folder(folder: Path) -> str:
    (folder / "day=1").mkdir()
    FRAME.head(2).write_parquet(folder / "a.parquet")
    FRAME.tail(1).write_parquet(folder / "b.parquet")
    return str(folder)


def by_pattern(folder: Path) -> str:
    for row in range(3):
        FRAME.slice(row, 1).write_csv(folder / f"part-{row}.csv")
    return str(folder / "part-*.csv")


SOURCES: dict[str, Callable[[Path], Any]] = {
    "polars": lambda _: FRAME,
    "lazy": lambda _: FRAME.lazy(),
    "dict": lambda _: COLUMNS,
    "dict of numpy": lambda _: COLUMNS | {"c": np.array(COLUMNS["c"])},
    "list of dicts": lambda _: FRAME.to_dicts(),
    "pandas": as_pandas,
    "arrow": as_arrow,
    "parquet": written("t.parquet", "write_parquet"),
    "csv": written("t.csv", "write_csv"),
    "tsv": written("t.TSV", "write_csv", separator="\t"),
    "csv with semicolons": written("t.csv", "write_csv", separator=";"),
    "csv with tabs": written("t.csv", "write_csv", separator="\t"),
    "csv with bars": written("t.csv", "write_csv", separator="|"),
    "arrow file": written("t.arrow", "write_ipc"),
    "feather": written("t.feather", "write_ipc", compression="lz4"),
    "arrow stream": written("s.ipc", "write_ipc_stream"),
    "jsonl": written("t.jsonl", "write_ndjson"),
    "folder": in_a_folder,
    "pattern": by_pattern,
    "brackets in a name": written("t[1].parquet", "write_parquet"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_table_reads_the_same(kind: str, tmp_path: Path) -> None:
    data = Dataset(SOURCES[kind](tmp_path), "u", "c", candidates=FRAME.select("c"))
    assert data.interactions.equals(FRAME)
    assert data.interactions.schema == {"u": pl.String, "c": pl.Int64, "note": pl.String}


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["7", "12"], [7, 12]),
        (["007", "7"], ["007", "7"]),
        (["-5", "0"], [-5, 0]),
        (["-0", "5"], ["-0", "5"]),
        (["+5", "5"], ["+5", "5"]),
        ([" 5", "5"], [" 5", "5"]),
        (["1e3", "1000"], ["1e3", "1000"]),
        (["1.0", "1"], ["1.0", "1"]),
        (["9007199254740993", "1"], [2**53 + 1, 1]),
        (["18446744073709551615", "1"], [2**64 - 1, 1]),
        (["18446744073709551616", "1"], ["18446744073709551616", "1"]),
        (["18446744073709551615", "-1"], ["18446744073709551615", "-1"]),
        (["true", "false"], ["true", "false"]),
        (["2024-01-01", "x"], ["2024-01-01", "x"]),
        (['""', "x"], ["", "x"]),
        (['"a,b"', "ü"], ["a,b", "ü"]),
    ],
)
@pytest.mark.filterwarnings("ignore::shortlist.ShortlistWarning")  # of blanks, of .0, of empty text
def test_text_ids_become_integers_only_when_all_read_back(texts: list[str], ids: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("u,c\n" + "".join(f"{text},z\n" for text in texts), encoding="utf-8")
    assert Dataset(path, "u", "c").interactions["u"].to_list() == ids


def test_two_text_tables_settle_on_one_type(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("u,c\n1,1\n2,1\n")
    (tmp_path / "users.csv").write_text("u,age\n1,30\n2,40\n03,50\n")
    data = Dataset(tmp_path / "log.csv", "u", "c", queries=tmp_path / "users.csv")
    assert data.queries["u"].to_list() == ["1", "2", "03"]
    assert data.interactions["u"].to_list() == ["1", "2"]
    assert data.candidates["c"].to_list() == [1]


def test_text_beside_a_typed_table_takes_its_type(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("u,c\n1,1\n2,1\n")
    strings = Dataset(tmp_path / "log.csv", "u", "c", queries={"u": ["1", "2"]})
    assert strings.interactions["u"].to_list() == ["1", "2"]
    integers = Dataset(tmp_path / "log.csv", "u", "c", queries={"u": [2, 1]})
    assert integers.query_rows.tolist() == [1, 0]


def test_a_late_surprise_in_another_column_is_read(tmp_path: Path) -> None:
    rows = ["u,c,x", *(f"a,{n},{n}" for n in range(10_050)), "a,1,ten"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    assert Dataset(tmp_path / "t.csv", "u", "c").interactions["x"][-1] == "ten"


def test_numpy_and_python_integers_are_one_type() -> None:
    assert Dataset([{"u": np.int64(3), "c": "x"}, {"u": 4, "c": np.str_("y")}], "u", "c").queries["u"].to_list() == [
        3,
        4,
    ]


@pytest.mark.parametrize("mixed", [[1, "1"], [1, True], [1, 1.0], ["a", b"a"]])
@pytest.mark.parametrize("shape", ["dict", "list"])
def test_ids_of_two_types_in_one_column_are_refused(mixed: list[Any], shape: str) -> None:
    source: Any = {"u": mixed, "c": [1, 2]} if shape == "dict" else [{"u": m, "c": 1} for m in mixed]
    with pytest.raises(DataError, match=r"id column 'u' mixes values of types .* expected one type") as caught:
        Dataset(source, "u", "c")
    assert caught.value.hint == "convert every id to str, or every id to int"


def test_json_lines_that_mix_numbers_and_strings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ({"u": "1", "c": 1}, {"u": 1, "c": 1})))
    with pytest.raises(DataError, match="id column 'u' mixes numbers and strings"):
        Dataset(path, "u", "c")
    path.write_text("".join(json.dumps(row) + "\n" for row in ({"u": "1", "c": 1, "x": {"u": 1}},)))
    assert Dataset(path, "u", "c").queries["u"].to_list() == ["1"]


@pytest.mark.parametrize(
    ("name", "content", "came"),
    [
        ("t.parquet", b"junk", "could not be read as parquet"),
        ("t.arrow", b"junkjunk", "could not be read as arrow"),
        ("t.arrow", b"ARROW1junk", "could not be read as arrow"),
        ("t.csv", b"", "could not be read as csv"),
        ("t.csv", b"u,c\n\xff\xfe,1\n", "could not be read as csv"),
        ("t.jsonl", b"{", "could not be read as jsonl"),
        ("t.xlsx", b"PK", "has the extension '.xlsx'; expected one of .parquet"),
        ("t", b"u,c", "has the extension ''"),
    ],
)
def test_unreadable_files(name: str, content: bytes, came: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        Dataset(tmp_path / name, "u", "c")
    assert came in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint


def test_nothing_at_that_path(tmp_path: Path) -> None:
    for place, came in [
        (tmp_path / "none.csv", "does not exist"),
        (tmp_path, "no file matches"),
        (tmp_path / "*.csv", "no file matches"),
    ]:
        with pytest.raises(DataError, match=came) as caught:
            Dataset({"u": [1], "c": [1]}, "u", "c", candidates=place)
        assert "the candidates table" in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "came"),
    [
        (7, "is a int; expected a path, a Polars or pandas DataFrame"),
        (b"u,c", "is a bytes; expected a path"),
        ([("a", 1)], "row 0 of the interactions table is a tuple; expected a dict"),
        ({"u": [1, 2], "c": [1, 2, 3]}, "a dict, could not be read"),
        (pl.LazyFrame({"u": [1]}).select("v"), "LazyFrame, could not be read"),
    ],
)
def test_what_is_no_table(source: Any, came: str) -> None:
    with pytest.raises(DataError) as caught:
        Dataset(source, "u", "c")
    assert came in caught.value.message
    assert caught.value.hint


def test_a_pandas_frame_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pytest.importorskip("pandas").DataFrame({"u": ["a"], "c": [1]})

    def absent(_: object) -> pl.DataFrame:
        raise ModuleNotFoundError("No module named 'pyarrow'")

    monkeypatch.setattr(pl, "from_pandas", absent)
    with pytest.raises(DataError, match="needs the package 'pyarrow', which is not installed") as caught:
        Dataset(frame, "u", "c")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("pip install pyarrow")


def test_a_comma_in_the_first_line_parts_the_columns_whatever_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("u,c;d\n1,2;3\n")
    assert Dataset(tmp_path / "t.csv", "u", "c;d").interactions.columns == ["u", "c;d"]


def test_a_table_in_another_encoding_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("u,c\n1,차\n".encode("cp949"))
    with pytest.raises(DataError, match="save it as UTF-8"):
        Dataset(tmp_path / "t.csv", "u", "c")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("u;c\n1;2\n", encoding="utf-8-sig")
    assert Dataset(tmp_path / "t.csv", "u", "c").interactions.columns == ["u", "c"]


@pytest.mark.parametrize("as_rows", [False, True])
def test_times_with_and_without_a_zone_are_refused(as_rows: bool) -> None:
    times = [None, datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=timezone.utc)]
    columns = {"u": [1, 2, 3], "i": [1, 2, 3], "t": times}
    table = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with pytest.raises(DataError, match="'t' has times with a zone and times without"):
        Dataset(table if as_rows else columns, "u", "i")


@pytest.mark.parametrize(
    "values", [[1, 2.5], [2.5, 1], [np.float32(1), 2.5], [np.int64(1), 2.5], (1, 2.5), [None, 1, 2.5]]
)
@pytest.mark.parametrize("form", ["dict", "dicts"])
def test_integers_among_floats_are_numbers(values: Any, form: str) -> None:
    columns = {"u": ["a"] * len(values), "c": ["x"] * len(values), "w": values}
    table = (
        columns
        if form == "dict"
        else [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )
    data = Dataset(table, "u", "c")
    assert data.interactions["w"].to_list() == [None if one is None else float(one) for one in values]


def test_lists_keep_the_halves_of_later_rows() -> None:
    data = Dataset({"u": ["a", "b", "c"], "c": ["x"] * 3, "v": [[1], None, [2.5]]}, "u", "c")
    assert data.interactions["v"].to_list() == [[1.0], None, [2.5]]


PANDAS_COLUMNS = [
    ("two", lambda pandas: pandas.DataFrame([["a", "x", 1, 2]], columns=["u", "c", "two", "two"]), "several columns of the name 'two'"),
    ("mix", lambda pandas: pandas.DataFrame({"u": ["a"] * 2, "c": ["x"] * 2, "mix": pandas.Series([1, "a"], dtype=object)}), "'mix'"),
    ("odd", lambda pandas: pandas.DataFrame({"u": ["a"], "c": ["x"], "odd": [1j]}), "'odd'"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "words"), [row[1:] for row in PANDAS_COLUMNS], ids=[row[0] for row in PANDAS_COLUMNS])
def test_what_is_not_read_of_pandas_is_named(made: Callable[[Any], Any], words: str) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=words):
        Dataset(made(pytest.importorskip("pandas")), "u", "c")


@pytest.mark.parametrize("values", [[1, "a"], [1, [2]], [[1], "a"]])
def test_what_is_not_read_of_a_dict_is_named(values: list[Any]) -> None:
    with pytest.raises(DataError, match="the column 'odd' of the interactions table"):
        Dataset({"u": ["a", "b"], "c": ["x", "x"], "odd": values}, "u", "c")


@pytest.mark.parametrize("offset", ["+05:30", "-03:30", "+09:00", "+00:00", "+05:45"])
def test_times_of_pandas_with_a_fixed_offset_are_the_same_moments(offset: str) -> None:
    """As pandas makes them of text such as 2024-01-01T10:00:00+05:30."""
    pandas = pytest.importorskip("pandas")
    texts = [f"2024-01-0{day}T10:00:00{offset}" for day in (1, 2, 3)]
    frame = pandas.DataFrame({"u": ["a", "b", "a"], "c": [1, 2, 3], "t": pandas.to_datetime(texts)})
    data = Dataset(frame, "u", "c", timestamp="t")
    assert [moment.timestamp() for moment in data.times] == [datetime.fromisoformat(text).timestamp() for text in texts]
    assert frame["t"].dtype.tz is not None  # the caller's own stays as it is
    assert Dataset(frame, "u", "c").interactions["t"].dtype.is_temporal()


def test_sparse_columns_of_pandas() -> None:
    pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"u": ["a", "b"], "c": ["x", "x"]}).assign(w=pandas.arrays.SparseArray([0.0, 2.0]))
    data = Dataset(frame, "u", "c", weight="w")
    assert data.interactions["w"].to_list() == [0.0, 2.0]
    assert frame.dtypes["w"] == pandas.SparseDtype(float)  # the caller's own stays as it is
