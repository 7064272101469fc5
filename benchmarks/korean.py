"""Pages of results in Korean: what an English page says, line by line, with the phrases of ``ko.po``; figures stay as they are.

A phrase is the English text with ``{name}`` for each value and ``{n}`` for a number, as in the package's own catalogues. Words that are written
by hand, such as a template, have a Korean twin next to them instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from shortlist.language.catalogue import Catalogue, Entry, entries

CODES = ("en", "ko")
PHRASES = Path(__file__).with_name("ko.po")

PICTURE = re.compile(r"!\[(.*)\]\((.*)\)")
CODE = re.compile(r"`[^`]*`")
SENTENCE = re.compile(r"(?<=\.)(?<!no\.) (?=[A-Z0-9`*])")
MARKED = re.compile(r"(#+ |- |)(\*\*|\*|)(.*)\2")
MILLIONS = re.compile(r"(\d[\d,.]*)백만")
NAME = re.compile(  # "1.5 ms", "numpy 2.4.6", "ALS + EASE", "AMD EPYC (family 25 model 17)"
    r"(?:≤ |[+-])?\d\S* (?:µs|ms|MB|GB)|[^\s\[]+(?: (?:\d\S*|[/±–-]|\+ \S+))*|.+ \(family \d+ model \d+\):?"
)
PROSE = re.compile("[a-z]{2,} [a-z]{2,}")
WORD = re.compile(r"[A-Za-z]{2}")


def template(english: Path, code: str) -> str:
    """Returns the text of a template, or of its twin ``NAME.ko.md`` in another language."""
    return (english if code == "en" else english.with_suffix(f".{code}.md")).read_text(encoding="utf-8")


def place(english: Path, code: str) -> Path:
    """Returns where the page of a language is: ``docs/ko/NAME.md`` for ``docs/NAME.md``."""
    return english if code == "en" else english.parent / code / english.name


def in_language(markdown: str, code: str) -> str:
    """Returns what was made in English in a language of `CODES`."""
    return markdown if code == "en" else korean(markdown)


def korean(markdown: str) -> str:
    """Returns Markdown in Korean; code and names as they are, and a phrase that ``ko.po`` lacks too."""
    return _each(markdown, _phrase)


def missing(markdown: str) -> list[str]:
    """Returns the phrases of an English page that ``ko.po`` lacks."""
    found: list[str] = []

    def look(text: str) -> str:
        found.extend(piece for piece in _pieces(text)[1] if not _known(piece))
        return text

    _each(markdown, look)
    return list(dict.fromkeys(found))


def _each(markdown: str, change: Callable[[str], str]) -> str:
    """Markdown with each of its lines and cells changed, but for code; pictures are found from a folder further down."""
    lines, in_code = [], False
    for line in markdown.split("\n"):
        in_code ^= line.startswith("```")
        if in_code or line.startswith(("```", "|---", "{{")) or CODE.fullmatch(line):
            lines.append(line)
        elif line.startswith("|"):
            cells = (_marked(cell.strip(), change) for cell in line.strip("|").split("|"))
            lines.append(f"| {' | '.join(cells)} |")
        elif picture := PICTURE.fullmatch(line):
            lines.append(f"![{change(picture[1])}](../{picture[2]})")
        else:
            lines.append(_marked(line, change))
    return "\n".join(lines)


def _marked(text: str, change: Callable[[str], str]) -> str:
    """Text with what is behind the mark of a heading or an item, and between stars, changed."""
    marked = MARKED.fullmatch(text)
    return text if marked is None else f"{marked[1]}{marked[2]}{change(marked[3])}{marked[2]}"


def _phrase(text: str) -> str:
    """A text in Korean, millions as Korean counts them."""
    between, pieces = _pieces(text)
    return MILLIONS.sub(_counted, between.join(map(_phrases().filled, pieces)))


def _pieces(text: str) -> tuple[str, list[str]]:
    """A text that is a phrase, or else its sentences, or else the parts of a list; and what is between them."""
    if _phrases().filled(text) != text:
        return "", [text]
    if SENTENCE.search(text):
        return " ", SENTENCE.split(text)
    between = "; " if "; " in text else ", "
    return between, text.split(between)


def _known(piece: str) -> bool:
    """Whether a piece is nothing but figures and names, or is a phrase and leaves no English behind."""
    if NAME.fullmatch(piece) or piece in _phrases().entries or not WORD.search(piece):
        return True
    found = _phrases().filled(piece)
    for name in _names():
        found = found.replace(name, "")
    return found != piece and PROSE.search(CODE.sub("", found)) is None


@cache
def _names() -> list[str]:
    """The phrases that are the same in Korean, such as names of two words."""
    return [one.english for one in _phrases().entries.values() if one.english == one.translation]


def _counted(found: re.Match[str]) -> str:
    """1.3 million is 130만, 250 million 2.5억."""
    number = float(found[1].replace(",", ""))
    return f"{number / 100:,g}억" if number >= 100 else f"{number * 100:,g}만"


@cache
def _phrases() -> Catalogue:
    return Catalogue(
        "ko",
        {
            one.english: Entry(one.english, one.translation, frozenset({"messages"}))
            for one in entries(PHRASES.read_text(encoding="utf-8"))
        },
    )
