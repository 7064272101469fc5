"""Reads docstrings in Google's form: the text, and the words on each argument or attribute."""

from __future__ import annotations

import inspect
import re

__all__ = ["described"]

_SECTION = re.compile(r"^(?:Args|Attributes):\n((?:(?: {4}.*)?(?:\n|$))+)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def described(docstring: str | None) -> tuple[str, dict[str, str]]:
    """The text before the first section, and the words on each name of Args and Attributes, each on one line.

    Example:
        >>> described("The area.\\n\\nArgs:\\n    width: in metres,\\n        not feet.")
        ('The area.', {'width': 'in metres, not feet.'})
    """
    clean = inspect.cleandoc(docstring or "")
    entries = {
        name: " ".join(words.split()) for section in _SECTION.findall(clean) for name, words in _ENTRY.findall(section)
    }
    head = re.split(r"\n\n(?=\w+:\n {4}|Source: )", clean, maxsplit=1)[0]
    return head, entries
