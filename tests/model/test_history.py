"""History encoders: one contract for all, values against plain forms written out here, and no leak through a model."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional

import shortlist as sl
from shortlist.features import History
from shortlist.features.history import ENCODERS
from shortlist.model import TowerInputs, model_from_state, state_of
from shortlist.model.encoders import causal_encoder
from shortlist.model.history import HistoryEncoder, SequenceTensor

every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def encoder_of(kind: str, dim: int = 8, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = causal_encoder(History(encoder=kind, length=6, **options), dim, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():  # no zeros that hide a part
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return encoder


@every_encoder
def test_what_comes_later_changes_no_state(encoder: str) -> None:
    model = encoder_of(encoder)
    items = torch.randn(3, 6, 8)
    changed = items.clone()
    changed[:, 4:] = torch.randn(3, 2, 8)
    states, after = model(items), model(changed)
    assert torch.equal(states[:, :4], after[:, :4])
    assert not torch.allclose(states[:, 4:], after[:, 4:])  # the comparison can fail
    assert torch.allclose(model(items[:, :3]), states[:, :3], atol=1e-6)


@every_encoder
def test_every_earlier_item_counts(encoder: str) -> None:
    items = torch.randn(1, 6, 8, requires_grad=True)
    encoder_of(encoder)(items)[0, 5].square().sum().backward()
    assert items.grad is not None
    assert (items.grad[0].abs().sum(1) > 0).all()


def test_averages_by_hand() -> None:
    items = torch.tensor([[[4.0], [8.0], [2.0]]])
    expected = {"mean": [4, 6, 14 / 3], "sum": [4, 12, 14], "ema": [4, 20 / 3, 28 / 7]}  # ema: weights 1, 1/2, 1/4
    for kind, values in expected.items():
        states = causal_encoder(History(encoder=kind, length=3, decay=0.5), 1).eval()(items)
        assert torch.allclose(states.flatten(), torch.tensor(values, dtype=torch.float32)), kind
    weighted = causal_encoder(History(encoder="weighted", length=3), 1).eval()
    assert torch.allclose(weighted(items).flatten(), torch.tensor([4, 6, 14 / 3]))
    with torch.no_grad():
        weighted.log_weight[1] = np.log(3.0)  # the item before the last counts thrice
    assert torch.allclose(weighted(items).flatten(), torch.tensor([4, (8 + 12) / 4, (2 + 24 + 4) / 5]))


def test_self_attention_against_a_plain_form() -> None:
    encoder = encoder_of("transformer", layers=1, heads=2, feedforward=2)
    items = torch.randn(1, 5, 8)
    (block,) = encoder.blocks
    x = items[0] * 8**0.5 + encoder.places[:5]
    q, k, v = (block.query_key_value(block.norm_1(x))).split(8, dim=1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        rows = []
        for place in range(5):
            scores = k[: place + 1, head] @ q[place, head] / 2  # √4
            rows.append(scores.softmax(0) @ v[: place + 1, head])
        heads.append(torch.stack(rows))
    x = x + block.out(torch.cat(heads, dim=1))
    first, _, _, second = block.inner
    x = x + second(functional.relu(first(block.norm_2(x))))
    assert torch.allclose(encoder(items)[0], encoder.norm(x), atol=1e-5)


def test_hstu_against_a_plain_form() -> None:
    encoder = encoder_of("hstu", layers=1, heads=2)
    items = torch.randn(1, 5, 8)
    (block,) = encoder.blocks
    x = items[0] * 8**0.5 + encoder.places[:5]
    q, k, v, u = functional.silu(block.gates(block.norm_in(x))).split(8, dim=1)
    read = torch.zeros(5, 8)
    for number, head in enumerate((slice(0, 4), slice(4, 8))):
        for place in range(5):
            for other in range(place + 1):
                score = q[place, head] @ k[other, head] / 2 + block.by_age[number, place - other]
                read[place, head] += functional.silu(score) * v[other, head] / (place + 1)
    x = x + block.out(block.norm_read(read) * u)
    assert torch.allclose(encoder(items)[0], encoder.norm(x), atol=1e-5)


def test_gru_against_a_plain_form() -> None:
    encoder = encoder_of("gru", layers=1)
    items = torch.randn(1, 4, 8)
    gru, state = encoder.gru, torch.zeros(8)
    for place in range(4):
        of_item = gru.weight_ih_l0 @ items[0, place] + gru.bias_ih_l0
        of_state = gru.weight_hh_l0 @ state + gru.bias_hh_l0
        reset, update = (torch.sigmoid(of_item[part] + of_state[part]) for part in (slice(0, 8), slice(8, 16)))
        new = torch.tanh(of_item[16:] + reset * of_state[16:])
        state = (1 - update) * new + update * state
        assert torch.allclose(encoder(items)[0, place], encoder.after(state), atol=1e-5)


@every_encoder
def test_shared_passes_equal_one_pass_per_row(encoder: str) -> None:
    module = HistoryEncoder(History(encoder=encoder, length=40, share=False), 30, 8, 0.5).eval()
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(30, (90,), generator=generator)
    start = torch.tensor([0, 0, 0, 40, 40, 41, 60, 60, 7])
    stop = torch.tensor([3, 3, 40, 40, 77, 42, 60, 90, 20])
    together = module(SequenceTensor(codes, start, stop, None))
    for row in range(len(start)):
        if start[row] == stop[row]:
            expected = module.empty
        else:
            items = module.items.weight[codes[start[row] : stop[row]]]
            expected = module.encoder(items.unsqueeze(0))[0, -1]
        assert torch.allclose(together[row], expected, atol=1e-5)


def test_leaving_one_out_by_hand() -> None:
    codes, start, stop = torch.tensor([1, 2, 3]), torch.tensor([0, 0, 0]), torch.tensor([3, 3, 1])
    windows = SequenceTensor(codes, start, stop, torch.tensor([1, -1, 0]))
    for kind, expected in (("mean", [[20.0], [20.0], [7.0]]), ("sum", [[40.0], [60.0], [7.0]])):
        module = HistoryEncoder(History(encoder=kind, share=False), 4, 1, 0.1).eval()
        module.items.weight[:] = torch.tensor([[0.0], [10.0], [20.0], [30.0]])
        with torch.no_grad():
            module.empty.fill_(7.0)  # the third row leaves its only item out
        assert module(windows).tolist() == expected


LOG = {
    "user": ["ann"] * 5 + ["bob"] * 3 + ["cay"],
    "film": ["a", "b", "c", "d", "a", "b", "c", "e", "a"],
    "time": [1, 2, 3, 3, 4, 1, 2, 3, 9],
}


def data_of(log: dict[str, list], timestamp: str | None = "time") -> sl.Dataset:
    return sl.Dataset(log, query="user", candidate="film", timestamp=timestamp)


def model_of(*features, **options) -> sl.TwoTower:
    return sl.TwoTower(
        sl.Tower(*features, dim=4, **options), sl.Tower(sl.StringLookup("film", ["a", "b", "c", "d", "e", "z"]), dim=4)
    )


def training_vectors(log: dict[str, list], encoder: str, timestamp: str | None = "time") -> torch.Tensor:
    """The query tower's vectors of all interactions, as training sees them, at weights that depend on nothing."""
    model = model_of(sl.History(encoder=encoder, dropout=0.0))
    encoded = model.prepare(data_of(log, timestamp), torch.Generator().manual_seed(0))
    inputs = TowerInputs.of(encoded.query_columns)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape))
        model.candidate.tables["film:StringLookup"].weight.copy_(torch.randn(7, 4))
        return model.eval().query(inputs.take(torch.from_numpy(encoded.query_rows)))


@every_encoder
def test_neither_the_target_nor_the_future_reaches_an_input_vector(encoder: str) -> None:
    vectors = training_vectors(LOG, encoder)
    assert len(vectors) == 9
    for target in range(8):
        changed = copy.deepcopy(LOG)
        for other in range(9):
            if LOG["user"][other] == LOG["user"][target] and LOG["time"][other] >= LOG["time"][target]:
                changed["film"][other] = "z"
        assert torch.allclose(training_vectors(changed, encoder)[target], vectors[target], atol=1e-6)
    changed = copy.deepcopy(LOG)
    changed["film"][0] = "e"  # ann's first choice is in the history of her last
    assert not torch.allclose(training_vectors(changed, encoder)[4], vectors[4], atol=1e-3)


def test_without_times_the_target_reaches_no_input_vector() -> None:
    for target in range(9):
        vectors = training_vectors(LOG, "mean", None)
        changed = copy.deepcopy(LOG)
        changed["film"][target] = "z"
        repeated = LOG["film"].count(LOG["film"][target]) > 1 and target in (0, 4)  # ann chose a twice
        if not repeated:
            assert torch.allclose(training_vectors(changed, "mean", None)[target], vectors[target], atol=1e-6)


def cycles(users: int = 60, length: int = 12) -> sl.Dataset:
    """Everybody walks through ten films in a circle, from a start of their own: the next follows from the last."""
    log = [
        {"user": f"u{user:02}", "film": f"f{(user + step) % 10}", "time": step}
        for user in range(users)
        for step in range(length)
    ]
    return data_of({name: [row[name] for row in log] for name in ("user", "film", "time")})


@every_encoder
@pytest.mark.parametrize("share", [True, False])
def test_each_encoder_trains(encoder: str, share: bool) -> None:
    train, test = sl.split_last(cycles())
    history = sl.History(encoder=encoder, share=share, length=16, dropout=0.0, layers=1, decay=0.3)
    model = sl.TwoTower(sl.Tower(history, dim=16), sl.Tower(sl.StringLookup("film"), dim=16))
    ran = sl.fit(model, train, optimizer=sl.Adam(0.02), epochs=12, batch_size=64)
    assert ran[-1].loss < ran[0].loss
    if encoder in ("gru", "transformer", "hstu") or (encoder == "ema" and not share):
        queries = model.with_histories(test.queries)[test.query_rows]
        scores = model.query_vectors(queries) @ model.candidate_vectors(test.candidates).T
        assert (scores.argmax(1) == test.candidate_rows).mean() > 0.9


def test_other_features_stand_beside_a_history() -> None:
    log = data_of(LOG)
    users = pl.DataFrame({"user": ["ann", "bob", "cay"], "city": ["x", "y", "x"], "tags": [["p"], [], ["p", "q"]]})
    data = sl.Dataset(log.interactions, "user", "film", "time", queries=users)
    model = model_of(sl.StringLookup("user"), sl.History(), sl.Category("city"), sl.MultiCategory("tags"), hidden=[5])
    sl.fit(model, data, epochs=2, batch_size=4)
    vectors = model.query_vectors(model.with_histories(data.queries))
    assert vectors.shape == (3, 4)
    assert np.isfinite(vectors).all()
    assert model.catalogue.queries["history"].to_list() == [["a", "b", "c", "d", "a"], ["b", "c", "e"], ["a"]]


def test_a_model_comes_back_from_its_state_with_its_lent_table() -> None:
    data = data_of(LOG)
    for share in (True, False):
        model = model_of(sl.History(encoder="transformer", share=share))
        sl.fit(model, data, epochs=1)
        again = model_from_state(state_of(model), model.catalogue)
        table = model.catalogue.queries
        assert np.array_equal(again.query_vectors(table), model.query_vectors(table))
        names = [name for name in model.state_dict() if name.startswith("query.") and name.endswith("table.weight")]
        assert len(names) == (0 if share else 1)


def test_a_history_that_served_another_model_reads_the_table_of_the_new_one() -> None:
    data, history = data_of(LOG), sl.History()
    sl.fit(sl.TwoTower(sl.Tower(history, dim=4), sl.Tower(sl.StringLookup("film", ["e", "d"]), dim=4)), data, epochs=1)
    again = model_of(history)
    sl.fit(again, data, epochs=1)
    assert (
        again.query_vectors(pl.DataFrame({"history": [["a"]]})).tolist()
        == again.candidate_vectors(pl.DataFrame({"film": ["a"]})).tolist()
    )


def test_what_cannot_be_says_so() -> None:
    data = data_of(LOG)
    with pytest.raises(sl.ConfigError, match="belongs to the query tower"):
        sl.TwoTower(sl.Tower(sl.StringLookup("user")), sl.Tower(sl.History()))
    with pytest.raises(sl.ConfigError, match="heads"):
        sl.fit(model_of(sl.History(encoder="transformer", heads=3)), data, epochs=1)
    with pytest.raises(sl.ConfigError, match="timestamp"):
        sl.fit(model_of(sl.History(encoder="gru")), data_of(LOG, None), epochs=1)
    hashed = sl.TwoTower(sl.Tower(sl.History()), sl.Tower(sl.Hashing("film", 8)))
    with pytest.raises(sl.ConfigError, match="no lookup of 'film'"):
        sl.fit(hashed, data, epochs=1)
    with pytest.raises(sl.ConfigError, match=r"dim=3.*have 4"):
        sl.fit(model_of(sl.History(dim=3)), data, epochs=1)
    users = pl.DataFrame({"user": ["ann", "bob", "cay"], "history": [1, 2, 3]})
    with pytest.raises(sl.DataError, match="also the name of"):
        sl.fit(model_of(sl.History()), sl.Dataset(data.interactions, "user", "film", "time", queries=users), epochs=1)
