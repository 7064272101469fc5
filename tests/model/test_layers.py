"""What towers can be made of: every option against its plain form, that it trains, and that a bundle keeps it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.model import TowerInputs, model_from_state, state_of
from shortlist.model.layers import Cross, Joined, Shape, unit_rows

USERS, FILMS = 40, 30


def data() -> sl.Dataset:
    """Even users choose even films, odd users odd ones; parity and size are columns too."""
    generator = np.random.default_rng(0)
    user = np.arange(USERS).repeat(8)
    film = generator.integers(0, FILMS // 2, len(user)) * 2 + user % 2
    sides = {
        name: pl.DataFrame(
            {name: np.arange(size), "parity": np.arange(size) % 2, "size": np.sin(np.arange(size))}
        ).with_columns(pl.col("parity").cast(pl.String))
        for name, size in (("user", USERS), ("film", FILMS))
    }
    return sl.Dataset(
        pl.DataFrame({"user": user, "film": film}).unique(maintain_order=True),
        "user",
        "film",
        queries=sides["user"],
        candidates=sides["film"],
    )


def tower(column: str, **options) -> sl.Tower:
    features = (sl.IntegerLookup(column), sl.Category("parity", dim=3), sl.Normalization("size"))
    return sl.Tower(*features, dim=4, **options)


def both(query: dict | None = None, **candidate) -> sl.TwoTower:
    shared = {name: value for name, value in candidate.items() if name != "bias"}
    return sl.TwoTower(tower("user", **(shared if query is None else query)), tower("film", **candidate))


OPTIONS = {
    "concat": {},
    "sum": {"combine": "sum"},
    "sum through layers": {"combine": "sum", "hidden": (8,), "cross": 1},
    "cross": {"cross": 2},
    "layer norm": {"hidden": (8,), "layer_norm": True},
    "dropout": {"hidden": (8,), "dropout": 0.2},
    "bias": {"bias": True},
    "bias and cosine": {"bias": True, "normalize": True},
    "id dropout": {"id_dropout": 0.3},
    "everything": {
        "combine": "concat", "cross": 1, "hidden": (8, 6), "layer_norm": True, "dropout": 0.1, "bias": True,
        "id_dropout": 0.1, "normalize": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_trains_and_goes_through_a_bundle(options, tmp_path):
    train = data()
    model = both(**options)
    temperature = 0.2 if options.get("normalize") else 1.0
    task, epochs = sl.Retrieval(temperature=temperature), 40 if "layer_norm" in options else 12  # which begin slowly
    history = sl.fit(model, train, task=task, optimizer=sl.Adam(0.02), epochs=epochs, batch_size=64)
    assert history[-1].loss < history[-1].chance - 0.35  # half the films are out: chance less ln 2, about
    again = model_from_state(state_of(model), model.catalogue)
    np.testing.assert_array_equal(again.query_vectors(train.queries), model.query_vectors(train.queries))
    np.testing.assert_array_equal(again.candidate_vectors(train.candidates), model.candidate_vectors(train.candidates))
    recommender = sl.Recommender(model, seen=train)
    recommender.save(tmp_path / "b.shortlist")
    loaded = sl.Recommender.load(tmp_path / "b.shortlist")
    assert loaded.recommend([0, 1, 999], k=5).to_dicts() == recommender.recommend([0, 1, 999], k=5).to_dicts()
    best = recommender.recommend([0], k=3, exclude_seen=False)[0].ids
    assert [film % 2 for film in best] == [0, 0, 0]


def embedded(tower: sl.Tower, table: pl.DataFrame) -> dict[str, torch.Tensor]:
    inputs = TowerInputs.of(tower.encode(table, "the table"))
    tower.eval()
    return {name: tower._embed(name, column) for name, column in inputs.columns.items()}


def test_a_sum_is_the_sum():
    model, train = both(combine="sum"), data()
    model.prepare(train)
    parts = embedded(model.candidate, train.candidates)
    projections = model.candidate.layers.projections
    expected = sum(
        value @ projections[name].weight.T if name in projections else value for name, value in parts.items()
    )
    assert set(projections) == {"parity:Category", "size:Normalization"}
    np.testing.assert_allclose(model.candidate_vectors(train.candidates), expected.detach(), rtol=1e-5, atol=1e-7)


def test_a_sum_of_equal_widths_learns_nothing_but_its_rows():
    tower = sl.Tower(sl.IntegerLookup("film"), sl.Category("parity"), dim=4, combine="sum")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=4), tower)
    model.prepare(data())
    assert not list(tower.parameters())


def test_a_cross_layer_by_hand():
    cross = Cross(2, torch.Generator())
    with torch.no_grad():
        cross.linear.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        cross.linear.bias.copy_(torch.tensor([0.0, 1.0]))
    # x0 · (W x + b) + x with x0 = (2, 3), x = (1, 5): (2·11 + 1, 3·6 + 5)
    assert cross(torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 5.0]])).tolist() == [[23.0, 23.0]]


def test_joined_in_its_plain_form():
    shape = Shape(3, "concat", 1, (5,), True, 0.0)
    joined = Joined({"a": 2, "b": 4}, shape, torch.Generator().manual_seed(0))
    a, b = torch.randn(7, 2), torch.randn(7, 4)
    x = torch.cat([a, b], 1)
    cross, (first, norm, _, _, last) = joined.crosses[0].linear, joined.stack
    crossed = x * (x @ cross.weight.T + cross.bias) + x
    hidden = crossed @ first.weight.T + first.bias
    normed = (hidden - hidden.mean(1, keepdim=True)) / (hidden.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = torch.relu(normed * norm.weight + norm.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(joined({"a": a, "b": b}), expected)


def test_a_bias_is_added_to_every_score():
    train = data()
    model = both(bias=True, normalize=True)
    sl.fit(model, train, task=sl.Retrieval(temperature=0.2), epochs=5, batch_size=64)
    table = model.candidate.tables["bias"].weight[:, 0].numpy()
    codes = model.candidate.features["film:IntegerLookup"].encode(train.candidates["film"]).values
    query, candidate = model.query_vectors(train.queries), model.candidate_vectors(train.candidates)
    assert model.dim == 5
    assert np.abs(table).max() > 0
    np.testing.assert_array_equal(query[:, 4], 1)
    np.testing.assert_array_equal(candidate[:, 4], table[codes])
    np.testing.assert_allclose(np.linalg.norm(candidate[:, :4], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(query @ candidate.T, query[:, :4] @ candidate[:, :4].T + table[codes], rtol=1e-5)


def test_a_bias_learns_popularity():
    chosen = [0] * 60 + [1] * 30 + [2] * 10
    train = sl.Dataset({"user": [7] * 100, "film": chosen}, "user", "film")
    model = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("user"), dim=2), sl.Tower(sl.IntegerLookup("film"), dim=2, bias=True, init_scale=0.0)
    )
    task = sl.Retrieval(remove_accidental_hits=False, log_q="counts")  # so that scores hold popularity
    sl.fit(model, train, task=task, optimizer=sl.SGD(0.02), epochs=200, batch_size=100)
    bias = model.candidate_vectors(train.candidates)[:, 2]
    np.testing.assert_allclose(np.exp(bias) / np.exp(bias).sum(), [0.6, 0.3, 0.1], atol=0.02)


def test_id_dropout_teaches_the_unknown_row():
    train = data()
    away = {}
    for share in (0.0, 0.5):
        model = both(id_dropout=share)
        sl.fit(model, train, optimizer=sl.Adam(0.02), epochs=12, batch_size=64)
        weight = model.query.tables["user:IntegerLookup"].weight
        away[share] = (weight[0] - weight[1:].mean(0)).abs().max()
    assert away[0.0] < 1e-6  # untrained, it is the mean of the others
    assert away[0.5] > 0.01
    # a user never seen, but even: the features and the unknown row find the even films
    unseen = pl.DataFrame({"user": [1000, 1001], "parity": ["0", "1"], "size": [0.0, 0.0]})
    scores = model.query_vectors(unseen) @ model.candidate_vectors(train.candidates).T
    even = np.arange(FILMS) % 2 == 0
    assert scores[0][even].mean() > scores[0][~even].mean()
    assert scores[1][~even].mean() > scores[1][even].mean()


def test_id_dropout_is_for_training_alone():
    train = data()
    model = both(id_dropout=0.9)
    sl.fit(model, train, epochs=1, batch_size=64)
    np.testing.assert_array_equal(model.query_vectors(train.queries), model.query_vectors(train.queries))
    assert len(np.unique(model.query_vectors(train.queries), axis=0)) == USERS


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: tower("film", combine="max"), 'combine=.max.; "concat" or "sum"'),
        (lambda: tower("film", cross=-1), "cross=-1"),
        (lambda: tower("film", cross=True), "cross=True"),
        (lambda: tower("film", id_dropout=1.0), r"id_dropout=1.0; it must be in \[0, 1\)"),
        (lambda: sl.Tower(sl.Category("parity"), bias=True), "bias=True but has no id"),
        (lambda: sl.Tower(sl.Category("parity"), id_dropout=0.5), "id_dropout=0.5 but has no id"),
        (lambda: sl.Tower(sl.StringLookup("a"), cross=1, module=torch.nn.Identity()), "give one of them"),
        (lambda: both(query={"bias": True}), "does not change their order"),
    ],
)
def test_what_cannot_be(build, says):
    with pytest.raises(sl.ConfigError, match=says):
        build()


def test_recipes_reach_every_option():
    changes = {
        "model.combine": "sum", "model.layer_norm": True, "model.bias": True, "model.id_dropout": 0.1,
        "query.hidden": [8], "candidate.cross": 2, "model.dim": 4,
    }  # fmt: skip
    model = sl.recipes.load("factorization", changes).build_model(data())
    assert (model.query.shape.combine, model.query.shape.hidden, model.query.shape.layer_norm) == ("sum", (8,), True)
    assert (model.candidate.shape.cross, model.candidate.bias, model.query.bias) == (2, True, False)
    assert model.query.id_dropout == 0.1
    assert model.dim == 5


def test_vectors_of_length_one_have_the_gradient_of_torchs_own() -> None:
    """Also where a vector is 0, or so short that it is not brought to length 1; without a gradient both are one."""
    vectors = torch.randn(6, 5, dtype=torch.float64)
    vectors[1], vectors[2] = 0, 1e-14
    sides = [vectors.clone().requires_grad_() for _ in range(2)]
    change = torch.randn(6, 5, dtype=torch.float64)
    made = [unit_rows(sides[0]), torch.nn.functional.normalize(sides[1], dim=1)]
    for unit in made:
        unit.backward(change)
    assert torch.equal(*made)
    torch.testing.assert_close(sides[0].grad, sides[1].grad)
    assert torch.equal(unit_rows(vectors), made[1])
    long = vectors[3:].clone().requires_grad_()
    assert torch.autograd.gradcheck(unit_rows, (long,))
