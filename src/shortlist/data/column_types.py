"""The type that a column has in all files of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

__all__ = ["common_schema", "common_type", "partition_type"]

SIGNED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128)
UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
UNITS = ("ms", "us", "ns")
DATE = r"^\d{4}-\d{2}-\d{2}$"


def common_schema(files: Mapping[str, pl.Schema], ids: Sequence[str]) -> tuple[pl.Schema, dict[str, str]]:
    """The type of each column in all files, and which columns have none, with the two types and where they are.

    Args:
        files: the columns of each file, by name.
        ids: columns whose integers are not turned into floats.
    """
    types: dict[str, pl.DataType] = {}
    since: dict[str, str] = {}
    conflicts: dict[str, str] = {}
    for name, schema in files.items():
        for column, kind in schema.items():
            if column not in types or types[column] == pl.Null:
                types[column], since[column] = kind, name
                continue
            both = common_type(types[column], kind)
            if both is not None and column in ids and both.is_float() and types[column] != kind:
                both = None  # 12346.0 is not an id
            if both is None:
                conflicts.setdefault(column, f"is {types[column]} in {since[column]!r} and {kind} in {name!r}")
            else:
                types[column] = both
    return pl.Schema({column: kind for column, kind in types.items() if column not in conflicts}), conflicts


def partition_type(values: Sequence[str | None]) -> pl.DataType:
    """Of a Hive partition: integers where all values read back as they are, dates where all are as 2024-05-01, else text."""
    text = pl.Series([value for value in values if value is not None], dtype=pl.String)
    whole = text.cast(pl.Int64, strict=False)
    if len(text) and whole.null_count() == 0 and bool((whole.cast(pl.String) == text).all()):
        return pl.Int64()
    if len(text) and bool(text.str.contains(DATE).all()):
        return pl.Date() if text.str.to_date("%Y-%m-%d", strict=False).null_count() == 0 else pl.String()
    return pl.String()


def common_type(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """The smallest type that holds the values of both; None if some value would change.

    Integers take the wider type, times the finer unit, categories become strings, integers together with floats become Float64.

    Example:
        >>> common_type(pl.Int32(), pl.UInt32()), common_type(pl.Int64(), pl.String())
        (Int64, None)
    """
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    if all(kind.base_type() in (pl.String, pl.Categorical, pl.Enum) for kind in (one, other)):
        return pl.String()
    if one.is_integer() and other.is_integer():
        return _integer(one, other)
    if one.is_numeric() and other.is_numeric():
        if isinstance(one, pl.Decimal) and isinstance(other, pl.Decimal):
            return pl.Decimal(38, max(one.scale, other.scale))
        return pl.Float64()
    if one.is_temporal() and other.is_temporal():
        return _time(one, other)
    if isinstance(one, (pl.List, pl.Array)) and isinstance(other, (pl.List, pl.Array)):
        inner = common_type(pl.Series(dtype=one).dtype.inner, pl.Series(dtype=other).dtype.inner)  # type: ignore[attr-defined]
        return None if inner is None else pl.List(inner)
    return None


def _integer(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    kinds = (one.base_type(), other.base_type())
    for family in (SIGNED, UNSIGNED):
        if all(kind in family for kind in kinds):
            return family[max(map(family.index, kinds))]()
    signed, unsigned = sorted(kinds, key=lambda kind: kind in UNSIGNED)
    return SIGNED[max(SIGNED.index(signed), UNSIGNED.index(unsigned) + 1)]()


def _time(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    both = (one, other)
    if any(kind != pl.Date and not isinstance(kind, pl.Datetime) for kind in both):
        return None
    times = [kind for kind in both if isinstance(kind, pl.Datetime)]
    zones = {kind.time_zone for kind in times}
    if (None in zones and len(zones) > 1) or (len(times) < 2 and zones != {None}):
        return None  # whether a moment without a zone is before one with a zone cannot be known
    unit = max((kind.time_unit for kind in times), key=UNITS.index)
    return pl.Datetime(unit, zones.pop() if len(zones) == 1 else "UTC")
