"""Embeddings that start from alternating least squares, and a learning rate that falls to zero."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.errors import MissingExtraError
from shortlist.train.pretrain import SWEEPS, pretrain_by_als, why_not_pretrained

DIM, SEED = 3, 5


def data(seed: int = 0) -> sl.Dataset:
    """12 people, 9 books; person p chose book b where both are in one group of three, and some others."""
    generator = np.random.default_rng(seed)
    chosen = [(p, b) for p in range(12) for b in range(9) if p % 3 == b % 3 or generator.random() < 0.2]
    return sl.Dataset({"person": [p for p, _ in chosen], "book": [b for _, b in chosen]}, "person", "book")


def towers(**options) -> sl.TwoTower:
    return sl.TwoTower(
        sl.Tower(sl.IntegerLookup("person"), dim=DIM, **options),
        sl.Tower(sl.IntegerLookup("book"), dim=DIM),
    )


def reference(train: sl.Dataset, rows: int, columns: int, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sweeps by the normal equations of each row, from the formula in ``sl.ALS``. Row 0 of a lookup is the unknown id."""
    chosen = np.zeros((rows, columns))
    for person, book in zip(train.query_rows, train.candidate_rows, strict=True):
        chosen[person + 1, book + 1] = 1
    unobserved = min(2 * chosen.sum() / ((rows - 1) * (columns - 1)), 0.2)

    def solved(pairs: np.ndarray, other: np.ndarray) -> np.ndarray:
        found = np.zeros((len(pairs), DIM))
        for row, weights in enumerate(pairs):
            ridge = 0.1 * (weights.sum() + unobserved * len(other)) ** 0.75
            left = (other.T * (weights + unobserved)) @ other + ridge * np.eye(DIM)
            found[row] = np.linalg.solve(left, other.T @ weights)
        return found

    candidate = first.astype(np.float64)
    for _ in range(SWEEPS):
        query = solved(chosen, candidate)
        candidate = solved(chosen.T, query)
    return query, candidate


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_tables_get_the_directions_of_als_at_the_length_of_random_rows() -> None:
    train, model = data(), towers(normalize=True)
    encoded = model.prepare(train, torch.Generator().manual_seed(1))
    tables = [next(iter(tower.tables.values())) for tower in (model.query, model.candidate)]
    random = [table.weight[1:].numpy().copy() for table in tables]
    lengths = [float(table.weight.norm(dim=1).mean()) for table in tables]
    pretrain_by_als(model, encoded, SEED, torch.device("cpu"))
    first = torch.randn(10, DIM, generator=torch.Generator().manual_seed(SEED)) * (0.1 / DIM**0.5)
    wanted = reference(train, 13, 10, first.numpy())
    for table, length, rows, before in zip(tables, lengths, wanted, random, strict=True):
        own = table.weight[1:].numpy()
        turned = unit(unit(rows[1:]) + 0.1 * unit(before))
        np.testing.assert_allclose(np.linalg.norm(own, axis=1), length, rtol=1e-5)
        np.testing.assert_allclose(own / length, turned, atol=2e-3)


def losses(**options) -> list[float]:
    model = towers(normalize=True)
    task = sl.Retrieval(temperature=0.2)
    history = sl.fit(model, data(), task=task, optimizer=sl.AdamW(0.01), epochs=3, batch_size=16, **options)
    return [epoch.loss for epoch in history]


def test_training_starts_from_what_als_has_learned() -> None:
    random, pretrained = losses(), losses(pretrain="als")
    assert all(one < other for one, other in zip(pretrained, random, strict=True))
    assert pretrained == losses(pretrain="als")


def test_vectors_differ_where_everyone_chose_everything() -> None:
    everything = sl.Dataset(
        {"person": [p for p in range(7) for _ in range(11)], "book": [*range(11)] * 7}, "person", "book"
    )
    model = towers(normalize=True)
    encoded = model.prepare(everything, torch.Generator().manual_seed(1))
    pretrain_by_als(model, encoded, SEED, torch.device("cpu"))
    (table,) = model.candidate.tables.values()
    cosines = unit(table.weight[1:].numpy()) @ unit(table.weight[1:].numpy()).T
    assert cosines[~np.eye(11, dtype=bool)].max() < 0.99999


def test_the_features_of_a_sum_start_at_random_next_to_ids_that_do_not() -> None:
    train = data()
    ages = pl.DataFrame({"person": range(12), "age": [p % 4 for p in range(12)]})
    train = sl.Dataset(train.interactions, "person", "book", queries=ages)
    model = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("person"), sl.Category("age"), dim=DIM, combine="sum"),
        sl.Tower(sl.IntegerLookup("book"), dim=DIM),
    )
    encoded = model.prepare(train, torch.Generator().manual_seed(1))
    before = {name: table.weight.clone() for name, table in model.query.tables.items()}
    pretrain_by_als(model, encoded, SEED, torch.device("cpu"))
    changed = {name: not torch.equal(before[name], table.weight) for name, table in model.query.tables.items()}
    assert changed == {"person:IntegerLookup": True, "age:Category": False}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: towers(hidden=[4]), "more than one vector per id"),
        (lambda: towers(heads=2), "more than one vector per id"),
        (
            lambda: sl.TwoTower(sl.Tower(sl.IntegerLookup("person"), dim=4), sl.Tower(sl.Hashing("book", 8), dim=4)),
            None,
        ),
        (lambda: towers(combine="sum"), None),
        (
            lambda: sl.TwoTower(
                sl.Tower(sl.IntegerLookup("person", dim=2), dim=4), sl.Tower(sl.IntegerLookup("book"), dim=4)
            ),
            "more than one vector per id",
        ),
    ],
)
def test_towers_that_cannot_start_from_als(model, reason: str | None) -> None:
    found = why_not_pretrained(model(), data())
    assert found is None if reason is None else reason in found
    if reason is not None:
        with pytest.raises(sl.ConfigError, match="leave out pretrain="):
            sl.fit(model(), data(), pretrain="als")


def test_pretraining_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    before = towers()
    sl.fit(before, data(), epochs=1)
    with pytest.raises(sl.ConfigError, match="a warm start already has vectors"):
        sl.fit(towers(), data(), warm_start=before, pretrain="als")
    with pytest.raises(sl.ConfigError, match='\'svd\'; "none" or "als" was expected'):
        sl.fit(towers(), data(), pretrain="svd")
    table = tmp_path / "rows.parquet"
    data().interactions.write_parquet(table)
    shards = sl.Shards.encode(table, tmp_path / "shards", query="person", candidate="book")
    with pytest.raises(sl.ConfigError, match="shards are read in blocks"):
        sl.fit(towers(), shards, pretrain="als")


def test_without_scipy_training_starts_from_random_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "scipy" else found(name, *more)
    )
    assert sl.recipes.load("factorization").for_data(data()).fit.pretrain == "none"
    with pytest.raises(sl.ConfigError, match="ALS needs scipy"):
        sl.fit(towers(), data(), pretrain="als")
    with pytest.raises(MissingExtraError, match="needs the package 'scipy'"):
        sl.als(towers(), data())


def test_a_recipe_pretrains_where_it_can() -> None:
    recipe = sl.recipes.load("factorization")
    fit = recipe.for_data(data()).fit
    assert (fit.pretrain, fit.schedule, fit.epochs) == ("als", "linear", 6)
    warm = recipe.for_data(data(), warm=True).fit
    assert (warm.pretrain, warm.schedule, warm.epochs) == ("none", "constant", 15)
    chosen = recipe.for_data(data())
    model, _ = chosen.train(data())
    chosen.train(data(), warm_start=model)  # starts from those vectors, not from ALS
    assert chosen.for_data(data(), warm=True).fit.pretrain == "none"
    deep = sl.recipes.load("factorization", ["query.hidden=[8]"]).for_data(data()).fit
    assert (deep.pretrain, deep.schedule, deep.epochs) == ("none", "constant", 15)


@dataclass(frozen=True)
class Recorded:
    """Gradient descent that writes down its learning rates."""

    rates: list
    learning_rate: float = 0.5

    def slots(self, rows: torch.Tensor) -> tuple:
        return ()

    def update(self, rows: torch.Tensor, gradient: torch.Tensor, slots) -> torch.Tensor:
        self.rates.append(self.learning_rate)
        return rows - self.learning_rate * gradient


class Undeclared:
    """An optimizer that is no dataclass."""

    learning_rate = 0.5
    slots, update = Recorded.slots, Recorded.update


def test_a_linear_schedule_falls_to_zero_over_all_batches() -> None:
    train = sl.Dataset({"person": [1, 2, 3, 4], "book": [1, 2, 3, 4]}, "person", "book")
    for schedule, wanted in (("linear", [0.5, 0.375, 0.25, 0.125]), ("constant", [0.5] * 4)):
        optimizer = Recorded([])
        sl.fit(towers(), train, optimizer=optimizer, epochs=2, batch_size=2, schedule=schedule)
        assert optimizer.rates[::2] == optimizer.rates[1::2] == wanted  # one update of each table in a batch


def test_a_schedule_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(sl.ConfigError, match='\'cosine\'; "constant" or "linear" was expected'):
        sl.fit(towers(), data(), schedule="cosine")
    with pytest.raises(sl.ConfigError, match="Undeclared cannot change during training"):
        sl.fit(towers(), data(), optimizer=Undeclared(), schedule="linear")
