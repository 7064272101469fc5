"""Pages of results are translated phrase by phrase, and keep their figures."""

from __future__ import annotations

import pytest

from benchmarks import korean
from shortlist.language.catalogue import entries, placeholders


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("exact search", "정확한 검색"),
        ("### exact search", "### 정확한 검색"),
        ("- **exact search**", "- **정확한 검색**"),
        ("| exact search |  | 4.75 ms | 2.5 s |", "| 정확한 검색 |  | 4.75 ms | 2.5초 |"),
        ("| numpy 2.4.6 | 6 MB |\n|---|---|", "| numpy 2.4.6 | 6 MB |\n|---|---|"),
        ("![exact search](performance/a.png)", "![정확한 검색](../performance/a.png)"),
        ("```sh\nexact search\n```", "```sh\nexact search\n```"),
        ("exact search, recall", "정확한 검색, 재현율"),
    ],
)
def test_lines_cells_and_lists_are_phrases(english: str, expected: str) -> None:
    assert korean.korean(english) == expected


def test_millions_are_counted_as_koreans_count() -> None:
    shape = "exact search over {} million × 32, memory-mapped: from load to the first answer in a fresh process"
    assert korean.korean(shape.format("1.3")).startswith("130만 × 32 위의 정확한 검색")
    assert korean.korean(shape.format("250")).startswith("2.5억 × 32")


def test_what_has_no_phrase_is_found() -> None:
    assert korean.missing("a line of its own\n\n| exact search | tfrs | numpy 2.4.6 | 1.5 ms | no such cell |") == [
        "a line of its own",
        "no such cell",
    ]


def test_phrases_keep_values_and_figures() -> None:
    kept = list(entries(korean.PHRASES.read_text(encoding="utf-8")))
    assert len({one.english for one in kept}) == len(kept)
    for one in kept:
        assert placeholders(one.english) == placeholders(one.translation), one.english
