"""MultiCategory: values worked by hand."""

from __future__ import annotations

import polars as pl
import pytest

from shortlist import ConfigError, DataError, MultiCategory


def bags(feature: MultiCategory, values: pl.Series) -> list[list[int]]:
    encoded = feature.encode(values)
    return [encoded.values[start:stop].tolist() for start, stop in zip(encoded.offsets, encoded.offsets[1:])]  # noqa: B905


def test_lists():
    genres = MultiCategory("genres")
    genres.fit(pl.Series([["War", "Drama"], ["Drama"], None, [], [None]]))
    values = pl.Series([["War", "Drama"], None, [], ["Drama", "Western", None, "War", "War"], ["Western"]])
    assert bags(genres, values) == [[2, 1], [], [], [1, 2, 2], []]
    assert genres.encode(values).cardinality == 3


def test_lists_of_integers_and_of_categories():
    assert bags(MultiCategory("tags", vocabulary=[2**60, 5]), pl.Series([[5, 2**60 + 1], [2**60]])) == [[2], [1]]
    categories = pl.Series([["a", "b"]], dtype=pl.List(pl.Categorical))
    assert bags(MultiCategory("tags", vocabulary=["b"]), categories) == [[1]]


def test_arrays_are_lists():
    pairs = pl.Series([["a", "b"], ["b", None], None], dtype=pl.Array(pl.String, 2))
    assert bags(MultiCategory("tags", vocabulary=["a", "b"]), pairs) == [[1, 2], [2], []]


def test_empty_lists_of_no_type():
    tags = MultiCategory("tags", vocabulary=["a"])
    assert bags(tags, pl.Series([[], [None]])) == [[], []]


def test_a_separator_and_white_space():
    genres = MultiCategory("genres", "|")
    genres.fit(pl.Series(["Drama|War", " Drama", None, "", " | "]))
    assert genres.vocabulary.ids.to_list() == ["Drama", "War"]
    assert bags(genres, pl.Series(["War| Drama |", "", None, "Drama|Western", "|"])) == [[2, 1], [], [], [1], []]


def test_a_separator_is_taken_literally():
    assert bags(MultiCategory("tags", ".*", vocabulary=["a", "b"]), pl.Series(["a.*b", "axb"])) == [[1, 2], []]


@pytest.mark.parametrize(
    ("feature", "values", "hint"),
    [
        (MultiCategory("g"), ["a|b"], "MultiCategory('g', separator=\"|\")"),
        (MultiCategory("g", "|"), [["a"]], "leave separator out"),
        (MultiCategory("g"), [1], "use Category('g')"),
        (MultiCategory("g"), [[1.5]], "cast the members"),
        (MultiCategory("g"), [[["a"]]], "cast the members"),
    ],
)
def test_hints(feature: MultiCategory, values: list[object], hint: str):
    with pytest.raises(DataError) as error:
        feature.fit(pl.Series("g", values))
    assert hint in error.value.hint


def test_an_empty_separator():
    with pytest.raises(ConfigError, match="empty separator"):
        MultiCategory("g", "")
