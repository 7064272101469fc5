"""Contenders: what each reads of the tables."""

from __future__ import annotations

import datetime as dt
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import choose
from shortlist.choosing.contenders import Contender, contenders_of


def test_features_are_declared_from_the_tables() -> None:
    data = blocks(1500, 90, 60)
    kinds = pl.DataFrame({"what": np.arange(60), "kind": [f"k{one % 8}" for one in range(60)], "one": ["x"] * 60})
    data = sl.Dataset(data.interactions, "who", "what", candidates=kinds)
    choice = choose(data, budget=60)
    (features,) = (one for one in choice.tried if one.name == "features")
    assert features.figure is not None
    assert features.recipe.candidate.features == [{"kind": "Category", "column": "kind"}]
    assert features.note == "not read: 'one' is the same in every row"
    assert "  features: not read: 'one' is the same in every row" in choice.table()
    assert {"note": features.note}.items() <= next(
        one for one in choice.to_dict()["contenders"] if one["name"] == "features"
    ).items()


def features_of(**columns: Any) -> Contender:
    """The contender of features over a catalogue of four with these columns."""
    log = {"who": ["a", "b"] * 10, "what": [n % 4 for n in range(20)]}
    items = pl.DataFrame({"what": range(4), **columns}, strict=False)
    found = contenders_of(sl.Dataset(log, "who", "what", candidates=items), 42, False)
    return next(one for one in found if one.name == "features")


NAN = float("nan")
DAYS = [dt.date(2024, 1, day) for day in range(1, 5)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["x", "y", "x", "y"], "Category"),
        (pl.Series(["x", "y", "x", "y"], dtype=pl.Categorical), "Category"),
        (pl.Series(["x", "y", None, "y"], dtype=pl.Enum(["x", "y"])), "Category"),
        ([1, 2, 3, None], "Category"),
        ([True, None, False, True], "Category"),
        ([["x"], [], ["y", "x"], None], "MultiCategory"),
        ([1.5, None, 2.5, 3.5], "Discretization"),
        ([Decimal("1.5"), Decimal("2.5"), None, Decimal("3.5")], "Discretization"),
    ],
)
def test_a_column_is_read_as_what_it_is(values: Any, kind: str) -> None:
    found = features_of(column=values)
    assert (found.reason, found.note) == (None, None)
    (feature,) = found.recipe.candidate.features
    assert (feature["kind"], feature["column"]) == (kind, "column")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (
            [1.0, 2.0, NAN, NAN],
            "'column' has NaN or infinity in 2 of 4 rows, the first where 'what' is 2 (a missing value is a null)",
        ),
        ([1.0, None, float("inf"), 2.0], "'column' has NaN or infinity in 1 of 4 rows, the first where 'what' is 2"),
        ([None] * 4, "'column' is null throughout"),
        (["x"] * 4, "'column' is the same in every row"),
        ([[], None, [], []], "'column' is of type List(Null)"),
        (pl.Series([[], None, [], []], dtype=pl.List(pl.String)), "'column' is empty in every row"),
        (pl.Series([[None], None, [], []], dtype=pl.List(pl.Int64)), "'column' is empty in every row"),
        (pl.Series([2**70, 1, 2, 3], dtype=pl.Int128), "'column' is of type Int128"),
        ([timedelta(1)] * 4, "'column' is of type Duration"),
        (DAYS, "'column' is of type Date"),
        ([[0.5, 1.5]] * 4, "'column' is of type List(Float64)"),
        ([b"x", b"y", b"z", b"x"], "'column' is of type Binary"),
    ],
)
def test_a_column_that_is_not_read_is_told_with_the_reason(values: Any, why: str) -> None:
    alone = features_of(column=values)
    assert alone.reason is not None
    assert alone.reason.startswith("no column of the tables can be used: ")
    assert why in alone.reason
    found = features_of(column=values, kind=["x", "y", "x", "y"])
    assert found.reason is None
    assert str(found.note).startswith(f"not read: {why}")
    assert [one["column"] for one in found.recipe.candidate.features] == ["kind"]


def test_columns_beyond_the_first_six_are_told() -> None:
    found = features_of(**{f"c{number}": ["x", "y", "x", "y"] for number in range(8)})
    assert [one["column"] for one in found.recipe.candidate.features] == [f"c{number}" for number in range(6)]
    assert found.note == "not read: 'c6' comes after 6 others; 'c7' comes after 6 others"


TITLES = [f"title {number}" for number in range(60)]


def features_over_sixty(**columns: Any) -> Contender:
    """The contender of features over a catalogue of 60, of which the last ten were never chosen."""
    log = {"who": [n % 12 for n in range(200)], "what": [n % 50 for n in range(200)]}
    data = sl.Dataset(log, "who", "what", candidates=pl.DataFrame({"what": range(60), **columns}))
    return next(one for one in contenders_of(data, 42, False) if one.name == "features")


def test_texts_that_are_too_long_leave_their_column_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = features_over_sixty(title=TITLES, long=["x" * 100_001, *TITLES[1:]])
    assert [one["column"] for one in found.recipe.candidate.features] == ["title"]
    assert found.note == "not read: 'long' has a text of 100,001 letters; texts of up to 100,000 are read"
    monkeypatch.setattr("shortlist.choosing.contenders.LETTERS", 5000)
    found = features_over_sixty(title=TITLES, long=[f"{number:0100}" for number in range(60)])
    assert [one["column"] for one in found.recipe.candidate.features] == ["title"]
    assert found.note == "not read: 'long' has texts of 6,000 letters together; up to 5,000 are read"


def test_lighter_forms_leave_out_one_column_of_texts_after_the_other_the_longest_first() -> None:
    kinds = [f"k{number % 3}" for number in range(60)]
    found = features_over_sixty(title=TITLES, kind=kinds, plot=[f"{one} " * 30 for one in TITLES])
    forms = []
    while found is not None:
        forms.append(([one["column"] for one in found.recipe.candidate.features], found.note))
        found = found.lighter  # type: ignore[assignment]
    too_long = "has texts so long that it would take too long with them"
    assert forms == [
        (["title", "kind", "plot"], None),
        (["title", "kind"], f"not read: 'plot' {too_long}"),
        (["kind"], f"not read: 'plot' {too_long}; 'title' {too_long}"),
    ]
    alone = features_over_sixty(title=TITLES)  # without the title it would be factorization
    assert alone.lighter is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([None] * 50 + ["x", "y"] * 5, "is null in every row that occurs in the interactions"),
        ([None] * 50 + [1.5, 2.5] * 5, "is null in every row that occurs in the interactions"),
        ([[]] * 49 + [None] + [["x"]] * 10, "is empty in every row that occurs in the interactions"),
    ],
)
def test_a_column_without_a_value_in_training_is_left_out_alone(values: Any, why: str) -> None:
    found = features_over_sixty(kind=[f"k{number % 3}" for number in range(60)], late=values)
    assert [one["column"] for one in found.recipe.candidate.features] == ["kind"]
    assert found.note == f"not read: 'late' {why}"
    model, _ = found.recipe.train_towers(
        sl.Dataset(
            {"who": [n % 12 for n in range(200)], "what": [n % 50 for n in range(200)]},
            "who",
            "what",
            candidates=pl.DataFrame({"what": range(60), "kind": [f"k{n % 3}" for n in range(60)], "late": values}),
        ),
        epochs=1,
    )
    assert model.candidate.built


def test_als_is_tried_from_disk_where_its_pairs_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.parquet"
    pl.DataFrame({"who": ["a", "b"] * 10, "what": [n % 4 for n in range(20)]}).write_parquet(log)
    shards = sl.Shards.encode(log, tmp_path / "shards", query="who", candidate="what")

    def reason() -> str | None:
        return next(one for one in contenders_of(shards, 42, False) if one.name == "ALS").reason

    assert reason() is None
    room = sys.modules["shortlist.train.als"]  # the function has the name of its module
    monkeypatch.setattr(room, "available_memory", lambda: 28 * 20 - 1)
    assert reason() == "ALS needs 28 bytes of memory for each of 20 interactions, 0.6 kB; 0.6 kB are available"


def test_ease_is_tried_however_many_people_and_items_there_are() -> None:
    """Of the items the most chosen take part, so that the smaller side of its matrix has a bound."""
    many = 40_000
    data = sl.Dataset({"who": np.arange(many), "what": np.arange(many)}, "who", "what")
    (found,) = (one for one in contenders_of(data, seed=1, again=False) if one.name == "EASE")
    assert found.reason is None
