"""The flows on the architecture page name files and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from docs.errors import SOURCE

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
STEP = re.compile(r"([a-z_]+/[a-z_/]+\.py):([\w.]+)")


def steps() -> list[tuple[str, str]]:
    """File and function of every step of every flow."""
    page = PAGE.read_text("utf-8")
    return STEP.findall(page[page.index("## Five flows") : page.index("## Dependencies")])


def defined(file: Path) -> set[str]:
    """Functions, classes, and methods as ``Class.method``, that a file defines."""
    body = ast.parse(file.read_text("utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = {node.name for node in body if isinstance(node, kinds)}
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    return names | {f"{one.name}.{node.name}" for one in classes for node in one.body if isinstance(node, kinds)}


def test_there_are_five_flows() -> None:
    flows = re.findall(r"^\*\*(.+)\*\*: `", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert flows == ["Train", "Recommend", "Evaluate", "Upsert", "Serve a request"]
    assert len(steps()) > 30


@pytest.mark.parametrize(("file", "function"), sorted(set(steps())))
def test_each_step_exists(file: str, function: str) -> None:
    assert function in defined(SOURCE / file)
