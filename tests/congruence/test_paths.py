"""A path is a path: no folder's or file's name is a pattern to Polars, and no part of one (day=1) becomes a column."""

from __future__ import annotations

import ast
from pathlib import Path

import polars as pl
import pytest

import shortlist as sl

SOURCE = Path(sl.__file__).parent
PATTERNS = {"scan_parquet", "read_parquet", "scan_csv", "read_csv", "scan_ipc", "read_ipc"}
HIVE = {"scan_parquet", "read_parquet", "scan_ipc"}
IN_MEMORY = {  # calls whose source is bytes
    "data/cache.py": 1,
    "data/movielens.py": 1,
    "data/movielens_files.py": 1,
    "data/text_content.py": 1,
    "data/opened_files.py": 2,
    "recommender/contents.py": 1,
}


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "pl"
        and node.func.attr in PATTERNS
    ]


def takes_a_path_for_a_pattern(call: ast.Call) -> bool:
    given = {word.arg: word.value for word in call.keywords}
    if None in given:  # **options, which data/text.py holds, with glob=False among them
        return False
    wanted = ["glob", "hive_partitioning"] if call.func.attr in HIVE else ["glob"]  # type: ignore[attr-defined]
    return not all(isinstance(one := given.get(name), ast.Constant) and one.value is False for name in wanted)


def test_polars_is_given_no_path_as_a_pattern() -> None:
    found = {
        str(path.relative_to(SOURCE)): sum(map(takes_a_path_for_a_pattern, calls(path)))
        for path in SOURCE.rglob("*.py")
    }
    assert {name: number for name, number in found.items() if number} == IN_MEMORY


NAMES = ["a[12]", "a*", "a?", "day=1", "{a}", "a b", "%41"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_everything_is_written_and_read_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    log = {"u": ["a", "a", "b"], "i": ["x", "y", "x"], "hour": [1, 2, 1]}
    pl.DataFrame(log).write_parquet(folder / "log.parquet")
    data = sl.Dataset(folder / "log.parquet", "u", "i")
    assert data.interactions.rows() == [("a", "x", 1), ("a", "y", 2), ("b", "x", 1)]
    shards = sl.Shards.encode(folder / "log.parquet", folder / "shards", query="u", candidate="i", context=["hour"])
    again = sl.Shards.load(folder / "shards")
    assert len(again) == len(shards) == 3
    assert again.contexts is not None
    assert again.contexts.columns == ["hour"]
    recommender = sl.Recommender(sl.popularity(data), seen=data)
    recommender.save(folder / "bundle")
    loaded = sl.Recommender.load(folder / "bundle")
    done = loaded.recommend_all(folder / "lists", 2, exclude_seen=False)
    assert done.rows == 4
    assert loaded.recommend_all(folder / "lists", 2, exclude_seen=False).rows == 4
