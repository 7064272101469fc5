"""Numbers with their nouns, "1 query", "3 queries", and bytes in the unit that suits them, "1.2 MB"."""

from __future__ import annotations

__all__ = ["counted", "plural", "sized"]

VOWELS = "aeiou"
HISSING = ("s", "x", "tch", "sh")  # not the "ch" of epoch


def plural(noun: str) -> str:
    """The plural of an English noun, the last word of ``noun``.

    Example:
        >>> plural("clicked list"), plural("query"), plural("day")
        ('clicked lists', 'queries', 'days')
    """
    if noun.endswith("y") and noun[-2:-1] not in VOWELS:
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(HISSING) else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless there is one.

    Example:
        >>> counted(1, "query"), counted(1682, "row")
        ('1 query', '1,682 rows')
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def sized(count: int) -> str:
    """A number of bytes in the unit that suits it, of 1000 bytes, a million or a billion.

    Example:
        >>> sized(19_999), sized(2_500_000_000)
        ('20.0 kB', '2.5 GB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"
