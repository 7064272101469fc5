"""A log of events as interactions: five rows in two files, of which three are choices."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from shortlist.data.events import Events
from shortlist.data.shards.interactions import interactions_of, places_of, plain, prepared
from shortlist.data.source import Source, find
from shortlist.errors import DataError

COLUMNS = {"query": "who", "candidate": "what", "weight": None}
EVENTS = Events(where="kind != 'view'", weight_by={"kind": {"buy": 3.0, "click": 1.0}})


@pytest.fixture
def source(tmp_path: Path) -> Source:
    pl.DataFrame({"who": ["ann", "ann", "bob"], "what": [1, 2, 1], "kind": ["view", "buy", "click"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    pl.DataFrame({"who": ["bob", "cat"], "what": [2, 3], "kind": ["view", "buy"]}).write_parquet(tmp_path / "b.parquet")
    return find(tmp_path)


def test_without_events_every_row_is_an_interaction(source: Source) -> None:
    assert interactions_of(source, {**COLUMNS, "weight": "stars"}, Events()) == (source, "stars")


def test_pieces_and_passes_have_choices_alone(source: Source) -> None:
    found, weight = interactions_of(source, COLUMNS, EVENTS)
    assert weight is not None
    assert found.schema()[weight] == pl.Float32 or found.schema()[weight].is_float()
    assert [found.rows(file) for file in found.files] == [2, 1]
    columns = ["who", "what", weight]
    assert found.read(found.files[0], 0, 10, columns).rows() == [("ann", 2, 3.0), ("bob", 1, 1.0)]
    assert found.read(found.files[0], 1, 1, columns).rows() == [("bob", 1, 1.0)]
    assert [frame.collect().rows() for _, frame in found.scans(["who"])] == [[("ann",), ("bob",)], [("cat",)]]
    assert found.frame(["what"])["what"].to_list() == [2, 1, 3]


def test_prepared_pieces_keep_their_rows_and_passes_do_not(source: Source) -> None:
    plan = EVENTS.plan(source.schema(), "who", "what")
    found = prepared(source, plan)
    assert [found.rows(file) for file in found.files] == [3, 2]
    assert found.read(found.files[0], 0, 10, ["who"])["who"].to_list() == ["ann", "ann", "bob"]
    counts, times = found.counts(["who"])
    assert dict(zip(counts["who"], times, strict=True)) == {"ann": 1, "bob": 1, "cat": 1}


def test_a_plan_that_does_nothing_passes_over_all(source: Source) -> None:
    found = prepared(source, Events().plan(source.schema(), "who", "what"))
    counts, times = found.counts(["who"])
    assert dict(zip(counts["who"], times, strict=True)) == {"ann": 2, "bob": 2, "cat": 1}


def test_the_source_behind_has_every_row(source: Source) -> None:
    found, _ = interactions_of(source, COLUMNS, EVENTS)
    assert type(plain(found)) is Source
    assert plain(found).rows(found.files[0]) == 3
    assert places_of(found).source == plain(found)


def test_a_missing_column_is_named(source: Source) -> None:
    with pytest.raises(DataError, match="whom"):
        interactions_of(source, {**COLUMNS, "query": "whom"}, EVENTS)
