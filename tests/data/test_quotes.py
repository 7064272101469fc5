"""Stray quotes: what is written with them reads back, field by field."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.quotes import mended, quotes_of, without_quoting

FIELDS = st.text(st.sampled_from('ab" \n,;'), max_size=5)
TABLES = st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=5)


def as_people_write(field: str) -> str:
    """Quoted where CSV must quote, but a quote within a field as it stands."""
    if field.startswith('"') or "," in field or "\n" in field:
        return '"' + field.replace('"', '""') + '"'
    return field


def stray(text: str) -> int | None:
    return quotes_of(np.frombuffer(text.encode(), np.uint8), ",").stray


@given(TABLES)
def test_mended_text_is_read_by_any_reader_as_it_was_meant(table: list[list[str]]) -> None:
    text = "".join(",".join(map(as_people_write, row)) + "\n" for row in table)
    better = mended(text.encode(), ",").decode()
    assert stray(better) is None
    rows = list(csv.reader(io.StringIO(better, newline="")))
    assert rows == table


@given(TABLES)
def test_proper_quotes_are_never_stray(table: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    assert stray(text.getvalue()) is None
    assert mended(text.getvalue().encode(), ",").decode() == text.getvalue()


def test_the_first_stray_quote_is_found() -> None:
    for text, place in [
        ('a,6" pipe\n', 3),
        ('"a",6"\n', 5),
        ('"a,b\n', 0),
        ('"a" b,c\n', 2),
        ('a,"b"\n', None),
        ('a,"""b"""\n', None),
        ("a,b\n", None),
    ]:
        assert stray(text) == place, text


def test_pieces_are_looked_at_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote at either end of every piece."""
    content = np.frombuffer(b'"a""b",6" x\n' * 3, np.uint8)
    whole = quotes_of(content, ",")
    for piece in range(1, 12):
        monkeypatch.setattr("shortlist.data.quotes.PIECE", piece)
        assert quotes_of(content, ",") == whole


def test_a_text_without_quoting_has_no_whole_field_in_quotes() -> None:
    for text, plain in [
        ('a\tb\n"x\t1\n', True),
        ('a\tb\n"x"\t1\n', False),
        ('a\tb\n"x" y\t1\n', True),
        ('a\tb\n"x\t1\t2\n', False),
        ('a\tb\n"6" pipe"\t1\n', False),
    ]:
        assert without_quoting(np.frombuffer(text.encode(), np.uint8), "\t") == plain, text
