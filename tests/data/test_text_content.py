"""A text file's bytes as UTF-8: unpacked, recoded, and told what is wrong with them."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shortlist.data import text_content
from shortlist.data.formats import Format
from shortlist.data.reading import Reading
from shortlist.data.text import Text, _without_repeats, repeats_of
from shortlist.data.text_content import TextError, begin_of, buffer_of, check_utf8, line_of, lines_of, plain

CSV, PACKED = Format("delimited", ".csv"), Format("delimited", ".csv.gz")
TEXT = "user,item\nán,書\n"


def test_utf8_stays_the_file_that_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(TEXT, "utf-8")
    assert plain(path, CSV, None, None) == path
    assert plain(TEXT.encode(), CSV, "UTF8", None) == TEXT.encode()


def test_packed_text_is_unpacked_in_memory_or_into_a_room(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT.encode())
    assert plain(packed, PACKED, None, None) == TEXT.encode()
    room = tmp_path / "room"
    assert plain(packed, PACKED, None, room) == room
    assert room.read_bytes() == TEXT.encode()


@pytest.mark.parametrize(("encoding", "text"), [("utf-16", TEXT), ("latin-1", "é\nü\n"), ("cp949", "사과\n")])
def test_other_encodings_become_utf8(encoding: str, text: str) -> None:
    assert bytes(buffer_of(plain(text.encode(encoding), CSV, encoding, None))) == text.encode()


def test_a_byte_order_mark_and_old_line_ends_go() -> None:
    assert plain(b"\xef\xbb\xbfa\nb\n", CSV, None, None) == b"a\nb\n"
    assert plain(b"a\rb\r", CSV, None, None) == b"a\nb\n"
    assert plain(b"a\r\nb\r\n", CSV, None, None) == b"a\r\nb\r\n"


@pytest.mark.parametrize(
    ("content", "kind", "encoding", "says", "hint"),
    [
        (b"not packed", PACKED, None, "could not be unpacked as gz", "complete"),
        (gzip.compress(b"abc" * 99, mtime=0)[:20], PACKED, None, "could not be unpacked as gz", "complete"),
        ("a\n".encode("utf-16"), CSV, None, "begins as UTF-16", "utf-16"),
        ("a\n".encode("utf-16-le"), CSV, None, "line 1 holds a zero byte", "utf-16-le"),
        ("a\n".encode("utf-16-be"), CSV, None, "line 1 holds a zero byte", "utf-16-be"),
        (b"one\ntwo\nth\0ree\n", CSV, None, "line 3 holds a zero byte", "text file"),
        (b"\x81\n", CSV, "cp949", "is not cp949", "another encoding"),
        ("é\n".encode(), CSV, "latin-1", "it is UTF-8, not latin-1", "leave encoding="),
    ],
)
def test_what_is_wrong_is_said(content: bytes, kind: Format, encoding: str | None, says: str, hint: str) -> None:
    with pytest.raises(TextError, match=says) as error:
        plain(content, kind, encoding, None)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("café, thé, crème brûlée\n", "latin-1"),
        ("“smart” quotes – and dashes\n", "cp1252"),
        ("사과 배 포도 수박 참외\n", "cp949"),
        ("これはひらがなとカタカナです\n", "shift_jis"),
    ],
)
def test_the_encoding_that_a_text_seems_to_be_in(text: str, encoding: str) -> None:
    with pytest.raises(TextError, match=f"line 2 is not UTF-8 .*; it looks like {encoding}$") as error:
        check_utf8(b"all fine\n" + text.encode(encoding))
    assert f"--encoding {encoding}" in error.value.hint


def test_lines_are_counted_from_one() -> None:
    assert [line_of(b"a\nb\nc", place) for place in range(5)] == [1, 1, 2, 2, 3]


def test_the_line_of_a_byte_that_is_not_utf8_wherever_parts_of_the_text_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_content, "CHUNK", 7)
    for letters in range(40):
        fine = ("é書x\n" * letters).encode()
        check_utf8(fine)
        with pytest.raises(TextError, match=rf"line {letters + 1} is not UTF-8 \(byte 0xff\)"):
            check_utf8(fine + b"\xff\n")
        with pytest.raises(TextError, match=rf"line {letters + 1} is not UTF-8 \(byte 0xe6\)"):
            check_utf8(fine + "書".encode()[:2])


def test_lines_of_many_places_look_at_each_byte_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"a\nbb\n\nccc\n" * 50
    places = list(range(0, len(text), 3))
    looked = 0

    class Counted:
        def __len__(self) -> int:
            return len(text)

        def __getitem__(self, part: slice) -> Any:
            nonlocal looked
            looked += len(range(*part.indices(len(text))))
            return buffer_of(text)[part]

    monkeypatch.setattr(text_content, "CHUNK", 10)
    expected = [text[:place].count(b"\n") + 1 for place in places]
    monkeypatch.setattr(text_content, "buffer_of", lambda content: Counted())
    assert lines_of(text, places) == expected
    assert looked == places[-1]


@pytest.mark.parametrize("encoding", [None, "utf-16", "cp949"])
def test_the_begin_of_a_text_is_read_and_no_more(encoding: str | None, tmp_path: Path) -> None:
    text = "user,item\n" + "사과,3\n" * 200_000
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding or "utf-8-sig"))
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for place, kind in ((path, CSV), (packed, PACKED)):
        begin, peak = traced(lambda place=place, kind=kind: begin_of(place, kind, encoding))
        assert begin.startswith(b"user,item\n")
        assert len(begin) < path.stat().st_size / 4
        assert peak < path.stat().st_size / 2
        assert Text(place, kind, Reading(encoding=encoding)).names() == ["user", "item"]


def test_a_header_longer_than_what_is_read_at_a_time_is_read_as_a_whole(tmp_path: Path) -> None:
    names = [f"column {number}" for number in range(20_000)]
    path = tmp_path / "a.csv"
    path.write_text(",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert Text(path, CSV, Reading()).names() == names


def traced(work: Callable[[], Any]) -> tuple[Any, int]:
    """What comes of the work, and the most bytes that Python and NumPy held for it."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HEADER, ROW = b"user,item\n", b"ann,7\n"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_text_with_room_on_the_disk_is_never_held_as_a_whole(
    name: str, mark: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four million rows the parts that are read at a time are held alone."""
    monkeypatch.setattr(text_content, "CHUNK", 1 << 20)
    several = HEADER + 1_000_000 * ROW
    raw = mark + 4 * several
    path, room, rest = tmp_path / name, tmp_path / "room", tmp_path / "rest"
    path.write_bytes(gzip.compress(raw, 1) if name.endswith("gz") else raw)
    kind = PACKED if name.endswith("gz") else CSV
    content, peak = traced(lambda: plain(path, kind, None, room))
    assert peak < len(raw) / 2
    assert Path(content).read_bytes() == raw[len(mark) :]
    kept, peak = traced(lambda: _without_repeats(content, repeats_of(content, ","), rest))
    assert (kept, rest.read_bytes() == HEADER + 4_000_000 * ROW) == (rest, True)
    assert peak < len(raw) / 2
    lines, peak = traced(lambda: Text(path, kind, Reading()).repeated_headers(room))
    assert lines == [1_000_002, 2_000_003, 3_000_004]
    assert peak < len(raw) / 2
    assert not room.exists()
