"""A text file's bytes as UTF-8: unpacked, recoded, and told what is wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from shortlist.data.formats import Format
from shortlist.data.text_content import TextError, buffer_of, check_utf8, line_of, plain

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
