"""The type of a column in two files: by hand, for each pair that is met."""

from __future__ import annotations

import polars as pl
import pytest

from shortlist.data.column_types import common_type

PAIRS = [
    (pl.Int64(), pl.Int64(), pl.Int64()),
    (pl.Null(), pl.Int8(), pl.Int8()),
    (pl.Int8(), pl.Int32(), pl.Int32()),
    (pl.UInt8(), pl.UInt32(), pl.UInt32()),
    (pl.UInt8(), pl.Int8(), pl.Int16()),
    (pl.UInt32(), pl.Int8(), pl.Int64()),
    (pl.UInt32(), pl.Int64(), pl.Int64()),
    (pl.UInt64(), pl.Int64(), pl.Int128()),
    (pl.Float32(), pl.Float64(), pl.Float64()),
    (pl.Int64(), pl.Float32(), pl.Float64()),
    (pl.Decimal(10, 2), pl.Decimal(12, 3), pl.Decimal(38, 3)),
    (pl.Decimal(10, 2), pl.Int64(), pl.Float64()),
    (pl.Categorical(), pl.String(), pl.String()),
    (pl.Enum(["a"]), pl.Enum(["b"]), pl.String()),
    (pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("ns")),
    (pl.Date(), pl.Datetime("ms"), pl.Datetime("ms")),
    (pl.Datetime("us", "UTC"), pl.Datetime("us", "Asia/Seoul"), pl.Datetime("us", "UTC")),
    (pl.Datetime("us", "Asia/Seoul"), pl.Datetime("ms", "Asia/Seoul"), pl.Datetime("us", "Asia/Seoul")),
    (pl.List(pl.Int32()), pl.List(pl.Int64()), pl.List(pl.Int64())),
    (pl.Datetime("us"), pl.Datetime("us", "UTC"), None),
    (pl.Date(), pl.Datetime("us", "UTC"), None),
    (pl.Int64(), pl.String(), None),
    (pl.Boolean(), pl.Int8(), None),
    (pl.Date(), pl.String(), None),
    (pl.Date(), pl.Int32(), None),
    (pl.Date(), pl.Time(), None),
    (pl.List(pl.Int32()), pl.List(pl.String()), None),
    (pl.List(pl.Int32()), pl.Int32(), None),
    (pl.Struct({"a": pl.Int8()}), pl.Struct({"a": pl.Int16()}), None),
]


@pytest.mark.parametrize(("one", "other", "both"), PAIRS)
def test_the_smallest_type_that_holds_both(one: pl.DataType, other: pl.DataType, both: pl.DataType | None) -> None:
    assert common_type(one, other) == both
    assert common_type(other, one) == both
