"""The text of a condition: its tokens, the columns that it names, its cost, and the texts that are refused."""

from __future__ import annotations

import pytest

from shortlist.data.condition_text import (
    check_text,
    check_words,
    columns_named,
    cost,
    literal,
    named_columns,
    quoted,
    renamed,
    tokens_of,
)
from shortlist.errors import DataError


def test_tokens_have_kinds_and_places() -> None:
    tokens = tokens_of("a >= 'it''s' or  \"b c\" < 1.5e3", "where", "rows")
    assert [tuple(one) for one in tokens] == [
        ("word", "a", 0),
        ("sign", ">=", 2),
        ("text", "'it''s'", 5),
        ("word", "or", 13),
        ("quoted", '"b c"', 17),
        ("sign", "<", 23),
        ("number", "1.5e3", 25),
    ]


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        ("a > 0 and b = 'a' or a is null", ("a", "b")),
        ("day > date '2020-01-31' and length(name) > 2", ("day", "name")),
        ('"of ""two"" words" = 1', ('of "two" words',)),
        ('date > 1 and "and" > 2', ("date", "and")),  # a column, not the word before a date; and a quoted word
        ("a b sum(c) >", ("a", "b", "c")),  # not a condition, but its columns can be seen
        ("a = 'open", ()),
    ],
)
def test_columns_that_a_text_names(where: str, columns: tuple[str, ...]) -> None:
    assert columns_named(where) == columns


def test_columns_get_other_names_and_texts_stay() -> None:
    where = "a = 'a' and \"b c\" > a or a(b) = 1"
    tokens = tokens_of(where, "where", "rows")
    assert [name for _, name in named_columns(tokens)] == ["a", "b c", "a", "b"]
    assert renamed(where, tokens, {"a": "x", "b c": "y"}) == '"x" = \'a\' and "y" > "x" or a("b") = 1'


@pytest.mark.parametrize(
    ("where", "weight"),
    [
        ("a > 0", 1 + 1),
        ("a > 0 and not b = 1", 1 + 1 + 1 + 1 + 1),  # and, not, two signs
        ("(a, b) in (1, 2)", 1 + 3),  # brackets and commas cost nothing
        ("name like 'x%' or abs(a) between 1 and 2", 1 + 6 + 1 + 10 + 2 + 1),
        ("name ilike 'x%'", 1 + 20),
        ("length > 1", 1 + 1),  # a column called as a function is
    ],
)
def test_cost_of_a_row(where: str, weight: int) -> None:
    assert cost(tokens_of(where, "where", "rows")) == weight


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("a > 0; drop", "where has '; drop' at character 6"),
        ("a = 'open", r"""where has "'open" at character 5"""),
        (" ", "where is empty"),
        ("a > 0 -- rest", "where has '-- rest' at character 7"),
    ],
)
def test_other_characters_are_refused(where: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tokens_of(where, "where", "rows")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("a in (select b)", "'select', which conditions do not support"),
        ("sum(a) > 1", "calls 'sum'"),
        ("a is true", "has 'is true'"),
        ("of two = 1", "nothing 'between of and two'"),
        (" or ".join(["a"] * 202), "has 201 operators; at most 200"),
    ],
)
def test_other_words_are_refused(where: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_words(tokens_of(where, "where", "rows"), "where")


def test_two_hundred_operators_pass() -> None:
    check_words(tokens_of(" or ".join(["a"] * 201), "where", "rows"), "where")


def test_a_condition_is_text() -> None:
    with pytest.raises(DataError, match="where is a int; SQL in a string was expected"):
        check_text(1, "where")


def test_names_and_texts_as_a_condition_writes_them() -> None:
    assert [quoted("a_1"), quoted("1a"), quoted('a "b"'), literal("it's")] == [
        "a_1",
        '"1a"',
        '"a ""b"""',
        "'it''s'",
    ]


@pytest.mark.parametrize(
    ("where", "at"),
    [
        ("1990 < year < 2000", 13),
        ("year = 1999 = true", 13),
        ("genre = 'a' and 1 <= year <= 2", 27),
        ("not (1 < year > 0)", 15),
        ("(1 < year) < 2 <> true", 16),
        ("year in (1, 2) or abs(year) > 1 != false", 33),
    ],
)
def test_a_comparison_of_a_comparison_is_refused(where: str, at: int) -> None:
    """SQL reads the first as ``(1990 < year) < 2000``: true of every row."""
    with pytest.raises(DataError, match=f"compares a comparison: .* at character {at}") as refused:
        check_words(tokens_of(where, "where", "rows"), "where")
    assert refused.value.hint == "join comparisons by and: 1990 < year and year < 2000"


@pytest.mark.parametrize(
    "where",
    [
        "1 < year and year < 2",
        "year between 1 and 2",
        "(a = b) = (c = d)",
        "a = 1 or b = 2 or not c = 3",
        "coalesce(a = 1, b = 2)",
    ],
)
def test_comparisons_next_to_each_other_are_none_of_each_other(where: str) -> None:
    check_words(tokens_of(where, "where", "rows"), "where")
