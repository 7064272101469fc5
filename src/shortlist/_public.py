"""Where each public name lives, as ``__init__.pyi`` says it, and the version."""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["ROOMS", "__version__"]

__version__ = "0.2.0"


def _rooms() -> dict[str, str]:
    """The room of each public name."""
    listed = ast.parse(Path(__file__).with_name("__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: str(node.module).removeprefix("shortlist.")
        for node in listed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


ROOMS = _rooms()
