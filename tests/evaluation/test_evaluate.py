"""evaluate(): a small model whose every figure can be worked out, options one by one, and what must be refused."""

from __future__ import annotations

import datetime as dt
import itertools
import math

import numpy as np
import polars as pl
import pytest
import torch
from tests.evaluation.small import FILMS, TEST, TRAIN, USERS, dataset, trained

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.evaluation import METRICS, compare
from shortlist.evaluation.evaluate import Contest
from shortlist.evaluation.ranked import RankedPairs
from shortlist.evaluation.segments import grouped, segment_names
from shortlist.evaluation.testset import TestSet


@pytest.fixture(scope="module")
def model() -> sl.TwoTower:
    return trained()


def test_popularity_by_hand(model):
    # counts: film 1 three, 2 two, 3 one, 4 and 5 none; ties count against: 3 is third, 2 second, 4 fifth, 1 first
    found = sl.evaluate(model, TEST, seen=TRAIN, ks=(1, 2, 3, 5), metrics=["top", "mrr"])
    assert found["popularity"]["seen_in"] == pytest.approx(
        {"top_1": 1 / 4, "top_2": 2 / 4, "top_3": 3 / 4, "top_5": 1.0}
        | {f"mrr_{k}": sum(1 / r for r in (3, 2, 5, 1) if r <= k) / 4 for k in (1, 2, 3, 5)}
    )
    # without what each chose: ann {3 4 5} 3 first; bob {2 4 5} 2 first; cat {3 4 5} 4 third; dan all 1 first
    assert found["popularity"]["seen_out"]["top_1"] == pytest.approx(3 / 4)
    assert found["popularity"]["seen_out"]["mrr_5"] == pytest.approx((1 + 1 + 1 / 3 + 1) / 4)
    assert (found.pairs, found.queries, found.candidates) == (4, 4, 5)
    assert (found.new_queries, found.new_candidates) == (1, 1)


def test_a_contest_ranks_each_scorer_once(model, monkeypatch):
    asked = []
    counted = RankedPairs.of
    monkeypatch.setattr(RankedPairs, "of", lambda test, scorer, ties: asked.append(ties) or counted(test, scorer, ties))
    contest = Contest.of(model, TEST, TRAIN, ("popularity",))
    first, again = (contest.evaluation(("top",), (3,)) for _ in range(2))
    assert asked == ["worst"] * 4  # two scorers, seen candidates in and out
    assert again.figures == first.figures
    assert first["popularity"]["seen_in"]["top_3"] == 3 / 4
    contest.evaluation(("top",), (3,), only=("model",), ties="expected")
    assert asked[4:] == ["expected"] * 2


def test_expected_ties_lie_between(model):
    # film 4 ties with 5 for cat: worst rank 5, best 4
    found = sl.evaluate(model, TEST, ks=(4,), metrics=["mrr"], ties="expected")
    assert found["popularity"]["seen_in"]["mrr_4"] == pytest.approx((1 / 3 + 1 / 2 + (1 / 4) / 2 + 1) / 4)
    found = sl.evaluate(model, TEST, ks=(5,), metrics=["mrr"], ties="expected")
    assert found["popularity"]["seen_in"]["mrr_5"] == pytest.approx((1 / 3 + 1 / 2 + (1 / 4 + 1 / 5) / 2 + 1) / 4)


def test_what_was_not_released_does_not_compete(model):
    # film 3 exists since 6: for dan's pair at 5 it does not compete; popularity of dan's film 1 is first anyway
    late = dataset([("dan", 4, 5), ("dan", 4, 6)])
    found = sl.evaluate(model, late, ks=(3, 4), released="since")
    # at 5 above film 4: 1, 2, 5 (tie) → rank 4; at 6 also 3 → rank 5
    assert found["popularity"]["seen_in"] == pytest.approx({"top_3": 0.0, "top_4": 1 / 2})
    with pytest.raises(DataError, match="no such column"):
        sl.evaluate(model, late, released="nope")


NOON = dt.datetime(2024, 5, 1, 12)
SINCE = {
    "number": pl.Series([0, 0, 6]),
    "date": pl.Series([NOON.date()] * 3),
    "naive": pl.Series([NOON] * 3),
    "Seoul": pl.Series([NOON] * 3).dt.replace_time_zone("Asia/Seoul"),  # 03:00 UTC
    "UTC": pl.Series([NOON] * 3).dt.replace_time_zone("UTC"),
    "duration": pl.Series([dt.timedelta(1)] * 3),
    "clock": pl.Series([dt.time(1)] * 3),
    "text": pl.Series(["2024"] * 3),
}
MOMENTS = {
    "number": [3, 5],
    "date": [NOON.date(), NOON.date()],
    "naive": [NOON - dt.timedelta(hours=8), NOON + dt.timedelta(hours=8)],
    "Seoul": pl.Series([NOON - dt.timedelta(hours=1), NOON + dt.timedelta(hours=1)]).dt.replace_time_zone("Asia/Seoul"),
    "UTC": pl.Series([NOON - dt.timedelta(hours=10), NOON - dt.timedelta(hours=8)]).dt.replace_time_zone("UTC"),
}
THERE = {  # of two pairs, those at which films 2 and 3 are there (of numbers: film 2 at both, film 3 at neither)
    ("number", "number"): [1, 1],
    ("date", "date"): [2, 2],
    ("date", "naive"): [2, 2],
    ("naive", "date"): [0, 0],
    ("naive", "naive"): [0, 2],
    ("Seoul", "Seoul"): [0, 2],
    ("Seoul", "UTC"): [0, 2],
    ("UTC", "Seoul"): [0, 0],
    ("UTC", "UTC"): [0, 0],
}


@pytest.fixture(scope="module")
def dated() -> sl.TwoTower:
    films = pl.DataFrame({"film": [1, 2, 3], **{f"since {name}": values for name, values in SINCE.items()}})
    rows = pl.DataFrame({"user": ["ann", "bob", "cat", "ann"], "film": [2, 2, 3, 1]})
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=4), sl.Tower(sl.IntegerLookup("film"), dim=4))
    sl.fit(model, sl.Dataset(rows, "user", "film", candidates=films), epochs=1, batch_size=4)
    return model


@pytest.mark.filterwarnings("ignore:loss at chance")
@pytest.mark.parametrize(("since", "moment"), list(itertools.product(SINCE, MOMENTS)))
def test_release_times_are_compared_with_their_own_kind(dated, since, moment):
    """Film 1 was chosen once, 3 once, 2 twice: by popularity 1 is behind as many others as are there."""
    rows = pl.DataFrame({"user": ["ann", "bob"], "film": [1, 1], "time": MOMENTS[moment]})
    test = sl.Dataset(rows, "user", "film", timestamp="time", candidates=dated.catalogue.candidates)
    options = {"ks": (1, 2, 3), "released": f"since {since}"}
    if (since, moment) in THERE:
        found = sl.evaluate(dated, test, **options)["popularity"]["seen_in"]
        assert found == {f"top_{k}": np.mean([others < k for others in THERE[since, moment]]) for k in (1, 2, 3)}
    else:
        with pytest.raises(DataError, match="expected numbers in both"):
            sl.evaluate(dated, test, **options)


def test_grades_and_weights(model):
    graded = sl.Dataset(
        pl.DataFrame({"user": ["ann", "ann"], "film": [1, 2], "stars": [1, 2], "w": [3.0, 1.0]}),
        "user",
        "film",
        weight="w",
        candidates=FILMS,
    )
    found = sl.evaluate(model, graded, ks=(1, 5), metrics=["top", "ndcg"], weighted=True, grade="stars")
    ideal = 3 + 1 / math.log2(3)
    assert found["popularity"]["seen_in"]["ndcg_5"] == pytest.approx((1 + 3 / math.log2(3)) / ideal)
    assert found["popularity"]["seen_in"]["top_1"] == pytest.approx(3 / 4)
    with pytest.raises(ConfigError, match="weighted=True"):
        sl.evaluate(model, TEST, weighted=True)
    with pytest.raises(DataError, match="grade is 'film_'"):
        sl.evaluate(model, TEST, grade="film_")


def test_an_exact_index_finds_what_the_ranks_say(model):
    index = sl.BruteForce().build(model.candidate_vectors(FILMS))
    metrics = [name for name in METRICS if name != "auc"]
    apart = dataset(
        [("ann", 3, 6), ("bob", 2, 7), ("dan", 1, 5)]
    )  # films 4 and 5 share the unknown vector and tie, beyond place 2
    found = sl.evaluate(model, apart, seen=TRAIN, ks=(1, 2, 5), metrics=metrics, index=index)
    for seen in ("seen_in", "seen_out"):
        assert found["index"][seen] == pytest.approx(found["model"][seen], nan_ok=True)
        assert found.index_recall[seen] == {"recall_1": 1.0, "recall_2": 1.0, "recall_5": 1.0}


def test_an_index_that_misses_pays_for_it(model):
    vectors = model.candidate_vectors(FILMS)
    index = sl.BruteForce().build(vectors)
    exact = index.search(model.query_vectors(USERS), 1).ids
    index.delete(np.unique(exact))
    found = sl.evaluate(model, TEST, ks=(1, 5), index=index)
    assert found.index_recall["seen_in"]["recall_1"] == 0
    assert found["index"]["seen_in"]["top_5"] <= found["model"]["seen_in"]["top_5"]


def test_segments_by_hand(model):
    found = sl.evaluate(
        model, TEST, seen=TRAIN, ks=(2,), segments=["warm_cold", "age", "genre", "candidate_popularity"], intervals=True
    )
    rows = {(s.name, s.group): s for s in found.segments if (s.scorer, s.seen) == ("popularity", "seen_in")}
    assert rows["warm_cold", "cold query, warm candidate"].figures == {"top_2": 1.0}
    assert rows["warm_cold", "warm query, cold candidate"].figures == {"top_2": 0.0}
    assert rows["warm_cold", "warm query, warm candidate"].pairs == 2
    assert rows["age", "20"].figures == {"top_2": 0.0}
    assert rows["age", "30"].pairs == 1
    assert rows["genre", "a"].pairs == 2  # films 2 and 1
    assert rows["genre", "b"].pairs == 2  # films 3 and 1
    assert sum(s.pairs for (name, _), s in rows.items() if name == "candidate_popularity") == 4
    assert all(set(s.intervals) == {"top_2"} for s in found.segments)
    with pytest.raises(ConfigError, match="no segment 'agee'") as caught:
        sl.evaluate(model, TEST, segments=["agee"])
    assert "'age'" in str(caught.value.hint)


@pytest.mark.parametrize("name", segment_names(TEST))
def test_every_segment_has_each_pair_somewhere(model, name):
    masks = [mask for _, mask in grouped(name, TEST, TestSet.of(model, TEST, TRAIN))]
    assert np.logical_or.reduce(masks).all()


def test_numbers_fall_into_quartiles(model):
    many = dataset([("ann", 1 + i % 5, i) for i in range(40)])
    groups = {name: int(mask.sum()) for name, mask in grouped("time", many, TestSet.of(model, many))}
    assert groups == {"0 to 9": 10, "10 to 19": 10, "20 to 29": 10, "30 to 39": 10}


def test_intervals_surround_their_figures(model):
    found = sl.evaluate(model, TEST, seen=TRAIN, ks=(2,), metrics=["top", "ndcg", "coverage"], intervals=True)
    for scorer, by_seen in found.intervals.items():
        for seen, intervals in by_seen.items():
            assert set(intervals) == {"top_2", "ndcg_2"}
            for name, (low, high) in intervals.items():
                assert low <= found[scorer][seen][name] <= high
    assert found.to_dict()["intervals"]["model"]["seen_in"]["top_2"] == list(
        found.intervals["model"]["seen_in"]["top_2"]
    )


# --- baselines --------------------------------------------------------------------------------------------------------


# --- comparison -------------------------------------------------------------------------------------------------------


def two_models(differ: float):
    """Evaluations of two scorers on 400 queries; the second one's hits are ``differ`` more."""
    generator = np.random.default_rng(0)
    base = generator.random(400) < 0.4
    more = base | (generator.random(400) < differ)
    result = []
    for hits in (base, more):
        sums = {"top_10": sl.evaluation.ranked.PairSums(hits.astype(float), np.ones(400))}
        result.append(
            sl.Evaluation(
                {}, 400, 400, 9, 0, 0, 0.0, sums={"model": {"seen_in": sums}}, query_ids=pl.Series(range(400))
            )
        )
    return result


def test_a_real_difference_is_told_from_none():
    first, second = two_models(0.15)
    found = compare(first, second)
    assert found.p_value < 0.001
    assert found.interval.low > 0
    assert found.difference == pytest.approx(found.second - found.first)
    assert "a real difference" in str(found)
    same = compare(first, first)
    assert not same.real
    assert (same.p_value, same.difference) == (1.0, 0)


def test_chance_is_called_real_as_rarely_as_promised():
    generator = np.random.default_rng(5)
    called = 0
    for _ in range(200):
        evaluations = []
        for hits in generator.random((2, 60)) < 0.5:
            sums = {"top_10": sl.evaluation.ranked.PairSums(hits.astype(float), np.ones(60))}
            ids = pl.Series(range(60))
            evaluations.append(
                sl.Evaluation({}, 60, 60, 9, 0, 0, 0.0, sums={"model": {"seen_in": sums}}, query_ids=ids)
            )
        called += compare(*evaluations, resamples=400).real
    assert called <= 19  # 10 expected, a standard deviation of 3


def test_only_the_same_test_is_compared(model):
    found = sl.evaluate(model, TEST)
    other = sl.evaluate(model, dataset([("ann", 3, 6)]))
    with pytest.raises(ConfigError, match="different tests"):
        compare(found, other)
    with pytest.raises(ConfigError, match="no query-wise metric 'top_7'"):
        compare(found, found, "top_7")
    with pytest.raises(ConfigError, match="no scorer"):
        compare(found, found, scorers=("model", "models"))


def test_list_metrics_need_no_gradient_and_leave_the_model_alone(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sl.evaluate(model, TEST, seen=TRAIN, ks=(2,), metrics=METRICS, segments=["head_tail"], intervals=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore:loss at chance", "ignore:popularity dominates")
def test_in_training_a_hidden_truth_is_no_hit_however_large_k():
    """All of the validation's pairs were seen, so none can be found; with half of them seen, half can."""
    for seen_again, share in ((4, 0.0), (2, 1 / 2)):
        rows = [(user, film) for user in range(4) for film in (0, 1)]
        train = sl.Dataset(pl.DataFrame(rows, ["user", "film"], orient="row"), "user", "film")
        pairs = [(user, 0 if user < seen_again else 2) for user in range(4)]
        table = pl.DataFrame({"film": [0, 1, 2]})
        test = sl.Dataset(pl.DataFrame(pairs, ["user", "film"], orient="row"), "user", "film", candidates=table)
        model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), sl.Tower(sl.IntegerLookup("film"), dim=2))
        options = {"epochs": 1, "batch_size": 4, "validation": test, "exclude_seen": True, "ks": (3, 4, 50)}
        history = sl.fit(model, train, **options)
        assert dict(history[-1].metrics) == {"top_3": share, "top_4": share, "top_50": share}
        after = sl.evaluate(model, test, seen=train, ks=(3, 4, 50), metrics=("top", "hit_rate", "recall"))
        for metric in ("top", "hit_rate", "recall"):
            assert [after["model"]["seen_out"][f"{metric}_{k}"] for k in (3, 4, 50)] == [share] * 3
