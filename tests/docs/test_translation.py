"""The comparison of a page with its translation finds what differs, and nothing else."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.docs.translation import fences, figures, in_korean, in_words, links, sections, strays, tables, units


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("943명, 8,192개, .76", [943, 8192, Fraction(76, 100)]),
        ("10만 개 가운데 6,700만 개", [100_000, 67_000_000]),
        ("20 billion pairs, 200억 쌍", [20_000_000_000] * 2),
        ("10분의 1", [Fraction(1, 10)]),
        ("at 1, 2 and 10,000.", [1, 2, 10_000]),
    ],
)
def test_figures_are_numbers_in_digits(text: str, numbers: list[Fraction]) -> None:
    assert sorted(figures(text).elements()) == sorted(numbers)


def test_words_are_numbers_too() -> None:
    assert {Fraction(2), Fraction(100_000), Fraction(24)} <= in_words("Two of a hundred thousand, twenty-four of them.")
    assert {Fraction(1, 10), Fraction(10)} <= in_words("a tenth")
    assert Fraction(10) not in in_words("often")
    assert Fraction(5) in in_words("made in May 2026")
    assert Fraction(5) not in in_words("it may")


@pytest.mark.parametrize(
    ("page", "translation", "found"),
    [
        ("It takes two minutes at most.", "길어야 2분입니다.", []),
        ("with 100,000 candidates", "후보가 10만 개이면", []),
        ("It takes 2 minutes.", "3분입니다.", ["without 2", "with 3"]),
        ("It takes a while.", "5분입니다.", ["with 5"]),
        ("It takes 2 minutes.", "두어 분입니다.", ["without 2"]),
    ],
)
def test_strays_are_in_one_of_the_two(page: str, translation: str, found: list[str]) -> None:
    assert strays(page, translation) == found


def test_a_page_is_read_by_headings_rows_and_columns() -> None:
    page = "# One\n\nText.\n\n```sh\n# no heading 9\n```\n\n## 둘 {#two}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert [level for level, _ in sections(page)] == [1, 2]
    assert [row for row in units(sections(page)[1][1]) if row.startswith("|")] == [
        "| a | b |",
        "|---|---|",
        "| 1 | 2 |",
    ]
    assert tables(page) == [2]


def test_comments_of_commands_may_be_translated() -> None:
    assert fences("```sh\nserve  # here\n```\n") == fences("```sh\nserve  # 여기\n```\n")
    assert fences("```sh\nserve\n```\n") != fences("```sh\nserve --now\n```\n")


def test_a_link_leads_to_the_korean_page_or_says_english(tmp_path: Path) -> None:
    page = tmp_path / "ko" / "guides" / "a.md"
    page.parent.mkdir(parents=True)
    page.write_text("[나](b.md#c), [속도](../../speed.md)(영어), [밖](https://x.org/2)", encoding="utf-8")
    assert sorted(links(page, tmp_path)) == ["https://x.org/2", "ko/guides/b.md#c", "speed.md(영어)"]
    assert in_korean("guides/a.md#c", tmp_path) == "ko/guides/a.md#c"
    assert in_korean("speed.md", tmp_path) == "speed.md(영어)"
    assert in_korean("https://x.org/2", tmp_path) == "https://x.org/2"
