"""MovieLens in its real file formats, Datasets and splits, on tables small enough to work by hand."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl


def write(folder: Path, files: dict[str, str], encoding: str) -> Path:
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder


ONE_M = {
    "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n1::661::4::978302110\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
    "movies.dat": "661::Misérables, Les: The (1996)::Animation|Musical\n1193::Cuckoo (1975)::Drama\n",
}
TEN_M = {
    "ratings.dat": "1::122::4.5::838985046\n1::185::0.5::838983525\n",
    "movies.dat": "122::Boomerang (1992)::Comedy|Romance\n185::Net, The: Ünder (1995)::(no genres listed)\n",
    "tags.dat": "15::4973::excellent!::1215184630\n",
}
CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,11,3.5,1256677221\n2,12,4.0,1256677456\n",
    "movies.csv": 'movieId,title,genres\n11,"American President, The (1995)",Comedy|Drama\n12,Plain,(no genres listed)\n',
}


def test_1m_is_read_in_its_own_format(tmp_path: Path) -> None:
    data = sl.datasets.movielens("1m", data_dir=write(tmp_path, ONE_M, "latin-1"))
    assert data.interactions["user_id"].to_list() == ["1", "2", "1"]
    assert data.interactions["timestamp"].to_list() == [978300760, 978302109, 978302110]
    assert set(data.candidates["movie_title"]) == {"Misérables, Les: The (1996)", "Cuckoo (1975)"}
    assert data.queries["gender"].to_list() == ["F", "M"]


def test_10m_is_read_in_its_own_format(tmp_path: Path) -> None:
    data = sl.datasets.movielens("10m", data_dir=write(tmp_path, TEN_M, "utf-8"))
    assert data.interactions["user_rating"].to_list() == [4.5, 0.5]
    genres = dict(zip(data.candidates["movie_title"], data.candidates["genres"].to_list(), strict=True))
    assert genres == {"Boomerang (1992)": ["Comedy", "Romance"], "Net, The: Ünder (1995)": []}


@pytest.mark.parametrize("variant", ["20m", "25m", "32m", "latest-small"])
def test_the_csv_archives_are_read(tmp_path: Path, variant: str) -> None:
    data = sl.datasets.movielens(variant, data_dir=write(tmp_path, CSV, "utf-8"))
    assert data.interactions["movie_title"].to_list() == ["American President, The (1995)", "Plain"]
    assert data.interactions["user_rating"].to_list() == [3.5, 4.0]


def test_100k_holds_what_it_should() -> None:
    data = sl.datasets.movielens("100k")
    assert (len(data), len(data.queries), len(data.candidates)) == (100_000, 943, 1_664)
    assert any("1,682" in note for note in data.notes)
    assert len(sl.datasets.movielens("100k", candidate="movie_id").candidates) == 1_682


def test_an_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(sl.ConfigError, match="did you mean '100k'"):
        sl.datasets.movielens("100K")


def test_rows_and_merged_candidates() -> None:
    films = {"film": [9, 7, 9], "name": ["a", "b", "c"]}
    data = sl.Dataset({"user": ["ann", "bob", "ann"], "film": [7, 9, 9]}, "user", "film", candidates=films)
    assert data.candidates["film"].to_list() == [9, 7]
    assert data.candidates["name"].to_list() == ["a", "b"]
    assert data.candidate_rows.tolist() == [1, 0, 0]
    assert data.query_rows.tolist() == [0, 1, 0]
    assert any("1 candidate row" in note for note in data.notes)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"usr": ["a"], "film": [1]}, "did you mean 'usr'"),
        ({"user": ["a", None], "film": [1, 2]}, "1 null"),
        ({"user": [1.5], "film": [1]}, "Float64"),
        ({"user": [], "film": []}, "empty"),
        ({"user": [True], "film": [1]}, "Boolean"),
    ],
)
def test_bad_tables_are_refused(table: dict[str, list[object]], says: str) -> None:
    with pytest.raises(sl.DataError) as caught:
        sl.Dataset(table, "user", "film")
    assert says in str(caught.value)


def test_csv_ids_with_leading_zeros_stay_strings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,film\n007,1\n8,2\n")
    data = sl.Dataset(tmp_path / "a.csv", "user", "film")
    assert data.queries["user"].to_list() == ["007", "8"]
    assert data.candidates["film"].to_list() == [1, 2]


def test_random_split_is_exact_and_seeded() -> None:
    data = sl.Dataset({"u": np.arange(10) % 3, "c": np.arange(10)}, "u", "c")
    train, test = sl.split_random(data, test=0.3, seed=1)
    assert (len(train), len(test)) == (7, 3)
    assert sorted([*train.interactions["c"], *test.interactions["c"]]) == list(range(10))
    again = sl.split_random(data, test=0.3, seed=1).test
    assert again.interactions.equals(test.interactions)
    assert train.candidates is test.candidates is data.candidates


def test_time_split_keeps_equal_moments_together() -> None:
    rows = {"u": [1, 1, 2, 2], "c": [1, 2, 1, 3], "t": [10, 20, 30, 30]}
    train, test = sl.split_by_time(sl.Dataset(rows, "u", "c", "t"), at=30)
    assert train.interactions["t"].to_list() == [10, 20]
    assert test.interactions["t"].to_list() == [30, 30]


def test_last_split_takes_the_later_row_of_a_tie() -> None:
    rows = {"u": [1, 1, 2, 1], "c": [1, 2, 1, 3], "t": [10, 20, 5, 20]}
    train, test = sl.split_last(sl.Dataset(pl.DataFrame(rows), "u", "c", "t"))
    assert test.interactions["c"].to_list() == [3]
    assert train.interactions["c"].to_list() == [1, 2, 1]
