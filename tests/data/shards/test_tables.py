"""The first pass: both tables are those of a Dataset, and ids and contexts are counted."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.data.shards.encoding import encoded

import shortlist as sl
from shortlist.data.shards import find
from shortlist.data.shards.tables import id_counts


def test_tables_given_are_merged_and_completed_as_in_a_dataset(folder: Path, tmp_path: Path) -> None:
    films = pl.DataFrame({"film": [5, 107, 107, 114], "year": [1990, 1991, 1992, 1993]})
    with pytest.warns(sl.ShortlistWarning, match="lacked"):
        data = sl.Dataset(folder, "user", "film", candidates=films)
    with pytest.warns(sl.ShortlistWarning, match="lacked"):
        shards = sl.Shards.encode(folder, tmp_path / "shards", query="user", candidate="film", candidates=films)
    assert shards.candidates.equals(data.candidates)
    assert shards.notes == data.notes
    assert shards.candidate_counts.tolist() == data.candidate_counts.tolist()
    assert sorted(shards.to_dataset().candidate_rows) == sorted(data.candidate_rows)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user": pl.lit(None)}, "'user'"),
        ({"film": pl.when(pl.int_range(pl.len()) == 5).then(None).otherwise("film")}, "3 nulls in 'film'"),
        ({"stars": pl.lit(-1.0)}, "weight"),
        ({"stars": pl.lit(0.0)}, "zero in every row"),
        ({"when": pl.lit(True)}, "timestamp"),
        ({"film": pl.col("film").cast(pl.Float64)}, "Float64"),
    ],
)
def test_what_a_dataset_refuses_is_refused(folder: Path, tmp_path: Path, change: dict[str, pl.Expr], says: str) -> None:
    for file in folder.rglob("*.parquet"):
        pl.read_parquet(file).with_columns(**change).write_parquet(file)
    with pytest.raises(sl.DataError, match=says):
        encoded(folder, tmp_path / "shards")


def test_missing_columns_and_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(sl.DataError, match="did you mean 'user'"):
        encoded(folder, tmp_path / "one", query="usr")
    with pytest.raises(sl.DataError, match="does not exist"):
        encoded(tmp_path / "nowhere", tmp_path / "two")
    with pytest.raises(sl.ConfigError, match="inside the source"):
        encoded(folder, folder / "shards")
    (folder / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(sl.DataError, match="could not be read"):
        encoded(folder, tmp_path / "three")


def test_ids_are_counted_over_all_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = find(folder)

    def counted() -> pl.DataFrame:
        ids, often = id_counts(source, "user", "query")
        return pl.DataFrame({"id": ids, "often": often}).sort("id")

    whole = counted()
    scans = type(source).scans
    monkeypatch.setattr(type(source), "scans", lambda self, columns: scans(self, columns, 77))
    assert counted().equals(whole)
    assert whole["often"].sum() == 1000
