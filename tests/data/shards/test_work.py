"""The pieces that an encoding is read in, and the columns that it reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from shortlist.data.events import Events
from shortlist.data.reading import Reading
from shortlist.data.shards.files import Header
from shortlist.data.shards.work import Work, plan_of
from shortlist.data.source import find
from shortlist.errors import DataError

SCHEMA = pl.Schema({"who": pl.String(), "what": pl.String(), "kind": pl.String(), "at": pl.Int64(), "day": pl.String()})


def work(source: Any, events: Events | None = None, **changes: Any) -> Work:
    header = Header(
        query="who", candidate="what", timestamp=None, weight=None, block_rows=2, piece_rows=4, source={}, tables={}
    )
    for name, value in changes.items():
        header = header.__class__(**{**{one: getattr(header, one) for one in header.__struct_fields__}, name: value})
    plan = (events or Events()).plan(SCHEMA, "who", "what")
    return Work(source, Path(), header, {}, None, plan, Reading())


def test_pieces_are_cut_from_each_file_and_numbered_over_all() -> None:
    """Of 9 rows four, four and one; nothing of an empty file; of 4 rows one piece."""
    rows = {"a": 9, "b": 0, "c": 4}
    source = SimpleNamespace(files=list(rows), rows=rows.__getitem__)
    assert list(plan_of(work(source))) == [
        (0, "a", 0, 4),
        (1, "a", 4, 4),
        (2, "a", 8, 1),
        (3, "c", 0, 4),
    ]


def test_columns_that_are_read() -> None:
    """Those of the arrays and of the context, and those of the conditions; not a weight that is made here."""
    plain = work(None, timestamp="at", context=["kind"])
    assert plain.columns == {"query": "who", "candidate": "what", "timestamp": "at"}
    assert plain.read == ["who", "what", "at", "kind"]
    events = Events(where="at > 0", weight_by={"kind": {"buy": 2.0}})
    made = work(None, events, weight=events.plan(SCHEMA, "who", "what").weight)
    assert made.read[:2] == ["who", "what"]
    assert set(made.read) == {"who", "what", "kind", "at"}


def test_times_that_are_text_are_read_to_their_end(tmp_path: Path) -> None:
    """The last piece decides: a 13th in the second place."""
    frame = pl.DataFrame({"who": ["a"] * 5, "what": ["b"] * 5, "day": [*["02/03/2020"] * 4, "02/13/2020"]})
    frame.write_parquet(tmp_path / "log.parquet")
    found = work(find(tmp_path / "log.parquet"), timestamp="day").form
    assert found is not None
    frame.head(4).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError):
        work(find(tmp_path / "log.parquet"), timestamp="day").form  # noqa: B018 - day first, or month first


def test_numbers_have_no_form(tmp_path: Path) -> None:
    pl.DataFrame({"who": ["a"], "what": ["b"], "at": [1]}).write_parquet(tmp_path / "log.parquet")
    assert work(find(tmp_path / "log.parquet"), timestamp="at").form is None
    assert work(find(tmp_path / "log.parquet")).form is None
