"""Formats by name: families, compression, and names that are never data."""

from __future__ import annotations

import pytest

from shortlist.data.formats import format_of, is_hidden


@pytest.mark.parametrize(
    ("name", "family", "separator", "packed"),
    [
        ("a.parquet", "parquet", ",", None),
        ("A.PQ", "parquet", ",", None),
        ("log.csv", "delimited", ",", None),
        ("log.tsv", "delimited", "\t", None),
        ("log.TSV.gz", "delimited", "\t", ".gz"),
        ("log.csv.zst", "delimited", ",", ".zst"),
        ("events.jsonl.gz", "json", ",", ".gz"),
        ("part-0.feather", "arrow", ",", None),
    ],
)
def test_a_format_is_known_by_its_name(name: str, family: str, separator: str, packed: str | None) -> None:
    kind = format_of(name)
    assert kind is not None
    assert (kind.family, kind.separator, kind.packed) == (family, separator, packed)


@pytest.mark.parametrize("name", ["a.xlsx", "parquet", "a.parquet.gz", "a.arrow.zst", "a.gz", "a.csv.bz2", ""])
def test_other_names_have_none(name: str) -> None:
    assert format_of(name) is None


@pytest.mark.parametrize(
    ("part", "hidden"),
    [
        (".crc", True),
        ("_SUCCESS", True),
        ("_temporary", True),
        ("_day=1", False),
        ("part-0.csv._COPYING_", True),
        ("log.csv", False),
        ("day=1", False),
    ],
)
def test_what_is_never_data(part: str, hidden: bool) -> None:
    assert is_hidden(part) is hidden
