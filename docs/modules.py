"""Every module of the package: what it is for, and which modules call it.

Run as a program it writes ``docs/modules.md``; ``make docs`` does too, through ``docs/docstrings.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shortlist._public import ROOMS

SOURCE = Path(__file__).parents[1] / "src" / "shortlist"
PAGE = Path(__file__).with_name("modules.md")
PROMISED = Path(__file__).parents[1] / "tests" / "public.txt"
HEAD = """# Modules

Each module of `src/shortlist`, the first paragraph of its docstring, and the modules that import it (not those that use it as `sl.name`). A name without a room is in
the same room; `sl.name` is public, and a command is called by its user. Written by `python docs/modules.py`.
"""
ALONE = "modules in no room"
"""The section of modules that every room may import."""
MANY = 40


@cache
def texts() -> dict[str, str]:
    """The source of every module by its dotted name within the package; of a room's ``__init__`` by the room's name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path.read_text("utf-8")
    return found


@cache
def modules() -> dict[str, ast.Module]:
    """The same, parsed."""
    return {name: ast.parse(text) for name, text in texts().items()}


def purpose(name: str) -> str:
    """The first paragraph of a module's docstring."""
    text = ast.get_docstring(modules()[name]) or ""
    return " ".join(text.split("\n\n")[0].split())


@cache
def callers() -> dict[str, set[str]]:
    """Which modules call each module; a name that a module imports and passes on counts for the module that has it."""
    passed_on = {
        (name, alias.name): target
        for name in modules()
        for target, alias in _imported(name)
        if alias.name in _exported(name)
    }
    found: dict[str, set[str]] = {name: set() for name in modules()}
    for name in modules():
        for target, alias in _imported(name):
            whole = f"{target}.{alias.name}"
            home = whole if whole in found else target
            while (home, alias.name) in passed_on:
                home = passed_on[home, alias.name]
            if home in found and home != name:
                found[home].add(name)
        if "room_above" not in texts()[name]:
            continue
        for room, called in re.findall(r"room_above\('(\w+)'\)\.(\w+)", ast.unparse(modules()[name])):
            above = handed_down()[room]
            found[passed_on.get((above, called), above)].add(name)
    return found


def handed_down() -> dict[str, str]:
    """The modules that rooms below them may call, by the name that they ask for (``_above.py``)."""
    given = re.findall(
        r"provide\('(\w+)', lambda: importlib\.import_module\('shortlist\.([\w.]+)'\)\)",
        ast.unparse(modules()["__init__"]),
    )
    return dict(given)


def public(name: str) -> list[str]:
    """The public names that a module defines."""
    defined = {getattr(node, "name", None) for node in modules()[name].body}
    room = name.partition(".")[0]
    names = [f"sl.{one}" for one, place in ROOMS.items() if one in defined and place.partition(".")[0] == room]
    nested = [
        line.partition("(")[0] for line in PROMISED.read_text("utf-8").splitlines() if line.startswith("sl.recipes.")
    ]
    return names + [
        one for one in nested if one.count(".") == 2 and one.rpartition(".")[2] in defined and room == "train"
    ]


def _exported(name: str) -> list[str]:
    """The names in a module's ``__all__``."""
    for node in modules()[name].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(one.value) for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
    return []


@cache
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
    rooms = sorted({name.partition(".")[0] for name in modules() if "." in name})
    alone = [name for name in modules() if "." not in name and name not in rooms and not name.startswith("__")]
    text = HEAD + _section(ALONE, "Every room may import them.") + "".join(_row(name, "", called_by) for name in alone)
    for room in rooms:
        within = [name for name in modules() if name.startswith(f"{room}.") and purpose(name)]
        text += _section(room, purpose(room)) + "".join(_row(name, f"{room}.", called_by) for name in within)
    return text


def _section(title: str, text: str) -> str:
    return f"\n## {title}\n\n{text}\n\n| module | purpose | called by |\n|---|---|---|\n"


def _row(name: str, room: str, called_by: Mapping[str, set[str]]) -> str:
    """A module's row; of a module that more than ``MANY`` call, their rooms."""
    names = [one.removeprefix(room) for one in sorted(called_by[name]) if one not in ("__init__", room[:-1])]
    if len(names) > MANY and not room:
        names = sorted({one.partition(".")[0] for one in names})
    names += public(name)
    text = purpose(name).replace("|", "\\|")
    return f"| `{name.removeprefix(room)}` | {text} | {', '.join(f'`{one}`' for one in names)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
