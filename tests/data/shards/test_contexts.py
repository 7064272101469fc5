"""Context columns of shards: a table of the distinct rows, and each interaction's row in it; by hand."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.data.shards.contexts import check_context, context_rows, context_table
from shortlist.data.source import find

LOG = pl.DataFrame({"u": [1, 2, 3, 4], "device": ["tv", None, "tv", "pad"], "hour": [9, 9, 9, 1]})


def test_distinct_rows_are_sorted_and_counted_and_found_again(tmp_path: Path) -> None:
    LOG.write_parquet(tmp_path / "log.parquet")
    table, often = context_table(find(tmp_path / "log.parquet", ids=("u",)), ["device", "hour"])
    assert table.rows() == [(None, 9), ("pad", 1), ("tv", 9)]
    assert often.tolist() == [1, 1, 2]
    assert context_rows(table, LOG, "log").tolist() == [2, 0, 2, 1]


def test_a_row_that_came_since_is_told() -> None:
    table = pl.DataFrame({"device": ["tv"], "hour": [9]})
    with pytest.raises(sl.DataError, match="'log' changed while it was encoded"):
        context_rows(table, LOG, "log")


@pytest.mark.parametrize(
    ("context", "kind", "says"),
    [
        (["device", "device"], sl.ConfigError, "context names 'device' again"),
        (["u"], sl.ConfigError, "context names 'u' again"),
        (["shop"], sl.DataError, "no column 'shop' for context"),
        (["tags"], sl.DataError, "'tags' is of type List"),
    ],
)
def test_columns_that_cannot_be_context(context: list[str], kind: type[Exception], says: str) -> None:
    schema = pl.Schema({"u": pl.Int64, "device": pl.String, "hour": pl.Int64, "tags": pl.List(pl.String)})
    check_context(["device", "hour"], ["u", None], schema)
    with pytest.raises(kind, match=says):
        check_context(context, ["u", None], schema)
