"""Every message that a catalogue of ``src/shortlist/language`` translates, collected from the source.

Run as a program it brings the catalogues up to date: new messages are added without a translation, unused ones are removed.
``python docs/messages.py missing [ROOM]`` prints the errors, warnings and messages that have no translation, as entries to fill in.

The parts of a catalogue: ``page``, the server's page; ``report``, reports and results in notebooks; ``help``, the commands' help.
``server`` (what the page shows of the server's replies), ``errors``, ``messages`` (what commands say) and ``click`` (what the
library says of a wrong command line) are found by their text when they are shown. Every message is there, except that errors which
only hand on what a value says, and code alone, need none.
"""

from __future__ import annotations

import ast
import builtins
import errno
import importlib
import itertools
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click

import shortlist
from shortlist.cli import main
from shortlist.language.catalogue import (
    BY_TEXT,
    ENGLISH,
    PLACE,
    Entry,
    catalogue,
    entries,
    languages,
    placeholders,
    with_values,
)
from shortlist.language.counting import plural
from shortlist.serve.page import texts

SOURCE = Path(shortlist.__file__).parent
FOLDER = SOURCE / "language"
SCRIPT = re.compile(r'\btranslated\("((?:[^"\\]|\\.)*)"')
MOST = 200  # texts of one expression
SAYING = frozenset({"say"})
REFUSING = frozenset({"Problem", "_unfit", "_refused", "wrong_type", "not_fitted", "deprecated", "warn", "fail"})
INTERNAL = frozenset({"LogGoneError", "ValidationError", "DecodeError", "InvalidOperationError"})  # caught, not shown
COUNTED = frozenset({"counted", "number_of"})
UNFIT = "_unfit"
SERVED = frozenset({"serve", "recommender", "errors.py"})
REFUSALS = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.ENOSPC,
    errno.EROFS,
    errno.EFBIG,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.EBUSY,
    errno.EADDRINUSE,
    errno.EADDRNOTAVAIL,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ETIMEDOUT,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENOMEM,
)
"""What the system says when it refuses a file, an address or memory; errors hand it on."""

COMPUTED = (
    "a {t}",
    "an {t}",
    "{0}; {1}",
    "{0}; or {1}",
    "the condition",
    *("{n} " + noun for noun in ("file", "files", "ratings", "users", "movie titles")),
    *("{n} " + side + " row" + s for side in ("query", "candidate") for s in ("", "s")),
    "{n} interaction from {n1} file",
    "{n} interactions from {n1} file",
    "{n} interactions from {n1} files",
    "expected `{0}`.",
    "expected `{0}`, got `{1}`.",
    "object missing required field `{0}`.",
    *(os.strerror(code) for code in REFUSALS),
)
"""Messages that are put together in another way: the kind of a value, parts one after the other, what is counted, msgspec's."""
PROSE = re.compile(r"[a-z]{2,}[,:;]? (?:[a-z]+ )?[a-z]{2,}")
WORD = re.compile(r"(?<![\w./-])[a-z]{2,}(?![\w=.(/:\]-])")
CODE = re.compile(
    r"`[^`]*`|\"[^\"]*\"|'[^']*'|[\w.]*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|(?:shortlist|pip|openssl|ray|gcloud|hf|torchrun) [^;]*|GET /\S*|--\w[\w-]*(?: [A-Z]+)?"
)
HEAD = (
    'msgid ""\nmsgstr ""\n"Language: {code}\\n"\n"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    '"Content-Transfer-Encoding: 8bit\\n"\n'
)


def messages() -> dict[str, set[str]]:
    """The parts that use each message, of those parts that a catalogue must have in full."""
    found: dict[str, set[str]] = {}
    for part, texts_of in (("page", _page()), ("report", _report()), ("help", _help())):
        for text in texts_of:
            found.setdefault(text, set()).add(part)
    return found


@dataclass(frozen=True)
class Said:
    """An error, a warning, a hint or a message of a command where it is made.

    Attributes:
        room: the first folder, or the file, of ``place``.
        place: file and line.
        part: "errors" or "messages".
        forms: its texts in words, one for each way that its conditions can turn out, with ``{0}``, ``{1}`` … for what is filled in.
    """

    room: str
    place: str
    part: str
    forms: tuple[str, ...]


@cache
def templates() -> Mapping[str, int]:
    """Every text of the source, with ``{0}``, ``{1}`` … for what is filled in: whatever a message by text may be. By text, its place."""
    found: dict[str, int] = dict.fromkeys(COMPUTED, 0)
    for _, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.IfExp)):
                for text in itertools.islice(_numbered(node), MOST):
                    for part in (text, *_with_hint(text)):
                        found.setdefault(part, len(found))
            elif isinstance(node, ast.Call) and _name(node) in COUNTED:
                for noun in (argument.value for argument in node.args[1:] if isinstance(argument, ast.Constant)):
                    found.setdefault(f"{{n}} {noun!s}", len(found))
                    found.setdefault(f"{{n}} {plural(str(noun))}", len(found))
            elif isinstance(node, ast.Call) and _name(node) == UNFIT:
                for text in _numbered(_unfit(node)):
                    found.setdefault(text, len(found))
    return found


@cache
def said() -> tuple[Said, ...]:
    """Every error, warning, hint and message of a command whose text stands where it is made, in the order of the files."""
    found = []
    for path, tree in _trees():
        place = path.relative_to(SOURCE)
        for node in ast.walk(tree):
            part = _part(node)
            if part is None or not isinstance(node, ast.Call):
                continue
            texts = (
                [_unfit(node), *node.args[2:]]
                if _name(node) == UNFIT
                else [*node.args, *(one.value for one in node.keywords)]
            )
            for text in texts:
                forms = tuple(
                    dict.fromkeys(form for one in itertools.islice(_expanded(text), MOST) for form in _with_hint(one))
                )
                if prose := tuple(form for form in forms if len(WORD.findall(CODE.sub("", PLACE.sub(" ", form)))) > 1):
                    found.append(Said(place.parts[0], f"{place}:{node.lineno}", part, prose))
    return tuple(found)


def missing(code: str, room: str | None = None) -> list[tuple[Said, str]]:
    """Texts that have no translation, or one that leaves words of the source in English."""
    words = catalogue(code)
    found = []
    for one in said():
        for form in one.forms if room in (None, one.room) else ():
            if form not in words.entries:
                values = [f"‹{name}›" for name in placeholders(form)]
                finished = with_values(form, {name: f"‹{name}›" for name in placeholders(form)})
                shown = words.filled(finished)
                if shown == finished or _is_prose(shown) or not all(value in shown for value in values):
                    found.append((one, form))
    return found


def in_source(entry: Entry) -> bool:
    """Whether the message of a part that goes by text is still what the source says, and says anything."""
    return "click" in entry.places or (entry.english in templates() and PLACE.sub("", entry.english) != "")


@cache
def _trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(SOURCE.rglob("*.py"))]


def _is_prose(text: str) -> bool:
    """Whether a text has English words next to each other, outside of code."""
    return PROSE.search(CODE.sub("", text)) is not None


def _name(node: ast.AST) -> str:
    return getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""


def _part(node: ast.AST) -> str | None:
    """The part of a catalogue that holds the texts of a call; None where it says nothing to a user."""
    name = _name(node)
    if name in SAYING:
        return "messages"
    raised = name.endswith("Error") and name not in INTERNAL and not hasattr(builtins, name)
    return "errors" if raised or name in REFUSING else None


def _with_hint(text: str) -> tuple[str, ...]:
    """The warning and the hint of a text that holds both, which are shown one after the other; else the text."""
    return tuple(_renumbered(part) for part in text.split("\nhint: "))


def _renumbered(text: str) -> str:
    number = itertools.count()
    return PLACE.sub(lambda _: f"{{{next(number)}}}", text) if PLACE.search(text) else text


def _unfit(node: ast.Call) -> ast.expr:
    """The text of ``_unfit(label, reason, hint)``, which is ``f"{label} {reason}"``."""
    label, reason = node.args[:2]
    return ast.JoinedStr(
        [
            ast.FormattedValue(label, -1),
            ast.Constant(" "),
            ast.FormattedValue(reason, -1) if isinstance(reason, ast.Name) else reason,
        ]
    )


def _page() -> Iterator[str]:
    folder = SOURCE / "serve" / "page"
    yield from texts((folder / "index.html").read_text(encoding="utf-8"))
    yield from ("items", "people")
    for path in sorted(folder.glob("*.js")):
        for text in SCRIPT.findall(path.read_text(encoding="utf-8")):
            yield text.replace('\\"', '"').replace("\\'", "'")


def _report() -> Iterator[str]:
    for path in (
        *sorted((SOURCE / "report").glob("*.py")),
        SOURCE / "display" / "html.py",
        SOURCE / "cli" / "report.py",
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("translated", "marked"):
                yield from (text for argument in node.args[:1] for text in _literals(argument))


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)


def _help() -> Iterator[str]:
    yield from (main.PURPOSE, main.FRONT, *main.COMMANDS.values(), *main.HEADINGS)
    groups: list[click.Command] = [main.cli]
    for name in main.COMMANDS:
        groups.append(importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command)
    for command in groups:
        yield from main.texts_of(command)


def _numbered(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be, with numbered places for what a run fills in, conditions among it or not."""
    return _texts(_alternatives(node, True))


def _expanded(node: ast.expr) -> Iterator[str]:
    """The same with one of the texts of each condition, never a place for it."""
    return _texts(_alternatives(node, False))


def _texts(alternatives: Iterable[tuple[str | None, ...]]) -> Iterator[str]:
    for parts in alternatives:
        number = itertools.count()
        if any(part is not None for part in parts):
            yield "".join(f"{{{next(number)}}}" if part is None else part for part in parts)


def _alternatives(node: ast.expr, places: bool) -> Iterator[tuple[str | None, ...]]:
    if isinstance(node, ast.Constant):
        yield (str(node.value),)
    elif isinstance(node, ast.JoinedStr):
        for chosen in itertools.product(*(list(_alternatives(part, places)) for part in node.values)):
            yield tuple(itertools.chain.from_iterable(chosen))
    elif isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.IfExp):
        if places:
            yield (None,)
        yield from _alternatives(node.value, places)
    elif isinstance(node, ast.IfExp):
        yield from _alternatives(node.body, places)
        yield from _alternatives(node.orelse, places)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in _alternatives(node.left, places):
            for right in _alternatives(node.right, places):
                yield left + right
    else:
        yield (None,)


def written(code: str, there: Iterable[Entry]) -> str:
    """A catalogue's text."""
    blocks = [HEAD.format(code=code)]
    for one in there:
        blocks.append(_entry(one.english, one.translation, one.places))
    return "\n".join(blocks)


def current(code: str, text: str) -> str:
    """A catalogue's text, up to date."""
    used = messages()
    there = {one.english: one for one in entries(text)}
    served = _served()
    kept = []
    for english, parts in used.items():
        before = there.get(english)
        also = frozenset() if before is None else _places(before, served)
        kept.append(Entry(english, "" if before is None else before.translation, frozenset(parts | also)))
    order = templates()
    others = [one for one in there.values() if one.english not in used and one.places & set(BY_TEXT) and in_source(one)]
    others.sort(key=lambda one: order.get(one.english, len(order)))
    kept += [Entry(one.english, one.translation, _places(one, served)) for one in others]
    return written(code, kept)


def _places(one: Entry, served: Collection[str]) -> frozenset[str]:
    """The places of a message by text; the page shows those of the server's replies."""
    places = one.places & set(BY_TEXT)
    return places | {"server"} if "errors" in places and one.english in served else places


def _served() -> frozenset[str]:
    """The texts of the rooms whose errors the server answers with, among those of conditions."""
    found: set[str] = set()
    for path, tree in _trees():
        if path.relative_to(SOURCE).parts[0] in SERVED or path.name.startswith("condition"):
            for node in ast.walk(tree):
                if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.IfExp)):
                    found |= set(itertools.islice(_numbered(node), MOST))
    return frozenset(found)


def _entry(english: str, translation: str, places: Iterable[str]) -> str:
    lines = "".join(f"{key} {_quoted(text)}\n" for key, text in (("msgid", english), ("msgstr", translation)))
    return f"#: {' '.join(sorted(places))}\n{lines}"


def _quoted(text: str) -> str:
    lines = text.split("\n")
    whole = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] or len(lines) == 1 else [])
    escaped = ['"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"' for line in whole]
    return escaped[0] if len(escaped) == 1 else "\n".join(['""', *escaped])


if __name__ == "__main__":
    asked, others = sys.argv[1:2], [code for code in languages() if code != ENGLISH]
    for language in others:
        path = FOLDER / f"{language}.po"
        if asked == ["missing"]:
            parts = {form: one.part for one, form in missing(language, *sys.argv[2:3])}
            sys.stdout.write("\n".join(_entry(form, "", [part]) for form, part in parts.items()))
        else:
            path.write_text(current(language, path.read_text(encoding="utf-8")), encoding="utf-8")
