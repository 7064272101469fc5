"""Budgets as people write them, and what an estimate may take of one."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from tests.choosing.tables import blocks

import shortlist as sl
from shortlist.choosing import budget as budgets
from shortlist.choosing import seconds_of
from shortlist.choosing.budget import Speed, _sample
from shortlist.choosing.contenders import contenders_of
from shortlist.errors import ConfigError
from shortlist.train.recipe import Recipe


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("2min", 120), ("1h", 3600), (5, 5.0), ("0.5 min", 30)])
def test_budgets(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "0", 0, -3, float("inf"), True, None, "3 weeks"])
def test_other_budgets_are_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="a time above 0 was expected"):
        seconds_of(text)  # type: ignore[arg-type]


def test_the_run_that_estimates_a_training_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow a batch is: the second one is the last, and its time is the estimate."""
    data = blocks(1500, 90, 60)
    batches: list[int] = []
    train = Recipe.train_towers

    def counted(recipe: Recipe, rows: sl.Dataset, on_batch: Any, **options: Any) -> Any:
        def each(done: int, total: int) -> None:
            batches.append(total)
            on_batch(done, total)

        return train(recipe, rows, on_batch=each, **options)

    monkeypatch.setattr(Recipe, "train_towers", counted)
    factorization = next(one for one in contenders_of(data, 0, False) if one.name == "factorization")
    for seconds, most in ((0.0, 2), (-1.0, 2), (float("inf"), None)):
        batches.clear()
        speed = Speed()
        assert speed.estimate(factorization, data, 4, seconds) > 0
        assert len(batches) == most if most else len(batches) > 2
        count = len(batches)
        speed.estimate(factorization, data, 4, seconds)  # measured once
        assert len(batches) == count


def test_a_column_that_is_null_in_a_sample_is_estimated_on_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only candidate with a value in the column is not among the rows of the sample."""
    monkeypatch.setattr(budgets, "PROBE", 1)
    log = pl.DataFrame({"who": [n % 50 for n in range(2000)], "what": [n % 500 for n in range(2000)]})
    sampled = _sample(sl.Dataset(log, "who", "what"), 4 * 64)
    rare = min(set(range(500)) - set(sampled.interactions["what"].to_list()))
    items = pl.DataFrame({"what": range(500), "kind": ["x" if n == rare else None for n in range(500)]})
    data = sl.Dataset(log, "who", "what", candidates=items)
    features = next(one for one in contenders_of(data, 0, False) if one.name == "features")
    assert features.recipe.for_data(data).fit.batch_size == 64
    assert Speed().estimate(features, data, 4, 0.0) > 0
