"""What a bundle records of its training."""

from __future__ import annotations

import subprocess
import uuid
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.train.record import data_fingerprint, run_record

ROWS = {"user": ["a", "b", "c"], "item": [1, 2, 1], "at": [5, 3, 9], "tags": [["x"], None, ["y", "z"]]}


def made(**changes: object) -> sl.Dataset:
    films = {"item": [1, 2], "title": ["Heat", None], "year": [1995.0, None]}
    return sl.Dataset(pl.DataFrame({**ROWS, **changes}), "user", "item", "at", candidates=pl.DataFrame(films))


def test_the_fingerprint_is_of_the_values() -> None:
    assert data_fingerprint(made()) == data_fingerprint(made())
    known = {data_fingerprint(made())}
    for changes in (
        {"user": ["a", "b", "b"]},
        {"user": ["b", "a", "c"]},
        {"item": [1, 2, 2]},
        {"at": [5, 3, 8]},
        {"tags": [["x"], [], ["y", "z"]]},
        {"tags": [["x"], None, ["y", "zz"]]},
    ):
        known.add(data_fingerprint(made(**changes)))
    other = sl.Dataset(
        pl.DataFrame(ROWS),
        "user",
        "item",
        "at",
        candidates={"item": [1, 2], "title": ["Heat", ""], "year": [1995.0, None]},
    )
    known.add(data_fingerprint(other))
    assert len(known) == 8


@pytest.mark.parametrize(
    "values",
    [
        [timedelta(days=1), None, timedelta(microseconds=1)],
        [2**70, None, 2**70 + 1],
        [b"\xff\x00", None, b"\xff"],
        [{"a": 1, "b": b"\xff"}, None, {"a": 2, "b": b""}],
        [Decimal("1.5"), None, Decimal("2.5")],
        [time(8, 30), None, time(9)],
        [[timedelta(1)], None, [timedelta(2)]],
        [uuid.UUID(int=1), None, uuid.UUID(int=2)],
    ],
    ids=["durations", "wide integers", "bytes", "structs", "decimals", "times of day", "lists", "objects"],
)
def test_columns_of_any_type_are_in_the_fingerprint(values: list[object]) -> None:
    kind = pl.Int128 if isinstance(values[0], int) else pl.Object if isinstance(values[0], uuid.UUID) else None

    def fingerprint(column: list[object]) -> str:
        frame = pl.DataFrame({"user": ["a", "b", "c"], "item": [1, 2, 1], "more": pl.Series(column, dtype=kind)})
        return data_fingerprint(sl.Dataset(frame, "user", "item"))

    orders = [values, values[::-1], [values[0], values[2], None]]
    assert len({fingerprint(one) for one in orders}) == 3
    assert fingerprint(values) == fingerprint(list(values))


def test_shards_are_told_apart(tmp_path: Path) -> None:
    prints = []
    for number, items in enumerate(([1, 2, 1], [1, 2, 1], [1, 2, 2])):
        pl.DataFrame({"user": ["a", "b", "c"], "item": items}).write_parquet(tmp_path / f"{number}.parquet")
        shards = sl.Shards.encode(
            tmp_path / f"{number}.parquet", tmp_path / f"s{number}", query="user", candidate="item"
        )
        prints.append(run_record(shards, 1)["data"]["fingerprint"])
    assert prints[0] != prints[2]


def test_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHORTLIST_COMMIT", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    record = run_record(made(), 7)
    assert record["seed"] == 7
    assert record["data"]["interactions"] == 3
    assert (record["data"]["since"], record["data"]["until"]) == (3, 9)
    assert {"shortlist", "python", "torch", "polars"} <= record["versions"].keys()
    assert record["commit"] is None
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "one"],
    ):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    commit = run_record(made(), 7)["commit"]
    assert len(commit) == 40
    (tmp_path / "file").write_text("x")
    subprocess.run(["git", "add", "file"], check=True, cwd=tmp_path)
    assert run_record(made(), 7)["commit"] == f"{commit}+changes"
    monkeypatch.setenv("SHORTLIST_COMMIT", "abc")
    assert run_record(made(), 7)["commit"] == "abc"
