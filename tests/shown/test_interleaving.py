"""Team draft: the plain algorithm, fairness, and repeatable coins."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shortlist as sl
from shortlist.shown.interleaving import _coins

LISTS = st.lists(st.integers(0, 12), unique=True, max_size=8)


def by_the_book(a: list[int], b: list[int], k: int, query: int, seed: int) -> tuple[list[int], list[str | None]]:
    """Radlinski, Kurup, Joachims 2008, figure 3, over whole lists; then the rest of the one that is left, for nobody."""
    coins, listed, teams = _coins(seed, query), [], []
    while len(listed) < k:
        rest_a = [one for one in a if one not in listed]
        rest_b = [one for one in b if one not in listed]
        if not (rest_a and rest_b):
            break
        picked_a, picked_b = teams.count("a"), teams.count("b")
        turn_of_a = picked_a < picked_b or (picked_a == picked_b and coins.getrandbits(1) == 0)
        listed.append(rest_a[0] if turn_of_a else rest_b[0])
        teams.append("a" if turn_of_a else "b")
    for one in a + b:
        if len(listed) < k and one not in listed:
            listed.append(one)
            teams.append(None)
    return listed, teams


@given(st.lists(st.tuples(LISTS, LISTS), min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 99))
@settings(deadline=None)
def test_as_the_plain_algorithm_has_it(lists, k, seed):
    mixed = sl.interleave([a for a, _ in lists], [b for _, b in lists], k, seed=seed)
    for query, (a, b) in enumerate(lists):
        assert (list(mixed.lists[query]), list(mixed.teams[query])) == by_the_book(a, b, k, query, seed)


@given(LISTS, LISTS, st.integers(0, 99))
@settings(deadline=None)
def test_the_list_is_whole_and_the_teams_are_level(a, b, seed):
    k = max(len(a), len(b), 1)
    (listed,), (teams,) = (getattr(sl.interleave([a], [b], k, seed=seed), name) for name in ("lists", "teams"))
    assert len(listed) == min(k, len({*a, *b})) == len(set(listed))
    assert abs(teams.count("a") - teams.count("b")) <= 1


def test_each_bundle_begins_half_of_the_lists():
    count = 2000
    mixed = sl.interleave([["x", "y"]] * count, [["p", "q"]] * count, 1)
    began = sum(teams == ("a",) for teams in mixed.teams)
    assert abs(began - count / 2) < 4 * (count / 4) ** 0.5


def test_one_query_gets_one_list_whoever_is_asked_with_it():
    a, b, names = [["x", "y", "z"]] * 40, [["p", "q", "r"]] * 40, [f"u{n}" for n in range(40)]
    together = sl.interleave(a, b, queries=names, seed=5)
    alone = [sl.interleave(a[:1], b[:1], queries=[name], seed=5).lists[0] for name in names]
    assert list(together.lists) == alone
    assert len(set(alone)) > 1
    assert sl.interleave(a, b, queries=names, seed=6).lists != together.lists


def test_a_number_and_its_text_are_different_queries():
    lists = ([["x", "y", "z"]] * 64, [["p", "q", "r"]] * 64)
    assert (
        sl.interleave(*lists, queries=[*range(64)]).lists
        != sl.interleave(*lists, queries=[str(n) for n in range(64)]).lists
    )


def test_tables_and_recommendations():
    a = {"user": ["ann", "ann", "bob"], "film": [1, 2, 3]}
    b = pl.DataFrame({"user": ["bob", "ann"], "film": [3, 1]})
    mixed = sl.interleave(a, b, query="user", candidate="film")
    assert mixed.queries == ("ann", "bob")
    assert mixed.lists == ((1, 2), (3,))
    train = sl.Dataset({"user": list("aabb"), "film": [1, 2, 2, 3]}, "user", "film")
    answers = sl.Recommender(sl.popularity(train), seen=train).recommend(["a", "b"], k=1)
    assert sl.interleave(answers, answers).lists == ((3,), (1,))
    assert sl.interleave(answers, answers).queries == ("a", "b")


def test_what_it_returns_reads_well():
    mixed = sl.interleave([["x" * 100, "y"]], [["x" * 100]], queries=["ann"])
    assert max(map(len, str(mixed).splitlines())) <= 80
    assert json.loads(json.dumps(mixed.to_dict()))["queries"] == ["ann"]
    assert mixed.to_frame().columns == ["query", "place", "candidate", "team"]
    assert len(mixed) == 1
    assert sl.interleave([], []).to_frame().is_empty()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sl.interleave([["x"]], [["x"], ["y"]]), sl.DataError, "different queries"),
        (lambda: sl.interleave([["x", "x"]], [["x"]]), sl.DataError, "twice"),
        (lambda: sl.interleave(["x"], ["x"]), sl.ConfigError, "in the place of list 0"),
        (lambda: sl.interleave([[None]], [["x"]]), sl.ConfigError, "ids were expected"),
        (lambda: sl.interleave(7, [["x"]]), sl.ConfigError, "lists_a"),
        (lambda: sl.interleave([["x"]], [["x"]], 0), sl.ConfigError, "k=0"),
        (lambda: sl.interleave([["x"]], [["x"]], seed=-1), sl.ConfigError, "seed"),
        (lambda: sl.interleave([["x"]], [["x"]], queries=["a", "b"]), sl.DataError, "one list for each"),
        (lambda: sl.interleave({"user": ["a"]}, {"user": ["a"]}), sl.DataError, "no column"),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_table_is_read_by_its_places():
    places = {"query": ["a", "b", "a", "a"], "candidate": [1, 9, 2, 3], "place": [3, 1, 1, 2]}
    mixed = sl.interleave(places, {"query": ["a", "b"], "candidate": [4, 8]}, k=9)
    assert [one for one in mixed.lists[0] if one != 4] == [2, 3, 1]
    renamed = {"rank" if name == "place" else name: values for name, values in places.items()}
    other = {"query": ["a", "b"], "candidate": [4, 8]}
    assert sl.interleave(renamed, other, k=9, place="rank") == mixed


@pytest.mark.parametrize(
    ("places", "message"),
    [([1, 1], "place 1 twice in the list of 'a'"), ([1, None], "1 null in"), ([1.0, 2.0], "Float64")],
)
def test_places_that_are_none_are_refused(places, message):
    table = {"query": ["a", "a"], "candidate": [1, 2], "place": places}
    with pytest.raises(sl.DataError, match=message):
        sl.interleave(table, {"query": ["a"], "candidate": [3]})


@pytest.mark.parametrize("a", [[["1"]], [[2, "1"]]])
def test_ids_of_two_types_are_refused(a):
    with pytest.raises(sl.DataError, match="candidates of two types, '1' and"):
        sl.interleave(a, [[1, 2]])
