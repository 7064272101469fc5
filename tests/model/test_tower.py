"""One tower: vectors by hand, and options that cannot be."""

import numpy as np
import polars as pl
import pytest
import torch
from tests.model.films import Average, data

import shortlist as sl


def test_a_bag_is_the_mean_of_its_rows_and_an_empty_one_is_zero() -> None:
    films = {"film": ["a", "b", "c"], "genres": [["x", "y"], ["x"], []]}
    dataset = sl.Dataset({"user": [1, 1, 1], "film": ["a", "b", "c"]}, "user", "film", candidates=films)
    tower = sl.Tower(sl.MultiCategory("genres"), dim=2, module=Average())
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), tower)
    model.prepare(dataset)
    ((_, table),) = tower.tables.items()
    feature = next(iter(tower.features.values()))
    code = {genre: int(feature.encode(pl.Series("genres", [[genre]])).values[0]) for genre in ("x", "y")}
    x, y = (table.weight[code[genre]].numpy() for genre in ("x", "y"))
    vectors = model.candidate_vectors(dataset.candidates)
    np.testing.assert_allclose(vectors, [(x + y) / 2, x, [0, 0]], rtol=1e-6)


def test_normalized_vectors_have_length_one() -> None:
    query = sl.Tower(sl.IntegerLookup("user"), dim=4, normalize=True)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("film"), dim=4))
    sl.fit(model, data(), epochs=1, batch_size=4)
    np.testing.assert_allclose(np.linalg.norm(model.query_vectors(data().queries), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: sl.Tower(dim=4), "no features"),
        (lambda: sl.Tower(sl.StringLookup("a"), dim=0), "at least 1"),
        (lambda: sl.Tower(sl.StringLookup("a"), dropout=1.0), r"\[0, 1\)"),
        (lambda: sl.Tower(sl.StringLookup("a"), sl.StringLookup("a")), "twice"),
        (lambda: sl.Tower(sl.StringLookup("a"), hidden=(4,), module=Average()), "give one of them"),
        (lambda: sl.TwoTower(sl.Tower(sl.StringLookup("a"), dim=4), sl.Tower(sl.StringLookup("b"), dim=8)), "dim=8"),
        (lambda: sl.TwoTower("a", sl.Tower(sl.StringLookup("b"))), "a Tower was expected"),
    ],
)
def test_towers_that_cannot_work_are_refused(build: object, says: str) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        build()  # type: ignore[operator]


def test_one_feature_of_another_width_passes_a_layer() -> None:
    data = sl.Dataset({"user": ["a", "b"], "film": ["x", "y"]}, "user", "film")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user", dim=3), dim=5), sl.Tower(sl.StringLookup("film"), dim=5))
    sl.fit(model, data, epochs=1)
    rows = model.query.tables["user:StringLookup"].weight[1:]
    (linear,) = (part for part in model.query.layers.modules() if isinstance(part, torch.nn.Linear))
    expected = rows @ linear.weight.T + linear.bias
    found = model.query_vectors(pl.DataFrame({"user": model.query.features["user:StringLookup"].vocabulary.ids}))
    assert np.allclose(found, expected.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("with_id", [True, False])
@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (sl.Normalization, [1.0, 2.0, float("nan"), 3.0]),
        (sl.Discretization, [1.0, 2.0, float("inf"), 3.0]),
        (sl.Vector, [[1.0], [2.0], [float("nan")], [3.0]]),
        (sl.Vector, [[1.0], [2.0], [3.0, 4.0], [5.0]]),
    ],
)
def test_a_value_that_a_feature_refuses_is_told_with_the_id_of_its_row(
    with_id: bool, feature: type[sl.Normalization], values: list[object]
) -> None:
    """Film "a" was never chosen, so that rows of what is learned from are not those of the table."""
    films = {"film": ["a", "b", "c", "d"], "size": values}
    log = {"user": [1, 1, 1], "film": ["b", "c", "d"]}
    dataset = sl.Dataset(log, "user", "film", candidates=films)
    ids = [sl.StringLookup("film")] if with_id else []
    model = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("user"), dim=2), sl.Tower(*ids, feature("size"), dim=2, combine="concat")
    )
    with pytest.raises(sl.DataError, match=r"'size'.*, the first where 'film' is 'c'; .*expected|it takes"):
        model.prepare(dataset)
