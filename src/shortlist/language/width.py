"""Text in columns of a terminal, where a letter of Korean, Chinese or Japanese takes two."""

from __future__ import annotations

import textwrap
import unicodedata

__all__ = ["WIDTH", "columns", "cut", "folded", "padded"]

WIDTH = 80
"""Columns of a terminal that printed results fit."""


def columns(text: str) -> int:
    """How many columns a text takes.

    Example:
        >>> columns("recall"), columns("재현율")
        (6, 6)
    """
    return len(text) if text.isascii() else sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text)


def padded(text: str, width: int, right: bool = False) -> str:
    """A text in a cell of ``width`` columns, to its left or right."""
    space = " " * max(width - columns(text), 0)
    return space + text if right else text + space


def cut(text: str, width: int, keep_end: bool = False) -> str:
    """A text of at most ``width`` columns, with … where the rest was: behind its beginning, or before its end.

    Example:
        >>> cut("factorization", 7), cut("factorization", 7, keep_end=True), cut("추천 모델", 7)
        ('factor…', '…zation', '추천 …')
    """
    if columns(text) <= width:
        return text
    while text and columns(text) >= width:
        text = text[1:] if keep_end else text[:-1]
    return f"…{text}" if keep_end else f"{text}…"


def folded(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """A text as lines of at most ``width`` columns, as ``textwrap.wrap`` makes them; a longer word has a line of its own.

    Args:
        first: what the first line begins with.
        rest: what the other lines begin with.
    """
    if columns(text) == len(text):
        return textwrap.wrap(
            text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
        )
    lines, line = [], first
    for word in text.split():
        if line.strip() and columns(line) + 1 + columns(word) > width:
            lines.append(line)
            line = rest
        line += f" {word}" if line.strip() else word
    return [*lines, line]
