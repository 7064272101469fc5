"""Lists by the rules of a Rerank: hand-worked, and against a double loop over the whole catalogue."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recommender.conftest import set_vectors
from tests.recommender.test_many_sources import FILMS
from tests.recommender.test_many_sources import data as many_data
from tests.recommender.test_many_sources import mixture as many_sources
from tests.recommender.test_mixture import data, mixture
from tests.sources.plain_stage import stage_of

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.recommender import asked, filling, pipeline, reranking

ITEMS = 23
GENRES = ["drama", "comedy", None]
TAGS = [["old"], ["old", "long"], [], None, ["new"]]


def listed(recommender: sl.Recommender, k: int = 4, query: str = "ann", **rules: Any) -> list[Any]:
    return recommender.recommend([query], k=k, exclude_seen=False, rerank=sl.Rerank(**rules))[0].ids


def test_without_rules_the_list_is_the_one_without_rerank(recommender: sl.Recommender) -> None:
    plain = recommender.recommend(["ann", "bob", "nobody"], k=3)
    assert recommender.recommend(["ann", "bob", "nobody"], k=3, rerank=sl.Rerank()) == plain


def test_a_boost_is_counted_in_spans_of_the_list(recommender: sl.Recommender) -> None:
    # k = 4: the span is 4 - 1/2. d has 1/2 + 1 · 3.5 = 4, level with a, whose row is lower
    found = recommender.recommend(["ann"], k=4, exclude_seen=False, rerank=sl.Rerank(boost={"what = 'd'": 1.0}))[0]
    assert found.ids == ["a", "d", "b", "c"]
    assert found.scores == [4.0, 4.0, 3.0, 1.0]
    # k = 2: the span is 4 - 3, and 1/2 + 1 is not enough; 3 is
    assert listed(recommender, 2, boost={"what = 'd'": 1.0}) == ["a", "b"]
    assert listed(recommender, 2, boost={"what = 'd'": 3.0}) == ["a", "d"]


def test_a_factor_below_0_buries_and_conditions_add_up(recommender: sl.Recommender) -> None:
    assert listed(recommender, boost={"what = 'a'": -1.0}) == ["b", "c", "a", "d"]  # 4 - 3.5 = 1/2, level with d
    assert listed(recommender, boost={"what = 'd'": 2.0, "what in ('d', 'c')": -2.0}) == ["a", "b", "d", "c"]


def test_pins_take_their_places_and_obey_the_filters(recommender: sl.Recommender) -> None:
    assert listed(recommender, pin={2: "d"}) == ["a", "d", "b", "c"]
    assert listed(recommender, pin=["d", "c"]) == ["d", "c", "a", "b"]
    assert listed(recommender, 2, pin={3: "d"}) == ["a", "b"]
    with pytest.warns(sl.ShortlistWarning, match="does not have 'no such film' \\(1 of 2 are missing\\)"):
        assert listed(recommender, pin=["no such film", "d"]) == ["a", "d", "b", "c"]
    with pytest.warns(sl.ShortlistWarning, match="1 of 1 are missing"):
        assert listed(recommender, pin=["no such film"]) == ["a", "b", "c", "d"]
    rules = sl.Rerank(pin={1: "a", 2: "d"})
    found = recommender.recommend(["ann"], k=4, deny=["d"], exclude_seen=False, rerank=rules)[0]
    assert found.ids == ["a", "b", "c"]
    assert found.sources == ["pinned", "model", "model"]
    assert recommender.recommend(["ann"], k=4, rerank=rules)[0].ids == ["c", "d"]  # ann has seen a
    with pytest.raises(DataError, match="pin"):
        listed(recommender, pin=[3])


def test_diversity_by_hand() -> None:
    # relevance 1, 9/10 and 0; b is a's twin, c is at a right angle to both
    recommender = _of_vectors({"a": (1.0, 0.0), "b": (0.9, 0.0), "c": (0.0, 1.0)}, query=(1.0, 0.0))
    assert listed(recommender, 3, "me", diversify=0.4) == ["a", "b", "c"]  # .6 · .9 - .4 > 0: b before c
    assert listed(recommender, 3, "me", diversify=0.6) == ["a", "c", "b"]  # .4 · .9 - .6 < 0
    assert listed(recommender, 3, "me", diversify=1.0) == ["a", "c", "b"]
    assert listed(recommender, 2, "me", diversify=0.6, pin=["b"]) == ["b", "c"]


def test_at_most_of_a_value_finds_others_in_the_whole_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reranking, "POOL", 2)
    monkeypatch.setattr(reranking, "POOL_OF_K", 1)
    vectors = {f"drama{number}": (9.0 - number, 0.0) for number in range(8)} | {
        "comedy": (0.5, 0.0),
        "none": (0.4, 0.0),
    }
    genre = ["drama"] * 8 + ["comedy", None]
    recommender = _of_vectors(vectors, query=(1.0, 0.0), genre=genre)
    assert listed(recommender, 4, "me", at_most={"genre": 1}) == ["drama0", "comedy", "none"]
    assert listed(recommender, 4, "me", at_most={"genre": 2}) == ["drama0", "drama1", "comedy", "none"]
    with pytest.raises(DataError, match="no column 'genres'"):
        listed(recommender, 4, "me", at_most={"genres": 1})


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates each search was asked for, from here on."""
    sizes: list[int] = []
    search = asked.answered

    def counted(served: Any, vectors: Any, k: int, *rest: Any) -> Any:
        sizes.append(k)
        return search(served, vectors, k, *rest)

    monkeypatch.setattr(asked, "answered", counted)
    return sizes


def test_few_searches_fill_a_list_however_much_is_full(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 films of 64 genres in turn of 4 alike: 1 of a genre. The first pool has 2, then 8, 32, 64 at most: 4 searches, not 30
    vectors = {f"f{number:02}": (99.0 - number, 0.0) for number in range(64)}
    recommender = _of_vectors(vectors, query=(1.0, 0.0), genre=[f"g{number // 4}" for number in range(64)])
    monkeypatch.setattr(reranking, "POOL", 2)
    monkeypatch.setattr(reranking, "POOL_OF_K", 0)
    found = listed(recommender, 16, "me", at_most={"genre": 1})
    assert found == [f"f{4 * number:02}" for number in range(16)]
    assert sizes == [2, 8, 32, 64][: len(sizes)]


@pytest.mark.parametrize("rules", [{"diversify": 0.3}, {"boost": {"genre = 'g1'": 1.0}}, {"pin": {3: "f05"}}], ids=str)
def test_a_k_beyond_the_catalogue_costs_no_more_than_the_catalogue(sizes: list[int], rules: dict[str, Any]) -> None:
    vectors = {f"f{number:02}": (99.0 - number, 0.0) for number in range(30)}
    recommender = _of_vectors(vectors, query=(1.0, 0.0), genre=["g1", "g2"] * 15)
    assert sorted(listed(recommender, 10_000_000, "me", **rules)) == sorted(vectors)
    assert max(sizes) <= reranking.POOL


@pytest.mark.parametrize(
    ("column", "fits"),
    [
        (pl.Series("genre", [[["a"]], [["b"]]]), False),
        (pl.Series("genre", [{"a": 1}, {"a": 2}]), False),
        (pl.Series("genre", [[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float32, 2)), False),
        (pl.Series("genre", [["a"], None]), True),
        (pl.Series("genre", [1.5, None]), True),
    ],
    ids=["lists of lists", "structs", "vectors", "lists", "numbers"],
)
def test_values_that_cannot_be_counted_are_refused(column: pl.Series, fits: bool) -> None:
    recommender = _of_vectors({"a": (1.0, 0.0), "b": (0.5, 0.0)}, query=(1.0, 0.0), genre=column)
    if fits:
        assert listed(recommender, 2, "me", at_most={"genre": 1}) == ["a", "b"]
        return
    with pytest.raises(DataError, match="at_most: the candidates' column 'genre' is of type"):
        listed(recommender, 2, "me", at_most={"genre": 1})


def test_exploration_repeats_and_draws_only_what_is_named(recommender: sl.Recommender) -> None:
    rules = sl.Rerank(explore=0.25, explore_rarer_than=2, seed=3)
    first = recommender.recommend(["ann", "bob", "cat"], k=4, exclude_seen=False, rerank=rules)
    assert first == recommender.recommend(["ann", "bob", "cat"], k=4, exclude_seen=False, rerank=rules)
    for one in first:
        assert sorted(one.ids) == ["a", "b", "c", "d"]
        explored = [item.id for item in one if item.source == "explored"]
        assert len(explored) == 1  # a quarter of four places
        assert explored[0] in ("a", "c", "d")  # b was chosen three times
    places = {
        recommender.recommend(
            ["ann"], k=4, exclude_seen=False, rerank=sl.Rerank(explore=0.25, explore_rarer_than=1, seed=seed)
        )[0].ids.index("d")
        for seed in range(40)
    }
    assert places == {0, 1, 2, 3}
    where = sl.Rerank(explore=1.0, explore_where="what = 'c'")
    assert recommender.recommend(["ann"], k=2, exclude_seen=False, rerank=where)[0].sources.count("explored") == 1


def test_deleted_candidates_are_pinned_boosted_and_explored_no_more(recommender: sl.Recommender) -> None:
    recommender.delete(["d"])
    rules = sl.Rerank(pin=["d"], boost={"what = 'd'": 9.0}, explore=0.5, explore_rarer_than=1)
    with pytest.warns(sl.ShortlistWarning, match="does not have 'd'"):
        found = recommender.recommend(["ann", "nobody"], k=4, exclude_seen=False, rerank=rules)
    assert all("d" not in one.ids and len(one) == 3 for one in found)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("what", "='what' gives String"),
        ("what = ", "='what = ' is not a condition"),
        ("", " is empty"),
        ("what = 'd", " has "),
    ],
)
@pytest.mark.parametrize("option", ["boost", "explore_where"])
@pytest.mark.parametrize("everybody", [False, True])
def test_a_condition_that_cannot_be_read_is_named_by_its_option(
    recommender: sl.Recommender, tmp_path: Path, condition: str, says: str, option: str, everybody: bool
) -> None:
    rules = sl.Rerank(boost={condition: 1.0}) if option == "boost" else sl.Rerank(explore=0.5, explore_where=condition)
    ask = partial(recommender.recommend_all, tmp_path / "all") if everybody else partial(recommender.recommend, ["ann"])
    with pytest.raises(DataError, match=f"^{option}{re.escape(says)}"):
        ask(rerank=rules)


def test_anything_but_rules_is_refused(recommender: sl.Recommender) -> None:
    for wrong in (0.3, {"diversify": 0.3}, sl.Rerank):
        with pytest.raises(ConfigError, match=r"recommend\(rerank=\)"):
            recommender.recommend(["ann"], rerank=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [None, 3, 200])
def test_scores_of_a_mixture_compare_whatever_rule_placed_an_item(depth: int | None) -> None:
    # two towers, a table and three lists, whose scores are shares of the best that a query may have, or of a second stage
    model = many_sources()
    if depth is not None:
        model = model.with_stage(stage_of(many_data(), len(model.sources), depth), many_data())
    recommender = sl.Recommender(model, sl.BruteForce(), many_data())
    recommender.fallback = ()
    for where in (None, "year >= 1992"):
        asked = {"where": where, "exclude_seen": False}
        plain = recommender.recommend(["p0", "p3", "nobody"], k=FILMS, **asked)
        for rules in (
            {"pin": {1: 11, 4: 0, 7: 9}},
            {"explore": 0.5, "explore_rarer_than": 5, "seed": 3},
            {"at_most": {"year": 1}},
            {"boost": {"film < 4": 0.0}},
            {"diversify": 0.5, "pin": [5], "at_most": {"year": 1}},
        ):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(reranking, "POOL", 1)
                patch.setattr(reranking, "POOL_OF_K", 1)
                found = recommender.recommend(["p0", "p3", "nobody"], k=6, rerank=sl.Rerank(**rules), **asked)
            for one, whole in zip(found, plain, strict=True):
                scores = dict(zip(whole.ids, whole.scores, strict=True))
                assert one.scores == pytest.approx([scores[item] for item in one.ids], rel=1e-6)


RULES = st.fixed_dictionaries(
    {
        "diversify": st.sampled_from([0.0, 0.0, 0.3, 0.8, 1.0]),
        "at_most": st.dictionaries(st.sampled_from(["genre", "tags"]), st.integers(1, 4), max_size=2),
        "pin": st.dictionaries(st.integers(1, 8), st.integers(0, ITEMS + 1), max_size=3).filter(
            lambda pin: len({*pin.values()}) == len(pin)
        ),
        "boost": st.dictionaries(
            st.sampled_from(["genre = 'drama'", "item < 5", "item between 3 and 12"]),
            st.sampled_from([-2.0, 0.3, 1.0]),
            max_size=3,
        ),
    }
)


@pytest.mark.filterwarnings("ignore:pin. the catalogue does not have")
@given(RULES, st.integers(1, ITEMS + 2), st.integers(0, 3), st.sampled_from([None, "item <> 7", "genre = 'drama'"]))
def test_lists_are_those_of_a_double_loop(rules: dict[str, Any], k: int, query: int, where: str | None) -> None:
    recommender = _catalogue()
    found = recommender.recommend([query], k=k, where=where, rerank=sl.Rerank(**rules))[0]
    assert found.ids == _by_loop(recommender, query, k, where, **rules)


@pytest.mark.filterwarnings("ignore:pin. the catalogue does not have")
@given(RULES, st.integers(1, 9), st.integers(0, 3))
def test_small_pools_give_the_same_lists_where_nothing_is_diversified(
    rules: dict[str, Any], k: int, query: int
) -> None:
    rules = rules | {"diversify": 0.0}
    recommender = _catalogue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reranking, "POOL", 1)
        patch.setattr(reranking, "POOL_OF_K", 1)
        found = recommender.recommend([query], k=k, rerank=sl.Rerank(**rules))[0]
    assert found.ids == _by_loop(recommender, query, k, None, **rules)


def _by_loop(
    recommender: sl.Recommender, query: int, k: int, where: str | None, diversify: float, at_most: dict[str, int],
    pin: dict[int, int], boost: dict[str, float],
) -> list[int]:  # fmt: skip
    """The rules as the docstring of Rerank numbers them, one candidate at a time."""
    every = recommender.recommend([query], k=ITEMS, where=where)[0]
    score = dict(zip(every.ids, every.scores, strict=True))
    table = {row["item"]: row for row in recommender.served.state.candidates.to_dicts()}
    met = {
        "genre = 'drama'": lambda row: row["genre"] == "drama",
        "item < 5": lambda row: row["item"] < 5,
        "item between 3 and 12": lambda row: 3 <= row["item"] <= 12,
    }
    if score:
        best = sorted(score.values(), reverse=True)[:k]
        span = best[0] - best[-1] or 1.0
        for item in score:
            for condition, factor in boost.items():
                if met[condition](table[item]):
                    score[item] += span * factor
    places = {place: item for place, item in pin.items() if place <= k and item in score}
    pool = sorted((item for item in score if item not in places.values()), key=lambda item: (-score[item], item))
    most = max((score[item] for item in pool), default=0.0)
    least = min((score[item] for item in pool), default=0.0)
    vectors = {item: _vector(item) for item in score}

    def values(item: int) -> list[tuple[str, str]]:
        row = table[item]
        return [("genre", one) for one in [row["genre"]] if one] + [("tags", one) for one in row["tags"] or []]

    def fits(item: int) -> bool:
        taken = [value for other in places.values() for value in values(other)]
        return all(taken.count(value) < at_most[value[0]] for value in values(item) if value[0] in at_most)

    def worth(item: int) -> float:
        if diversify == 0:
            return score[item]
        relevance = (score[item] - least) / (most - least) if most > least else 0.0
        near = max((float(vectors[item] @ vectors[other]) for other in places.values()), default=0.0)
        return (1 - diversify) * relevance - diversify * near

    for place in range(1, k + 1):
        if place in places:
            continue
        open_to_it = [item for item in pool if item not in places.values() and fits(item)]
        if not open_to_it:
            break
        places[place] = max(open_to_it, key=lambda item: (round(worth(item), 5), -pool.index(item)))
    return [places[place] for place in sorted(places)]


def _vector(item: int) -> np.ndarray[Any, Any]:
    """Of length 1; no two worths of different candidates are closer than rounding."""
    angle = 0.37 * item + 0.011 * item * item
    return np.array([np.cos(angle), np.sin(angle)])


def _catalogue() -> sl.Recommender:
    """Made once."""
    if not _MADE:
        items = list(range(ITEMS))
        _MADE.append(
            _of_vectors(
                {item: tuple((1 + item % 7 / 10) * _vector(item)) for item in items},
                queries={query: (np.cos(query), np.sin(query)) for query in range(4)},
                names=("person", "item"),
                genre=[GENRES[item % 3] for item in items],
                tags=[TAGS[item % 5] for item in items],
            )
        )
    return _MADE[0]


_MADE: list[sl.Recommender] = []


def _of_vectors(
    candidates: dict[Any, Any],
    query: Any = None,
    queries: dict[Any, Any] | None = None,
    names: tuple[str, str] = ("who", "what"),
    **columns: list[Any],
) -> sl.Recommender:
    """A recommender whose queries and candidates have these vectors."""
    queries = {"me": query} if queries is None else queries
    who, what = names
    ids, people = [*candidates], [*queries]
    pairs = [(one, ids[0]) for one in people] + [(people[0], one) for one in ids]
    train = sl.Dataset(
        pl.DataFrame(pairs, schema=[who, what], orient="row"),
        who,
        what,
        candidates=pl.DataFrame({what: ids, **columns}),
    )
    kinds = [sl.StringLookup if isinstance(one, str) else sl.IntegerLookup for one in (people[0], ids[0])]
    model = sl.TwoTower(sl.Tower(kinds[0](who), dim=2), sl.Tower(kinds[1](what), dim=2))
    model.prepare(train)
    set_vectors(model.query, queries, unknown=(0.0, 0.0))
    set_vectors(model.candidate, candidates, unknown=(0.0, 0.0))
    return sl.Recommender(model.eval(), index=sl.BruteForce())


@pytest.mark.parametrize("heads", [1, 2])
def test_a_mixtures_boosts_are_added_to_the_scores_of_the_whole_list(heads: int) -> None:
    """Its scores are shares of the best that may be found, so those of the candidates of one condition alone do not compare."""
    recommender = sl.Recommender(mixture(heads), seen=data())
    for query in ("p0", "p3", "p8"):
        every = recommender.recommend([query], k=12)[0]
        scores = dict(zip(every.ids, every.scores, strict=True))
        span = max(scores.values()) - min(scores.values())
        lifted = {film: score + span * 0.3 * (film % 3 == 0) for film, score in scores.items()}
        expected = sorted(lifted, key=lambda film: (-lifted[film], film))
        found = recommender.recommend([query], k=12, rerank=sl.Rerank(boost={"film in (0, 3, 6, 9)": 0.3}))[0]
        assert found.ids == expected
        assert found.scores == pytest.approx([lifted[film] for film in expected], abs=1e-6)


@pytest.mark.parametrize(("k", "pauses"), [(2, 2), (4, 4)])
def test_others_have_turns_while_lists_are_put_together(
    recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch, k: int, pauses: int
) -> None:
    """Two lists: before each, and after every third place from the one before the fourth on."""
    monkeypatch.setattr(filling, "PLACES", 3)
    seen: list[int] = []
    rules = sl.Rerank(diversify=0.3)
    pipeline.recommend(
        recommender.served, ["ann", "bob"], k, exclude_seen=False, rerank=rules, pause=lambda: seen.append(1)
    )
    assert len(seen) == pauses
