"""Keys of a recipe that say how a tower is built reach the tower."""

import polars as pl
import pytest

import shortlist as sl

ROWS = pl.DataFrame({"user": [n % 9 for n in range(120)], "item": [(n * n) % 13 for n in range(120)]})


@pytest.fixture(scope="module")
def data() -> sl.Dataset:
    return sl.Dataset(ROWS, query="user", candidate="item")


def test_layers_of_one_side_are_of_that_side_alone(data: sl.Dataset) -> None:
    recipe = sl.recipes.load("factorization", ["query.hidden=[8]", "query.cross=1", "candidate.hidden=[6, 4]"])
    model = recipe.build_model(data)
    assert (model.query.shape.hidden, model.query.shape.cross) == ((8,), 1)
    assert (model.candidate.shape.hidden, model.candidate.shape.cross) == ((6, 4), 0)


def test_a_query_of_several_vectors(data: sl.Dataset) -> None:
    """Trained, and asked: k candidates without repeats, scored by the best of the query's vectors."""
    recipe = sl.recipes.load("factorization", ["query.heads=3", "model.dim=4", "fit.epochs=1"])
    model, _ = recipe.train(data)
    assert model.query_vectors(data.queries).shape == (9, 3 * 4)
    found = sl.Recommender(model, index=sl.BruteForce()).recommend([4], k=5)
    vectors = model.query_vectors(data.queries.filter(pl.col("user") == 4)).reshape(3, 4)
    best = (vectors @ model.candidate_vectors(data.candidates).T).max(0)
    wanted = data.candidates["item"].gather(best.argsort()[::-1][:5])
    assert found.to_frame()["item"].to_list() == wanted.to_list()


def test_a_candidate_has_one_vector(data: sl.Dataset) -> None:
    with pytest.raises(sl.ConfigError, match="a candidate has one vector"):
        sl.recipes.load("factorization", ["candidate.heads=2"]).build_model(data)
