"""Catalogues of messages: ``ko.po`` and the like, read when a language is first asked for.

The files have gettext's form, which translators' editors write. A message is the English text, with ``{name}`` for each value.
A comment ``#: page`` says where it is used: page, report, help, or one of ``BY_TEXT``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

__all__ = [
    "BY_TEXT",
    "ENGLISH",
    "Catalogue",
    "Entry",
    "catalogue",
    "entries",
    "languages",
    "placeholders",
    "with_values",
]

ENGLISH = "en"
FOLDER = Path(__file__).parent
BY_TEXT = ("server", "errors", "messages", "click")
"""Places whose messages are found by their finished text; those of ``click`` are the library's."""

PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Entry:
    """One message: ``english``, its translation, empty where there is none yet, and the places that use it."""

    english: str
    translation: str
    places: frozenset[str] = frozenset()

    @property
    def by_text(self) -> bool:
        """Whether it is found by its finished text."""
        return not self.places.isdisjoint(BY_TEXT)


@dataclass(frozen=True)
class Catalogue:
    """The messages of a language.

    Attributes:
        code: as in "ko".
        entries: by English text.
    """

    code: str
    entries: Mapping[str, Entry] = field(repr=False)

    def get(self, english: str) -> str:
        """The translation of a message; the English text where there is none."""
        found = self.entries.get(english)
        return english if found is None or not found.translation else found.translation

    def filled(self, text: str) -> str:
        """The translation of a message whose values are filled in already, such as that of an error.

        Of several messages that fit, the one with the longest text of its own; the text itself where none does.
        """
        exact = self.get(text)
        return self._by_text(text) if exact == text else exact

    def _by_text(self, text: str) -> str:
        """The same among the messages that are found by their text; their values are such texts too, such as "queries"."""
        entry = self.entries.get(text)
        if entry is not None and entry.by_text:
            return entry.translation or text
        for pattern, one in self._patterns:
            found = pattern.fullmatch(text)
            if found is not None:
                values = {name.removeprefix("_"): self._by_text(value) for name, value in found.groupdict().items()}
                return with_values(one.translation, values)
        return text

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], Entry]]:
        """Messages with values as patterns, those with most text of their own first."""
        kinds = [one for one in self.entries.values() if one.by_text and one.translation and PLACE.search(one.english)]
        kinds.sort(key=lambda one: -len(PLACE.sub("", one.english)))
        return [(re.compile(_pattern(one.english), re.DOTALL), one) for one in kinds]


def languages() -> tuple[str, ...]:
    """The languages there are, English first."""
    others = sorted(one.stem for one in FOLDER.glob("*.po"))
    return (ENGLISH, *others)


@cache
def catalogue(code: str) -> Catalogue:
    """The messages of a language of ``languages``; none for English."""
    if code == ENGLISH:
        return Catalogue(code, {})
    text = (FOLDER / f"{code}.po").read_text(encoding="utf-8")
    return Catalogue(code, {one.english: one for one in entries(text)})


def entries(text: str) -> Iterator[Entry]:
    """The messages of a catalogue's text; its head, which has no English text, is left out."""
    for block in re.split(r"\n\s*\n", text):
        parts: dict[str, str] = {"msgid": "", "msgstr": ""}
        places: list[str] = []
        key = None
        for line in block.splitlines():
            if line.startswith("#:"):
                places += line[2:].split()
                continue
            found = re.fullmatch(r'(?:(msgid|msgstr) )?(".*")', line.strip())
            if found is not None and (key := found[1] or key) is not None:
                parts[key] += json.loads(found[2])
        if parts["msgid"]:
            yield Entry(parts["msgid"], parts["msgstr"], frozenset(places))


def with_values(text: str, values: Mapping[str, object]) -> str:
    """A message with its values."""
    return PLACE.sub(lambda found: str(values.get(found[1], found[0])), text)


def placeholders(text: str) -> frozenset[str]:
    """The names of a message's values."""
    return frozenset(PLACE.findall(text))


def _pattern(english: str) -> str:
    """A regular expression for a message with its values filled in, a group for each."""
    seen: set[str] = set()
    parts = []
    for number, piece in enumerate(PLACE.split(english)):
        if number % 2 == 0:
            parts.append(re.escape(piece))
        else:
            parts.append(f"(?P=_{piece})" if piece in seen else f"(?P<_{piece}>.+?)")
            seen.add(piece)
    return "".join(parts)
