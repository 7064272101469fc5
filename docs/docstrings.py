"""The API reference: every public name, and its docstring as Markdown (examples fenced, ``name: meaning`` as lists).

Run as a program it writes ``docs/reference.md``; mkdocstrings loads ``Markdown`` from it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe

from shortlist._public import ROOMS

ENTRY = re.compile(r"^(?:\*{0,2}[a-z_][\w]*(?:, [a-z_]\w*)*): ")


class Markdown(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring's text as Markdown."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n\s*\n", text))


def _paragraph(part: str) -> str:
    lines = part.splitlines()
    if lines[0].lstrip().startswith(">>>"):
        indent = len(lines[0]) - len(lines[0].lstrip())
        return "\n".join(["```pycon", *(line[indent:] for line in lines), "```"])
    if lines[0].strip() in ("Args:", "Attributes:", "Raises:"):
        head, lines = f"**{lines[0].strip()}**\n\n", [line[4:] for line in lines[1:]]
        return head + _entries(lines)
    return _entries(lines) if any(ENTRY.match(line) for line in lines) else part


def _entries(lines: list[str]) -> str:
    """Each ``name: meaning`` as an item; several on one line are taken apart."""
    whole: list[str] = []
    for line in lines:
        if ENTRY.match(line) or re.match(r"^[A-Z]\w+Error: ", line) or not whole:
            whole.append(line.strip())
        else:
            whole[-1] += " " + line.strip()
    items = [item for line in whole for item in re.split(r"(?<=[.;]) (?=[a-z_]\w*(?:, [a-z_]\w*)*: )", line)]
    return "\n".join(
        re.sub(r"^([\w*, ]+): ", r"- **\1**: ", item) if ENTRY.match(item) or "Error: " in item else f"\n{item}\n"
        for item in items
    )


def reference() -> str:
    """The page: a heading for each room, a directive for each public name."""
    page = "# API reference\n\nEverything here is used as `sl.Name` after `import shortlist as sl`.\n"
    room = ""
    for name, place in ROOMS.items():
        if place != room:
            room = place
            page += f"\n## {room.split('.')[0].capitalize()}\n"
        page += f"\n::: shortlist.{place}.{name}\n"
    return page


if __name__ == "__main__":
    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
