"""Recipes on several splits, in one table."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.choosing.cross_validation import CrossValidation
from shortlist.language import columns

FAST = {"fit.epochs": 1, "model.dim": 4}


def data() -> sl.Dataset:
    """Thirty people, who each choose eight of their own dozen of items."""
    rng = np.random.default_rng(0)
    rows = [(user, 12 * (user % 3) + item) for user in range(30) for item in rng.permutation(12)[:8]]
    return sl.Dataset(pl.DataFrame(rows, schema=["user", "item"], orient="row"), "user", "item")


def test_every_interaction_is_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test parts are the data, each training part is the rest, and sizes differ by one at most."""
    from shortlist.choosing import cross_validation

    parts: list[tuple[set, set]] = []
    real = cross_validation.evaluate

    def watched(model: object, test: sl.Dataset, seen: sl.Dataset, **options: object) -> object:
        parts.append((set(seen.interactions.iter_rows()), set(test.interactions.iter_rows())))
        return real(model, test, seen=seen, **options)

    monkeypatch.setattr(cross_validation, "evaluate", watched)
    whole = data()
    sl.cross_validate("als", whole, folds=7, changes=FAST)
    everything = set(whole.interactions.iter_rows())
    assert len(parts) == 7
    assert all(train | test == everything and not train & test for train, test in parts)
    assert sorted(row for _, test in parts for row in test) == sorted(everything)
    assert {len(test) for _, test in parts} == {34, 35}  # 240 interactions


def test_the_figures_are_those_of_evaluate() -> None:
    split = sl.split_random(data(), seed=3)
    found = sl.compare_all({"four": "als"}, [split], k=5, metrics=("recall",), changes=FAST)
    model, _ = sl.recipes.load("als", FAST).train(split.train)
    expected = sl.evaluate(model, split.test, seen=split.train, ks=(5,), metrics=("recall",), baselines=())
    assert found.rows[0]["recall_5"] == expected["model"]["seen_out"]["recall_5"]
    left_in = sl.compare_all({"four": "als"}, [split], k=5, metrics=("recall",), changes=FAST, exclude_seen=False)
    assert left_in.rows[0]["recall_5"] == expected["model"]["seen_in"]["recall_5"]


@pytest.mark.parametrize("figures", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(
    "name",
    [
        "als",
        "recipes/of/the/third/experiment/with/sessions/and/features.toml",
        "레시피/세 번째 실험/세션과 특성을 함께 쓰는 모델.toml",
    ],
)
def test_printed_lines_fit_a_terminal(figures: int, name: str) -> None:
    """Of 80 columns, with every figure and every second once."""
    measured = {f"f_{number}": number / 10 for number in range(figures)}
    rows = [{"recipe": name, "split": split, **measured, "seconds": 61.0} for split in (1, 2)]
    printed = str(CrossValidation(tuple(rows), "seen_out"))
    assert max(map(columns, printed.splitlines())) <= 80
    assert [printed.count(f"{value:.4f} ± 0.0000") for value in measured.values()] == [1] * figures
    assert (printed.count("seconds"), printed.count(" 61.0")) == (1, 1)
    assert name[-20:] in printed


def test_mean_and_spread_best_first() -> None:
    rows = [
        {"recipe": name, "split": split, "recall_10": value, "seconds": 1.0}
        for name, values in (("a", (0.1, 0.3)), ("b", (0.4, 0.6)))
        for split, value in enumerate(values, start=1)
    ]
    found = CrossValidation(tuple(rows), "seen_out")
    assert found.metrics == ["recall_10"]
    table = found.summary()
    assert table["recipe"].to_list() == ["b", "a"]
    assert table["recall_10"].to_list() == pytest.approx([0.5, 0.2])
    assert table["recall_10 ±"].to_list() == pytest.approx([0.02**0.5, 0.02**0.5])
    assert str(found).splitlines()[1].split() == ["b", "0.5000", "±", "0.1414", "1.0"]
    assert str(found).splitlines()[-1] == "mean ± standard deviation over 2 splits, seen items excluded"


def test_known_choices_of_held_out_queries_are_seen() -> None:
    split = sl.split_queries(data(), queries=0.3, given=0.5, seed=1)
    recipe = sl.recipes.load("history", {"model.dim": 4, "fit.epochs": 1, "history.encoder": "mean"})
    found = sl.compare_all([recipe], [split], k=5, metrics=("recall",))
    assert found.rows[0]["recipe"] == "recipe 1"
    assert len(split.seen) > len(split.train)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: sl.compare_all([], [sl.split_random(data())]), "no recipe"),
        (lambda: sl.compare_all(["als"], []), "no split"),
        (lambda: sl.compare_all(["als"], [data()]), "a Split was expected"),
        (lambda: sl.compare_all("als", [sl.split_random(data())]), "a list or a mapping"),
        (lambda: sl.compare_all(["alz"], [sl.split_random(data())]), "alz"),
        (lambda: sl.cross_validate("als", data(), folds=1), "from 2 to 240"),
        (lambda: sl.cross_validate("als", data(), folds=241), "from 2 to 240"),
        (lambda: sl.cross_validate("als", data(), folds=True), "from 2 to 240"),
        (lambda: sl.cross_validate("als", pl.DataFrame()), "Dataset"),
    ],
)
def test_wrong_input(call: object, told: str) -> None:
    with pytest.raises(sl.ShortlistError, match=told):
        call()  # type: ignore[operator]


def test_an_error_names_the_function_that_was_called() -> None:
    with pytest.raises(sl.ConfigError, match=r"cross_validate\(recipes\) has no recipe; one or more were expected"):
        sl.cross_validate([], data())
    with pytest.raises(sl.ConfigError, match=r"compare_all\(recipes\) has no recipe"):
        sl.compare_all({}, [sl.split_random(data())])
