"""Decisions are numbered without gaps, have one form, and are all on the index page."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
PARTS = ["Context", "Choice", "Measurement", "What would change it"]


def test_numbers_have_no_gaps() -> None:
    assert PAGES
    assert [int(page.name[:3]) for page in PAGES] == list(range(1, len(PAGES) + 1))


def test_each_has_a_title_a_date_and_four_parts() -> None:
    for page in PAGES:
        title, date, *_ = [line for line in page.read_text("utf-8").splitlines() if line]
        assert title.startswith(f"# {int(page.name[:3])}. "), page.name
        assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ 20\d\d", date), page.name
        assert re.findall(r"^## (.*)$", page.read_text("utf-8"), flags=re.MULTILINE) == PARTS, page.name


def test_the_index_page_lists_them_with_title_and_date() -> None:
    rows = re.findall(r"^\| (\d+) \| \[(.*)\]\((.*)\) \| (.*) \|$", (FOLDER / "index.md").read_text("utf-8"), re.M)
    expected = []
    for page in PAGES:
        title, date, *_ = [line for line in page.read_text("utf-8").splitlines() if line]
        number, name = title.removeprefix("# ").split(". ", 1)
        expected.append((number, name, page.name, date))
    assert rows == expected
