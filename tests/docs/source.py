"""The package's source, parsed once for the tests that read all of it."""

from __future__ import annotations

import ast
import gc
from collections.abc import Mapping
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "shortlist"


@cache
def trees() -> Mapping[Path, ast.Module]:
    """Every module by its path under ``SOURCE``; nobody changes one. They go when the tests of another folder begin (``tests/conftest.py``)."""
    collects = gc.isenabled()
    gc.disable()  # there is nothing to collect among them, and half of the time would go into looking
    try:
        paths = sorted(SOURCE.rglob("*.py"))
        return {path.relative_to(SOURCE): ast.parse(path.read_text("utf-8")) for path in paths}
    finally:
        if collects:
            gc.enable()
