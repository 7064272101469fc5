"""Queries of which training had no interaction: the declared policy, and always a mark."""

import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import DataError, ShortlistError, UnknownQueryError


def test_by_default_popularity_answers_where_ids_are_all_that_is_read(recommender: sl.Recommender) -> None:
    eve, ann, nobody = recommender.recommend(["eve", "ann", None], k=2)
    assert [*eve] == [*nobody] == [("b", 3.0, "popularity"), ("a", 1.0, "popularity")]
    assert (eve.known, ann.sources) == (False, ["model", "model"])
    told = recommender.recommend(["eve"], k=2, history=[["a"]])[0]  # something is known of this one
    assert told.sources == ["model", "model"]


def test_by_default_features_answer_for_a_new_id() -> None:
    tables = {"queries": {"q": ["a", "b"], "kind": ["x", "y"]}}
    train = sl.Dataset({"q": ["a", "b"], "c": ["1", "2"]}, "q", "c", **tables)
    query = sl.Tower(sl.StringLookup("q"), sl.Category("kind"), dim=2)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("c"), dim=2))
    sl.fit(model, train, epochs=1)
    assert sl.Recommender(model).recommend({"q": ["new"], "kind": ["x"]}, k=1)[0].sources == ["model"]


def test_unknown_ids_get_the_unknown_row(model: sl.TwoTower, train: sl.Dataset) -> None:
    recommender = sl.Recommender(model, sl.BruteForce(), train, cold_start="unknown")
    answer = recommender.recommend(["eve", "ann", None], k=2)
    assert list(answer.known) == [False, True, False]
    assert list(answer[0]) == [("d", -0.5, "model"), ("c", -1.0, "model")]
    assert answer[2].items == answer[0].items
    assert answer[2].query is None
    assert answer[1].ids == ["c", "d"]


def test_an_id_that_is_only_in_the_table_is_unknown_too(model: sl.TwoTower, train: sl.Dataset) -> None:
    recommender = sl.Recommender(model, sl.BruteForce(), train, cold_start="unknown")
    (answer,) = recommender.recommend(["dan"], k=1)
    assert not answer.known
    assert list(answer) == [("d", -0.5, "model")]


def test_a_given_vocabulary_does_not_make_an_id_known(train: sl.Dataset) -> None:
    names = ["ann", "bob", "cat", "dan"]
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who", names), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    recommender = sl.Recommender(model)
    dan, eve = recommender.recommend(["dan", "eve"])
    assert (dan.known, dan.items) == (False, eve.items)


def test_popularity_by_training_counts(model: sl.TwoTower, train: sl.Dataset) -> None:
    recommender = sl.Recommender(model, seen=train, cold_start="popularity", fallback=())
    eve, ann, dan = recommender.recommend(["eve", "ann", "dan"], k=3)
    popular = [("b", 3.0, "popularity"), ("a", 1.0, "popularity"), ("c", 1.0, "popularity")]
    assert (list(eve), eve.known) == (popular, False)
    assert (list(dan), dan.known) == (popular, False)
    assert (ann.ids, ann.sources) == (["c", "d"], ["model", "model"])
    assert recommender.recommend(["eve"], k=2, deny=["b"])[0].ids == ["a", "c"]
    assert recommender.recommend(["eve"], k=2, allow=["d", "c"])[0].ids == ["c", "d"]
    assert recommender.recommend(["eve"], k=2, exclude=[["b", "a"]])[0].ids == ["c", "d"]
    assert recommender.recommend(["eve"], k=99)[0].ids == ["b", "a", "c", "d"]
    assert "eve  (unknown to the model)\n    1. b           3  by popularity" in str(
        recommender.recommend(["eve"], k=1)
    )


def test_refuse_names_up_to_three(model: sl.TwoTower) -> None:
    recommender = sl.Recommender(model, cold_start="refuse")
    assert recommender.recommend(["ann"], k=1)[0].ids == ["a"]
    with pytest.raises(UnknownQueryError) as caught:
        recommender.recommend(["eve", "ann", "dan", "flo", "gus"])
    assert "4 of 5 queries: 'eve', 'dan', 'flo', …" in str(caught.value)


def test_what_an_unknown_id_is_known_to_have_seen_is_left_out(model: sl.TwoTower) -> None:
    seen = sl.Dataset({"who": ["dan"], "what": ["b"]}, "who", "what")
    for policy, ids in (("unknown", ["d", "c", "a"]), ("popularity", ["a", "c", "d"])):
        recommender = sl.Recommender(model, seen=seen, cold_start=policy)
        assert recommender.recommend(["dan"], k=4)[0].ids == ids


def test_a_number_beyond_64_bits_is_refused() -> None:
    train = sl.Dataset({"q": [1, 2], "c": ["a", "b"]}, "q", "c")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("q"), dim=2), sl.Tower(sl.StringLookup("c"), dim=2))
    model.prepare(train)
    recommender = sl.Recommender(model)
    assert recommender.recommend([2**63]).to_frame()["q"].to_list() == [2**63] * 2
    with pytest.raises(DataError, match="64 bits"):
        recommender.recommend([2**64])


@pytest.fixture(params=[("history",), ("id", "history"), ("history", "id")], ids=" and ".join)
def reader(request: pytest.FixtureRequest) -> sl.Recommender:
    """Towers of which one reads a history, alone or in a mixture with a table; six people chose two of six films each."""
    pairs = [(f"p{one}", film) for one in range(6) for film in (one, (one + 1) % 6)]
    frame = pl.DataFrame(pairs, schema=["who", "film"], orient="row").with_row_index("at")
    train = sl.Dataset(frame, "who", "film", timestamp="at")
    towers = []
    for name in request.param:
        feature = sl.StringLookup("who") if name == "id" else sl.History(encoder="mean", share=False, dropout=0.0)
        towers.append(sl.TwoTower(sl.Tower(feature, dim=2), sl.Tower(sl.IntegerLookup("film"), dim=2)))
        sl.fit(towers[-1], train, epochs=1)
    model = towers[0] if len(towers) == 1 else sl.Mixture([*towers, sl.Transitions().fit(train)], train)
    return sl.Recommender(model, sl.BruteForce(), train)


def test_the_history_of_a_request_says_what_it_chose_whichever_tower_reads_it(reader: sl.Recommender) -> None:
    """So it is answered under every policy, and left out of the list; one without a choice that the catalogue has is not."""
    asked = {"who": ["new", None, "p1"], "history": [[3], [99, 4, 4], [5]]}
    for policy in ("auto", "unknown", "popularity", "refuse"):
        reader.cold_start = policy
        found = reader.recommend(asked, k=6)
        assert [{*one.sources} for one in found] == [{"model"}] * 3, policy
        assert [{*range(6)} - {*one.ids} for one in found] == [{3}, {4}, {1, 2, 5}]
        assert [len(one.ids) for one in reader.recommend(asked, k=6, exclude_seen=False)] == [6] * 3
        for nothing in ([], None, [99], [None]):
            request = {"who": ["new"], "history": [nothing]}
            if policy == "refuse":
                with pytest.raises(UnknownQueryError):
                    reader.recommend(request)
            else:
                expected = {"popularity"} if policy == "popularity" else {"model"}
                assert {*reader.recommend(request)[0].sources} == expected


@pytest.mark.parametrize("history", [[3], ["3"], [[[3]]], [3.5], [True], [[True]], [{"a": 1}]])
def test_a_history_that_is_no_list_of_ids_is_refused(reader: sl.Recommender, history: list) -> None:
    for policy in ("auto", "refuse"):
        reader.cold_start = policy
        with pytest.raises(ShortlistError):
            reader.recommend({"who": ["new"], "history": history})
        with pytest.raises(ShortlistError):
            reader.recommend({"who": ["p1"], "history": history})
