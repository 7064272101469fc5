"""The tutorial as a notebook, made from the page: a cell for each block of code, a cell for the text between two.

A value that a block prints at its end is the value of its cell, which a notebook shows as a table.

Run as a program it writes ``tutorial.ipynb`` beside each language's ``tutorial.md``.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
PAGES = (DOCS / "tutorial.md", DOCS / "ko" / "tutorial.md")
BLOCK = re.compile(r"^```python\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)


def notebook(page: str) -> dict[str, Any]:
    """The notebook, in format 4.5, of a page in Markdown."""
    cells: list[dict[str, Any]] = []
    for number, text in enumerate(BLOCK.split(page)):  # text and code in turn
        paragraphs = [one for one in text.strip().split("\n\n") if "(tutorial.ipynb)" not in one]
        source = "\n\n".join(paragraphs) if number % 2 == 0 else _as_value(text.rstrip())
        if source:
            cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)}
            kind = {"cell_type": "markdown"} if number % 2 == 0 else _CODE
            cells.append({**kind, **cell})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _as_value(code: str) -> str:
    """Code whose last line, where it prints one value, is that value: a notebook shows it as a table."""
    *before, last = code.split("\n")
    if last.startswith("print("):
        call = ast.parse(last).body[0]
        assert isinstance(call, ast.Expr)
        assert isinstance(call.value, ast.Call)
        if len(call.value.args) == 1:
            last = last.removeprefix("print(").removesuffix(")")
    return "\n".join([*before, last])


_CODE = {"cell_type": "code", "execution_count": None, "outputs": []}


def text_of(page: Path) -> str:
    """The file that belongs beside ``page``."""
    return json.dumps(notebook(page.read_text("utf-8")), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    for path in PAGES:
        path.with_suffix(".ipynb").write_text(text_of(path), encoding="utf-8")
