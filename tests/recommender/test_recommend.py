"""Lists worked out by hand: see the scores in conftest."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import ConfigError, DataError, SearchError
from shortlist.index import Hits


def test_known_queries_get_the_best_they_have_not_chosen(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["ann", "bob", "cat"], k=2)
    assert answer.queries == ["ann", "bob", "cat"]
    assert list(answer.known) == [True, True, True]
    assert [list(one) for one in answer] == [
        [("c", 1.0, "model"), ("d", 0.5, "model")],
        [("d", 2.0, "model"), ("a", 0.0, "model")],
        [("c", 5.0, "model"), ("a", 4.0, "model")],
    ]


def test_seen_items_can_stay_in(recommender: sl.Recommender) -> None:
    assert recommender.recommend(["ann"], k=2, exclude_seen=False)[0].ids == ["a", "b"]


def test_without_seen_nothing_is_left_out(model: sl.TwoTower) -> None:
    assert sl.Recommender(model).recommend(["cat"], k=4)[0].ids == ["c", "a", "b", "d"]


def test_equal_scores_stand_in_the_order_of_the_catalogue(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["cat"], k=3, exclude_seen=False)[0]
    assert answer.ids == ["c", "a", "b"]
    assert answer.scores == [5.0, 4.0, 4.0]


def test_a_list_is_short_only_when_few_are_eligible(recommender: sl.Recommender) -> None:
    assert recommender.recommend(["ann"], k=10)[0].ids == ["c", "d"]
    assert recommender.recommend(["ann"], k=10, exclude_seen=False)[0].ids == ["a", "b", "c", "d"]


def test_exclude_allow_and_deny(recommender: sl.Recommender) -> None:
    ask = recommender.recommend
    assert [one.ids for one in ask(["cat", "bob"], exclude=[["c"], []])] == [["a", "d"], ["d", "a"]]
    assert ask(["cat"], allow=["d", "a", "b"])[0].ids == ["a", "d"]
    assert ask(["cat"], deny=["c"])[0].ids == ["a", "d"]
    assert ask(["cat"], allow=["c", "d"], deny=["c"])[0].ids == ["d"]
    assert ask(["cat"], allow=[])[0].ids == []
    assert ask(["cat"], exclude=[["c"]], exclude_seen=False)[0].ids == ["a", "b", "d"]


def test_ids_that_the_catalogue_lacks_are_ignored(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["cat"], exclude=[["zzz"]], allow=["c", "yyy"], deny=["xxx"])
    assert answer[0].ids == ["c"]
    assert recommender.recommend(["cat"], allow=["yyy"])[0].ids == []


@pytest.mark.parametrize(
    "queries",
    [
        ["bob", "ann"],
        ("bob", "ann"),
        np.array(["bob", "ann"]),
        pl.Series(["bob", "ann"]),
        {"who": ["bob", "ann"]},
        {"who": pl.Series(["bob", "ann"])},
        [{"who": "bob"}, {"who": "ann"}],
        pl.DataFrame({"who": ["bob", "ann"]}),
    ],
)
def test_every_form_of_request(recommender: sl.Recommender, queries: Any) -> None:
    answer = recommender.recommend(queries, k=1)
    assert [(one.query, one.ids) for one in answer] == [("bob", ["d"]), ("ann", ["c"])]
    assert all(type(one) is str for one in answer.queries)


def test_no_queries_no_lists(recommender: sl.Recommender) -> None:
    answer = recommender.recommend([])
    assert len(answer) == 0
    assert answer.to_frame().columns == ["who", "rank", "what", "score", "source", "known"]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
def test_a_bad_k_is_refused(recommender: sl.Recommender, k: Any) -> None:
    with pytest.raises(SearchError):
        recommender.recommend(["ann"], k=k)
    with pytest.raises(SearchError):
        recommender.similar(["a"], k=k)


@pytest.mark.parametrize(
    ("queries", "options", "says"),
    [
        ("ann", {}, "a list of ids"),
        ({"who": "ann"}, {}, "a list of ids"),
        (7, {}, "a list of ids"),
        ([7], {}, "7 (int)"),
        ([["ann"]], {}, "(list)"),
        ([1.5], {}, "1.5 (float)"),
        ({"whom": ["ann"]}, {}, "they have 'whom'"),
        ({}, {}, "no column 'who'"),
        ([{"who": "ann"}, {"whom": "bob"}], {}, "a query has no 'who'"),
        ([{"who": "ann"}, "bob"], {}, "mix"),
        ({"who": ["ann"], "wha": ["x"]}, {}, "'wha'"),
        (["ann"], {"exclude": "a"}, "one list of ids per query"),
        (["ann"], {"exclude": ["a"]}, "a list of ids"),
        (["ann"], {"exclude": [["a"], ["b"]]}, "2 lists for 1"),
        (["ann"], {"allow": "a"}, "a list of ids"),
        (["ann"], {"allow": [1]}, "1 (int)"),
        (["ann"], {"deny": [None]}, "None"),
    ],
)
def test_what_is_no_request_is_refused(recommender: sl.Recommender, queries: Any, options: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        recommender.recommend(queries, **options)
    assert says in str(caught.value)


def test_similar_are_the_largest_dot_products_without_itself(recommender: sl.Recommender) -> None:
    answer = recommender.similar(["a", "c"], k=2)  # a·b = 12, a·c = 4, a·d = 2; c·b = 7, c·d = 8.5, c·a = 4
    assert [list(one) for one in answer] == [
        [("b", 12.0, "model"), ("c", 4.0, "model")],
        [("d", 8.5, "model"), ("b", 7.0, "model")],
    ]
    assert answer.to_frame().columns == ["similar_to", "rank", "what", "score", "source", "known"]
    with pytest.raises(DataError, match="'zzz'"):
        recommender.similar(["a", "zzz"])


def test_what_the_answer_turns_into(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["ann", "eve"], k=1)
    assert json.loads(json.dumps(answer.to_dicts())) == [
        {"query": "ann", "known": True, "items": [{"id": "c", "score": 1.0, "source": "model"}]},
        {"query": "eve", "known": False, "items": [{"id": "b", "score": 3.0, "source": "popularity"}]},
    ]
    assert answer.to_frame().rows() == [("ann", 1, "c", 1.0, "model", True), ("eve", 1, "b", 3.0, "popularity", False)]
    assert str(answer) == "ann\n    1. c      1.0000\neve  (unknown to the model)\n    1. b           3  by popularity"
    assert repr(answer) == "Recommendations(2 queries, 1 of them unknown · 2 items)"
    assert answer[-1].query == "eve"
    assert answer[0:1] == [answer[0]]
    assert answer[0].sources == ["model"]
    with pytest.raises(IndexError):
        answer[2]


def test_repr_says_what_it_is(recommender: sl.Recommender, model: sl.TwoTower, train: sl.Dataset) -> None:
    assert repr(recommender) == "Recommender(4 candidates · 4 queries · 5 seen · BruteForce: asked for)"
    chosen = repr(sl.Recommender(model, seen=train))
    assert "BruteForce: exact" in chosen


def test_seen_comes_back_as_a_dataset(recommender: sl.Recommender, model: sl.TwoTower) -> None:
    seen = recommender.seen
    assert seen is not None
    assert seen.interactions.sort("who", "what").rows() == [
        ("ann", "a"), ("ann", "b"), ("bob", "b"), ("bob", "c"), ("cat", "b"),
    ]  # fmt: skip
    assert sl.Recommender(model).seen is None


def test_seen_of_other_tables_counts_by_id(model: sl.TwoTower) -> None:
    other = sl.Dataset({"who": ["cat", "cat", "eve", "cat"], "what": ["c", "zzz", "a", "c"]}, "who", "what")
    recommender = sl.Recommender(model, seen=other)
    assert recommender.recommend(["cat"])[0].ids == ["a", "b", "d"]
    assert "1 seen" in repr(recommender)
    with pytest.raises(DataError, match="id"):
        sl.Recommender(model, seen=sl.Dataset({"x": ["cat"], "what": ["c"]}, "x", "what"))


def test_overlap_with_exact_search(recommender: sl.Recommender) -> None:
    assert recommender.ann_overlap(k=2) == 1.0
    recommender.index = _Short(recommender.index)
    assert recommender.ann_overlap(k=2) == 0.5
    assert recommender.ann_overlap(k=2, sample=1) == 0.5


class _Short:
    """An index that finds one candidate only."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self.index, name)

    def search(self, queries: Any, k: int, **filters: Any) -> Hits:
        return self.index.search(queries, 1, **filters)  # type: ignore[no-any-return]


def test_a_list_that_falls_short_is_filled_and_marked(recommender: sl.Recommender) -> None:
    recommender.index = _Short(recommender.index)  # type: ignore[assignment]
    answer = recommender.recommend(["cat", "bob"], k=3)
    assert [list(one) for one in answer] == [
        [("c", 5.0, "model"), ("a", 1.0, "popularity"), ("d", 0.0, "popularity")],
        [("d", 2.0, "model"), ("a", 1.0, "popularity")],
    ]
    allowed = recommender.recommend(["cat"], k=3, allow=["d", "c", "b"], exclude_seen=False)
    assert list(allowed[0]) == [("c", 5.0, "model"), ("b", 3.0, "popularity"), ("d", 0.0, "popularity")]
    denied = recommender.recommend(["cat"], k=3, deny=["a"], exclude=[["d"]], exclude_seen=False)
    assert list(denied[0]) == [("c", 5.0, "model"), ("b", 3.0, "popularity")]


def test_without_a_fallback_short_lists_stay_short(model: sl.TwoTower) -> None:
    recommender = sl.Recommender(model, fallback=())
    recommender.index = _Short(recommender.index)  # type: ignore[assignment]
    assert recommender.recommend(["cat"], k=3)[0].ids == ["c"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cold_start": "popular"}, "did you mean 'popularity'"),
        ({"fallback": ("popularty",)}, "did you mean 'popularity'"),
        ({"fallback": "popularity"}, "a list was expected"),
    ],
)
def test_unknown_options_are_refused(model: sl.TwoTower, options: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sl.Recommender(model, **options)
    assert says in str(caught.value)


def test_an_untrained_model_is_refused() -> None:
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    with pytest.raises(ConfigError, match="not been trained"):
        sl.Recommender(model)


@pytest.mark.parametrize("side", ["query", "candidate"])
def test_vectors_that_are_not_finite_are_refused(model: sl.TwoTower, side: str) -> None:
    (table,) = getattr(model, side).tables.values()
    table.weight[1, 0] = float("nan")
    with pytest.raises(SearchError, match="finite"):
        sl.Recommender(model)


def test_importing_the_room_does_not_import_torch() -> None:
    code = "import sys, shortlist.recommender; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_old_name_of_a_history_still_works(recommender: sl.Recommender) -> None:
    query, candidate = recommender.query_ids[0], recommender.candidate_ids[0]
    with pytest.warns(DeprecationWarning, match="use history="):
        old = recommender.recommend([query], k=2, chosen=[[candidate]])
    assert old == recommender.recommend([query], k=2, history=[[candidate]])
    with pytest.raises(sl.ConfigError, match="history= and chosen= were both given"):
        recommender.recommend([query], history=[[candidate]], chosen=[[candidate]])
