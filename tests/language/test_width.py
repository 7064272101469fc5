"""Columns of a terminal: Latin letters take one, Korean ones two."""

from __future__ import annotations

from shortlist.language import columns, cut, folded, padded


def test_letters_of_two_columns() -> None:
    assert [columns(text) for text in ("", "abc", "가나", "가 나", "a가", "±…")] == [0, 3, 4, 5, 3, 2]


def test_cells() -> None:
    assert padded("가", 4) == "가  "
    assert padded("가", 4, right=True) == "  가"
    assert padded("abc", 2) == "abc"


def test_a_text_that_is_cut() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 5) == "abcd…"
    assert cut("abcdef", 5, keep_end=True) == "…cdef"
    assert [cut("가나다", width) for width in (6, 5, 4, 1)] == ["가나다", "가나…", "가…", "…"]
    assert cut("가나다", 5, keep_end=True) == "…나다"
    assert cut("abc", 0) == "…"


def test_lines() -> None:
    assert folded("one two three", 7) == ["one two", "three"]
    assert folded("하나 둘 셋넷", 7) == ["하나 둘", "셋넷"]  # 4 + 1 + 2
    assert folded("하나 둘 셋넷", 9, "  ", "    ") == ["  하나 둘", "    셋넷"]
    assert folded("아주긴낱말 둘", 4) == ["아주긴낱말", "둘"]
    assert folded("둘 아주긴낱말", 4) == ["둘", "아주긴낱말"]
