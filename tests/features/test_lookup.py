"""StringLookup, IntegerLookup, Category: values worked by hand."""

from __future__ import annotations

import polars as pl
import pytest

from shortlist import Category, DataError, IntegerLookup, StringLookup


def test_codes_follow_frequency():
    lookup = StringLookup("title")
    lookup.fit(pl.Series(["Heat", "Alien", "Alien", None]))
    encoded = lookup.encode(pl.Series(["Heat", "Alien", None, "alien", ""]))
    assert (encoded.values.tolist(), encoded.cardinality, encoded.unknown) == ([2, 1, 0, 0, 0], 3, 3)


def test_a_given_vocabulary_stays():
    lookup = IntegerLookup("user_id", [5, 3])
    lookup.fit(pl.Series([9, 9, 3]))
    assert lookup.encode(pl.Series([3, 5, 9])).values.tolist() == [2, 1, 0]
    lookup.fit(pl.Series([None, None]))
    assert lookup.fitted


def test_categories_are_strings():
    genre = pl.Series(["Drama", "War", "War"])
    lookup = StringLookup("genre", pl.Series(["War", "Drama"], dtype=pl.Enum(["Drama", "War"])))
    for dtype in (pl.String, pl.Categorical, pl.Enum(["War", "Drama", "Western"])):
        assert lookup.encode(genre.cast(dtype)).values.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("values", "order"),
    [(["b", "a", "a"], ["a", "b"]), ([7, 3, 3], [3, 7]), ([True, False, True], [True, False])],
)
def test_a_category_takes_strings_integers_and_booleans(values: list[object], order: list[object]):
    category = Category("kind")
    category.fit(pl.Series([*values, None]))
    assert category.encode(pl.Series([*order, None])).values.tolist() == [1, 2, 0]
    assert category.state()["vocabulary"].to_list() == order
    assert category.state()["vocabulary"].dtype == pl.Series(values).dtype


def test_a_boolean_that_training_never_saw():
    category = Category("premium")
    category.fit(pl.Series([True, True]))
    assert category.encode(pl.Series([False, True, None])).values.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("train", "other"),
    [([True], [1]), ([1], [True]), (["1"], [1]), ([1], ["1"]), (["true"], [True]), ([True], ["true"])],
)
def test_a_category_of_another_type(train: list[object], other: list[object]):
    category = Category("premium")
    category.fit(pl.Series(train))
    expected = f"{pl.Series(other).dtype}.*(trained on|built from) {pl.Series(train).dtype}"
    with pytest.raises(DataError, match=expected) as error:
        category.encode(pl.Series("premium", other))
    assert f"cast the column to {pl.Series(train).dtype}" in error.value.hint


@pytest.mark.parametrize(
    ("lookup", "values", "hint"),
    [
        (StringLookup("c", ["a"]), [1], "use IntegerLookup('c')"),
        (IntegerLookup("c", [1]), ["a"], "use StringLookup('c')"),
        (IntegerLookup("c", [1]), [True], "use Category('c')"),
        (Category("c", [1]), [1.5], "cast the column to String or Int64 first"),
    ],
)
def test_the_hint_names_what_would_work(lookup: StringLookup, values: list[object], hint: str):
    with pytest.raises(DataError) as error:
        lookup.encode(pl.Series("c", values))
    assert error.value.hint == hint
