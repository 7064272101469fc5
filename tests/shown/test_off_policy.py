"""Off-policy estimates: by hand, by plain loops, near the truth where it is known, and refused where nothing supports them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shown.logged import LOOKED, World

import shortlist as sl
from shortlist.shown.estimators import FOLDS, PRIOR

BY_HAND = {  # 20 queries like ann, 20 like bob: both click y, and the new lists of both begin with y
    "query": [f"{name}{n}" for n in range(20) for name in ("ann", "ann", "bob", "bob")],
    "candidate": ["x", "y", "y", "x"] * 20,
    "place": [1, 2, 1, 2] * 20,
    "clicked": [False, True, True, False] * 20,
}
NEW = {
    "query": [f"{name}{n}" for n in range(20) for name in ("ann", "ann", "bob", "bob")],
    "candidate": ["y", "x"] * 40,
    "place": [1, 2] * 40,
}


def test_by_hand():
    result = sl.off_policy_evaluate(BY_HAND, NEW, examination=[1.0, 0.5], least_effective=0)
    # ann's click moves from a place looked at half as often: 2 clicks there, 1 of bob's, over 2 lists
    assert result.shown == 1.0
    assert result.ips.value == pytest.approx(3 / 2)
    assert result.snips.value == pytest.approx(3 / 2)
    assert result.ips.gain == pytest.approx(1 / 2)
    assert result.support == pytest.approx(1.0)
    # weights of places shown: 1/2, 2, 1, 1; of clicks: 2, 1; each 20 times
    assert result.effective_rows == pytest.approx(20 * 4.5**2 / 6.25)
    assert result.effective_clicks == pytest.approx(20 * 3**2 / 5)
    assert (result.lists, result.queries, result.rows, result.clicks, result.k) == (40, 40, 80, 40, 2)


def test_only_ratios_of_the_chances_matter():
    one, other = (
        sl.off_policy_evaluate(BY_HAND, NEW, examination=chances, least_effective=0).to_dict()
        for chances in ([1.0, 0.5], [0.4, 0.2])
    )
    for name in ("ips", "snips"):
        assert one[name]["value"] == pytest.approx(other[name]["value"])


def test_propensities_by_hand():
    # 160 lists of one; the new list is always x, which a half could be shown: 60 were, and 40 of them clicked
    shown = {
        "query": [*range(160)],
        "candidate": ["x"] * 60 + ["z"] * 100,
        "place": [1] * 160,
        "clicked": [True] * 40 + [False] * 120,
        "chance": [0.5] * 160,
    }
    new = {"query": [*range(160)], "candidate": ["x"] * 160, "place": [1] * 160}
    options: dict[str, Any] = {"propensity": "chance", "examination": [1.0], "least_effective": 0}
    with pytest.raises(sl.DataError, match="support 75%"):
        sl.off_policy_evaluate(shown, new, **options)
    result = sl.off_policy_evaluate(shown, new, least_support=0.7, **options)
    assert result.ips.value == pytest.approx(40 * 2 / 160)
    assert result.snips.value == pytest.approx(40 / 60)
    assert result.support == pytest.approx(60 * 2 / 160)


def by_loops(shown: list[tuple], new: dict[Any, list], chances: list[float], given_p: bool, k: int, seed: int) -> dict:
    """Each estimator as its sum says, row by row. shown: query, candidate, place, clicked, propensity."""
    queries = list(dict.fromkeys(row[0] for row in shown))
    lists = {q: max(sum(r[0] == q and r[2] == p for r in shown) for p in range(1, 9)) for q in queries}
    part = dict(zip(queries, np.random.default_rng(seed).permutation(len(queries)) % FOLDS, strict=True))

    def liked(query, candidate):
        others = [r for r in shown if part[r[0]] != part[query]]
        looks, clicks = sum(chances[r[2] - 1] for r in others), sum(r[3] for r in others)
        mean = clicks / looks if looks else 0.0
        own = [r for r in others if r[1] == candidate]
        return (sum(r[3] for r in own) + PRIOR * mean) / (sum(chances[r[2] - 1] for r in own) + PRIOR)

    weighted = supported = robust = 0.0
    for query, candidate, place, clicked, propensity in shown:
        if candidate not in new[query]:
            continue
        if not given_p:
            propensity = min(1.0, sum(r[:2] == (query, candidate) for r in shown) / lists[query])
        looked = chances[place - 1]
        weight = chances[new[query].index(candidate)] / (propensity * looked)
        weighted += weight * clicked
        supported += weight * looked
        robust += weight * (clicked - looked * liked(query, candidate))
    asked = sum(lists[q] * sum(chances[: len(new[q])]) for q in queries)
    robust += sum(lists[q] * chances[at] * liked(q, c) for q in queries for at, c in enumerate(new[q]))
    count = sum(lists.values())
    return {
        "shown": sum(r[3] for r in shown if r[2] <= k) / count,
        "ips": weighted / count,
        "snips": weighted / supported * asked / count,
        "dr": robust / count,
        "support": supported / asked,
    }


@st.composite
def logs(draw):
    queries = draw(st.integers(2, 6))
    rows = []
    for query in range(queries):
        for _ in range(draw(st.integers(1, 3))):
            listed = draw(st.lists(st.integers(0, 5), unique=True, min_size=1, max_size=3))
            chance = draw(st.sampled_from([0.25, 0.5, 1.0]))
            rows += [(query, one, at, True, chance) for at, one in enumerate(listed, start=1)]
    rows = [(*row[:3], draw(st.booleans()) or n < 12, row[4]) for n, row in enumerate(rows)]
    new = {q: draw(st.lists(st.integers(0, 6), unique=True, min_size=1, max_size=3)) for q in range(queries)}
    return rows, new, draw(st.booleans())


@given(logs(), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_as_plain_loops_have_it(log, seed):
    rows, new, given_p = log
    rows = rows * 12  # each list shown twelve times, so that there are clicks enough
    chances = [1.0, 0.6, 0.3]
    table = dict(zip(("query", "candidate", "place", "clicked", "p"), map(list, zip(*rows, strict=True)), strict=True))
    lists = [{"query": q, "candidate": c, "place": at} for q, own in new.items() for at, c in enumerate(own, start=1)]
    expected = by_loops(rows, new, chances, given_p, k=3, seed=seed) if any_match(rows, new) else None
    options: dict[str, Any] = {"least_support": 0.0, "least_effective": 0.0, "resamples": 20, "seed": seed, "k": 3}
    try:
        result = sl.off_policy_evaluate(
            table, lists, examination=chances, propensity="p" if given_p else None, **options
        )
    except sl.DataError as error:
        refused = str(error)
        assert expected is None or "effective clicks" in refused or (given_p and expected["support"] > 1.1), refused
        return
    assert expected is not None
    assert result.shown == pytest.approx(expected["shown"])
    assert result.support == pytest.approx(expected["support"])
    for name in ("ips", "snips", "dr"):
        assert getattr(result, name).value == pytest.approx(expected[name]), name


def any_match(rows, new):
    return any(candidate in new[query] for query, candidate, *_ in rows)


@pytest.fixture(scope="module")
def repeated() -> tuple[World, np.ndarray]:
    """Forty logs of one world, each estimated by its known propensities: [logs, estimators]."""
    world = World.of(queries=300, candidates=8, k=3, seed=3)
    results = [
        sl.off_policy_evaluate(
            world.log(3, seed), world.lists(), propensity="propensity", k=3, examination=LOOKED.tolist(), resamples=200
        )
        for seed in range(40)
    ]
    values = [
        [getattr(one, name).value for name in ("ips", "snips", "dr")]
        + [getattr(one, name).interval.low <= world.truth <= getattr(one, name).interval.high for name in ("ips", "dr")]
        for one in results
    ]
    return world, np.array(values, dtype=float)


@pytest.mark.parametrize(("at", "name"), [(0, "ips"), (1, "snips"), (2, "dr")])
def test_right_on_average(repeated, at, name):
    world, values = repeated
    error = values[:, at].mean() - world.truth
    assert abs(error) < 4 * values[:, at].std(ddof=1) / len(values) ** 0.5, name


def test_self_normalised_and_doubly_robust_estimates_vary_less(repeated):
    _, values = repeated
    ips, snips, dr = values[:, :3].std(0)
    assert snips < ips
    assert dr < ips


def test_intervals_hold_the_truth_about_as_often_as_they_say(repeated):
    _, values = repeated
    assert (values[:, 3:].sum(0) >= 34).all()  # of 40, 38 expected, a standard deviation of 1.4


def test_two_bundles_that_take_turns_need_no_propensities():
    world = World.of(queries=200, candidates=4, k=4, seed=5)
    shown, truth = world.log(6, seed=0).drop("propensity"), world.truth
    results = [
        sl.off_policy_evaluate(world.log(6, s).drop("propensity"), world.lists(), examination=LOOKED.tolist())
        for s in range(12)
    ]
    values = np.array([one.ips.value for one in results])
    assert abs(values.mean() - truth) < 4 * values.std(ddof=1) / 12**0.5
    assert all(one.support == pytest.approx(1.0) for one in results)
    estimated = sl.off_policy_evaluate(shown, world.lists())
    assert estimated.examination.chances == pytest.approx(LOOKED, abs=0.15)
    assert any("known" in note for note in estimated.notes)


def test_the_value_of_what_was_shown_is_what_was_clicked():
    world = World.of(queries=150, candidates=8, k=4, seed=1)
    log = world.log(1, seed=0)
    result = sl.off_policy_evaluate(log, log.select("query", "candidate", "place"), examination=LOOKED.tolist())
    assert result.ips.value == pytest.approx(result.shown)
    assert result.snips.value == pytest.approx(result.shown)
    assert result.effective_rows == pytest.approx(len(log))
    assert not result.ips.real


def test_the_same_seed_gives_the_same_result():
    world = World.of(queries=60, candidates=4, k=4, seed=2)
    first, again, other = (
        sl.off_policy_evaluate(world.log(3, 0), world.lists(), examination=LOOKED.tolist(), seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first.dr.interval != other.dr.interval


def test_a_recommender_is_asked_for_its_lists():
    train = sl.Dataset({"query": ["c", "c", "d"], "candidate": ["y", "x", "y"]}, "query", "candidate")
    recommender = sl.Recommender(sl.popularity(train))
    asked = sl.off_policy_evaluate(BY_HAND, recommender, examination=[1.0, 0.5], least_effective=0)
    assert asked == sl.off_policy_evaluate(BY_HAND, NEW, examination=[1.0, 0.5], least_effective=0)


def test_a_recommender_that_learned_from_the_clicks_is_refused():
    clicks = pl.DataFrame(BY_HAND).filter("clicked")
    train = sl.Dataset(clicks, "query", "candidate")
    with pytest.raises(sl.DataError, match="40 of 40 clicked candidates are left out"):
        sl.off_policy_evaluate(BY_HAND, sl.Recommender(sl.popularity(train), seen=train), examination=[1.0, 0.5])


def with_new(**columns):
    return {**NEW, **columns}


@pytest.mark.parametrize(
    ("new", "options", "words"),
    [
        (with_new(candidate=["y", "new item"] * 40), {}, "support 67%.*1 candidate was never shown.*'new item'"),
        (with_new(candidate=["p", "q"] * 40), {"least_support": 0.0}, "support 0%"),
        (NEW, {"least_effective": 100}, "effective sample size is 65"),
        ({name: values[:-2] for name, values in NEW.items()}, {}, "1 query of the impressions have no new list"),
        (with_new(place=[1, 1] * 40), {}, "same 'place'"),
        (with_new(candidate=["y", "y"] * 40), {}, "same 'candidate'"),
        (with_new(place=[0, 1] * 40), {}, "whole number from 1"),
        (with_new(candidate=[1, 2] * 40), {}, "String"),
        ({"query": ["ann0"]}, {}, "no column"),
        (7, {}, "a Recommender or a table of lists"),
        (sl.Recommender, {}, "a Recommender or a table of lists"),
        (NEW, {"examination": [1.0]}, "chances for 1 place; the lists have 2"),
        (NEW, {"examination": None}, "cannot be estimated"),
        (NEW, {"k": 0}, "k is 0"),
        (NEW, {"least_support": 2}, "least_support"),
        (NEW, {"least_effective": -1}, "least_effective"),
        (NEW, {"resamples": 1}, "resamples"),
        (NEW, {"seed": "x"}, "seed"),
        (NEW, {"place": "query"}, "two different columns"),
        (NEW, {"propensity": "lost"}, "no column 'lost'"),
        (NEW, {"propensity": "candidate"}, "two different columns"),
    ],
)
def test_what_is_refused(new, options, words):
    with pytest.raises(sl.ShortlistError, match=f"(?s){words}"):
        sl.off_policy_evaluate(BY_HAND, new, **{"examination": [1.0, 0.5], "least_effective": 0, **options})


@pytest.mark.parametrize("chances", [[0.5] * 79 + [0.0], [0.5] * 79 + [None], ["x"] * 80, [1.5] * 80])
def test_propensities_are_chances(chances):
    with pytest.raises(sl.DataError, match="above 0 and at most 1"):
        sl.off_policy_evaluate({**BY_HAND, "p": chances}, NEW, examination=[1.0, 0.5], propensity="p")


def test_propensities_that_contradict_what_was_shown_are_refused():
    with pytest.raises(sl.DataError, match="200% of what the new lists show was shown"):
        sl.off_policy_evaluate({**BY_HAND, "p": [0.5] * 80}, NEW, examination=[1.0, 0.5], propensity="p")


def test_few_clicks_are_refused():
    few = {**BY_HAND, "clicked": [True] * 8 + [False] * 72}
    with pytest.raises(sl.DataError, match="effective clicks; at least 10"):
        sl.off_policy_evaluate(few, NEW, examination=[1.0, 0.5], least_effective=0)


def test_it_reads_well_and_is_plain():
    result = sl.off_policy_evaluate(BY_HAND, NEW, examination=[1.0, 0.5], least_effective=0)
    assert max(map(len, str(result).splitlines())) <= 80
    assert "The new lists would bring more clicks" in str(result)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["ips"]["value"] == result.ips.value


@pytest.mark.parametrize(
    ("chances", "words"),
    [
        ([0.5, 2.0, None, 1.0], "others in 2 of 4 rows, the first 2.0 in row 2"),
        ([0.5, 0.5, 0.5, float("nan")], "others in 1 of 4 rows, the first nan in row 4"),
        (["a", "b", "c", "d"], "of type String"),
    ],
)
def test_wrong_propensities_are_shown(chances, words):
    shown = {
        "query": [1, 1, 2, 2],
        "candidate": list("xyxy"),
        "place": [1, 2, 1, 2],
        "clicked": [1, 0, 0, 1],
        "p": chances,
    }
    new = {"query": [1, 2], "candidate": ["x", "x"], "place": [1, 1]}
    with pytest.raises(sl.DataError, match=words):
        sl.off_policy_evaluate(shown, new, propensity="p", examination=[1.0, 0.5], least_effective=0)


def of_queries(queries: int, lists: int) -> tuple[dict[str, list], dict[str, list]]:
    """Each query was shown x below y half of the time and above it otherwise, and always clicked x; the new list begins with x."""
    places = {"candidate": ["x", "y", "y", "x"], "place": [1, 2, 1, 2], "clicked": [True, False, False, True]}
    shown = {name: values * lists * queries for name, values in places.items()}
    shown["query"] = [one for one in range(queries) for _ in range(4 * lists)]
    new = {"query": [*range(queries)] * 2, "candidate": ["x"] * queries + ["y"] * queries}
    return shown, {**new, "place": [1] * queries + [2] * queries}


def test_one_query_has_no_interval_and_no_real_gain():
    """However many lists it was shown: its draws are all the same, and no others were asked."""
    shown, new = of_queries(1, lists=200)
    result = sl.off_policy_evaluate(shown, new, examination=[1.0, 0.5])
    assert result.ips.value == pytest.approx(3 / 2)  # a click at the first place is worth 1, one at the second 2
    assert result.shown == 1.0
    for one in (result.ips, result.snips, result.dr):
        assert not one.real
        assert one.to_dict()["interval"] == one.to_dict()["gain_interval"] == [None, None]
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["shown"]["interval"] == [None, None]
    assert result.to_frame()["low"].to_list() == result.to_frame()["gain_high"].to_list() == [None] * 4
    assert "nan" not in str(result)
    assert "No difference beyond chance" in str(result)
    many, lists = of_queries(40, lists=5)
    assert sl.off_policy_evaluate(many, lists, examination=[1.0, 0.5]).ips.real


def test_lists_without_their_pinned_items_count_as_they_are():
    """Two lists for each of 40 queries: x at the first place, clicked, and at the second, where every other query clicks it."""
    shown = {
        "query": [one for one in range(40) for _ in range(2)],
        "candidate": ["x"] * 80,
        "place": [1, 2] * 40,
        "clicked": [True, True, True, False] * 20,
    }
    new = {"query": [*range(40)], "candidate": ["x"] * 40, "place": [1] * 40}
    result = sl.off_policy_evaluate(shown, new, examination=[1.0, 0.5], least_effective=0)
    assert result.lists == 80
    assert result.shown == pytest.approx(60 / 80)
    for one in (result.ips, result.snips):  # a click at the second place is worth two
        assert one.value == pytest.approx((40 + 20 * 2) / 80)
    assert result.support == pytest.approx(1.0)
