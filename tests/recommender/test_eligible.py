"""The candidates that a query may have."""

import shortlist as sl


def test_seen_items_can_stay_in(recommender: sl.Recommender) -> None:
    assert recommender.recommend(["ann"], k=2, exclude_seen=False)[0].ids == ["a", "b"]


def test_without_seen_nothing_is_left_out(model: sl.TwoTower) -> None:
    assert sl.Recommender(model).recommend(["cat"], k=4)[0].ids == ["c", "a", "b", "d"]


def test_exclude_allow_and_deny(recommender: sl.Recommender) -> None:
    ask = recommender.recommend
    assert [one.ids for one in ask(["cat", "bob"], exclude=[["c"], []])] == [["a", "d"], ["d", "a"]]
    assert ask(["cat"], allow=["d", "a", "b"])[0].ids == ["a", "d"]
    assert ask(["cat"], deny=["c"])[0].ids == ["a", "d"]
    assert ask(["cat"], allow=["c", "d"], deny=["c"])[0].ids == ["d"]
    assert ask(["cat"], allow=[])[0].ids == []
    assert ask(["cat"], exclude=[["c"]], exclude_seen=False)[0].ids == ["a", "b", "d"]
