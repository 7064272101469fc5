"""A model that begins where another stopped: rows go with their ids, new rows are means, and what differs is named."""

from __future__ import annotations

import pytest
import torch

import shortlist as sl
from shortlist.model.growth import carry_weights, check_alike, grow_features, table_names

OLD = sl.Dataset({"user": ["ann", "bob"], "film": ["a", "b"]}, "user", "film")
NEW = sl.Dataset({"user": ["bob", "cay", "bob"], "film": ["b", "c", "d"]}, "user", "film")


def model(dim: int = 2, **options: object) -> sl.TwoTower:
    sides = (sl.Tower(sl.StringLookup(side), dim=dim, **options) for side in ("user", "film"))
    return sl.TwoTower(*sides)


@pytest.fixture
def before() -> sl.TwoTower:
    made = model()
    made.prepare(OLD)
    for tower in (made.query, made.candidate):
        (table,) = tower.tables.values()
        table.weight.copy_(torch.tensor([[9.0, 9.0], [1.0, 2.0], [3.0, 6.0]]))  # unknown, and two ids in order
    return made


def rows_of(tower: sl.Tower) -> dict[str | None, list[float]]:
    """Each id's row; None for the unknown one."""
    ((_, table),) = tower.tables.items()
    ((_, feature),) = tower.features.items()
    found: dict[str | None, list[float]] = {None: table.weight[0].tolist()}
    for code, one in enumerate(feature.vocabulary.ids.to_list(), start=1):
        found[one] = table.weight[code].tolist()
    return found


def test_known_ids_keep_their_rows_and_new_ones_get_the_mean(before: sl.TwoTower) -> None:
    now = model()
    origins = grow_features(now, before, NEW)
    now.prepare(NEW)
    carry_weights(now, before, origins, NEW)
    old = rows_of(before.candidate)
    assert rows_of(now.candidate) == {
        None: [9.0, 9.0],
        "a": old["a"],
        "b": old["b"],
        "c": [2.0, 4.0],  # the mean of (1, 2) and (3, 6)
        "d": [2.0, 4.0],
    }
    assert rows_of(now.query)["cay"] == [2.0, 4.0]
    assert rows_of(now.query)["bob"] == rows_of(before.query)["bob"]


def test_origins_are_the_codes_of_before(before: sl.TwoTower) -> None:
    origins = grow_features(model(), before, NEW)
    assert {name: origin.tolist() for name, origin in origins.items()} == {
        "query.tables.user:StringLookup": [0, 1, 2, -1],
        "candidate.tables.film:StringLookup": [0, 1, 2, -1, -1],
    }


def test_the_model_of_before_stays_as_it_was(before: sl.TwoTower) -> None:
    rows, ids = rows_of(before.candidate), before.candidate.features["film:StringLookup"].vocabulary.ids.to_list()
    grow_features(model(), before, NEW)
    assert rows_of(before.candidate) == rows
    assert before.candidate.features["film:StringLookup"].vocabulary.ids.to_list() == ids


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dim": 3}, "the query tower's dim is 3 and was 2"),
        ({"normalize": True}, "the query tower's normalize is True and was False"),
        ({"hidden": (4,)}, "the query tower's hidden is"),
        ({"heads": 1, "cross": 1}, "the query tower's cross is 1 and was 0"),
    ],
)
def test_another_model_is_refused_with_what_differs(before: sl.TwoTower, options: dict[str, object], says: str) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        check_alike(model(**options), before)


def test_other_features_are_named(before: sl.TwoTower) -> None:
    other = sl.TwoTower(sl.Tower(sl.Hashing("user", 5), dim=2), sl.Tower(sl.StringLookup("film"), dim=2))
    with pytest.raises(sl.ConfigError, match="features are user:Hashing and were user:StringLookup"):
        check_alike(other, before)


def test_a_trained_model_begins_nowhere(before: sl.TwoTower) -> None:
    with pytest.raises(sl.ConfigError, match="has not been trained yet"):
        check_alike(before, before)
    check_alike(model(), before)


def test_tables_are_named_as_in_the_model(before: sl.TwoTower) -> None:
    assert list(table_names(before)) == ["query.tables.user:StringLookup", "candidate.tables.film:StringLookup"]
