"""Text files of every form read the same four ways; what cannot be read is refused with its line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.data.four_ways import WAYS, read, rows

import shortlist as sl

PLAIN = "u,i\nann,1\nbob,2\n"
JSON = '{"u":"ann","i":1}\n{"u":"bob","i":2}\n'
ROWS = [("ann", 1), ("bob", 2)]


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())


def zst(text: str) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(text.encode())


# name → file's name, its bytes, roles, options, rows
FORMS: dict[str, tuple[str, Callable[[], bytes], dict[str, str], dict[str, Any], list[Any]]] = {
    "csv": ("t.csv", PLAIN.encode, {}, {}, ROWS),
    "csv.gz": ("t.csv.gz", lambda: packed(PLAIN), {}, {}, ROWS),
    "CSV.GZ": ("t.CSV.GZ", lambda: packed(PLAIN), {}, {}, ROWS),
    "csv.zst": ("t.csv.zst", lambda: zst(PLAIN), {}, {}, ROWS),
    "tsv.gz": ("t.tsv.gz", lambda: packed(PLAIN.replace(",", "\t")), {}, {}, ROWS),
    "jsonl": ("t.jsonl", JSON.encode, {}, {}, ROWS),
    "jsonl.gz": ("t.jsonl.gz", lambda: packed(JSON), {}, {}, ROWS),
    "jsonl.zst": ("t.jsonl.zst", lambda: zst(JSON), {}, {}, ROWS),
    "json lines": ("t.json", JSON.encode, {}, {}, ROWS),
    "a JSON list": ("t.json", lambda: b'[{"u":"ann","i":1},\n {"u":"bob","i":2}]', {}, {}, ROWS),
    "json with a mark": ("t.json", lambda: b"\xef\xbb\xbf" + JSON.encode(), {}, {}, ROWS),
    "json with blank lines": ("t.jsonl", lambda: JSON.replace("\n", "\n\n").encode(), {}, {}, ROWS),
    "Excel's first line": ("t.csv", lambda: b"sep=;\r\n" + PLAIN.replace(",", ";").encode(), {}, {}, ROWS),
    "Excel's first line, quoted": ("t.csv", lambda: b'"sep=|"\n' + PLAIN.replace(",", "|").encode(), {}, {}, ROWS),
    "Excel's first line, a comma": ("t.csv", lambda: b"sep=,\n" + PLAIN.encode(), {}, {}, ROWS),
    "Excel's first line, packed": ("t.csv.gz", lambda: packed("sep=;\n" + PLAIN.replace(",", ";")), {}, {}, ROWS),
    "Excel's first line, a mark": (
        "t.csv",
        lambda: ("SEP=;\n" + PLAIN.replace(",", ";")).encode("utf-8-sig"),
        {},
        {},
        ROWS,
    ),
    "Excel's first line, UTF-16": (
        "t.csv",
        lambda: ("sep=;\n" + PLAIN.replace(",", ";")).encode("utf-16"),
        {},
        {"encoding": "utf-16"},
        ROWS,
    ),
    "Excel's first line, no header": (
        "t.csv",
        lambda: b"sep=;\nann;1\nbob;2\n",
        {},
        {"columns": ["u", "i"]},
        ROWS,
    ),
    "Excel's first line, a separator is named": (
        "t.csv",
        lambda: b"sep=;\n" + PLAIN.encode(),
        {},
        {"separator": ","},
        ROWS,
    ),
    "Excel's first line, commas in fields": (
        "t.csv",
        lambda: b'sep=;\nu;i;n\nann;1;"x, ""y"""\nbob;2;a,b\n',
        {},
        {},
        ROWS,
    ),
    "two files put together": ("t.csv", lambda: b"u,i\nann,1\n" + PLAIN.encode()[:4] + b"bob,2\n", {}, {}, ROWS),
    "two files put together, packed": ("t.csv.gz", lambda: packed("u,i\nann,1\nu,i\nbob,2\n"), {}, {}, ROWS),
    "two files put together, a mark": ("t.csv", lambda: "u,i\nann,1\nu,i\nbob,2\n".encode("utf-8-sig"), {}, {}, ROWS),
    "a byte order mark, packed": ("t.csv.gz", lambda: gzip.compress(PLAIN.encode("utf-8-sig")), {}, {}, ROWS),
    "a byte order mark": ("t.csv", lambda: PLAIN.encode("utf-8-sig"), {}, {}, ROWS),
    "Windows' lines": ("t.csv", lambda: PLAIN.replace("\n", "\r\n").encode(), {}, {}, ROWS),
    "lines of an old Mac": ("t.csv", lambda: PLAIN.replace("\n", "\r").encode(), {}, {}, ROWS),
    "blank lines": ("t.csv", lambda: PLAIN.replace("\n", "\n\n").encode() + b"\n\n", {}, {}, ROWS),
    "no last newline": ("t.csv", PLAIN.strip().encode, {}, {}, ROWS),
    "semicolons": ("t.csv", lambda: PLAIN.replace(",", ";").encode(), {}, {}, ROWS),
    "a separator by name": ("t.csv", lambda: PLAIN.replace(",", "^").encode(), {}, {"separator": "^"}, ROWS),
    "no header": ("t.csv", b"ann,1\nbob,2\n".lower, {}, {"columns": ["u", "i"]}, ROWS),
    "no header, packed": ("t.csv.gz", lambda: packed("ann,1\nbob,2\n"), {}, {"columns": ["u", "i"]}, ROWS),
    "names for a header that is there": ("t.csv", PLAIN.encode, {}, {"columns": ["u", "i"]}, ROWS),
    "Korean": (
        "t.csv",
        lambda: "u,i\n차,1\n봄날,2\n".encode("cp949"),
        {},
        {"encoding": "cp949"},
        [("봄날", 2), ("차", 1)],
    ),
    "Korean, packed": (
        "t.csv.gz",
        lambda: gzip.compress("u,i\n차,1\n봄날,2\n".encode("cp949")),
        {},
        {"encoding": "cp949"},
        [("봄날", 2), ("차", 1)],
    ),
    "Latin-1": ("t.csv", lambda: "u,i\nélan,1\n".encode("latin-1"), {}, {"encoding": "latin-1"}, [("élan", 1)]),
    "UTF-16": (
        "t.csv",
        lambda: "u,i\nélan,1\n차,2\n".encode("utf-16"),
        {},
        {"encoding": "utf-16"},
        [("élan", 1), ("차", 2)],
    ),
    "UTF-16 in JSON": ("t.jsonl", lambda: JSON.encode("utf-16"), {}, {"encoding": "utf-16"}, ROWS),
    "decimal commas": (
        "t.csv",
        lambda: b"u;i;w\nann;1;2,5\nbob;2;0,25\n",
        {"weight": "w"},
        {"decimal": ","},
        [("ann", 1, 2.5), ("bob", 2, 0.25)],
    ),
    "a decimal comma in quotes": (
        "t.csv",
        lambda: b'u,i,w\nann,1,"2,5"\n',
        {"weight": "w"},
        {"decimal": ","},
        [("ann", 1, 2.5)],
    ),
    "inches": ("t.csv", lambda: b'u,i,n\nann,1,6" pipe\nbob,2,x\n', {}, {}, ROWS),
    "a quote that opens nothing": ("t.csv", lambda: b'u,i\n"ann,1\nbob,2\n', {}, {}, [('"ann', 1), ("bob", 2)]),
    "two inches": ("t.csv", lambda: b'u,i,n\nann,1,6" pipe\nbob,2,4" pipe\ncat,3,x\n', {}, {}, [*ROWS, ("cat", 3)]),
    "inches in a TSV": ("t.tsv", lambda: b'u\ti\tn\nann\t1\t6"\nbob\t2\t"\n', {}, {}, ROWS),
    "inches beside quotes": (
        "t.csv",
        lambda: b'n,u,i\n"a, ""b""\nc",ann,1\n6" pipe,bob,2\n4" x 6",cat,3\n',
        {},
        {},
        [*ROWS, ("cat", 3)],
    ),
    "inches in an id": ("t.csv", lambda: b'u,i\n6" pipe,1\n"a, b",2\n', {}, {}, [('6" pipe', 1), ("a, b", 2)]),
    "quotes in quotes": ("t.csv", lambda: b'u,i\n"say ""hi""",1\n"""",2\n', {}, {}, [('"', 2), ('say "hi"', 1)]),
    "times of a shop": (
        "t.csv",
        lambda: b"u,i,t\nann,1,2019-10-01 00:00:00 UTC\nbob,2,2019-10-01 00:00:04 UTC\n",
        {"timestamp": "t"},
        {},
        [("ann", 1, "2019-10-01 00:00:00+00:00"), ("bob", 2, "2019-10-01 00:00:04+00:00")],
    ),
    "American times": (
        "t.csv",
        lambda: b"u,i,t\nann,1,12/1/2010 8:26\nbob,2,12/13/2010 18:05\n",
        {"timestamp": "t"},
        {},
        [("ann", 1, "2010-12-01 08:26:00"), ("bob", 2, "2010-12-13 18:05:00")],
    ),
    "times that read both ways, said": (
        "t.csv",
        lambda: b"u,i,t\nann,1,05/01/2024\nbob,2,06/02/2024\n",
        {"timestamp": "t"},
        {"dates": "month-first"},
        [("ann", 1, "2024-05-01 00:00:00"), ("bob", 2, "2024-06-02 00:00:00")],
    ),
    "times by a format": (
        "t.csv",
        lambda: b"u,i,t\nann,1,01.05.24\n",
        {"timestamp": "t"},
        {"time_format": "%d.%m.%y"},
        [("ann", 1, "2024-05-01 00:00:00")],
    ),
    "days in eight digits": (
        "t.csv",
        lambda: b"u,i,t\nann,1,20240501\nbob,2,20231231\n",
        {"timestamp": "t"},
        {},
        [("ann", 1, "2024-05-01 00:00:00"), ("bob", 2, "2023-12-31 00:00:00")],
    ),
    "seconds": ("t.csv", lambda: b"u,i,t\nann,1,1714521600\n", {"timestamp": "t"}, {}, [("ann", 1, "1714521600")]),
    "seconds as text": (
        "t.jsonl",
        lambda: b'{"u":"ann","i":1,"t":"1714521600"}',
        {"timestamp": "t"},
        {},
        [("ann", 1, "1714521600")],
    ),
}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_text_reads_the_same_four_ways(kind: str, way: str, tmp_path: Path) -> None:
    name, content, roles, options, expected = FORMS[kind]
    (tmp_path / name).write_bytes(content())
    found = rows(way, tmp_path / name, roles, options)
    assert [(*row[:2], *(str(v) if "timestamp" in roles else v for v in row[2:])) for row in found] == expected


# name → file's name, its bytes, roles, options, what is said
REFUSED: dict[str, tuple[str, bytes, dict[str, str], dict[str, Any], str]] = {
    "Korean": ("t.csv", "u,i\na,1\n서울,1\n".encode("cp949"), {}, {}, r"line 3 is not UTF-8 .*looks like cp949"),
    "Japanese": (
        "t.csv",
        "u,i\nひらがな,1\n".encode("shift_jis"),
        {},
        {},
        r"line 2 is not UTF-8 .*looks like shift_jis",
    ),
    "Latin-1": ("t.csv", "u,i\nélan,1\n".encode("latin-1"), {}, {}, r"line 2 is not UTF-8 .*looks like latin-1"),
    "Latin-1 in JSON": ("t.jsonl", '{"u":"é","i":1}'.encode("latin-1"), {}, {}, r"line 1 is not UTF-8 .*latin-1"),
    "UTF-16": ("t.csv", PLAIN.encode("utf-16"), {}, {}, r"line 1 is not UTF-8; it begins as UTF-16"),
    "UTF-16 without a mark": ("t.csv", PLAIN.encode("utf-16-le"), {}, {}, r"line 1 holds a zero byte"),
    "the wrong encoding": ("t.csv", b"u,i\na,1\n\xff\xff,2\n", {}, {"encoding": "cp949"}, r"line 3 is not cp949"),
    "more fields": ("t.csv", b"u,i\n1,2\n3,4,5\n", {}, {}, r"line 3 has 3 fields, and line 1 has 2"),
    "names too few": (
        "t.csv",
        b"a,1,x\n",
        {},
        {"columns": ["u", "i"]},
        r"line 1 has 3 fields, and 2 columns are named",
    ),
    "a quote never closed": ("t.csv", b'u,i\n"x",0\n"a,1\nb,2\n', {}, {}, r"line 3 has a quote that closes no field"),
    "a quote within quotes": ("t.csv", b'u,i\na,1\n"6" pipe",2\n', {}, {}, r"line 3 has a quote that closes no field"),
    "JSON cut off": ("t.jsonl", b'{"u":1,"i":2}\n{"u":', {}, {}, r"line 2 is not a JSON object"),
    "JSON of lists": ("t.jsonl", b'{"u":1,"i":2}\n[1]\n', {}, {}, r"line 2 is not a JSON object"),
    "ids of two kinds": ("t.jsonl", b'{"u":"a","i":2}\n{"u":1,"i":2}\n', {}, {}, r"id column 'u' mixes .* line 2"),
    "not packed": ("t.csv.gz", b"u,i\n1,2\n", {}, {}, r"could not be unpacked as gz"),
    "cut off": ("t.csv.gz", packed(PLAIN * 100)[:30], {}, {}, r"could not be unpacked as gz"),
    "a stray quote where some are quoted": (
        "t.tsv",
        b'u\ti\n"a"\t1\n"b" c\t2\n',
        {},
        {},
        r"line 3 has a quote that closes no",
    ),
    "no id": ("t.csv", b'u,i\n"a\nb",1\n\n,2\n', {}, {}, r"1 null in 'u' \(query\), the first in line 5 of 't\.csv'"),
    "no id, no header": ("t.csv", b"a,1\n,2\n", {}, {"columns": ["u", "i"]}, r"1 null in 'u' .* line 2 of"),
    "no id in JSON": ("t.jsonl", b'{"u":"a","i":1}\n\n{"u":"b"}\n', {}, {}, r"1 null in 'i' .* line 3 of"),
    "ids of two kinds in a list": (
        "t.json",
        b'[{"u":"a","i":2},{"u":1,"i":2}]',
        {},
        {},
        r"id column 'u' mixes .* row 2",
    ),
    "UTF-8 that is called Latin-1": (
        "t.csv",
        "u,i\né,1\n".encode(),
        {},
        {"encoding": "latin-1"},
        "it is UTF-8, not latin-1",
    ),
    "Windows": ("t.csv", "u,i\nl’été,1\n".encode("cp1252"), {}, {}, r"line 2 is not UTF-8 .*looks like cp1252"),
    "two of a name": ("t.csv", b"u,i,u\n1,2,3\n", {}, {}, r"two columns are called 'u' \(line 1\)"),
    "nothing": ("t.csv", b"", {}, {}, r"could not be read as csv: it is empty"),
    "both ways": (
        "t.csv",
        b"u,i,t\na,1,05/01/2024\nb,2,06/02/2024\n",
        {"timestamp": "t"},
        {},
        r"both ways: '05/01/2024' is 5 January 2024 \(day first\) or 1 May 2024 \(month first\)",
    ),
    "not that format": (
        "t.csv",
        b"u,i,t\na,1,2024-05-01\n",
        {"timestamp": "t"},
        {"time_format": "%d.%m.%Y"},
        r"not written as '%d\.%m\.%Y': '2024-05-01'",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("way", WAYS)
def test_text_is_refused_by_its_line(kind: str, way: str, tmp_path: Path) -> None:
    name, content, roles, options, says = REFUSED[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(sl.DataError, match=says) as caught:
        rows(way, tmp_path / name, roles, options)
    assert caught.value.hint
    if "timestamp" not in roles:
        assert name in caught.value.message
    for other in ("truncate_ragged_lines", "ignore_errors", "schema_overrides", "infer_schema", "quote_char"):
        assert other not in str(caught.value)


def test_a_late_quote_is_no_quote(tmp_path: Path) -> None:
    text = "u,i,name\n" + "".join(f"{j % 50},{j % 90},x\n" for j in range(30_000)) + '7,8,6" pipe\n1,2,y\n'
    (tmp_path / "t.csv").write_text(text)
    data = sl.Dataset(tmp_path / "t.csv", "u", "i")
    assert (len(data), data.interactions["name"][30_000]) == (30_002, '6" pipe')


def test_types_of_several_text_files_are_brought_together(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("u,i,x,y,z\na,1,1,1,\n")
    (tmp_path / "1.csv").write_text("u,i,x,y,z\nb,2,1.5,one,7\n")
    frame = sl.Dataset(tmp_path, "u", "i").interactions
    assert frame.rows() == [("a", 1, 1.0, "1", None), ("b", 2, 1.5, "one", 7)]
    assert frame.schema["x"] == pl.Float64


@pytest.mark.parametrize("way", WAYS)
def test_ids_of_several_text_files_settle_on_one_type(way: str, tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("u,i\n1,1\n")
    (tmp_path / "1.csv").write_text("u,i\n2,007\n")
    assert rows(way, tmp_path, {}, {}) == [(1, "1"), (2, "007")]


def test_names_for_a_table_that_has_them_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"u": [1], "i": [1]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(sl.ConfigError, match="names to a CSV without a header"):
        sl.Dataset(tmp_path / "t.parquet", "u", "i", reading=sl.Reading(columns=["u", "i"]))


def test_nothing_is_left_beside_the_shards(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(packed(PLAIN))
    sl.Shards.encode(tmp_path / "t.csv.gz", tmp_path / "shards", query="u", candidate="i")
    assert not (tmp_path / "shards" / "read").exists()
    assert sorted(path.suffix for path in (tmp_path / "shards").iterdir()) == [
        *[".json"] * 3,
        *[".npy"] * 4,
        *[".parquet"] * 3,
    ]


@pytest.mark.parametrize("way", WAYS)
def test_lines_after_excels_first_line_are_counted_with_it(way: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\nu;i\nann;1\n;2\n")
    with pytest.raises(sl.DataError, match=r"line 4 of 't.csv'"):
        rows(way, tmp_path / "t.csv", {}, {})
    (tmp_path / "t.csv").write_text("sep=;\nu;i\nann;1;2\n")
    with pytest.raises(sl.DataError, match="line 3 has 3 fields, and line 2 has 2"):
        rows(way, tmp_path / "t.csv", {}, {})
    (tmp_path / "t.csv").write_text("sep=;\n")
    with pytest.raises(sl.DataError, match="empty"):
        rows(way, tmp_path / "t.csv", {}, {})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_header_in_the_middle_is_no_row(way: str, ends: str, tmp_path: Path) -> None:
    """Two files put together have the header twice; the ids of the whole are integers still."""
    lines = ["u,i,t", "1,7,5", "2,8,6", "u,i,t", "u,i,t", "3,9,7", "u,i,t"]
    (tmp_path / "t.csv").write_bytes(ends.join(lines).encode())
    assert rows(way, tmp_path / "t.csv", {"timestamp": "t"}, {}) == [(1, 7, 5), (2, 8, 6), (3, 9, 7)]
    found = read(way, tmp_path / "t.csv", {"timestamp": "t"}, {})
    if way == "memory":
        assert found.notes[0] == "'t.csv': 2 lines repeat the header (the first is line 4); left out"
    (tmp_path / "t.csv").write_bytes(ends.join([*lines[:5], ",9,7", lines[-1]]).encode())
    with pytest.raises(sl.DataError, match=r"line 6 of 't.csv'"):
        rows(way, tmp_path / "t.csv", {"timestamp": "t"}, {})


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_begins_as_the_header_does_is_one(way: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("u,i\nu,i2\nuu,i\nann,i\n")
    assert rows(way, tmp_path / "t.csv", {}, {}) == [("ann", "i"), ("u", "i2"), ("uu", "i")]
