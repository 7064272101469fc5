"""Training: repeatable, learning, honest about what goes wrong; and ids come back as they came."""

import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.train.batches import shuffled


def camps(readers: int = 20) -> sl.Dataset:
    """Reader r chose book r mod 4, three times."""
    rows = {
        "reader": [r for r in range(readers) for _ in range(3)],
        "book": [r % 4 for r in range(readers) for _ in range(3)],
    }
    return sl.Dataset(rows, "reader", "book")


def towers(dim: int = 8) -> sl.TwoTower:
    return sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=dim), sl.Tower(sl.IntegerLookup("book"), dim=dim))


def test_a_run_repeats_bit_for_bit_and_another_seed_differs() -> None:
    weights = []
    for seed in (1, 1, 2):
        model = towers()
        sl.fit(model, camps(), epochs=3, batch_size=16, seed=seed)
        weights.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_separable_choices_are_learned() -> None:
    data, model = camps(), towers()
    history = sl.fit(model, data, validation=data, optimizer=sl.Adam(0.05), epochs=40, batch_size=16, ks=(1, 4))
    assert history[-1].loss < history[0].loss
    assert history[-1].metrics == {"top_1": 1.0, "top_4": 1.0}


def test_lower_precision_is_another_run_that_learns_too() -> None:
    options = {"optimizer": sl.Adam(0.05), "epochs": 20, "batch_size": 16}
    runs = {}
    for precision in ("float32", "bfloat16"):
        towers_ = [sl.Tower(sl.IntegerLookup(side), dim=8, hidden=(16,)) for side in ("reader", "book")]
        model = sl.TwoTower(*towers_)
        runs[precision] = sl.fit(model, camps(), precision=precision, **options)
        assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    exact, lowered = (run[-1].loss for run in runs.values())
    assert exact != lowered
    assert lowered < 0.8 * runs["bfloat16"][0].loss
    assert sl.recipes.load("tutorial", ["fit.precision=bfloat16"]).fit.precision == "bfloat16"


def test_early_stopping_restores_the_best_epoch() -> None:
    data, model = camps(), towers()
    options = {"validation": data, "optimizer": sl.Adam(0.05), "batch_size": 16, "ks": (1,)}
    history = sl.fit(model, data, epochs=200, patience=3, **options)
    assert history.stopped_early
    values = [epoch.metrics["top_1"] for epoch in history]
    assert values[history.best - 1] == max(values)
    assert sl.evaluate(model, data, ks=(1,))["model"]["seen_in"]["top_1"] == max(values)


def test_a_function_measures_in_place_of_a_test_set() -> None:
    data, model, seen = camps(), towers(), []

    def measure(trained: sl.TwoTower) -> dict[str, float]:
        assert trained is model
        seen.append(len(seen))
        return {"worth": [1.0, 3.0, 2.0, 2.5][len(seen) - 1]}

    history = sl.fit(model, data, validation=measure, monitor="worth", patience=2, epochs=20, batch_size=16)
    assert [epoch.metrics["worth"] for epoch in history] == [1.0, 3.0, 2.0, 2.5]  # two in a row no better than 3
    assert (history.best, history.stopped_early) == (2, True)


def test_a_function_must_return_what_is_watched() -> None:
    with pytest.raises(sl.ConfigError, match="monitor='worth', and validation= returned other"):
        sl.fit(towers(), camps(), validation=lambda model: {"other": 1.0}, monitor="worth", epochs=1)
    with pytest.raises(sl.ConfigError, match="measured on a Dataset"):
        sl.als(towers(), camps(), validation=lambda model: {"other": 1.0}, epochs=1)


def test_a_hook_ends_the_training() -> None:
    history = sl.fit(towers(), camps(), epochs=20, batch_size=16, on_epoch=lambda epoch: epoch.number == 3)
    assert (len(history.epochs), history.stopped_early) == (3, True)
    history = sl.fit(towers(), camps(), epochs=4, batch_size=16, on_epoch=lambda epoch: None)
    assert (len(history.epochs), history.stopped_early) == (4, False)


def test_divergence_stops_with_the_reason() -> None:
    with pytest.raises(sl.TrainingError, match="lower the learning rate"):
        sl.fit(towers(), camps(), optimizer=sl.SGD(1e30), epochs=5, batch_size=16)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"patience": 2}, "without validation="),
        ({"monitor": "top_7"}, "top_7"),
        ({"precision": "float16"}, '"float32" or "bfloat16"'),
        ({"ks": ()}, "ks is empty"),
        ({"ks": (10, 2.5)}, "ks holds 2.5"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        sl.fit(towers(), camps(), **options)  # type: ignore[arg-type]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert sorted(shuffled(7, 1, 50).tolist()) == list(range(50))
    assert shuffled(7, 1, 50).tolist() == shuffled(7, 1, 50).tolist()
    assert shuffled(7, 1, 50).tolist() != shuffled(7, 2, 50).tolist()


def test_rows_that_are_absent_stay_bit_identical() -> None:
    for optimizer in (sl.Adagrad(0.1), sl.Adam(0.1), sl.AdamW(0.1), sl.SGD(0.1)):
        data, model = camps(), towers()
        sl.fit(model, data, optimizer=optimizer, epochs=1, batch_size=64)
        table = next(iter(model.query.tables.values())).weight
        before = table.clone()
        few = data.with_interactions(data.interactions.head(6))  # readers 0 and 1
        sl.fit(model, few, optimizer=optimizer, epochs=1, batch_size=64)
        moved = (table != before).any(1).nonzero().flatten().tolist()
        vocabulary = next(iter(model.query.features.values())).vocabulary
        assert moved[0] == 0  # the row of unknown readers, which has the mean of all others
        assert sorted(vocabulary.ids[code - 1] for code in moved[1:]) == [0, 1]


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_odd_ids_come_back_as_they_came() -> None:
    odd = ["", "ü→日本", "x" * 5000, "1", " 1", "ann"]
    big = [2**53 + 1, 2**53 + 2, 1, -5, 2**62, 0]
    data = sl.Dataset({"who": odd * 3, "what": big * 2 + big[::-1]}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=4), sl.Tower(sl.IntegerLookup("what"), dim=4))
    sl.fit(model, data, epochs=2, batch_size=8)
    answers = sl.Recommender(model, index=sl.BruteForce()).recommend(odd, k=6)
    assert list(answers.queries) == odd
    for answer in answers:
        assert sorted(answer.ids) == sorted(big)
        assert {type(one) for one in answer.ids} == {int}
    assert answers.to_frame().schema["what"] == pl.Int64
