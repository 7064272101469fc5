"""The row of unknown values: the mean of the others wherever training never read it, as trained wherever it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.model import EmbeddingTable, fill_untrained, unknown_rows

PEOPLE, FILMS = 30, 12


def data(people: range = range(PEOPLE)) -> sl.Dataset:
    """Person p chose the films p, 2 p and 3 p, counted round; person 0 once more a film that nobody else has."""
    rows = [(one, one * times % FILMS) for one in people for times in (1, 2, 3)] + [(people[0], FILMS)]
    table = pl.DataFrame(rows, schema=["who", "film"], orient="row")
    tables = {
        "queries": pl.DataFrame({"who": list(range(PEOPLE + 9)), "kind": [f"k{one % 3}" for one in range(PEOPLE + 9)]})
    }
    return sl.Dataset(table, "who", "film", **tables)


def model_of(options: dict[str, Any], min_count: int = 1, kind: bool = False) -> sl.TwoTower:
    features = [sl.IntegerLookup("who", min_count=min_count), *([sl.Category("kind")] if kind else [])]
    shared = {name: value for name, value in options.items() if name in ("normalize", "table_dtype", "dim")}
    candidate = {name: options[name] for name in ("bias",) if name in options}
    query = {name: value for name, value in options.items() if name not in ("bias", "dim", *shared)}
    shared = {"dim": 4, **shared}
    return sl.TwoTower(
        sl.Tower(*features, **shared, **query), sl.Tower(sl.IntegerLookup("film"), **shared, **candidate)
    )


def tables_of(model: sl.TwoTower) -> dict[str, EmbeddingTable]:
    return {
        f"{side}.{name}": table
        for side, tower in (("query", model.query), ("candidate", model.candidate))
        for name, table in tower.tables.items()
        if isinstance(table, EmbeddingTable)
    }


def mean_of(table: EmbeddingTable, unit: bool = False) -> np.ndarray:
    rows = table.weight[1:].double().numpy()
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows).mean(0)


TOWERS: dict[str, tuple[dict[str, Any], float]] = {
    "plain": ({}, 1e-6),
    "normalised": ({"normalize": True}, 1e-6),
    "layers": ({"hidden": (6,)}, 1e-6),
    "normalised layers": ({"normalize": True, "hidden": (6,)}, 1e-6),
    "heads": ({"heads": 2}, 1e-6),
    "bias": ({"bias": True}, 1e-6),
    "bfloat16": ({"table_dtype": "bfloat16"}, 1e-2),
}


@pytest.mark.parametrize("kind", [False, True], ids=["ids", "features"])
@pytest.mark.parametrize("name", TOWERS)
def test_what_training_never_read_is_the_mean(name: str, kind: bool) -> None:
    options, close = TOWERS[name]
    model = model_of(options, kind=kind)
    sl.fit(model, data(), optimizer=sl.Adam(0.02), epochs=2, batch_size=32)
    for table_name, table in tables_of(model).items():
        tower = model.query if table_name.startswith("query") else model.candidate
        unit = tower.normalize and tower.is_table and not table_name.endswith("bias")
        np.testing.assert_allclose(
            table.weight[0].float().numpy(), mean_of(table, unit), atol=close, err_msg=table_name
        )


def test_a_new_query_is_the_mean_of_the_known_and_not_noise() -> None:
    for normalize in (False, True):
        model, train = model_of({"normalize": normalize}), data()
        sl.fit(model, train, epochs=2, batch_size=32)
        known = model.query_vectors(train.queries[:PEOPLE])
        mean = known.mean(0)
        new = model.query_vectors(pl.DataFrame({"who": [10_000]}))[0]
        np.testing.assert_allclose(new, mean / np.linalg.norm(mean) if normalize else mean, atol=1e-6)


def test_a_row_that_training_read_stays_as_trained() -> None:
    for options, min_count in (({"id_dropout": 0.5}, 1), ({}, 4)):  # of ids met fewer than four times: all but person 0
        model = model_of(options, min_count, kind="id_dropout" in options)
        sl.fit(model, data(), optimizer=sl.Adam(0.02), epochs=3, batch_size=32)
        table = model.query.tables["who:IntegerLookup"]
        assert np.abs(table.weight[0].numpy() - mean_of(table)).max() > 1e-3
        film = model.candidate.tables["film:IntegerLookup"]
        np.testing.assert_allclose(film.weight[0].numpy(), mean_of(film), atol=1e-6)  # each table by itself


def test_a_warm_start_takes_the_mean_of_what_is_known_by_then() -> None:
    first, train = model_of({}), data(range(20))
    sl.fit(first, train, epochs=1, batch_size=32)
    second = model_of({})
    sl.fit(second, data(), epochs=1, batch_size=32, warm_start=first)
    for model, people in ((first, 20), (second, PEOPLE)):
        table = model.query.tables["who:IntegerLookup"]
        assert len(table.weight) == people + 1
        np.testing.assert_allclose(table.weight[0].numpy(), mean_of(table), atol=1e-6)


def test_a_run_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path) -> None:
    whole, parted = model_of({"table_dtype": "bfloat16"}), model_of({"table_dtype": "bfloat16"})
    options = {"epochs": 3, "batch_size": 32}
    sl.fit(whole, data(), **options, checkpoints=sl.Checkpoints(tmp_path / "a", every=2))

    class StopError(Exception):
        pass

    def stop(epoch) -> None:
        if epoch.number == 2:
            raise StopError

    with pytest.raises(StopError):
        sl.fit(parted, data(), **options, checkpoints=sl.Checkpoints(tmp_path / "b", every=2), on_epoch=stop)
    again = model_of({"table_dtype": "bfloat16"})
    sl.fit(again, data(), **options, checkpoints=sl.Checkpoints(tmp_path / "b", every=2, resume=True))
    for name, table in tables_of(whole).items():
        assert torch.equal(table.weight, tables_of(again)[name].weight), name


def test_als_gives_new_queries_the_mean() -> None:
    model = model_of({})
    sl.als(model, data(), epochs=3)
    table = model.query.tables["who:IntegerLookup"]
    np.testing.assert_allclose(table.weight[0].numpy(), mean_of(table), atol=1e-6)


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of({"dim": 2, "normalize": True})
    model.prepare(data())
    table = model.query.tables["who:IntegerLookup"]
    before = unknown_rows(model)
    table.weight[1:] = torch.tensor([3.0, 4.0])
    table.weight[1] = torch.tensor([-1.0, 0.0])
    fill_untrained(model, {name: row for name, row in before.items() if name.startswith("query")})
    # 29 of (3/5, 4/5) and one of (−1, 0)
    np.testing.assert_allclose(table.weight[0], [(29 * 0.6 - 1) / 30, 29 * 0.8 / 30], rtol=1e-6)
    film = model.candidate.tables["film:IntegerLookup"]
    assert torch.equal(film.weight[0], before["candidate.film:IntegerLookup"])  # nothing is known of it: left alone
    # of a longer table some rows, evenly spread: 1, 11 and 21
    monkeypatch.setattr("shortlist.model.unknown.MOST", 3)
    table.weight[0], table.weight[11], table.weight[21] = (torch.tensor([1.0, one]) for one in (7.0, 0.0, 0.0))
    fill_untrained(model, {"query.who:IntegerLookup": torch.tensor([1.0, 7.0])})
    np.testing.assert_allclose(table.weight[0], [1 / 3, 0.0], atol=1e-6)
