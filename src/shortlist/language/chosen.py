"""The language in force: of a command, of one report, of a reader of the page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from shortlist.errors import ConfigError
from shortlist.language.catalogue import ENGLISH, catalogue, languages, with_values

__all__ = ["from_environment", "from_header", "language", "marked", "shown", "speaking", "translated"]

VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_chosen: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """The code of the language in force."""
    return _chosen.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Within it, messages are in the language ``code``.

    Raises:
        ConfigError: where there is no such language.
    """
    if code != ENGLISH and code not in languages():
        raise ConfigError(f"there is no language {code!r}.", hint=f"one of {', '.join(languages())}")
    before = _chosen.set(code)
    try:
        yield
    finally:
        _chosen.reset(before)


def translated(english: str, /, **values: object) -> str:
    """A message in the language in force.

    Args:
        english: the message, with ``{name}`` for each value.
        **values: by these names, as texts or numbers.
    """
    code = _chosen.get()
    if code == ENGLISH:
        return with_values(english, values) if values else english
    words = catalogue(code)
    text = words.get(english)
    return words.finished(with_values(text, values)) if values else text


def marked(english: str) -> str:
    """The message itself: it is translated where it is shown."""
    return english


def shown(text: str) -> str:
    """A finished message, such as that of an error, in the language in force; unchanged where there is no translation."""
    code = _chosen.get()
    return text if code == ENGLISH else catalogue(code).filled(text)


def from_environment(environment: Mapping[str, str] = os.environ) -> str:
    """The language that the locale's variables ask for (LC_ALL, LC_MESSAGES, LANG: the first that is set); else English."""
    asked = next((environment[name] for name in VARIABLES if environment.get(name)), ENGLISH)
    return _there(re.split(r"[_.@-]", asked)[0])


def from_header(header: str) -> str:
    """The language that a browser's Accept-Language prefers among those there are; else English."""
    best, most = ENGLISH, 0.0
    for part in header.split(",", 20)[:20]:
        name, _, weight = part.strip().partition(";q=")
        code = name.split("-")[0].strip().lower()
        quality = float(weight) if re.fullmatch(r"[01](?:\.\d{0,3})?", weight.strip()) else float(not weight)
        if quality > most and (code == ENGLISH or _there(code) != ENGLISH):
            best, most = _there(code), quality
    return best


def _there(code: str) -> str:
    if code.lower() in ("", ENGLISH, "c", "posix"):
        return ENGLISH  # nothing is looked for
    return code.lower() if code.lower() in languages() else ENGLISH
