"""Quotes in delimited text: whether each of them opens or closes a field, and how to read a text where one does not.

A product called 6" pipe is written without escaping by many programs. A quote is only one of CSV's own where it begins a
field; Polars counts every quote, and would read the rows between two of them as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Quotes", "mended", "quotes_of", "without_quoting"]

Bytes: TypeAlias = "NDArray[np.uint8]"
QUOTE, NEWLINE, RETURN = 0x22, 0x0A, 0x0D
PIECE = 1 << 26


@dataclass(frozen=True)
class Quotes:
    """How the fields of a delimited text are quoted.

    Attributes:
        fields: whether some field begins with a quote.
        stray: where the first quote that belongs to no field is, or None.
    """

    fields: bool
    stray: int | None


def quotes_of(content: Bytes, separator: str) -> Quotes:
    """How quotes are used in ``content``.

    With all quotes CSV's own, every first one of a pair begins a field (or follows a quote, as in "a ""b"" c") and every
    second one ends it (or comes before a quote).
    """
    edges = (ord(separator), NEWLINE, RETURN, QUOTE)
    begins = edges[:3]
    fields, stray, count = False, None, 0
    last = len(content) - 1
    for start in range(0, len(content), PIECE):
        places = np.flatnonzero(content[start : start + PIECE] == QUOTE) + start
        if not len(places):
            continue
        before = np.where(places > 0, content[np.maximum(places - 1, 0)], NEWLINE)
        after = np.where(places < last, content[np.minimum(places + 1, last)], NEWLINE)
        opening = (np.arange(len(places)) + count) % 2 == 0
        bad = np.where(opening, ~np.isin(before, edges), ~np.isin(after, edges))
        fields = fields or bool((np.isin(before, begins)).any())
        if stray is None and bad.any():
            stray = int(places[bad.argmax()])
        count += len(places)
    if stray is None and count % 2:
        stray = int(np.flatnonzero(content == QUOTE)[-1])
    return Quotes(fields, stray)


def without_quoting(content: Bytes, separator: str) -> bool:
    """Whether a text whose fields may begin with a quote was written without quoting.

    It was if no field of the lines is quoted as a whole, and every line has as many separators.
    """
    parts = re.escape(separator.encode())
    end = rb"(?=[" + parts + rb"\r\n]|\Z)"
    begin = rb"(?<![^" + parts + rb"\r\n])"
    whole = rb'"(?:[^"\r\n]*(?:""[^"\r\n]*)*|[^' + parts + rb'\r\n]*)"'
    if re.search(begin + whole + end, content.data):
        return False
    lines = np.flatnonzero(content == NEWLINE)
    if not len(lines) or lines[-1] != len(content) - 1:
        lines = np.append(lines, len(content))
    each = np.diff(np.searchsorted(np.flatnonzero(content == ord(separator)), lines), prepend=0)
    blank = np.diff(lines, prepend=-1) <= 2
    return len(np.unique(each[~blank])) <= 1


def mended(content: bytes, separator: str) -> bytes:
    """The same text, where fields that hold a quote without beginning with one are quoted as CSV wants it."""
    parts = re.escape(separator.encode())
    within, field = rb"[^" + parts + rb"\r\n]", rb"(?<![^" + parts + rb"\r\n])"
    quoted = rb'"[^"]*(?:""[^"]*)*"(?=[' + parts + rb"\r\n]|\Z)"
    bare = rb'[^"' + parts + rb'\r\n]+"' + within + rb"*"
    pattern = re.compile(field + rb"(?:(" + quoted + rb")|(" + bare + rb"))")

    def whole(match: re.Match[bytes]) -> bytes:
        text = match.group(2)
        return match.group(1) if text is None else b'"' + text.replace(b'"', b'""') + b'"'

    return pattern.sub(whole, content)
