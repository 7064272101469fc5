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


def test_a_row_that_was_added_since_is_refused() -> None:
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


def test_contexts_are_counted_and_a_column_may_be_called_len(tmp_path: Path) -> None:
    """Of eight rows, three at 5, one at 7, four at no known hour; of those kept after a split, as many as are read."""
    rows = pl.DataFrame(
        {"len": [1, 2, 3, 4, 1, 2, 3, 4], "item": [5, 6] * 4, "hour": [5, None, 7, None, 5, None, 5, None]}
    )
    rows.write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(
        tmp_path / "log.parquet", tmp_path / "shards", query="len", candidate="item", context=["hour"]
    )
    assert shards.contexts is not None
    assert dict(zip(shards.contexts["hour"].to_list(), shards.context_counts.tolist(), strict=True)) == {
        None: 4,
        5: 3,
        7: 1,
    }
    assert shards.query_counts.tolist() == [2, 2, 2, 2]
    train, test = shards.split(0.25)
    held = test.interactions["hour"].to_list()
    left = {hour: count - held.count(hour) for hour, count in {None: 4, 5: 3, 7: 1}.items()}
    assert dict(zip(shards.contexts["hour"].to_list(), train.context_counts.tolist(), strict=True)) == left
