"""The picture of the house, drawn from the code: rooms in the layers of pyproject.toml, an arrow for each import.

Run as a program it writes ``docs/rooms.svg``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "shortlist"
PICTURE = Path(__file__).with_name("rooms.svg")
WIDTH, ROW, BOX, TALL, TOP = 760, 92, 150, 44, 16
ASIDE = {
    "serve": 0.115,
    "choosing": 0.375,
    "tuning": 0.625,
    "report": 0.885,
    "evaluation": 0.26,
    "sources": 0.85,
    "recommender": 0.38,
    "features": 0.15,
    "model": 0.13,
    "shown": 0.65,
    "data": 0.14,
    "display": 0.37,
    "language": 0.89,
}  # lets lines pass beside these


class Import(NamedTuple):
    """room: of this package, or "torch". late: within a function, so only when that runs."""

    room: str
    late: bool


def layers() -> list[list[str]]:
    """The rooms from the top down, as the contract of import-linter has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip().removeprefix("shortlist.") for room in row.split("|")] for row in rows]


def imports(room: str) -> set[Import]:
    """What the modules of a room import, apart from what is for type checkers alone."""
    paths = [SOURCE / f"{room}.py"] if (SOURCE / f"{room}.py").exists() else sorted((SOURCE / room).rglob("*.py"))
    return {found for path in paths for found in _of(ast.parse(path.read_text("utf-8")), late=False)} - {
        Import(room, True),
        Import(room, False),
    }


def _of(node: ast.AST, late: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (found for alias in child.names for found in _named(alias.name, late))
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from _named(child.module, late)
        yield from _of(child, late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))


def _named(module: str, late: bool) -> Iterator[Import]:
    parts = module.split(".")
    if parts[0] == "torch":
        yield Import("torch", late)
    elif parts[0] == "shortlist" and len(parts) > 1 and not parts[1].startswith("_"):
        yield Import(parts[1], late)


def arrows(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The imports that do not follow from others: the transitive reduction."""

    def reached(room: str) -> set[str]:
        return graph[room].union(*(reached(below) for below in graph[room])) if graph[room] else set()

    return {
        (room, below)
        for room, direct in graph.items()
        for below in direct
        if not any(below in reached(other) for other in direct - {below})
    }


def placed(rows: list[list[str]]) -> dict[str, tuple[float, float]]:
    """Where each room stands: the middle of its upper edge."""
    return {
        room: (WIDTH * ASIDE.get(room, (number + 1) / (len(row) + 1)), TOP + level * ROW)
        for level, row in enumerate(rows)
        for number, room in enumerate(row)
    }


def picture() -> str:
    """The SVG."""
    rows = layers()
    found = {room: imports(room) for row in rows for room in row}
    graph = {room: {one.room for one in some if one.room != "torch"} for room, some in found.items()}
    places = placed(rows)
    lines = [_line(places[room], places[below]) for room, below in sorted(arrows(graph))]
    boxes = [_box(room, place, found[room]) for room, place in places.items()]
    height = TOP + len(rows) * ROW
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="'
            'The rooms and what each imports" font-family="system-ui, sans-serif" font-size="15">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *lines,
            *boxes,
            f'<text x="16" y="{height - 12}" font-size="12" fill="#556">filled: imports torch · dashed: only when '
            "needed · arrows: imports, without those that follow from others</text>",
            "</svg>\n",
        ]
    )


def _line(above: tuple[float, float], below: tuple[float, float]) -> str:
    """Straight down beside what lies between, then aside to the room below."""
    (x, y), (to_x, to_y) = above, below
    turn, bend = to_y - ROW + TALL, (ROW - TALL) / 2
    path = f"M{x:.0f} {y + TALL:.0f}V{turn:.0f}C{x:.0f} {turn + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y - 2:.0f}"
    return f'<path d="{path}" fill="none" stroke="#667" stroke-width="1.3" marker-end="url(#tip)"/>'


def _box(room: str, place: tuple[float, float], found: set[Import]) -> str:
    x, y = place[0] - BOX / 2, place[1]
    always, sometimes = Import("torch", False) in found, Import("torch", True) in found
    style = 'fill="#dfe3f7"' if always else 'fill="#fff" stroke-dasharray="5 3"' if sometimes else 'fill="#fff"'
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX}" height="{TALL}" rx="6" stroke="#3f51b5" {style}/>'
        f'<text x="{place[0]:.0f}" y="{y + 28:.0f}" text-anchor="middle" fill="#223">{room}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
