"""The tutorial's notebooks are the pages, cell by cell, and run from top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docs.notebook import PAGES, notebook, text_of
from tests.browser import browser, watched  # noqa: F401

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_notebook_is_its_page(page: Path) -> None:
    stale = f"{page.with_suffix('.ipynb').name} is not its page: python docs/notebook.py"
    assert page.with_suffix(".ipynb").read_text("utf-8") == text_of(page), stale


def test_text_and_code_become_cells() -> None:
    page = "# Title\n\nAlso [here](tutorial.ipynb).\n\n```python\na = 1\nb = 2\n```\n\nMore.\n"
    cells = notebook(page)["cells"]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells] == [
        ("markdown", "# Title"),
        ("code", "a = 1\nb = 2"),
        ("markdown", "More."),
    ]


def test_what_is_printed_last_is_the_value_of_its_cell() -> None:
    """A notebook shows it as a table. What has several arguments, or more behind it, is printed as on the page."""
    page = "".join(
        f"```python\n{code}\n```\n" for code in ("a = 1\nprint(f(a, b=(2)))", "print(a, b)", "print(a)\nb = 2")
    )
    cells = notebook(page)["cells"]
    assert ["".join(cell["source"]) for cell in cells] == ["a = 1\nf(a, b=(2))", "print(a, b)", "print(a)\nb = 2"]


def _text(output: Any) -> str:
    """What a cell printed, or its value as text."""
    return str(output["text"]) if output.get("name") == "stdout" else str(output.get("data", {}).get("text/plain", ""))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The English notebook with its outputs, and the folder that it ran in."""
    found, folder = nbformat.read(PAGES[0].with_suffix(".ipynb"), as_version=4), tmp_path_factory.mktemp("notebook")
    nbformat.validate(found)
    nbclient.NotebookClient(
        found, timeout=300, iopub_timeout=60, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return found, folder


def _tables(found: Any) -> list[str]:
    """The values that are shown as HTML."""
    return [
        out["data"]["text/html"]
        for cell in found.cells
        for out in cell.get("outputs", ())
        if "data" in out and "text/html" in out["data"]
    ]


def test_the_notebook_runs(run: tuple[Any, Path]) -> None:
    found, folder = run
    by_cell = ("".join(map(_text, cell.get("outputs", ()))) for cell in found.cells)
    printed = [text for text in by_cell if text]  # one cell may print in several pieces, or in one
    assert len(printed) == 10  # each code cell that prints or ends in a value
    shown = _tables(found)
    titles = ["TrainingHistory", "Evaluation", "Evaluation", "Recommendations", "Recommendations", "Recommendations"]
    assert [title for html in shown for title in dict.fromkeys(titles) if f">{title}" in html] == titles
    assert "popularity" in printed[3]
    assert "False" in printed[6]  # nobody is not known
    assert (folder / "movielens.shortlist" / "manifest.json").is_file()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_value_is_wider_than_a_phone(run: tuple[Any, Path], browser: Any, width: int) -> None:  # noqa: F811
    """Where the page around it has no scroll area of its own, as in plain HTML; Polars' tables bring none."""
    found, folder = run
    (folder / "page.html").write_text("<!doctype html><meta charset=utf-8>" + "\n".join(_tables(found)), "utf-8")
    with watched(browser, (folder / "page.html").as_uri(), width) as (page, _):
        assert page.locator("table").count() >= 7
        assert page.evaluate("document.documentElement.scrollWidth") <= width
