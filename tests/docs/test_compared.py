"""The page that compares libraries has whole tables, and a source in every cell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "compared.md"
OURS = "shortlist"
OTHERS = [
    "TFRS",
    "keras-rs",
    "RecTools",
    "RePlay",
    "implicit",
    "Gorse",
    "TorchEasyRec",
    "torch-rechub",
    "recotem",
]


def tables(page: str) -> list[list[list[str]]]:
    """Each table of the page as rows of cells; the row of dashes is left out."""
    found = re.findall(r"(?:^\|.*\|\n)+", page, flags=re.MULTILINE)
    rows = [[line.strip("|").split("|") for line in table.splitlines()] for table in found]
    return [[[cell.strip() for cell in row] for row in table if set("".join(row)) != {"-"}] for table in rows]


def sources(page: str) -> dict[str, str]:
    """The addresses at the end of the page, by their short names."""
    return dict(re.findall(r"^\[([\w-]+)\]: (https://\S+)$", page, flags=re.MULTILINE))


def faults(page: str) -> list[str]:
    """What is missing from the page's tables."""
    known, found = sources(page), []
    for head, *rows in tables(page):
        names = [row[0] for row in rows]
        if names != [OURS, *OTHERS]:
            found.append(f"{head[1]}: libraries {names}")
        for row in rows:
            if len(row) != len(head):
                found.append(f"{head[1]}, {row[0]}: {len(row)} cells under {len(head)} heads")
            for column, cell in zip(head[1:], row[1:], strict=False):
                named = set(re.findall(r"\]\[([\w-]+)\]", cell))
                if named - set(known):
                    found.append(f"{column}, {row[0]}: no address for {sorted(named - set(known))}")
                if row[0] != OURS and not named and cell != "not found":
                    found.append(f"{column}, {row[0]}: {cell!r} has no source")
    return found


def test_every_cell_has_a_source() -> None:
    assert faults(PAGE.read_text("utf-8")) == []


def test_six_tables_have_21_features() -> None:
    heads = [table[0] for table in tables(PAGE.read_text("utf-8"))]
    assert [len(head) - 1 for head in heads] == [3, 4, 4, 4, 4, 3]


def test_every_address_is_used_and_named_once() -> None:
    page = PAGE.read_text("utf-8")
    named = re.findall(r"^\[([\w-]+)\]: ", page, flags=re.MULTILINE)
    assert sorted(set(re.findall(r"\]\[([\w-]+)\]", page))) == sorted(named)


def test_our_cells_link_to_pages_that_exist() -> None:
    ours = [row for table in tables(PAGE.read_text("utf-8")) for row in table if row[0] == OURS]
    links = [link for row in ours for cell in row[1:] for link in re.findall(r"\]\(([^)#]+)", cell)]
    assert len(links) >= 20
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("| RePlay | [yes][b] |", "| RePlay | yes |", "'yes' has no source"),
        ("| RePlay | [yes][b] |", "| RePlay | [yes][c] |", "no address for ['c']"),
        ("| RePlay | [yes][b] |", "| RePlay | [yes][b] | no |", "3 cells under 2 heads"),
        ("| Gorse | not found |\n", "", "libraries"),
    ],
)
def test_what_is_missing_is_found(good: str, bad: str, fault: str) -> None:
    cells = {OURS: "yes", "RePlay": "[yes][b]"}
    rows = [f"| {name} | {cells.get(name, 'not found')} |" for name in [OURS, *OTHERS]]
    page = "\n".join(["| library | server |", "|---|---|", *rows, "", "[b]: https://example.org/b", ""])
    assert faults(page) == []
    (found,) = faults(page.replace(good, bad))
    assert fault in found
