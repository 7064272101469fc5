"""No circle of imports: not at import time, not within a function, not for type checkers alone.

``import-linter`` holds the order of the rooms; this holds the order of the modules within them. A name that a package
takes up from one of its modules counts as an import of that module, wherever it is imported from.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest
from tests.docs.source import trees

Graph = dict[str, set[str]]


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path, tree in trees().items():
        parts = Path("shortlist", path).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = tree
    return found


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of every import wherever it stands; the name is empty where the module itself is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not read here"
            yield from ((node.module or "", alias.name) for alias in node.names)


def graph(trees: Mapping[str, ast.Module]) -> Graph:
    """The modules that each module imports, names followed to where they are defined."""
    taken_up = {
        module: {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for module, tree in trees.items()
    }

    def defining(module: str, name: str) -> str:
        if f"{module}.{name}" in trees:
            return f"{module}.{name}"
        is_package = any(other.startswith(f"{module}.") for other in trees)
        if is_package and name in taken_up[module] and taken_up[module][name][0] in trees:
            return defining(*taken_up[module][name])
        return module

    return {
        module: {defining(*one) for one in imported(tree) if one[0] in trees} - {module}
        for module, tree in trees.items()
    }


def circles(links: Mapping[str, Set[str]]) -> list[list[str]]:
    """Groups of modules that all reach each other, of two or more: the strongly connected components (Tarjan)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in sorted(links[module]):
            if other not in number:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            place = stack.index(module)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                groups.append(sorted(group))

    for module in sorted(links):
        if module not in number:
            visit(module)
    return sorted(groups)


def test_the_package_has_no_circle() -> None:
    links = graph(modules())
    assert len(links) > 200
    assert "shortlist.data.dataset" in links["shortlist.train.fit"]  # followed through shortlist.data
    found = circles(links)
    inner = [(one, other) for group in found for one in group for other in sorted(links[one] & set(group))]
    assert not found, "\n".join(f"{one} imports {other}" for one, other in inner)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"p": "", "p.a": "import p.b", "p.b": ""}, []),
        ({"p": "", "p.a": "import p.b", "p.b": "def f():\n    from p import a"}, [["p.a", "p.b"]]),
        ({"p": "", "p.a": "from p.b import X", "p.b": "if TYPE_CHECKING:\n    from p.a import Y"}, [["p.a", "p.b"]]),
        # Through what the package takes up: p.b asks the package for a name that p.a defines.
        ({"p": "from p.a import X", "p.a": "from p.b import Y", "p.b": "from p import X"}, [["p.a", "p.b"]]),
        # The package imports its modules, and they do not import it: no circle.
        ({"p": "from p.a import X", "p.a": "from p.b import Y", "p.b": "import os"}, []),
        ({"p": "", "p.a": "import p.b", "p.b": "import p.c", "p.c": "import p.a"}, [["p.a", "p.b", "p.c"]]),
    ],
)
def test_circles_are_found(sources: dict[str, str], expected: list[list[str]]) -> None:
    assert circles(graph({name: ast.parse(text) for name, text in sources.items()})) == expected
