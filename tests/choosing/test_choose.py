"""The choice: what wins on tables of which it is known, and what it says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.choosing.tables import bestsellers, blocks, chain, groceries

import shortlist as sl
from shortlist.choosing import choose, hold_out
from shortlist.choosing.budget import Speed
from shortlist.choosing.contenders import Contender
from shortlist.choosing.trial import times_number_rows
from shortlist.errors import DataError
from shortlist.train.recipes import load, to_toml


def test_tastes_are_found_without_a_recipe() -> None:
    choice = choose(blocks(6000, 300, 160), budget=60)
    figures = {one.name: one.figure.value for one in choice.tried if one.figure is not None}
    assert choice.chosen.kind in ("neighbours", "towers", "mixture")
    assert figures[choice.chosen.name] > 2 * figures["popularity"]
    assert {"co-occurrence", "EASE", "ALS", "factorization"} <= {*figures}
    reasons = {one.name: one.reason for one in choice.tried if one.figure is None}
    assert reasons["transitions"] == reasons["history"] == "needs a column of times that differ: timestamp= (--time)"
    assert "features: queries= (--queries) or candidates= (--candidates)" in str(reasons["features"])
    assert "ahead of popularity" in " ".join(choice.verdict())


def test_an_order_is_found_where_there_are_times() -> None:
    choice = choose(chain(), budget=90)
    figures = {one.name: one.figure for one in choice.tried if one.figure is not None}
    best = max(
        figures[name].value for name in ("transitions", "long transitions", "history", "sequence") if name in figures
    )
    assert choice.split == "time"
    assert best > figures["co-occurrence"].value
    assert choice.chosen.figure is not None
    assert choice.chosen.figure.value >= best - 2 * choice.chosen.figure.error


@pytest.mark.parametrize("seed", [42, 1])
def test_where_nothing_beats_popularity_it_is_what_is_shipped(seed: int) -> None:
    data = bestsellers()
    choice = choose(data, budget=60, seed=seed)
    assert choice.chosen.kind == "popularity"
    assert "no model here is better than popularity" in choice.verdict()[-1]
    recommender = sl.Recommender(choice.model, seen=data)
    counts = np.bincount(data.candidate_rows)
    best = data.candidates["what"][int(counts.argmax())]
    assert recommender.recommend(["nobody" if data.queries["who"].dtype == pl.String else -1], k=1)[0].ids == [best]


def test_where_people_choose_again_seen_items_stay_in() -> None:
    choice = choose(groceries(), budget=60)
    assert choice.trial.again > 0.8
    assert not choice.trial.exclude_seen
    figures = {one.name: one.figure.value for one in choice.tried if one.figure is not None}
    assert figures["own history"] > 3 * figures["popularity"]
    assert figures[choice.chosen.name] >= figures["own history"] * 0.9
    assert any("exclude_seen=False" in line for line in choice.verdict())


def test_a_choice_repeats_and_its_recipe_repeats_the_model() -> None:
    data = blocks(1500, 90, 60)
    first, second = (choose(data, budget=300, seed=7) for _ in range(2))
    assert first.recipe == second.recipe
    plain = [{k: v for k, v in one.to_dict().items() if k != "seconds"} for one in first.tried]
    assert plain == [{k: v for k, v in one.to_dict().items() if k != "seconds"} for one in second.tried]
    again, _ = load(first.recipe.to_dict()).train(data)
    prints = {sl.Recommender(model, seen=data).fingerprint for model in (first.model, second.model, again)}
    assert len(prints) == 1


def test_the_recipe_survives_a_file(tmp_path) -> None:
    choice = choose(blocks(1500, 90, 60), budget=60)
    path = tmp_path / "chosen.toml"
    path.write_text(to_toml(choice.recipe))
    assert load(path) == choice.recipe


def test_the_winner_knows_all_rows_unless_it_is_not_refitted() -> None:
    data = blocks(1500, 90, 60)
    for refit, rows in ((True, len(data)), (False, len(hold_out(data, 0.1, 42)[0]))):
        choice = choose(data, budget=30, refit=refit)
        assert int(choice.model.catalogue.counts.sum()) == rows
        assert choice.refitted is refit


def test_what_cannot_be_finished_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Speed.estimate

    def estimate(self: Speed, contender: Contender, *given: Any, **named: Any) -> float:
        return 1000.0 if contender.name == "factorization" else real(self, contender, *given, **named)

    monkeypatch.setattr(Speed, "estimate", estimate)
    choice = choose(blocks(1500, 90, 60), budget=60)
    late = [one for one in choice.tried if one.reason is not None and "were left" in one.reason]
    assert [one.name for one in late] == ["factorization"]
    assert late[0].figure is None
    assert choice.chosen.figure is not None
    assert "a longer budget= (--budget) would also try" in choice.verdict()[-1] or "only" in choice.verdict()[-1]


def test_a_choice_is_plain_values() -> None:
    choice = choose(blocks(1500, 90, 60), budget=30)
    plain = json.loads(json.dumps(choice.to_dict()))
    assert plain["by"] == "recall@5"  # a tenth of 59 candidates
    assert {one["name"] for one in plain["contenders"]} == {one.name for one in choice.tried}
    assert all(len(line) <= 80 for line in choice.table().splitlines() if "not tried" not in line)
    assert plain["verdict"][0].startswith("chosen: ")


def test_held_out_rows_are_like_the_use() -> None:
    assert hold_out(blocks(600, 60, 40), 0.1, 1)[2] == "random"
    assert hold_out(blocks(600, 60, 40, timed=True), 0.1, 1)[2] == "time"
    frame = pl.DataFrame(
        {"who": np.repeat(np.arange(30), 5), "what": np.arange(150) % 40, "n": np.tile(np.arange(5), 30)}
    )
    numbered = sl.Dataset(frame, "who", "what", timestamp="n")
    assert times_number_rows(numbered)
    _, test, how = hold_out(numbered, 0.1, 1)
    assert (how, len(test), test.interactions["n"].unique().to_list()) == ("last", 30, [4])
    assert not times_number_rows(blocks(600, 60, 40, timed=True))
    assert not times_number_rows(blocks(600, 60, 40))


def timed(times: list[Any], dtype: Any = None) -> sl.Dataset:
    """A choice at each of these times, by 40 people in turn."""
    rows = len(times)
    frame = {"who": [n % 40 for n in range(rows)], "what": [n * 7 % 30 for n in range(rows)]}
    return sl.Dataset({**frame, "at": pl.Series(times, dtype=dtype)}, "who", "what", timestamp="at")


@pytest.mark.parametrize(
    ("times", "how", "held"),
    [
        ([0] + [5] * 399, "random", 40),  # a cut would leave one row to learn from
        ([0] * 100 + [5] * 300, "random", 40),
        ([0] * 340 + [5] * 60, "time", 60),
        ([0] * 200 + [5] * 200, "time", 200),
        ([0] * 99 + [5] * 300 + [9], "random", 40),  # or one to measure on
        ([0] * 380 + [5] * 16 + [9] * 4, "time", 20),
        ([5] * 400, "random", 40),
    ],
)
def test_times_that_most_rows_share_hold_no_rows_out(times: list[int], how: str, held: int) -> None:
    train, test, found = hold_out(timed(times), 0.1, 1)
    assert (found, len(test), len(train)) == (how, held, 400 - held)


def test_a_larger_share_may_be_asked_for() -> None:
    assert hold_out(timed([0] * 150 + [5] * 250), 0.6, 1)[2] == "time"


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int16, pl.UInt32, pl.UInt64, pl.Int64, pl.Int128, pl.Float64])
def test_times_are_numbers_of_any_type(dtype: Any) -> None:
    _, test, how = hold_out(timed([n % 100 for n in range(400)], dtype), 0.1, 1)
    assert (how, len(test), test.times.min()) == ("time", 40, 90)
    numbered = timed([n // 40 for n in range(400)], dtype)
    assert times_number_rows(numbered) == (dtype != pl.Float64)


@pytest.mark.filterwarnings("ignore:the timestamp column:shortlist.errors.ShortlistWarning")
def test_times_from_one_end_of_their_type_to_the_other() -> None:
    _, test, how = hold_out(timed([-(2**63), *range(398), 2**63 - 1]), 0.1, 1)
    assert (how, len(test)) == ("time", 40)


def test_too_little_is_refused() -> None:
    few = sl.Dataset({"who": ["a"] * 5, "what": [1, 2, 3, 4, 5]}, "who", "what")
    with pytest.raises(DataError, match="too few to choose"):
        choose(few)
    with pytest.raises(DataError, match="got a list"):
        choose([1, 2])  # type: ignore[arg-type]
