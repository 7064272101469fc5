"""Every module of the package: what it is for, and which modules call it.

Run as a program it writes ``docs/modules.md``; ``make docs`` does too, through ``docs/docstrings.py``.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from shortlist._public import ROOMS

SOURCE = Path(__file__).parents[1] / "src" / "shortlist"
PAGE = Path(__file__).with_name("modules.md")
HEAD = """# Modules

Each module of `src/shortlist`, the first sentence of its docstring, and the modules that import it. A name without a room is in
the same room; `sl.name` is public, and a command is called by its user. Written by `python docs/modules.py`.
"""


@cache
def modules() -> dict[str, ast.Module]:
    """Every module by its dotted name within the package, parsed; a room's ``__init__`` by the room's name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return found


def purpose(name: str) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(modules()[name]) or ""
    return " ".join(text.split("\n\n")[0].split())


def callers() -> dict[str, set[str]]:
    """Which modules import each module; what a room's ``__init__`` passes on counts for the module that has it."""
    passed_on = {
        (room, alias.asname or alias.name): target
        for room in modules()
        for target, alias in _imported(room)
        if any(name.startswith(f"{room}.") for name in modules())
    }
    found: dict[str, set[str]] = {name: set() for name in modules()}
    for name in modules():
        for target, alias in _imported(name):
            whole = f"{target}.{alias.name}"
            home = whole if whole in found else passed_on.get((target, alias.name), target)
            if home in found and home != name:
                found[home].add(name)
    return found


def public(name: str) -> list[str]:
    """The public names that a module defines."""
    defined = {getattr(node, "name", None) for node in modules()[name].body}
    room = name.partition(".")[0]
    return [f"sl.{one}" for one, place in ROOMS.items() if one in defined and place.partition(".")[0] == room]


def _imported(name: str) -> list[tuple[str, ast.alias]]:
    nodes = [node for node in ast.walk(modules()[name]) if isinstance(node, ast.ImportFrom) and node.module]
    return [
        (str(node.module).removeprefix("shortlist").removeprefix("."), alias)
        for node in nodes
        if str(node.module).split(".")[0] == "shortlist"
        for alias in node.names
    ]


def page() -> str:
    """A section for each room, a row for each of its modules."""
    called_by = callers()
    text, room = HEAD, ""
    for name in modules():
        first, _, rest = name.partition(".")
        if not rest or not purpose(name):
            continue
        if first != room:
            room = first
            text += f"\n## {room}\n\n{purpose(room)}\n\n| module | purpose | called by |\n|---|---|---|\n"
        names = [one.removeprefix(f"{room}.") for one in sorted(called_by[name]) if one not in ("__init__", room)]
        names += public(name)
        text += (
            f"| `{rest}` | {purpose(name).replace('|', chr(92) + '|')} | {', '.join(f'`{one}`' for one in names)} |\n"
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
