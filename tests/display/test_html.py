"""Small tables of HTML: what a cell says, and how much of a table is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl

from shortlist.display import escaped, facts_html, frame_html, table_html


def cells(html: str, tag: str = "td") -> list[str]:
    return re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html)


def test_texts_are_escaped_wherever_they_are() -> None:
    hostile = "<img src=x onerror='a()'>&\""
    safe = "&lt;img src=x onerror=&#x27;a()&#x27;&gt;&amp;&quot;"
    assert escaped(hostile) == safe
    html = table_html(hostile, [hostile], [[hostile]], [hostile])
    assert html.count(safe) == 4
    assert "<img" not in html
    assert "<img" not in facts_html(hostile, {hostile: hostile}, [hostile])


def test_what_a_cell_says() -> None:
    row = [1234, 0.5, 1234.5, float("nan"), float("inf"), None, True, [1, 2], [], {"a": 0.25}, "x" * 61, range(1)]
    said = ["1234", "0.5000", "1,234.5", "–", "inf", "–", "yes", "1, 2", "–", "a 0.2500", "x" * 59 + "…", "range(0, 1)"]
    assert cells(table_html("", [str(place) for place in range(12)], [row])) == said
    assert cells(table_html("", ["many"], [[list(range(9))]])) == ["0, 1, 2, 3, 4, …"]


def test_columns_of_numbers_are_aligned_right() -> None:
    html = table_html("", ["text", "number", "gap", "flag"], [["a", 1, None, True], ["b", 2.5, 3, False]])
    assert re.findall(r"<th style=\"text-align:(\w+)", html) == ["left", "right", "right", "left"]


def test_no_more_rows_are_read_than_are_shown() -> None:
    read = 0

    def rows() -> Iterator[list[int]]:
        nonlocal read
        while True:
            read += 1
            yield [read]

    assert cells(table_html("Endless", ["n"], rows()))[-1] == "20"
    assert read == 20


def test_what_is_not_shown_is_counted() -> None:
    frame = pl.DataFrame({f"c{number}": range(30) for number in range(15)})
    html = frame_html("Wide", frame, ["a note"])
    assert len(cells(html, "th")) == 12
    assert len(cells(html)) == 12 * 20
    assert cells(html, "div")[-3:] == ["3 more columns", "the first 20 of 30 rows", "a note"]
    assert len(cells(frame_html("Short", frame, rows=2))) == 12 * 2
