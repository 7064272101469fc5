"""Scorers: row by row as by dot products, mixtures as sorted dense scores, and new queries as a recommender answers them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import blended, lists_of, scores, table_of

import shortlist as sl
from shortlist.errors import TrainingError
from shortlist.evaluation import scorers
from shortlist.evaluation.evaluate import scorer_of
from shortlist.evaluation.ranks import Hidden, Pairs, Released
from shortlist.evaluation.scorers import ByRow, Cold, Mixed, NeighbourScores, Vectors, among, part_of
from shortlist.evaluation.testset import TestSet
from shortlist.index import BruteForce
from shortlist.sources import Added, Blend, Context, Filters, RankedList, Searched, Weights, search

pytestmark = pytest.mark.usefixtures("counted_by")

QUERIES, CANDIDATES = 3, 5
number = st.integers(-2, 2)
rows_of_query = st.lists(st.integers(0, CANDIDATES - 1), max_size=3)


def matrix(height: int):
    return st.lists(st.lists(number, min_size=2, max_size=2), min_size=height, max_size=height).map(
        lambda rows: torch.tensor(rows, dtype=torch.float32)
    )


def hidden_of(lists) -> Hidden:
    pairs = sorted({(query, one) for query, row in enumerate(lists) for one in row})
    return Hidden(*(torch.tensor([pair[side] for pair in pairs], dtype=torch.long) for side in (0, 1)))


@st.composite
def test_pairs(draw):
    """Vectors, pairs, and what does not compete."""
    pairs = draw(
        st.lists(st.tuples(st.integers(0, QUERIES - 1), st.integers(-1, CANDIDATES - 1)), min_size=1, max_size=8)
    )
    hidden = draw(st.none() | st.lists(rows_of_query, min_size=QUERIES, max_size=QUERIES))
    released = None
    if draw(st.booleans()):
        times = st.integers(0, 2)
        released = [draw(st.lists(times, min_size=size, max_size=size)) for size in (CANDIDATES, len(pairs))]
    return {
        "vectors": Vectors(draw(matrix(QUERIES)), draw(matrix(CANDIDATES))),
        "pairs": [torch.tensor([pair[side] for pair in pairs]) for side in (0, 1)],
        "hidden": None if hidden is None else hidden_of(hidden),
        "released": None
        if released is None
        else Released(*(torch.tensor(one, dtype=torch.float64) for one in released)),
        "favourable": draw(st.booleans()),
    }


test_pairs.__test__ = False


class Dots(ByRow):
    """Dot products, row by row."""

    candidates, queries = CANDIDATES, QUERIES

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def scores(self, first: int, last: int, hidden: Hidden | None) -> torch.Tensor:
        found = self.vectors.query[first:last] @ self.vectors.candidate.T
        if hidden is not None:
            found[hidden.query, hidden.candidate] = -torch.inf
        return found


@given(test_pairs(), st.sampled_from([1, 2 * CANDIDATES, 1 << 20]), st.integers(1, CANDIDATES + 1))
def test_row_by_row_is_as_by_dot_products(case, tile, k) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorers, "TILE", tile)
        patch.setattr(scorers, "COMPARED", tile)
        pairs = Pairs(*case["pairs"], case["hidden"], case["released"], case["favourable"])
        found = Dots(case["vectors"]).ranks(pairs)
        expected = case["vectors"].ranks(pairs)
        assert found.tolist() == expected.tolist()
        assert Dots(case["vectors"]).top(k, case["hidden"]).tolist() == case["vectors"].top(k, case["hidden"]).tolist()


def mixed_of(vectors: Vectors, table, histories, blend: Blend) -> Mixed:
    """One pair of towers and one table."""
    context = Context(histories, np.zeros((len(histories), 0), np.int64))
    return Mixed((vectors,), Added((table,), (), histories, blend.weights), context)


def dense_of(scorer: Mixed, weights, histories, hidden, query: int) -> dict[int, float]:
    """Blended scores of what competes for a query."""
    closed = set() if hidden is None else {int(c) for q, c in zip(*hidden, strict=True) if q == query}
    (vectors,), blend = scorer.towers, scorer.added.pair
    assert blend is not None
    towers = vectors.query[query] @ vectors.candidate.T
    competing = {one: float(towers[one]) for one in range(CANDIDATES) if one not in closed}
    return blended(competing, scores(weights, histories[query], 0.5, 9), blend.share, blend.temperature)


@given(
    test_pairs(),
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.sampled_from([0.5, 1.0])),
    st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=QUERIES, max_size=QUERIES),
    st.sampled_from([Blend(0.0), Blend(0.25, 0.5), Blend(0.9, 2.0), Blend(1.0), Blend(0.5, 0.001)]),
    st.sampled_from([1, 1 << 20]),
)
def test_a_mixture_ranks_as_its_sorted_dense_scores(case, weights, histories, blend, tile) -> None:
    # the table has four candidates, the catalogue five: the last has no neighbours
    scorer = mixed_of(case["vectors"], table_of(weights, 4, age=0.5), lists_of(histories), blend)
    hidden = case["hidden"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorers, "TILE", tile)
        found = scorer.ranks(Pairs(*case["pairs"], hidden))
        lists = scorer.top(CANDIDATES, hidden)
    for rank, query, own in zip(found.tolist(), *(part.tolist() for part in case["pairs"]), strict=True):
        dense = dense_of(scorer, weights, histories, hidden, query)
        if own not in dense:
            assert rank == CANDIDATES + 1
            continue
        margin = 2e-6 * abs(dense[own]) + 1e-12
        least = 1 + sum(score > dense[own] + margin for score in dense.values())
        assert least <= rank <= sum(score >= dense[own] - margin for score in dense.values())
    exclude = (
        None
        if hidden is None
        else lists_of([[c for q, c in zip(*hidden, strict=True) if q == i] for i in range(QUERIES)])
    )
    candidates = case["vectors"].candidate.numpy()
    towers = Searched(BruteForce().build(candidates), candidates.__getitem__, case["vectors"].query.numpy())
    hits = search([towers], scorer.added, scorer.context, CANDIDATES, Filters(exclude))
    assert [[one for one in row if one >= 0] for row in lists.tolist()] == [ids.tolist() for ids, _ in hits]


def test_any_sources_by_hand() -> None:
    # towers 2 and 1 (parts 1, e⁻¹), 0 and 4 (e⁻⁴, 1); a table that knows the second; a list of both, the first hidden from one
    first = Vectors(torch.ones(2, 1), torch.tensor([[2.0], [1.0]]))
    second = Vectors(torch.ones(2, 1), torch.tensor([[0.0], [4.0]]))
    listed = RankedList(np.array([0, 2]), np.array([0, 1], np.int32), 2, "popular")
    histories = lists_of([[0], [0]])
    added = Added((table_of({(0, 1): 3.0}, 2),), (listed,), histories, Weights((0.4, 0.3, 0.2, 0.1), (1.0, 1.0)))
    scorer = Mixed((first, second), added, Context(histories, np.zeros((2, 1), np.int64)))
    e = float(np.exp(1))
    expected = [0.4 + 0.3 * e**-4 + 0.1, 0.4 / e + 0.3 + 0.2 + 0.1 * 61 / 62]
    assert scorer.scores(0, 2, None).tolist() == [pytest.approx(expected)] * 2
    assert scorer.scores(0, 1, hidden_of([[0]]))[0].tolist() == pytest.approx([-np.inf, 1.0])


def test_a_mixture_of_heads_goes_by_the_best() -> None:
    heads = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # of one query
    candidate = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    scorer = mixed_of(Vectors(heads, candidate), table_of({(0, 2): 1.0}, 3), lists_of([[0]]), Blend(0.5, 1.0))
    # towers 2, 3, 1: 1/2 e⁻¹, 1/2, 1/2 e⁻² + 1/2
    assert scorer.top(3).tolist() == [[2, 1, 0]]
    assert scorer.ranks(Pairs(torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]))).tolist() == [3, 2, 1]


def test_the_hidden_do_not_calibrate() -> None:
    # with candidate 0 and its large scores hidden, 1 is best of both sources
    vectors = Vectors(torch.ones(1, 1), torch.tensor([[100.0], [1.0], [0.0]]))
    scorer = mixed_of(vectors, table_of({(2, 0): 8.0, (2, 1): 1.0}, 3), lists_of([[2]]), Blend(0.5, 1.0))
    found = scorer.scores(0, 1, hidden_of([[0]]))
    assert found[0].tolist() == pytest.approx([-np.inf, 1.0, 0.5 * np.exp(-1)])
    assert scorer.top(3, hidden_of([[0, 1, 2]])).tolist() == [[-1, -1, -1]]


def test_vectors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="candidate vectors are NaN"):
        mixed_of(Vectors(torch.ones(1, 1), torch.tensor([[torch.nan]])), table_of({}, 1), lists_of([[]]), Blend(0.5))


def test_neighbours_alone_and_then_the_popular() -> None:
    # the table has x y z, the catalogue z, w (not in the table), x, y; the history is x: y has 1e-9, z 1
    table = table_of({(0, 1): 1e-9, (0, 2): 1.0}, 3)
    scorer = NeighbourScores(table, lists_of([[0], []]), np.array([2, -1, 0, 1]), np.array([5.0, 7.0, 6.0, 0.0]))
    assert scorer.top(4).tolist() == [[0, 3, 1, 2], [1, 2, 0, 3]]
    assert scorer.ranks(Pairs(torch.tensor([0, 0, 1]), torch.tensor([3, 2, 3]))).tolist() == [2, 4, 4]


def test_counts_that_differ_do_not_tie() -> None:
    counts = np.array([300_001.0, 300_000.0, 300_000.0])
    scorer = NeighbourScores(table_of({}, 3), lists_of([[]]), np.arange(3), counts)
    assert scorer.ranks(Pairs(torch.zeros(3, dtype=torch.long), torch.arange(3))).tolist() == [1, 3, 3]


def test_cold_queries_are_ranked_by_popularity() -> None:
    own = Vectors(torch.tensor([[1.0], [1.0]]), torch.tensor([[3.0], [2.0], [1.0]]))
    popular = Vectors(torch.ones(2, 1), torch.tensor([[0.0], [1.0], [2.0]]))
    scorer = Cold(own, torch.tensor([False, True]), popular)
    pairs = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 2, 2])
    assert scorer.candidates == 3
    assert scorer.ranks(Pairs(*pairs)).tolist() == [1, 3, 3, 1]
    assert scorer.top(2).tolist() == [[0, 1], [2, 1]]
    released = Released(torch.tensor([0.0, 0.0, 9.0]), torch.tensor([1.0, 1.0, 1.0, 1.0]))
    assert scorer.ranks(Pairs(*pairs, None, released)).tolist() == [1, 2, 3, 1]


def test_what_is_hidden_of_a_part() -> None:
    hidden = hidden_of([[0, 4], [1], [2, 3]])
    assert [one.tolist() for one in part_of(hidden, 1, 3)] == [[0, 1, 1], [1, 2, 3]]
    assert [one.tolist() for one in among(hidden, 3)] == [[0, 1, 2], [0, 1, 2]]
    assert part_of(None, 0, 1) is among(None, 1) is None


# As a recommender answers.


def table(timed: bool = True) -> tuple[sl.Dataset, sl.Dataset]:
    """Training data of 12 people and 9 films, and a test of them, of one in the table alone, and of one in no table."""
    generator = np.random.default_rng(3)
    rows = [
        (f"p{person}", int(film), int(at))
        for person in range(12)
        for at, film in enumerate(generator.permutation(9)[:4])
    ]
    frame = pl.DataFrame(rows, schema=["who", "film", "at"], orient="row")
    tables = {"queries": {"who": [*(f"p{one}" for one in range(12)), "listed"]}, "candidates": {"film": list(range(9))}}
    train = sl.Dataset(frame, "who", "film", timestamp="at" if timed else None, **tables)
    asked = [*(f"p{one}" for one in range(12)), "listed", "nobody"]
    test = sl.Dataset(
        {"who": asked, "film": [one % 9 for one in range(14)]}, "who", "film", candidates=tables["candidates"]
    )
    return train, test


def towers_of(train: sl.Dataset, **options) -> sl.TwoTower:
    torch.manual_seed(0)
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=4, **options), sl.Tower(sl.IntegerLookup("film"), dim=4))
    sl.fit(model, train, epochs=3, batch_size=16)
    return model


def many(train: sl.Dataset, towers: sl.TwoTower) -> sl.Mixture:
    """Two towers, two tables, two ranked lists."""
    solved = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=3), sl.Tower(sl.IntegerLookup("film"), dim=3))
    sl.als(solved, train, epochs=2)
    tables = [sl.Transitions().fit(train), sl.Cooccurrence().fit(train)]
    lists = [sl.Popular(length=4).fit(train), sl.Newest().fit(train)]
    weights = [0.3, 0.3, 0.2, 0.1, 0.05, 0.05]
    return sl.Mixture([towers, solved, *tables, *lists], train, weights=weights, temperatures=[0.5, 0.2])


def models() -> dict[str, tuple]:
    train, _ = table()
    towers, heads = towers_of(train), towers_of(train, heads=2)
    return {
        "towers": towers,
        "heads": heads,
        "popularity": sl.popularity(train),
        "mixture": sl.Mixture.of(towers, sl.Transitions().fit(train), train, share=0.4),
        "mixture of heads": sl.Mixture.of(heads, sl.Cooccurrence().fit(train), train, share=0.6, temperature=0.1),
        "neighbours and popularity": sl.Mixture.of(sl.popularity(train), sl.EASE().fit(train), train, share=1.0),
        "many": many(train, towers),
        "many with heads": many(train, heads),
        "share 0": sl.Mixture.of(towers, sl.Cooccurrence().fit(train), train, share=0.0, temperature=0.001),
    }


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("cold_start", ["auto", "unknown", "popularity"])
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_lists_are_those_of_a_recommender(name, cold_start, exclude_seen) -> None:
    train, test = table()
    model = models()[name]
    asked = TestSet.of(model.towers if isinstance(model, sl.Mixture) else model, test, train)
    scorer, _ = scorer_of(model, asked.vectors(), asked, train, cold_start)
    recommender = sl.Recommender(model, sl.BruteForce(), train, cold_start=cold_start)
    for k in (1, 4, 20):
        lists = scorer.top(k, asked.hidden if exclude_seen else None).tolist()
        answers = recommender.recommend(asked.query_ids.to_list(), k=k, exclude_seen=exclude_seen)
        assert [[film for film in row if film >= 0] for row in lists] == [answer.ids for answer in answers]


def test_an_index_with_less_than_the_catalogue_is_measured_on_what_it_has() -> None:
    train, test = table()
    more = sl.Dataset({"who": ["p0", "p1"], "film": [99, 3]}, "who", "film")  # 99 is in no training
    seen = sl.Dataset({"who": ["p0", "p1"], "film": [99, 98]}, "who", "film")
    for model in (towers_of(train), models()["mixture"], models()["many"]):
        index = BruteForce().build(sl.Recommender(model).served.vectors)
        for data, before in ((test, train), (more, train), (more, seen)):
            found = sl.evaluate(model, data, seen=before, ks=(1, 5), index=index)
            assert found.index_recall["seen_out"] == {"recall_1": 1.0, "recall_5": 1.0}


def test_what_no_table_has_is_no_neighbour() -> None:
    # 99 is only in the test: it must not score as the table's last candidate does
    train, _ = table()
    model = sl.Mixture.of(sl.popularity(train), sl.Cooccurrence().fit(train), train, share=1.0)
    asked = TestSet.of(model.towers, sl.Dataset({"who": ["p0"], "film": [99]}, "who", "film"))
    scorer, _ = scorer_of(model, asked.vectors(), asked, None, "auto")
    assert scorer.candidates == 10
    assert scorer.scores(0, 1, None)[0, 9] <= 0


@pytest.mark.parametrize("name", ["mixture", "many", "towers"])
def test_evaluate_measures_what_is_listed(name) -> None:
    train, test = table()
    found = sl.evaluate(models()[name], test, seen=train, ks=(3,), metrics=["top", "short", "repeated", "empty"])
    recommender = sl.Recommender(models()[name], sl.BruteForce(), train)
    for seen, exclude in (("seen_in", False), ("seen_out", True)):
        answers = recommender.recommend(test.queries["who"].to_list(), k=3, exclude_seen=exclude)
        ids = dict(zip(test.queries["who"].to_list(), (answer.ids for answer in answers), strict=True))
        pairs = test.interactions.select("who", "film").rows()
        assert found["model"][seen]["top_3"] == pytest.approx(sum(film in ids[who] for who, film in pairs) / len(pairs))
        assert [found["model"][seen][f"{one}_3"] for one in ("short", "repeated", "empty")] == [0, 0, 0]


def test_baselines_at_hand_rank_the_catalogue() -> None:
    train, test = table()
    names = ["popularity", "recent", "transitions", "cooccurrence", "ease", "ials"]
    found = sl.evaluate(models()["mixture"], test, seen=train, ks=(9,), baselines=names)
    assert [found[name]["seen_in"]["top_9"] for name in ["model", *names]] == [1.0] * 7
