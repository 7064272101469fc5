"""Filters on tables small enough to work by hand, and against a plain loop."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import Dataset, k_core, keep_at_least, split_random
from shortlist.errors import ConfigError, DataError

NAN = float("nan")


def pairs(rows: list[tuple[int, int]], **tables: object) -> Dataset:
    return Dataset({"u": [u for u, _ in rows], "c": [c for _, c in rows]}, "u", "c", **tables)  # type: ignore[arg-type]


def rows_of(data: Dataset) -> list[tuple[int, int]]:
    return data.interactions.select("u", "c").rows()


def plain_core(rows: list[tuple[int, int]], users: int, items: int) -> list[tuple[int, int]]:
    """Takes out one row at a time."""
    rows = list(rows)
    while True:
        for row in rows:
            if sum(u == row[0] for u, _ in rows) < users or sum(c == row[1] for _, c in rows) < items:
                rows.remove(row)
                break
        else:
            return rows


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30), st.data())
def test_a_core_agrees_with_taking_out_one_row_at_a_time(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    users, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    expected = plain_core(rows, users, items)
    if not expected:
        with pytest.raises(DataError, match="no interactions are left"):
            k_core(pairs(rows), queries=users, candidates=items)
        return
    core = k_core(pairs(rows), queries=users, candidates=items)
    assert rows_of(core) == expected
    assert core.queries["u"].to_list() == sorted({u for u, _ in expected})
    assert core.candidates["c"].to_list() == sorted({c for _, c in expected})
    assert core.candidates["c"][core.candidate_rows].to_list() == [c for _, c in expected]


def test_a_core_is_reached_in_several_rounds() -> None:
    """3's second film goes first, then 3, then film 10, then 1 and 2: a chain that one round does not see."""
    square = [(7, 20), (7, 21), (8, 20), (8, 21)]
    chain = [(1, 9), (1, 10), (2, 10), (2, 11), (3, 11), (3, 12)]
    core = k_core(pairs(chain + square), 2)
    assert rows_of(core) == square
    assert core.notes[-1].startswith("kept 4 of 10 interactions: queries with at least 2, candidates with at least 2")
    assert core.notes[-1].endswith("(2 of 5 queries, 2 of 6 candidates)")


def test_a_core_keeps_features_and_earlier_notes_and_takes_the_rest_off_the_tables() -> None:
    movies = pl.DataFrame({"c": [1, 2, 3, 3], "title": ["a", "b", "c", "c"]})
    data = pairs([(1, 1), (1, 2), (2, 1)], candidates=movies)
    core = k_core(data, 1)
    assert core.candidates.rows() == [(1, "a"), (2, "b")]  # nobody chose 3
    assert core.notes[:-1] == data.notes
    train, _ = split_random(core, test=1)
    assert train.notes == core.notes


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_an_impossible_core(k: object) -> None:
    with pytest.raises(ConfigError, match="whole number of at least 1"):
        k_core(pairs([(1, 1)]), k)  # type: ignore[arg-type]


def stars(values: list[object]) -> Dataset:
    return Dataset({"u": [0] * len(values), "c": list(range(len(values))), "stars": values}, "u", "c")


def test_ratings_of_at_least() -> None:
    data = stars([3.5, 4.0, None, NAN, 5.0])
    kept = keep_at_least(data, "stars", 4)
    assert kept.interactions["c"].to_list() == [1, 4]
    assert kept.candidates is data.candidates  # what nobody liked still competes
    assert kept.candidate_rows.tolist() == [1, 4]
    assert kept.notes == ("kept 2 of 5 interactions: stars at least 4",)
    assert data.notes == ()


def test_refusals_of_ratings() -> None:
    with pytest.raises(DataError, match=r"no interaction has stars of at least 6; the largest is 5"):
        keep_at_least(stars([1, 5]), "stars", 6)
    with pytest.raises(DataError, match="expected numbers"):
        keep_at_least(stars(["1", "5"]), "stars", 1)
    with pytest.raises(DataError, match="no column 'star'"):
        keep_at_least(stars([1, 5]), "star", 1)
    with pytest.raises(ConfigError, match="finite number"):
        keep_at_least(stars([1, 5]), "stars", NAN)
