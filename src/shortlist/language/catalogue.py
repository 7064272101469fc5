"""Catalogues of messages: ``ko.po`` and the like, read when a language is first asked for.

The files have gettext's form, which translators' editors write. A message is the English text, with ``{name}`` for each value.
A comment ``#: page`` says where it is used: page, report, help, or one of ``BY_TEXT``. In those that are found by their finished
text, ``{n}`` (``{n1}`` …) is a number and ``{t}`` the name of a type, so that "{n} rows" fits "3 rows" and no other text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from shortlist.language.particles import chosen_particles

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

VALUES = ("errors", "messages", "click")
"""Those of them that a message's values may be, too; names that the page alone translates, such as "popularity", stay as they are."""

PLACE = re.compile(r"\{(\w+)\}")
KINDS = {"n": re.compile(r"\d[\d,.]*"), "t": re.compile(r"[\w.]+(?: [\w.]+)?")}
ANY = re.compile(r".*", re.DOTALL)
NAMING = ("--", "'", '"', "`")
ENDING = re.compile(r"[,;:]? \(?\w|[,;:] ")


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
        return self.finished(self._by_text(text) if exact == text else exact)

    def finished(self, text: str) -> str:
        """A translation whose values are filled in, with what its language changes behind them."""
        return chosen_particles(text) if self.code == "ko" else text

    def _by_text(self, text: str) -> str:
        """The same among the messages that are found by their text; their values are such texts too, such as "queries"."""
        entry = self.entries.get(text)
        if entry is not None and not entry.places.isdisjoint(VALUES):
            return entry.translation or text
        for form, one in self._forms if text else ():
            values = form.values_in(text)
            if values is None:
                continue
            if text.endswith(".") and not form.pieces[-1]:  # a sentence of a message that has no full stop of its own
                return f"{self._by_text(text[:-1])}."
            listed = text.split("; ")
            if len(listed) > 1 and all(form.values_in(part) is not None for part in listed):
                return "; ".join(map(self._by_text, listed))
            return self._with_values(form, one, values)
        return self._with_ending(text)

    def _with_ending(self, text: str) -> str:
        """A value and an ending, such as "'a', the first in row 3", of which a message with two values next to each other is made."""
        for form, one in self._endings if text else ():
            at = text.find(form.pieces[0], 1)
            values = form.values_in(text[at:]) if at > 0 else None
            if values is not None:
                return self._by_text(text[:at]) + self._with_values(form, one, values)
        return text

    def _with_values(self, form: _Form, one: Entry, values: Mapping[str, str]) -> str:
        """A message with its values, translated unless they are names of options: ``{name}=``, ``--{name}``, in quotes."""
        said = {
            name: values[name] if after.startswith("=") or before.endswith(NAMING) else self._by_text(values[name])
            for before, name, after in zip(form.pieces, form.names, form.pieces[1:], strict=False)
        }
        return with_values(one.translation, said)

    @cached_property
    def _forms(self) -> list[tuple[_Form, Entry]]:
        """Messages with values, those with most text of their own first."""
        return [(form, one) for form, one in self._all_forms if form.names]

    @cached_property
    def _endings(self) -> list[tuple[_Form, Entry]]:
        """Messages that continue another one, in the same order."""
        return [(form, one) for form, one in self._all_forms if ENDING.match(one.english)]

    @cached_property
    def _all_forms(self) -> list[tuple[_Form, Entry]]:
        kinds = [one for one in self.entries.values() if one.by_text and one.translation and PLACE.sub("", one.english)]
        kinds.sort(key=lambda one: -len(PLACE.sub("", one.english)))
        return [(_Form.of(one.english), one) for one in kinds]


@dataclass(frozen=True)
class _Form:
    """A message with values: its own ``pieces``, one more than the ``names`` between them."""

    pieces: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, english: str) -> _Form:
        parts = PLACE.split(english)
        return cls(tuple(parts[::2]), tuple(parts[1::2]))

    def values_in(self, text: str) -> dict[str, str] | None:
        """The values of a finished text, each as short as can be, or none where the text has another form.

        Of two values next to each other the first has all.
        """
        first, *between, last = self.pieces
        if not text.startswith(first) or not text.endswith(last):
            return None
        begin, end = len(first), len(text) - len(last)
        found = []
        ends = [*between[1:], last]
        for number, piece in enumerate(between):
            at = text.find(piece, begin, end) if piece else _first_place(text, ends[number:], begin, end)
            if at < 0:
                return None
            found.append(text[begin:at])
            begin = at + len(piece)
        if begin > end:
            return None
        pairs = list(zip(self.names, [*found, text[begin:end]], strict=True))
        fits = all(KINDS.get(name[0], ANY).fullmatch(value) for name, value in pairs)
        return dict(pairs) if fits and len(set(pairs)) == len(set(self.names)) else None


def _first_place(text: str, pieces: Sequence[str], begin: int, end: int) -> int:
    """Where the next of the pieces that is not empty begins; the end where only the last one is left."""
    for piece in pieces[:-1]:
        if piece:
            return text.find(piece, begin, end)
    return end


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
    for block in text.split("\n\n"):
        parts: dict[str, str] = {"msgid": "", "msgstr": ""}
        places: list[str] = []
        key = ""
        for line in block.splitlines():
            if line.startswith("#:"):
                places += line[2:].split()
            elif not line.startswith("#"):
                name, quote, rest = line.strip().partition('"')
                key = name.strip() or key
                if quote and key in parts:
                    parts[key] += json.loads(f'"{rest}') if "\\" in rest else rest[:-1]
        if parts["msgid"]:
            yield Entry(parts["msgid"], parts["msgstr"], frozenset(places))


def with_values(text: str, values: Mapping[str, object]) -> str:
    """A message with its values."""
    return PLACE.sub(lambda found: str(values.get(found[1], found[0])), text)


def placeholders(text: str) -> frozenset[str]:
    """The names of a message's values."""
    return frozenset(PLACE.findall(text))
