"""Metrics of ranked pairs: worked by hand, against a plain reference over lists, and against scikit-learn."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score
from tests.evaluation.by_hand import pairs, value

from shortlist.errors import ConfigError
from shortlist.evaluation.metrics import AT_K, measured, metric_names

BY_HAND = [
    ("top", [1, 3, 12], 10, 2 / 3),
    ("recall", [1, 12], 10, 1 / 2),
    ("capped_recall", [1, 2, 12], 2, 1.0),
    ("precision", [1, 12], 10, 1 / 10),
    ("hit_rate", [1, 12], 10, 1.0),
    ("hit_rate", [11, 12], 10, 0.0),
    ("ndcg", [1, 3], 10, (1 + 1 / 2) / (1 + 1 / math.log2(3))),
    ("mrr", [3, 12], 10, 1 / 3),
    ("mrr", [11], 10, 0.0),
    ("map", [1, 4], 10, (1 / 1 + 2 / 4) / 2),
    ("auc", [1, 3], 10, 1 - 0.5 * (1 / 18)),
]


@pytest.mark.parametrize(("name", "rank", "k", "expected"), BY_HAND)
def test_worked_by_hand(name, rank, k, expected):
    assert value(name, pairs(rank), k) == pytest.approx(expected)


def test_auc_of_the_docstring():
    assert value("auc", pairs([1, 3], competing=4)) == pytest.approx(0.75)


def test_graded_ndcg_by_hand():
    # grades 1 at place 1 and 2 at place 2: gains 1 and 3; ideal has the 3 first
    found = 1 / math.log2(2) + 3 / math.log2(3)
    ideal = 3 / math.log2(2) + 1 / math.log2(3)
    assert value("ndcg", pairs([1, 2], grade=[1, 2])) == pytest.approx(found / ideal)


def test_debiased_recall_by_hand():
    ranked = pairs([1, 12], counts=[100, 4] + [0] * 18)
    assert value("debiased_recall", ranked) == pytest.approx((1 / 10) / (1 / 10 + 1 / 2))


@pytest.mark.parametrize("name", [*AT_K, "auc"])
@pytest.mark.parametrize("best", [None, [math.inf, math.inf]])
def test_what_cannot_be_found_gains_nothing(name, best):
    for competing in (0, 2, 5):
        assert value(name, pairs([math.inf, math.inf], competing=competing, best=best), 10) == 0.0


def test_auc_where_a_truth_is_hidden():
    # scores a5 b3 c4 d2 e1, truths a and b, a hidden: b is above d and e, below c; a is above none of the three
    assert value("auc", pairs([math.inf, 2], competing=4)) == pytest.approx((0 + 2 / 3) / 2)
    # nothing but the found truth competes: it is in order
    assert value("auc", pairs([math.inf, 1], competing=1)) == pytest.approx(1 / 2)


EXPECTED_BY_HAND = [
    # one truth among the three of places 2, 3, 4
    ("top", [2], [4], 3, 2 / 3),
    ("hit_rate", [2], [4], 3, 2 / 3),
    ("mrr", [2], [4], 3, (1 / 2 + 1 / 3) / 3),
    ("ndcg", [2], [4], 3, (1 / math.log2(3) + 1 / math.log2(4)) / 3),
    ("map", [2], [4], 10, (1 / 2 + 1 / 3 + 1 / 4) / 3),
    ("auc", [2], [4], 10, 1 - 2 / 19),  # 20 compete; 2 of 19 are above on average
    # two truths among the three of places 1, 2, 3: they hold {1, 2}, {1, 3} or {2, 3}
    ("top", [1, 1], [3, 3], 2, 2 / 3),
    ("hit_rate", [1, 1], [3, 3], 1, 2 / 3),
    ("hit_rate", [1, 1], [3, 3], 2, 1.0),
    ("mrr", [1, 1], [3, 3], 10, (1 + 1 + 1 / 2) / 3),
    ("mrr", [1, 1], [3, 3], 1, 2 / 3),
    ("map", [1, 1], [3, 3], 10, (1 + (1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 3),
    ("auc", [1, 1], [3, 3], 10, 1 - 0.5 / 18),
    # all of them truths
    ("map", [1, 1], [2, 2], 10, 1.0),
    ("auc", [1, 1], [2, 2], 10, 1.0),
]


@pytest.mark.parametrize(("name", "best", "worst", "k", "expected"), EXPECTED_BY_HAND)
def test_expected_ties_worked_by_hand(name, best, worst, k, expected):
    assert value(name, pairs(worst, best=best), k) == pytest.approx(expected)


@st.composite
def tied_scores(draw):
    """Scores of up to 7 candidates with many ties, truths, some of them hidden; the number of queries is one or two."""
    problems = []
    for _ in range(draw(st.integers(1, 2))):
        scores = draw(st.lists(st.integers(0, 2), min_size=1, max_size=6))
        truths = draw(st.sets(st.integers(0, len(scores) - 1), min_size=1))
        hidden = draw(st.sets(st.integers(0, len(scores) - 1), max_size=2))
        problems.append((scores, sorted(truths), hidden))
    return problems, draw(st.integers(1, 8)), draw(st.booleans())


@given(tied_scores())
def test_expected_ties_are_the_mean_over_all_orders(problem):
    """Every order of the candidates that respects the scores is ranked without ties and measured; the mean is exact."""
    problems, k, graded = problem
    rows, orders = [], []
    for q, (scores, truths, hidden) in enumerate(problems):
        visible = [c for c in range(len(scores)) if c not in hidden]
        for c in truths:
            if c in hidden:
                rows.append((q, c, math.inf, math.inf))
            else:
                above = sum(scores[o] > scores[c] for o in visible)
                rows.append((q, c, above + 1, above + sum(scores[o] == scores[c] for o in visible)))
        levels = [[c for c in visible if scores[c] == level] for level in (2, 1, 0)]
        shuffles = itertools.product(*(itertools.permutations(level) for level in levels))
        orders.append([list(itertools.chain(*order)) for order in shuffles])
    query, candidate, best, worst = (np.array(column) for column in zip(*rows, strict=True))
    best, worst = best.astype(np.float64), worst.astype(np.float64)
    gone = [[c for c in range(6) if c in hidden or c >= len(scores)] for scores, _, hidden in problems]
    columns = {"grade": 1.0 + candidate % 3} if graded else {}
    catalogue = {"competing": 6, "counts": np.arange(1, 7) ** 2}
    hidden = [(q, c) for q, of_query in enumerate(gone) for c in of_query]
    tied = pairs(worst, query, candidate, best=best, hidden=hidden, **catalogue, **columns)
    for name in (*AT_K, "auc"):
        wanted = []
        for q, of_query in enumerate(orders):
            own = query == q
            total = 0.0
            for order in of_query:
                place = [order.index(c) + 1.0 if c in order else math.inf for c in candidate[own]]
                grade = {"grade": columns["grade"][own]} if graded else {}
                hidden = [(0, c) for c in gone[q]]
                one = pairs(place, candidate=candidate[own], hidden=hidden, **catalogue, **grade)
                sums = next(iter(measured(one, [name], [k]).values()))
                total += sums.numerator.sum()
            wanted.append(total / len(of_query))
        got = next(iter(measured(tied, [name], [k]).values()))
        assert got.numerator == pytest.approx(wanted, abs=1e-12), name


@pytest.mark.parametrize("name", [*AT_K, "auc"])
def test_expected_ties_of_many_truths_and_a_long_list(name):
    """300 truths among 5,000 candidates that all tie, against 4,000 random orders; within 6 standard errors."""
    truths, candidates, k, draws = 300, 5000, 40, 4000
    tied = pairs([candidates] * truths, competing=candidates, best=[1] * truths)
    generator = np.random.default_rng(3)
    places = np.stack([generator.choice(candidates, truths, replace=False) + 1.0 for _ in range(draws)])
    sampled = pairs(
        places.ravel(),
        query=np.repeat(np.arange(draws), truths),
        candidate=np.tile(np.arange(truths), draws),
        competing=candidates,
    )
    sums = next(iter(measured(sampled, [name], [k]).values()))
    each = sums.numerator / sums.denominator
    assert value(name, tied, k) == pytest.approx(each.mean(), abs=6 * each.std() / math.sqrt(draws) + 1e-12)


def test_nothing_to_measure_is_not_a_number():
    assert math.isnan(value("recall", pairs([])))


def reference(lists, truths, k):
    """Every metric at k from plain lists and sets, one query at a time."""
    rows = {name: [] for name in ("recall", "capped_recall", "precision", "hit_rate", "ndcg", "mrr", "map", "auc")}
    for order, wanted in zip(lists, truths, strict=True):
        hits = [candidate in wanted for candidate in order[:k]]
        n = len(wanted)
        rows["recall"].append(sum(hits) / n)
        rows["capped_recall"].append(sum(hits) / min(n, k))
        rows["precision"].append(sum(hits) / k)
        rows["hit_rate"].append(float(any(hits)))
        ideal = sum(1 / math.log2(i + 2) for i in range(min(n, k)))
        rows["ndcg"].append(sum(hit / math.log2(i + 2) for i, hit in enumerate(hits)) / ideal)
        rows["mrr"].append(next((1 / (i + 1) for i, hit in enumerate(hits) if hit), 0.0))
        rows["map"].append(sum(hit * sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits)) / min(n, k))
        relevant = [candidate in wanted for candidate in order]
        falling = -np.arange(len(order), dtype=float)
        rows["auc"].append(roc_auc_score(relevant, falling) if 0 < n < len(order) else 1.0)
    return {name: float(np.mean(values)) for name, values in rows.items()}


@st.composite
def rankings(draw):
    candidates, queries = draw(st.integers(2, 12)), draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    lists = [generator.permutation(candidates).tolist() for _ in range(queries)]
    truths = [set(generator.permutation(candidates)[: generator.integers(1, candidates + 1)].tolist()) for _ in lists]
    return lists, truths, draw(st.integers(1, 14))


@given(rankings())
def test_equals_a_plain_reference(problem):
    lists, truths, k = problem
    rows = [(q, candidate, lists[q].index(candidate) + 1) for q, wanted in enumerate(truths) for candidate in wanted]
    query, candidate, rank = (np.array(column) for column in zip(*rows, strict=True))
    ranked = pairs(rank, query, candidate, competing=len(lists[0]))
    for name, expected in reference(lists, truths, k).items():
        assert value(name, ranked, k) == pytest.approx(expected), name


@given(rankings(), st.booleans())
def test_ndcg_equals_scikit_learn(problem, graded):
    lists, truths, k = problem
    grades = {(q, c): (1 + (q + c) % 3 if graded else 1) for q, wanted in enumerate(truths) for c in wanted}
    relevance = np.zeros((len(lists), len(lists[0])))
    score = np.zeros_like(relevance)
    for q, order in enumerate(lists):
        score[q, order] = -np.arange(len(order))
        for c in truths[q]:
            relevance[q, c] = 2 ** grades[q, c] - 1 if graded else 1
    rows = [(q, c, lists[q].index(c) + 1, grade) for (q, c), grade in grades.items()]
    query, candidate, rank, grade = (np.array(column) for column in zip(*rows, strict=True))
    ranked = pairs(rank, query, candidate, competing=len(lists[0]), **({"grade": grade} if graded else {}))
    assert value("ndcg", ranked, k) == pytest.approx(ndcg_score(relevance, score, k=k))


def test_names():
    assert metric_names(["ndcg", "top", "ndcg"], [*AT_K]) == ("ndcg", "top")
    with pytest.raises(ConfigError, match="no metric 'ndgc'") as caught:
        metric_names(["ndgc"], [*AT_K])
    assert "'ndcg'" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="a list of names"):
        metric_names("ndcg", [*AT_K])
    with pytest.raises(ConfigError, match="metrics is empty"):
        metric_names([], [*AT_K])


def test_equals_ranx():
    """Lists, truths and the figures that ranx 0.3.21 gives them, kept in a file."""
    frozen = json.loads((Path(__file__).parent / "ranx.json").read_text())
    rows = [(q, c, frozen["lists"][q].index(c) + 1) for q, wanted in enumerate(frozen["truths"]) for c in wanted]
    query, candidate, rank = (np.array(column) for column in zip(*rows, strict=True))
    ranked = pairs(rank, query, candidate, competing=15)
    assert len(frozen["figures"]) == 16
    for figure, expected in frozen["figures"].items():
        name, _, k = figure.rpartition("_")
        assert value(name, ranked, int(k)) == pytest.approx(expected), figure


@given(rankings(), st.lists(st.integers(1, 15), min_size=1, max_size=5), st.booleans())
def test_top_of_all_ks_is_that_of_each(problem, ks, weighted):
    """In any order, also twice; weights are added up as they are at a single k."""
    lists, truths, _ = problem
    rows = [(q, candidate, lists[q].index(candidate) + 1) for q, wanted in enumerate(truths) for candidate in wanted]
    query, candidate, rank = (np.array(column) for column in zip(*rows, strict=True))
    rank = np.where(rank > 9, math.inf, rank)
    weights = {"weight": np.linspace(0.1, 0.9, len(rank))} if weighted else {}
    ranked = pairs(rank, query, candidate, competing=len(lists[0]), **weights)
    together = measured(ranked, ["top"], ks)
    assert list(together) == [f"top_{k}" for k in dict.fromkeys(ks)]
    for k in ks:
        alone = AT_K["top"](ranked, k)
        assert together[f"top_{k}"].numerator.tolist() == alone.numerator.tolist()
        assert together[f"top_{k}"].denominator.tolist() == alone.denominator.tolist()


def test_the_pairs_are_added_up_once_for_all_ks(monkeypatch):
    added = []
    bincount = np.bincount
    monkeypatch.setattr(
        np, "bincount", lambda values, *rest, **named: added.append(len(values)) or bincount(values, *rest, **named)
    )
    ranked = pairs([1, 3, 12])
    assert [one.value for one in measured(ranked, ["top"], [1, 2, 3, 10, 12]).values()] == [
        1 / 3,
        1 / 3,
        2 / 3,
        2 / 3,
        1.0,
    ]
    assert added == [3, 3]  # by the k that reaches them, and how many each query has
