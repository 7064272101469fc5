"""Numbers with their nouns: the helper, and that messages use it wherever their number may be one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from docs.messages import templates

import shortlist
from shortlist.language import catalogue, counted, plural, speaking
from shortlist.language.chosen import shown

SOURCE = Path(shortlist.__file__).parent
ROOMS = ("cli", "data/dataset.py", "data/split.py", "data/account.py", "evaluation/result.py", "recommender/served.py")
NEVER_ONE = {
    "cli/demo.py": "MovieLens",
    "cli/retraining.py": "all held-out rows of a day",
    "cli/training_data.py": "more than memory holds",
    "evaluation/result.py": "the pairs of two different tests",
}
"""Files of ``ROOMS`` that put a number before a plural noun, and why it is never one."""
NUMBER = re.compile(r"(?:len|int)\(|.*\.height$|.*_count\(\)$")
NOUNS = re.compile(r" (?:[a-z-]+ )?[a-z]+s\b")


def bare(source: str) -> list[str]:
    """Numbers that an f-string puts before a plural noun without ``counted``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for value, after in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                    said = ast.unparse(value.value)
                    grouped = value.format_spec is not None and ast.unparse(value.format_spec).strip("f'\"") == ","
                    if (grouped or NUMBER.match(said)) and NOUNS.match(str(after.value)):
                        found.append(f"{said}{after.value}")
    return found


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "row", "1 row"),
        (0, "row", "0 rows"),
        (1682, "row", "1,682 rows"),
        (1, "query", "1 query"),
        (2, "query", "2 queries"),
        (2, "day", "2 days"),
        (2, "clicked list", "2 clicked lists"),
        (2, "epoch", "2 epochs"),
        (2, "batch", "2 batches"),
        (2, "index", "2 indexes"),
        (2, "loss", "2 losses"),
    ],
)
def test_a_noun_follows_its_number(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said


def test_what_commands_print_counts_its_nouns() -> None:
    files = [
        path for room in ROOMS for path in ([SOURCE / room] if room.endswith(".py") else (SOURCE / room).rglob("*.py"))
    ]
    found = {str(path.relative_to(SOURCE)): bare(path.read_text("utf-8")) for path in sorted(files)}
    assert {name: texts for name, texts in found.items() if texts and name not in NEVER_ONE} == {}
    assert all(found[name] for name in NEVER_ONE)


def test_a_bare_number_is_found() -> None:
    assert bare('f"wrote {rows:,} rows to {out}"') == ["rows rows to "]
    assert bare('f"of {len(ids)} distinct queries"') == ["len(ids) distinct queries"]
    assert bare('f"{rows:,} of them, {name} rows, {share:.0%} rows"') == []
    assert bare("f\"wrote {counted(rows, 'row')}\"") == []


def test_one_and_many_are_translated_alike() -> None:
    """Each noun that is counted and translated has its singular and its plural in the catalogue."""
    there = catalogue("ko").entries
    nouns = [text.removeprefix("{n} ") for text in templates() if re.fullmatch(r"\{n\} [a-z -]+", text)]
    pairs = [(one, plural(one)) for one in nouns if plural(one) in nouns]
    assert len(pairs) > 15
    assert [one for one, many in pairs if ("{n} " + one in there) != ("{n} " + many in there)] == []
    with speaking("ko"):
        assert shown("wrote 1 row for 1 query to out in 0.1 s") == "쿼리 1개의 1행을 0.1초 만에 out에 썼습니다"
        assert shown("wrote 20 rows for 2 queries to out in 0.1 s") == "쿼리 2개의 20행을 0.1초 만에 out에 썼습니다"
