"""Ids are cleaned on request."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.data.events import Events
from shortlist.errors import DataError


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_from_float_columns(tmp_path: Path, suffix: str) -> None:
    """As pandas writes a column of integers in which one is missing."""
    log = pl.DataFrame({"who": [12346.0, None, 12347.0], "what": [1, 2, 3]})
    file = tmp_path / f"log.{suffix}"
    log.write_csv(file) if suffix == "csv" else log.write_parquet(file)
    data = sl.Dataset(file, "who", "what", events=Events(strip_ids=True, drop_null_ids=True))
    assert data.interactions["who"].to_list() == [12346, 12347]
    if suffix == "parquet":
        shards = sl.Shards.encode(
            file, tmp_path / "shards", query="who", candidate="what", events=Events(strip_ids=True, drop_null_ids=True)
        )
        assert shards.queries["who"].to_list() == [12346, 12347]
        with pytest.raises(DataError, match=r"1 are not whole numbers.*1\.5"):
            sl.Dataset({"who": [1.5, 2.0], "what": [1, 2]}, "who", "what", events=Events(strip_ids=True))


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_the_tables_of_features_are_cleaned_too() -> None:
    films = {"what": [" a", "b", None], "year": [1990, 2000, 2010]}
    data = sl.Dataset(
        {"who": [1, 1], "what": ["a", "b "]}, "who", "what", candidates=films,
        events=Events(strip_ids=True, drop_null_ids=True),
    )  # fmt: skip
    assert data.candidates.rows() == [("a", 1990), ("b", 2000)]
