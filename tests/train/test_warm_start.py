"""Training that begins where another one stopped: rows, optimizer state, new rows, counts, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.model import OptimizerState
from shortlist.train.warm_start import with_catalogue

TABLE = "{}.tables.{}:StringLookup"


def choices(users: range, items: range, at: int = 0) -> pl.DataFrame:
    """Each user chose the items whose number has the same remainder by 3."""
    rows = [
        {"user": f"u{user}", "item": f"i{item}", "at": at + user}
        for user in users
        for item in items
        if (user - item) % 3 == 0
    ]
    return pl.DataFrame(rows)


def catalogue(items: range) -> pl.DataFrame:
    return pl.DataFrame({"item": [f"i{n}" for n in items], "kind": ["abc"[n % 3] for n in items]})


def data(users: range, items: range, **options: Any) -> sl.Dataset:
    return sl.Dataset(choices(users, items), "user", "item", "at", **options)


def declared(dim: int = 4, kind: bool = False, **options: Any) -> sl.TwoTower:
    more = [sl.Category("kind")] if kind else []
    return sl.TwoTower(
        sl.Tower(sl.StringLookup("user"), dim=dim), sl.Tower(sl.StringLookup("item"), *more, dim=dim, **options)
    )


def fitted(train: sl.Dataset, model: sl.TwoTower | None = None, **options: Any) -> sl.TwoTower:
    model = model or declared()
    sl.fit(model, train, **{"epochs": 3, "batch_size": 32, **options})
    return model


def rows(model: sl.TwoTower, side: str, column: str) -> dict[str, torch.Tensor]:
    """Weights by id."""
    tower = getattr(model, side)
    name = f"{column}:StringLookup"
    ids = tower.features[name].vocabulary.ids.to_list()
    return dict(zip(ids, tower.tables[name].weight[1:], strict=True))


@pytest.fixture(scope="module")
def before() -> sl.TwoTower:
    return fitted(data(range(30), range(12)))


def test_what_no_batch_touches_stays_bit_for_bit(before: sl.TwoTower) -> None:
    """Later data has users 20 to 39 and items 6 to 14: rows of the others, and what Adagrad knows of them, must stay."""
    later = data(range(20, 40), range(6, 15))
    model = declared()
    sl.fit(model, later, epochs=1, batch_size=32, warm_start=before)
    old, new = rows(before, "query", "user"), rows(model, "query", "user")
    assert list(new) == [*old, *(user for user in new if user not in old)]  # known ids keep their order
    assert set(new) == {f"u{n}" for n in range(40)}
    assert all(torch.equal(new[f"u{n}"], old[f"u{n}"]) for n in range(20))
    assert not any(torch.equal(new[f"u{n}"], old[f"u{n}"]) for n in range(20, 30))
    assert before.optimizer_state is not None
    assert model.optimizer_state is not None
    name = TABLE.format("query", "user") + ".weight.0"
    then, now = before.optimizer_state.slots[name], model.optimizer_state.slots[name]
    ids = list(old)
    for code, user in enumerate(ids, start=1):
        assert torch.equal(then[code], now[code]) == (int(user[1:]) < 20), user
        assert (now[code] >= then[code]).all()  # Adagrad's sums went on, they did not begin anew


def test_a_run_cut_in_two_is_one_run() -> None:
    """Full batches over the same data: three epochs and, from there, two more are five at once, slots included."""
    train = data(range(30), range(12))
    for optimizer in (sl.Adagrad(0.1), sl.Adam(0.05), sl.RowwiseAdagrad(0.1), sl.SGD(0.1)):
        whole = fitted(train, epochs=5, batch_size=1000, optimizer=optimizer)
        first = fitted(train, epochs=3, batch_size=1000, optimizer=optimizer)
        second = declared()
        sl.fit(second, train, epochs=2, batch_size=1000, optimizer=optimizer, warm_start=first)
        for name, value in whole.state_dict().items():
            assert torch.allclose(value, second.state_dict()[name], atol=1e-5), (optimizer, name)
        assert not np.allclose(whole.query_vectors(train.queries), first.query_vectors(train.queries), atol=1e-3)


def test_without_what_the_optimizer_knew_a_warning(before: sl.TwoTower) -> None:
    model = declared()
    with pytest.warns(sl.ShortlistWarning, match=r"its optimizer was Adagrad; Adam starts from zero"):
        sl.fit(model, data(range(30), range(12)), epochs=1, optimizer=sl.Adam(0.01), warm_start=before)
    kept, before.optimizer_state = before.optimizer_state, None
    try:
        with pytest.warns(sl.ShortlistWarning, match="nothing of its optimizer was kept"):
            sl.fit(declared(), data(range(30), range(12)), epochs=1, warm_start=before)
    finally:
        before.optimizer_state = kept


def test_new_rows_are_means_without_features(before: sl.TwoTower) -> None:
    """With a learning rate too small to move anything, new rows are the mean of the known ones."""
    model = declared()
    still = sl.Adagrad(1e-30)
    sl.fit(model, data(range(33), range(12)), epochs=1, optimizer=still, warm_start=before)
    old, new = rows(before, "query", "user"), rows(model, "query", "user")
    mean = torch.stack(list(old.values())).mean(0)
    assert all(torch.allclose(new[f"u{n}"], mean, atol=1e-6) for n in (30, 31, 32))


def test_new_rows_come_from_features_that_tell() -> None:
    """Item i12 is of kind "a"; its row must be nearer to the mean of that kind's rows than to any other kind's."""
    old = fitted(
        data(range(60), range(12), candidates=catalogue(range(12))), declared(kind=True, combine="sum"), epochs=30
    )
    model = declared(kind=True, combine="sum")
    later = data(range(60), range(13), candidates=catalogue(range(13)))
    sl.fit(model, later, epochs=1, optimizer=sl.Adagrad(1e-30), warm_start=old)
    now = rows(model, "candidate", "item")
    means = [torch.stack([now[f"i{n}"] for n in range(kind, 12, 3)]).mean(0) for kind in range(3)]
    distances = [float((now["i12"] - mean).norm()) for mean in means]
    assert distances.index(min(distances)) == 0
    assert distances[0] < 0.3 * min(distances[1:])


def test_a_bias_of_a_new_item_comes_with_it() -> None:
    old = fitted(data(range(30), range(12)), declared(bias=True))
    model = declared(bias=True)
    sl.fit(model, data(range(30), range(13)), epochs=1, optimizer=sl.Adagrad(1e-30), warm_start=old)
    biases, kept = (one.state_dict()["candidate.tables.bias.weight"] for one in (model, old))
    assert biases.shape == (14, 1)
    assert torch.allclose(biases[13], biases[1:13].mean(0), atol=1e-6)
    assert torch.equal(biases[1:13], kept[1:])


def test_dense_layers_and_bins_go_on() -> None:
    def made() -> sl.TwoTower:
        query = sl.Tower(sl.StringLookup("user"), sl.Normalization("age"), dim=4, hidden=[8])
        return sl.TwoTower(query, sl.Tower(sl.StringLookup("item"), dim=4))

    people = pl.DataFrame({"user": [f"u{n}" for n in range(40)], "age": [float(n) for n in range(40)]})
    old = fitted(data(range(30), range(12), queries=people[:30]), made())
    model = made()
    sl.fit(model, data(range(40), range(12), queries=people), epochs=1, optimizer=sl.Adagrad(1e-30), warm_start=old)
    before, now = dict(old.named_parameters()), dict(model.named_parameters())
    assert before.keys() == now.keys()
    assert all(torch.equal(value, now[name]) for name, value in before.items())
    assert np.allclose(model.query_vectors(people[:30]), old.query_vectors(people[:30]), atol=1e-6)


def test_histories_read_the_grown_table() -> None:
    def made(share: bool) -> sl.TwoTower:
        history = sl.History("history", "mean", share=share, dropout=0.0)
        return sl.TwoTower(sl.Tower(history, dim=4), sl.Tower(sl.StringLookup("item"), dim=4))

    for share in (True, False):
        old = fitted(data(range(30), range(12)), made(share))
        model = made(share)
        sl.fit(model, data(range(30), range(15)), epochs=1, optimizer=sl.Adagrad(1e-30), warm_start=old)
        asked = pl.DataFrame({"user": ["new"], "history": [["i0", "i3"]]})
        assert np.allclose(model.query_vectors(asked), old.query_vectors(asked), atol=1e-6), share
        asked = pl.DataFrame({"user": ["new"], "history": [["i0", "i14"]]})
        assert not np.allclose(model.query_vectors(asked), old.query_vectors(asked), atol=1e-3), share


def test_min_count_and_eviction_are_those_of_the_new_declaration(before: sl.TwoTower) -> None:
    train = data(range(25, 40), range(12))

    def made() -> sl.TwoTower:
        return sl.TwoTower(
            sl.Tower(sl.StringLookup("user", evict_after=1), dim=4), sl.Tower(sl.StringLookup("item"), dim=4)
        )

    first = made()
    sl.fit(first, train, epochs=1, warm_start=before)
    second = made()
    sl.fit(second, train, epochs=1, warm_start=first)
    assert set(rows(first, "query", "user")) == {f"u{n}" for n in range(40)}  # unseen once
    assert set(rows(second, "query", "user")) == {f"u{n}" for n in range(25, 40)}  # unseen twice
    kept = rows(first, "query", "user")
    still = made()
    sl.fit(still, train, epochs=1, optimizer=sl.Adagrad(1e-30), warm_start=first)
    assert all(torch.equal(row, kept[user]) for user, row in rows(still, "query", "user").items())


def test_only_what_is_new(before: sl.TwoTower) -> None:
    """Yesterday's people and items stay; counts halve with every second training, rounded up."""
    model = declared()
    warm = sl.WarmStart(before, only_new=True, half_life=0.5)
    new = data(range(28, 34), range(12, 15))
    sl.fit(model, new, epochs=1, warm_start=warm)
    both = model.catalogue
    assert both.queries["user"].to_list()[:30] == before.catalogue.queries["user"].to_list()
    assert set(both.queries["user"]) == {f"u{n}" for n in range(34)}
    assert both.known.all()
    counts = dict(zip(both.candidates["item"], both.counts.tolist(), strict=True))
    old = dict(zip(before.catalogue.candidates["item"], before.catalogue.counts.tolist(), strict=True))
    assert old["i3"] == 10
    assert counts["i3"] == 3  # ten, a quarter of which is 2.5
    assert counts["i12"] == 2  # chosen by u30 and u33
    answers = sl.Recommender(model).recommend({"user": ["u0", "u33"]}, k=3)
    assert all(answer.known for answer in answers)


def test_tables_of_before_and_now() -> None:
    """What today says stands, also of who was known; what it leaves open stays as it was."""
    old = sl.Dataset(
        {"user": ["a", "b"], "item": [1, 2]}, "user", "item", candidates={"item": [1, 2, 3], "kind": ["x", "y", "z"]}
    )
    model = fitted(
        old, sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=2), sl.Tower(sl.IntegerLookup("item"), dim=2))
    )
    new = sl.Dataset(
        {"user": ["c", "a"], "item": [4, 2]},
        "user", "item", candidates={"item": [4, 2, 1], "kind": ["n", "m", None], "year": [9, 8, 7]},
    )  # fmt: skip
    joined = with_catalogue(new, model.catalogue, model)
    assert joined.candidates.to_dict(as_series=False) == {
        "item": [1, 2, 3, 4], "kind": ["x", "m", "z", "n"], "year": [7, 8, None, 9]
    }  # fmt: skip
    assert joined.queries["user"].to_list() == ["a", "b", "c"]


def test_a_bundle_keeps_what_the_optimizer_knows(before: sl.TwoTower, tmp_path: Path) -> None:
    recommender = sl.Recommender(before)
    recommender.save(tmp_path / "with")
    recommender.save(tmp_path / "without", optimizer=False)
    loaded = sl.Recommender.load(tmp_path / "with").model.optimizer_state
    assert isinstance(loaded, OptimizerState)
    assert before.optimizer_state is not None
    assert loaded.kind == "Adagrad"
    assert loaded.slots.keys() == before.optimizer_state.slots.keys()
    assert all(torch.equal(value, before.optimizer_state.slots[name]) for name, value in loaded.slots.items())
    assert sl.Recommender.load(tmp_path / "without").model.optimizer_state is None
    assert not (tmp_path / "without" / "model" / "optimizer.safetensors").exists()
    again = sl.Recommender.load(tmp_path / "with")
    again.save(tmp_path / "again")
    assert (tmp_path / "again" / "model" / "optimizer.safetensors").exists()
    (tmp_path / "with" / "model" / "optimizer.safetensors").unlink()
    with pytest.raises(sl.BundleError, match="missing"):
        sl.Recommender.load(tmp_path / "with")


def test_from_a_bundle_as_from_memory(before: sl.TwoTower, tmp_path: Path) -> None:
    sl.Recommender(before).save(tmp_path / "yesterday")
    later = data(range(20, 40), range(6, 15))
    models = []
    for source in (before, sl.Recommender.load(tmp_path / "yesterday").model):
        model = declared()
        sl.fit(model, later, epochs=2, batch_size=32, warm_start=source)
        models.append(model.state_dict())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())


def test_from_shards(before: sl.TwoTower, tmp_path: Path) -> None:
    later = choices(range(20, 40), range(6, 15))
    later.write_parquet(tmp_path / "later.parquet")
    shards = sl.Shards.encode(tmp_path / "later.parquet", tmp_path / "shards", query="user", candidate="item")
    model = declared()
    sl.fit(model, shards, epochs=1, batch_size=32, warm_start=before)
    old, new = rows(before, "query", "user"), rows(model, "query", "user")
    assert all(torch.equal(new[f"u{n}"], old[f"u{n}"]) for n in range(20))


def test_only_what_is_new_from_shards(before: sl.TwoTower, tmp_path: Path) -> None:
    """As from memory: tables, counts, weights, and choices of known ids that are excluded."""
    later = choices(range(28, 34), range(12, 15))
    later.write_parquet(tmp_path / "later.parquet")
    shards = sl.Shards.encode(tmp_path / "later.parquet", tmp_path / "shards", query="user", candidate="item")
    models = []
    for source in (data(range(28, 34), range(12, 15)), shards):
        model = declared()
        sl.fit(model, source, epochs=1, batch_size=1024, warm_start=sl.WarmStart(before, only_new=True, half_life=0.5))
        models.append(model)
    memory, disk = (model.catalogue for model in models)
    assert disk.queries["user"].to_list() == memory.queries["user"].to_list()
    assert disk.candidates["item"].to_list() == memory.candidates["item"].to_list()
    assert disk.counts.tolist() == memory.counts.tolist()
    assert disk.known.all()
    weights = [model.state_dict() for model in models]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.allclose(value, weights[1][name], atol=1e-5) for name, value in weights[0].items())


def test_tables_in_bfloat16() -> None:
    def made() -> sl.TwoTower:
        return sl.TwoTower(
            sl.Tower(sl.StringLookup("user"), dim=4, table_dtype="bfloat16"), sl.Tower(sl.StringLookup("item"), dim=4)
        )

    old = fitted(data(range(30), range(12)), made())
    model = made()
    sl.fit(model, data(range(33), range(12)), epochs=1, optimizer=sl.Adagrad(1e-30), warm_start=old)
    kept, now = rows(old, "query", "user"), rows(model, "query", "user")
    assert all(torch.equal(row, now[user]) for user, row in kept.items())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: declared(dim=8), "dim is 8 and was 4"),
        (lambda: declared(kind=True), "candidate tower's features are item:StringLookup, kind:Category and were"),
        (lambda: declared(normalize=True), "normalize is True and was False"),
        (lambda: declared(hidden=[4]), "hidden is"),
        (lambda: fitted(data(range(9), range(9))), "not been trained yet"),
    ],
)
def test_another_model_is_refused_with_what_differs(before: sl.TwoTower, model: Any, message: str) -> None:
    with pytest.raises(sl.ConfigError, match=message):
        sl.fit(model(), data(range(9), range(9), candidates=catalogue(range(9))), warm_start=before)


def test_refusals(before: sl.TwoTower) -> None:
    with pytest.raises(sl.ConfigError, match="got Recommender; a TwoTower"):
        sl.WarmStart(sl.Recommender(before))  # type: ignore[arg-type]
    with pytest.raises(sl.ConfigError, match="half_life=0"):
        sl.WarmStart(before, half_life=0)
    with pytest.raises(sl.ConfigError, match="not been trained"):
        sl.WarmStart(declared())
    numbers = sl.Dataset({"user": [1, 2], "item": ["i1", "i2"]}, "user", "item")
    with pytest.raises(sl.DataError, match="Int64"):
        sl.fit(declared(), numbers, warm_start=before)
    other = sl.Dataset({"user": ["u1"], "thing": ["i1"]}, "user", "thing")
    with pytest.raises(sl.DataError, match="was trained on 'user'"):
        with_catalogue(other, before.catalogue, before)
