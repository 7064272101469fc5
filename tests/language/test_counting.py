"""Numbers with their nouns: the helper, and that messages use it wherever their number may be one."""

from __future__ import annotations

import ast
import re

import pytest
from docs.messages import templates
from tests.docs.source import SOURCE, trees

from shortlist.language import catalogue, counted, plural, sized, speaking
from shortlist.language.chosen import shown

LIMIT, LARGE, CODE = (
    "beyond a limit, or a limit",
    "too much for memory, or for one look",
    "no text, or a number before a verb",
)
NEVER_ONE = {
    "choosing/contenders.py": (2, LARGE),
    "cli/demo.py": (1, "MovieLens"),
    "cli/retraining.py": (1, "all held-out rows of a day"),
    "cli/training_data.py": (1, LARGE),
    "data/condition_text.py": (4, LIMIT),
    "data/fetch.py": (1, "a download"),
    "data/listing.py": (1, CODE),
    "data/shards/by_query.py": (1, LARGE),
    "data/shards/contexts.py": (1, LIMIT),
    "data/shards/encode.py": (3, f"{CODE}; {LARGE}"),
    "data/shards/estimate.py": (1, "fewer than one"),
    "data/shards/shards.py": (1, "a list of negatives for each row"),
    "data/source.py": (1, "more than one"),
    "evaluation/baselines.py": (3, LARGE),
    "evaluation/diagnostics.py": (1, "queries that are alike"),
    "evaluation/result.py": (1, "the pairs of two different tests"),
    "features/lookup.py": (1, "a least number of 2 or more"),
    "index/choose.py": (2, LARGE),
    "index/databases/pgvector.py": (2, LIMIT),
    "index/scann.py": (1, LARGE),
    "loss/kernel.py": (1, "two tables or more"),
    "model/joined.py": (6, CODE),
    "model/onnx.py": (1, LIMIT),
    "recommender/recommendations.py": (1, "more than are shown"),
    "recommender/rerank.py": (1, LIMIT),
    "serve/answers.py": (2, LIMIT),
    "serve/app.py": (1, LIMIT),
    "serve/change_routes.py": (3, LIMIT),
    "serve/filtering.py": (1, LIMIT),
    "serve/http.py": (1, LIMIT),
    "serve/kept.py": (1, LIMIT),
    "serve/lookups.py": (3, f"{LARGE}; {LIMIT}"),
    "serve/parsing.py": (1, LIMIT),
    "serve/problems.py": (1, LIMIT),
    "serve/reading.py": (3, LIMIT),
    "serve/request_heads.py": (1, LIMIT),
    "serve/rules.py": (2, LIMIT),
    "serve/tools.py": (2, LIMIT),
    "shown/off_policy.py": (1, "an effective size, which has a fraction"),
    "sources/neighbours.py": (1, CODE),
    "store/disk.py": (1, LIMIT),
    "store/folder.py": (1, "this room is below the language"),
    "train/als.py": (1, LARGE),
    "train/distributed.py": (1, CODE),
    "train/epochs.py": (1, "more than are shown"),
    "train/memory.py": (1, "several processes"),
    "train/ranker.py": (1, CODE),
    "train/recipe.py": (1, "joined models"),
    "train/remote_rows.py": (1, CODE),
}
"""By file, how many texts put a number before a plural noun, and why it is never one."""
NUMBER = re.compile(r"(?:len|int)\(|.*\.height$|.*_count\(\)$|(?:.*[._])?(?:count|rows|number|total|size|n)$")
NOUNS = re.compile(r" (?:[a-z-]+ )?[a-z]+s\b")


def bare(tree: ast.AST) -> list[str]:
    """Numbers that an f-string puts before a plural noun without ``counted``."""
    found = []
    for node in ast.walk(tree):
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


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0.0 kB"),
        (560, "0.6 kB"),
        (19_999, "20.0 kB"),
        (999_999, "1,000.0 kB"),
        (1_000_000, "1.0 MB"),
        (2_540_000_000, "2.5 GB"),
        (12_340_000_000_000, "12,340.0 GB"),
    ],
)
def test_bytes_are_in_the_unit_that_suits_them(count: int, said: str) -> None:
    assert sized(count) == said


def test_every_text_says_gigabytes_in_one_way() -> None:
    """A unit behind a quotient says "0.0 GB" of what is small; ``sized`` does not."""
    found = [
        path.name for path in sorted(SOURCE.rglob("*.py")) if re.search(r"/ 1e9[^}]*\} GB", path.read_text("utf-8"))
    ]
    assert found == ["doctor.py"]  # the memory of a machine


def test_every_message_counts_its_nouns() -> None:
    """A new text with a bare number uses ``counted``, or says above why its number is never one."""
    found = {place.as_posix(): bare(tree) for place, tree in trees().items()}
    unlike = {
        name: texts for name, texts in found.items() if len(texts) != (NEVER_ONE[name][0] if name in NEVER_ONE else 0)
    }
    assert unlike == {}
    assert set(NEVER_ONE) <= set(found)


def test_a_bare_number_is_found() -> None:
    assert bare(ast.parse('f"wrote {rows:,} rows to {out}"')) == ["rows rows to "]
    assert bare(ast.parse('f"of {len(ids)} distinct queries"')) == ["len(ids) distinct queries"]
    assert bare(ast.parse('f"{self.size} candidates, {count} weights"')) == ["self.size candidates, ", "count weights"]
    assert bare(ast.parse('f"{rows:,} of them, {name} rows, {share:.0%} rows"')) == []
    assert bare(ast.parse("f\"wrote {counted(rows, 'row')}\"")) == []


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
