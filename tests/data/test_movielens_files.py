"""The file formats of MovieLens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from tests.data.movielens_in_small import CSV, HUNDRED_K, ONE_M, write

from shortlist.data import movielens
from shortlist.errors import DataError


def test_100k_in_its_own_format(tmp_path: Path) -> None:
    data = movielens.movielens(data_dir=write(tmp_path, HUNDRED_K))
    assert data.interactions.rows() == [
        ("196", "2", "Misérables, Les (1995)", 3.0, 881250949),
        ("22", "1", "Toy Story (1995)", 1.0, 878887116),
        ("196", "3", "Toy Story (1995)", 5.0, 881250950),
    ]
    assert list(data.interactions.schema.values()) == [pl.String, pl.String, pl.String, pl.Float32, pl.Int64]
    assert data.candidates.rows() == [
        ("Toy Story (1995)", "1", date(1995, 1, 1), 1995, []),
        ("Misérables, Les (1995)", "2", date(1995, 2, 4), 1995, ["Drama"]),
    ]
    assert data.queries.rows() == [("22", 24, "M", "technician", "05201"), ("196", 53, "F", "other", "T8H1N")]
    assert (data.query, data.candidate, data.timestamp, data.weight) == ("user_id", "movie_title", "timestamp", None)
    assert data.notes == (
        "1 candidate row had the movie_title of an earlier row and merged into it (3 rows, 2 candidates)",
        "the movie table has 3 rows",
    )


def test_1m_names_occupations_and_keeps_colons_in_titles(tmp_path: Path) -> None:
    data = movielens.movielens("1m", data_dir=write(tmp_path, ONE_M))
    assert data.candidates.rows() == [
        ("Léon: The::Professional (1994)", "11", 1994, ["Crime", "Drama"]),
        ("Plain", "12", None, ["Comedy"]),
    ]
    assert data.queries.rows() == [("1", 1, "F", "K-12 student", "48067"), ("2", 56, "M", "self-employed", "70072-0")]


def test_csv_with_quotes_and_line_ends_of_windows(tmp_path: Path) -> None:
    windows = {name: text.replace("\n", "\r\n") for name, text in CSV.items()}
    data = movielens.movielens("25m", data_dir=write(tmp_path, windows, "utf-8"))
    assert data.candidates.rows() == [('Quo "Vadis", Ü (1951)', "11", 1951, [])]
    assert data.interactions.rows() == [("1", "11", 'Quo "Vadis", Ü (1951)', 0.5, 1256677221)]
    assert data.queries.columns == ["user_id"]


@pytest.mark.parametrize(
    ("variant", "files"),
    [
        ("1m", ONE_M | {"ratings.dat": "1,11,5,978300760\n"}),
        ("1m", ONE_M | {"ratings.dat": ""}),
        ("1m", ONE_M | {"movies.dat": ""}),
        ("1m", ONE_M | {"users.dat": "1::F::young::10::48067\n"}),
        ("10m", {name: ONE_M[name] for name in ("ratings.dat", "movies.dat")}),  # Latin-1, where UTF-8 is expected
        ("25m", CSV | {"ratings.csv": "user,movie\n1,2\n"}),
        ("100k", HUNDRED_K | {"u.item": "1|Toy Story\n"}),
        ("100k", HUNDRED_K | {"u.data": "a b c\n"}),
    ],
)
def test_files_in_another_format_are_refused(variant: str, files: Mapping[str, str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"MovieLens '{variant}'") as caught:
        movielens.movielens(variant, data_dir=write(tmp_path, files))
    assert "extract ml-" in str(caught.value.hint)
