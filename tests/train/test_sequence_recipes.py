"""The recipes that read histories, on a part of MovieLens-100k."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import shortlist as sl


@pytest.fixture(scope="module")
def parts() -> sl.Split:
    """Every fourth user of MovieLens-100k, each one's last choice held out."""
    data = sl.datasets.movielens("100k")
    return sl.split_last(data.with_interactions(data.interactions.filter(pl.Series(data.query_rows % 4 == 0))))


@pytest.mark.parametrize(("name", "epochs"), [("history", 8), ("sequence", 4)])
def test_a_recipe_beats_popularity_on_what_comes_next(name: str, epochs: int, parts: sl.Split) -> None:
    recipe = sl.recipes.load(name, {"model.dim": 16, "fit.epochs": epochs, "optimizer.learning_rate": 0.01})
    model, _ = recipe.train(parts.train, device="cpu")
    found = sl.evaluate(model, parts.test, seen=parts.train, ks=(50,))
    assert found["model"]["seen_out"]["top_50"] > 1.2 * found["popularity"]["seen_out"]["top_50"] > 0


def test_a_run_repeats_bit_for_bit(parts: sl.Split) -> None:
    recipe = sl.recipes.load("sequence", {"model.dim": 8, "fit.epochs": 1, "history.layers": 1})
    first, second = (recipe.train(parts.train, seed=3, device="cpu")[0] for _ in range(2))
    table = first.catalogue.queries
    assert np.array_equal(first.query_vectors(table), second.query_vectors(table))


@pytest.mark.parametrize("encoder", ["mean", "gru", "hstu"])
def test_a_history_joins_any_recipe(encoder: str, parts: sl.Split) -> None:
    recipe = sl.recipes.load("factorization", [f"history.encoder={encoder}", "history.layers=1", "fit.epochs=1"])
    model, ran = recipe.train(parts.train, device="cpu")
    assert list(model.query.features) == ["user_id:StringLookup", "history:History"]
    assert np.isfinite(ran[-1].loss)


def test_a_query_reads_two_histories_under_names_of_their_own(parts: sl.Split) -> None:
    """They stand among the features; nobody has such columns, since they come from the interactions."""
    both = [
        {"kind": "History", "column": "recent", "encoder": "ema", "decay": 0.6, "share": False},
        {"kind": "History", "column": "history", "encoder": "mean", "share": False},
    ]
    recipe = sl.recipes.load(
        "factorization", {"query.id": False, "query.features": both, "model.combine": "sum", "fit.epochs": 1}
    )
    model, ran = recipe.train(parts.train, device="cpu")
    assert list(model.query.features) == ["recent:History", "history:History"]
    assert np.isfinite(ran[-1].loss)
    latest_differs = pl.DataFrame({"recent": [["a"], ["Fargo (1996)"]], "history": [["Fargo (1996)"]] * 2})
    first, second = model.query_vectors(latest_differs)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("change", "nearest"),
    [("history.encodr=gru", "encoder"), ("history.encoder=transfomer", "transformer"), ("histori.length=5", "history")],
)
def test_an_unknown_key_names_the_nearest(change: str, nearest: str, parts: sl.Split) -> None:
    with pytest.raises(sl.ConfigError) as error:
        sl.recipes.load("sequence", [change]).build_model(parts.train)
    assert error.value.hint
    assert nearest in error.value.hint


def test_both_say_that_they_need_times(parts: sl.Split) -> None:
    timeless = sl.Dataset(parts.train.interactions, "user_id", "movie_title")
    for name in ("history", "sequence"):
        with pytest.raises(sl.ConfigError, match="timestamp"):
            sl.recipes.load(name, {"fit.epochs": 1}).train(timeless)
