"""What a page and its translation must have in common: headings, tables, links, figures, and code but for comments."""

from __future__ import annotations

import os
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

SMALL = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"]
SMALL += ["fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
LARGE = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
WORDS = {word: n for n, word in enumerate(SMALL, start=1)} | LARGE
WORDS |= {word: 10 * n for n, word in enumerate(TENS, start=2)}
PARTS = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
}
PARTS |= {
    "tenth": 10,
    "sixteenth": 16,
    "twentieth": 20,
    "fiftieth": 50,
    "sixtieth": 60,
    "hundredth": 100,
    "thousandth": 1_000,
}
SAID = {"a": 1, "an": 1, "every": 1, "zero": 0, "zeros": 0, "twice": 2}
MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"]
MONTHS += ["december"]
KOREAN = {"십": 10, "백": 100, "천": 1_000, "만": 10_000, "억": 100_000_000}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n?", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)(\(영어\))?")
NUMBER = re.compile(
    r"(?P<of>\d+)분의 (?P<part>\d+)"
    r"|(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
    r"(?: (?P<word>hundred|thousand|million|billion)\b)?(?P<units>[십백천]?[만억]|[십백천](?=\W))?"
)


def fences(text: str) -> list[tuple[str, str]]:
    """The blocks of code that are not Python, with their language and without comments."""
    found = [block for block in FENCE.findall(text) if block[0] != "python"]
    return [(language, re.sub(r" *#.*", "", block)) for language, block in found]


def sections(text: str) -> list[tuple[int, str]]:
    """The level of each heading, with what follows it; code and the targets of links are left out."""
    prose = LINK.sub(lambda link: link[0].replace(link[1], ""), FENCE.sub("", text))
    pieces = re.split(r"^(#+) ", re.sub(r" \{#[\w-]+\}$", "", prose, flags=re.MULTILINE), flags=re.MULTILINE)
    return [(len(level), body) for level, body in zip(pieces[1::2], pieces[2::2], strict=True)]


def units(section: str) -> list[str]:
    """Each row of the section's tables, and last the rest of its text."""
    rows = re.findall(r"^\|.*$", section, flags=re.MULTILINE)
    return [*rows, re.sub(r"^\|.*$", "", section, flags=re.MULTILINE)]


def tables(text: str) -> list[int]:
    """The number of columns of each table."""
    return [line.count("|") - 1 for line in FENCE.sub("", text).splitlines() if re.fullmatch(r"\|[-:|]+\|", line)]


def links(page: Path, docs: Path) -> Counter[str]:
    """What the page links to, from the root of all pages, with the mark of a page in English; addresses as they are."""
    found = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return Counter(
        (one if _leads_elsewhere(one) else os.path.relpath(page.parent / one, docs)) + mark for one, mark in found
    )


MADE = ("commands.md", "errors.md")
"""Pages that are made in both languages, from the code (``make docs``)."""


def in_korean(target: str, docs: Path) -> str:
    """What a Korean page links to where the English one links to ``target``."""
    path = target.partition("#")[0]
    if _leads_elsewhere(target):
        return target
    if path in MADE or (docs / "ko" / path).exists():
        return f"ko/{target}"
    return f"{target}(영어)" if path.endswith(".md") else target


def _leads_elsewhere(target: str) -> bool:
    return re.match(r"https?:|#", target) is not None


def figures(text: str) -> Counter[Fraction]:
    """The numbers that are written in digits, and how often each occurs."""
    found: Counter[Fraction] = Counter()
    for match in NUMBER.finditer(text):
        if match["of"]:
            found[Fraction(int(match["part"]), int(match["of"]))] += 1
            continue
        number = Fraction(match["number"].replace(",", "")) * LARGE.get(match["word"], 1)
        for unit in match["units"] or "":
            number *= KOREAN[unit]
        found[number] += 1
    return found


def in_words(text: str) -> set[Fraction]:
    """What English text says in words, as numbers and as parts of one or of a hundred."""
    found: set[Fraction] = set()
    for run in re.findall(rf"\b(?:(?:{'|'.join(WORDS)})(?:[ -]|\b))+", text.lower()):
        total = 0
        for word in re.split(r"[ -]", run.strip(" -")):
            number = WORDS[word]
            total = max(total, 1) * number if word in LARGE else total + number
            found.add(Fraction(number))
        found.add(Fraction(total))
    for word, of in PARTS.items():
        if re.search(rf"\b{word}s?\b", text.lower()):
            found |= {Fraction(of), Fraction(1, of), Fraction(100, of)}
    found |= {Fraction(n) for n, month in enumerate(MONTHS, start=1) if re.search(rf"\b{month} 20\d\d\b", text.lower())}
    said = {word for word in SAID if re.search(rf"\b{word}\b", text.lower())}
    return found | {Fraction(SAID[word]) for word in said}


def strays(page: str, translation: str) -> list[str]:
    """The figures that only one of the two has; a translation may have digits where the page has words."""
    missing, added = figures(page) - figures(translation), figures(translation) - figures(page)
    unsaid = [number for number in added if number not in in_words(page)]
    return [f"without {float(one):g}" for one in missing] + [f"with {float(one):g}" for one in unsaid]
