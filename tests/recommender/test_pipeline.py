"""Lists worked out by hand: see the scores in conftest."""

import subprocess
import sys
from typing import Any

import pytest

import shortlist as sl
from shortlist.errors import ConfigError, DataError, SearchError


def test_known_queries_get_the_best_they_have_not_chosen(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["ann", "bob", "cat"], k=2)
    assert answer.queries == ["ann", "bob", "cat"]
    assert list(answer.known) == [True, True, True]
    assert [list(one) for one in answer] == [
        [("c", 1.0, "model"), ("d", 0.5, "model")],
        [("d", 2.0, "model"), ("a", 0.0, "model")],
        [("c", 5.0, "model"), ("a", 4.0, "model")],
    ]


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
def test_a_bad_k_is_refused(recommender: sl.Recommender, k: Any) -> None:
    with pytest.raises(SearchError):
        recommender.recommend(["ann"], k=k)
    with pytest.raises(SearchError):
        recommender.similar(["a"], k=k)


def test_similar_are_the_largest_dot_products_without_itself(recommender: sl.Recommender) -> None:
    answer = recommender.similar(["a", "c"], k=2)  # a·b = 12, a·c = 4, a·d = 2; c·b = 7, c·d = 8.5, c·a = 4
    assert [list(one) for one in answer] == [
        [("b", 12.0, "model"), ("c", 4.0, "model")],
        [("d", 8.5, "model"), ("b", 7.0, "model")],
    ]
    assert answer.to_frame().columns == ["similar_to", "rank", "what", "score", "source", "known"]
    with pytest.raises(DataError, match="'zzz'"):
        recommender.similar(["a", "zzz"])


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


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cold_start": "popular"}, "did you mean 'popularity'"),
        ({"fallback": ("popularty",)}, "did you mean 'popularity'"),
        ({"fallback": "popularity"}, "a list of names was expected"),
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
