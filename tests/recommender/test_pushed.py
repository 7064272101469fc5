"""Conditions as filters: which text becomes which tree, and what databases are not asked."""

from __future__ import annotations

import pytest

from shortlist.errors import ConfigError, DataError
from shortlist.index.databases.filters import Among, Compare, Either, Every, Filter, Missing
from shortlist.recommender.pushed import pushed


@pytest.mark.parametrize(
    ("where", "tree"),
    [
        ("year = 1990", Compare("year", "=", 1990)),
        ("1990 < year", Compare("year", ">", 1990)),
        ("year == -1.5e2", Compare("year", "=", -150.0)),
        ("\"release year\" <> 'it''s'", Compare("release year", "!=", "it's")),
        ("NOT a AND b", Every((Compare("a", "=", False), Compare("b", "=", True)))),
        ("not (a or b is null)", Every((Compare("a", "=", False), Missing("b", True)))),
        (
            "a = 1 or b = 2 and c = 3",
            Either((Compare("a", "=", 1), Every((Compare("b", "=", 2), Compare("c", "=", 3))))),
        ),
        ("not a between 1 and 2", Either((Compare("a", "<", 1), Compare("a", ">", 2)))),
        ("not a not between 1 and 2", Every((Compare("a", ">=", 1), Compare("a", "<=", 2)))),
        ("not a <= 1", Compare("a", ">", 1)),
        ("a is not null", Missing("a", True)),
        ("not a is not null", Missing("a", False)),
        ("film_id = 3", Compare("id", "=", 3)),
    ],
)
def test_the_tree_of_a_condition(where: str, tree: Filter) -> None:
    assert pushed(where, {"film_id": "id"}) == tree


@pytest.mark.parametrize(
    ("where", "negated"), [("a in (1, 2)", False), ("a not in (1, 2)", True), ("not a in (1, 2)", True)]
)
def test_a_column_among_values(where: str, negated: bool) -> None:
    found = pushed(where)
    assert isinstance(found, Among)
    assert (found.column, found.values, found.negated) == ("a", (1, 2), negated)


@pytest.mark.parametrize(
    "where",
    [
        "a + 1 = 2",
        "a = 1 + 1",
        "a = b",
        "a like 'x%'",
        "lower(a) = 'x'",
        "a = date '2020-01-31'",
        "a = null",
        "1 = 1",
        "a in (1, b)",
        "a = 1 and",
        "(a = 1",
        "a b",
        "-a = 1",
    ],
)
def test_what_databases_do_not_answer(where: str) -> None:
    with pytest.raises(
        ConfigError, match=r"where a database expects.*\n.*recommend\(where=…\) answers every condition"
    ):
        pushed(where)


def test_text_that_is_no_condition() -> None:
    with pytest.raises(DataError):
        pushed("a ; b")
