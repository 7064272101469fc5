"""Every message that a catalogue of ``src/shortlist/language`` translates, collected from the source.

Run as a program it brings the catalogues up to date: new messages are added without a translation, unused ones are removed.

The parts of a catalogue: ``page``, the server's page; ``report``, reports and results in notebooks; ``help``, the commands' help. Of these every message is
there. ``server`` (what the page shows of the server's replies), ``errors``, ``messages`` (what commands say) and ``click`` (what the
library says of a wrong command line) hold those that are translated: they are found by their text when they are shown.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import click

import shortlist
from shortlist.cli import main
from shortlist.language.catalogue import BY_TEXT, ENGLISH, Entry, entries, languages
from shortlist.serve.page import texts

SOURCE = Path(shortlist.__file__).parent
FOLDER = SOURCE / "language"
SCRIPT = re.compile(r'\btranslated\("((?:[^"\\]|\\.)*)"')
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


@cache
def templates() -> frozenset[str]:
    """Every text of the source, with ``{0}``, ``{1}`` … for what is filled in: whatever a message by text may be."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.IfExp)):
                found |= set(itertools.islice(_numbered(node), 50))
    return frozenset(found)


def in_source(entry: Entry) -> bool:
    """Whether the message of a part that goes by text is still what the source says."""
    return entry.english in templates() or "click" in entry.places


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
    """The texts that an expression may be, with numbered places for what a run fills in."""
    for parts in _alternatives(node):
        number = itertools.count()
        if any(part is not None for part in parts):
            yield "".join(f"{{{next(number)}}}" if part is None else part for part in parts)


def _alternatives(node: ast.expr) -> Iterator[tuple[str | None, ...]]:
    if isinstance(node, ast.Constant):
        yield (str(node.value),)
    elif isinstance(node, ast.JoinedStr):
        for chosen in itertools.product(*(list(_alternatives(part)) for part in node.values)):
            yield tuple(itertools.chain.from_iterable(chosen))
    elif isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.IfExp):
        yield (None,)
        yield from _alternatives(node.value)
    elif isinstance(node, ast.IfExp):
        yield from _alternatives(node.body)
        yield from _alternatives(node.orelse)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in _alternatives(node.left):
            for right in _alternatives(node.right):
                yield left + right
    else:
        yield (None,)


def written(code: str, there: Iterable[Entry]) -> str:
    """A catalogue's text."""
    blocks = [HEAD.format(code=code)]
    for one in there:
        lines = "".join(
            f"{key} {_quoted(text)}\n" for key, text in (("msgid", one.english), ("msgstr", one.translation))
        )
        blocks.append(f"#: {' '.join(sorted(one.places))}\n{lines}")
    return "\n".join(blocks)


def current(code: str, text: str) -> str:
    """A catalogue's text, up to date."""
    used = messages()
    there = {one.english: one for one in entries(text)}
    kept = []
    for english, parts in used.items():
        before = there.get(english)
        also = set() if before is None else before.places & set(BY_TEXT)
        kept.append(Entry(english, "" if before is None else before.translation, frozenset(parts | also)))
    others = [one for one in there.values() if one.english not in used and in_source(one)]
    kept += [
        Entry(one.english, one.translation, one.places & set(BY_TEXT)) for one in others if one.places & set(BY_TEXT)
    ]
    return written(code, kept)


def _quoted(text: str) -> str:
    lines = text.split("\n")
    whole = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] or len(lines) == 1 else [])
    escaped = ['"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"' for line in whole]
    return escaped[0] if len(escaped) == 1 else "\n".join(['""', *escaped])


if __name__ == "__main__":
    for language in languages():
        if language != ENGLISH:
            path = FOLDER / f"{language}.po"
            path.write_text(current(language, path.read_text(encoding="utf-8")), encoding="utf-8")
