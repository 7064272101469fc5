"""Lists: the best that are eligible, equal scores by row, filled by the fallbacks."""

from typing import Any

import shortlist as sl
from shortlist.index import Hits


def test_equal_scores_stand_in_the_order_of_the_catalogue(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["cat"], k=3, exclude_seen=False)[0]
    assert answer.ids == ["c", "a", "b"]
    assert answer.scores == [5.0, 4.0, 4.0]


def test_a_list_is_short_only_when_few_are_eligible(recommender: sl.Recommender) -> None:
    assert recommender.recommend(["ann"], k=10)[0].ids == ["c", "d"]
    assert recommender.recommend(["ann"], k=10, exclude_seen=False)[0].ids == ["a", "b", "c", "d"]


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
