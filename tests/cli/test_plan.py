"""The forecast on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist
from tests.train.log import COLUMNS, ROWS, written

import shortlist as sl
from shortlist.cli.plan import _guessed, lines
from shortlist.data.shards import find
from shortlist.train.forecast import Forecast, forecast


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("plan") / "log")


def test_the_command(log: Path) -> None:
    done = shortlist("plan", log, "factorization", "--sample", 2000, "--json", cwd=log.parent)
    assert done.returncode == 0, done.stderr
    assert "taking 'user_id' for the query ids" in done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == ROWS
    assert [table["name"] for table in found["tables"]] == [
        "query: user_id:IntegerLookup",
        "candidate: item_id:StringLookup",
    ]


def test_several_processes_divide_tables_and_state(log: Path) -> None:
    """The worked estimate's commands, in small: one machine, four, and 8 GPUs; bfloat16 where it names it."""
    changes = ("--set", "model.dim=32", "--set", 'optimizer={name="Adagrad"}')
    alone, four, eight = (
        json.loads(
            shortlist("plan", log, *changes, "--sample", 2000, "--processes", number, "--json", cwd=log.parent).stdout
        )
        for number in (1, 4, 8)
    )
    learned = alone["weights"] + alone["optimizer"]
    assert [phase["name"] for phase in four["phases"]] == [
        "build",
        "steps",
        "checkpoint",
        "end",
        "index",
        "save",
        "serving",
        "swap",
    ]
    steps = [next(one["memory"] for one in found["phases"] if one["name"] == "steps") for found in (alone, four, eight)]
    assert [steps[0] - most for most in steps[1:]] == [learned - learned // 4, learned - learned // 8]


def test_what_a_person_reads(log: Path) -> None:
    found = forecast(find(log), sl.recipes.load("factorization"), COLUMNS, sample=ROWS)
    text = " ".join("\n".join(lines(found)).split())
    assert "interactions 60,000 in 3 files, 60,000 looked at queries 4,000 candidates" in text
    for part in ("training in memory", "train from memory", "index (BruteForce)", "an epoch", "swap"):
        assert part in text
    none = Forecast(**{**vars(found), "memory": 1000})
    assert "too little for the phase 'save'" in "\n".join(lines(none))
    with pytest.raises(sl.ConfigError, match="--candidate COLUMN"):
        _guess_unclear(log)


def _guess_unclear(log: Path) -> str:
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(log.parent / "unclear.parquet")
    return _guessed(find(log.parent / "unclear.parquet"), "candidate")
