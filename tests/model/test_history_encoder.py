"""History encoders: windows on one log against one pass a row, and no leak of what is to come through a model."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.features import History
from shortlist.features.history import ENCODERS
from shortlist.model import TowerInputs, model_from_state, state_of
from shortlist.model.history_encoder import HistoryEncoder, SequenceTensor

every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


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
            later = (LOG["time"][other], other) >= (LOG["time"][target], target)
            if LOG["user"][other] == LOG["user"][target] and later:
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
