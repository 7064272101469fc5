"""Numbers with their nouns: "1 query", "3 queries"."""

from __future__ import annotations

__all__ = ["counted", "plural"]

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
