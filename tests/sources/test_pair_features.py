"""What a second stage reads of a query and a candidate, against double loops."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources import plain_stage as plain

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.sources import Grouping, PairFeatures, Taste

PEOPLE, FILMS = 5, 6
word = st.none() | st.sampled_from(["x", "y", "z"])


@st.composite
def problems(draw: Any) -> dict[str, Any]:
    """Choices with weights, and tables whose columns may have nothing in them, or one value alone."""
    people, films = st.lists(word, min_size=PEOPLE, max_size=PEOPLE), st.lists(word, min_size=FILMS, max_size=FILMS)
    age = st.none() | st.integers(10, 40).map(lambda one: one / 2)
    return {
        "rows": draw(
            st.lists(
                st.tuples(st.integers(0, PEOPLE - 1), st.integers(0, FILMS - 1), st.sampled_from([0.0, 1.0, 2.0])),
                min_size=1,
                max_size=25,
            ).filter(lambda rows: any(weight for *_, weight in rows))
        ),
        "land": draw(people),
        "age": draw(st.lists(age, min_size=PEOPLE, max_size=PEOPLE)),
        "kind": draw(films),
        "genres": draw(st.lists(st.none() | st.lists(word, max_size=4), min_size=FILMS, max_size=FILMS)),
        "history": draw(st.lists(st.integers(0, FILMS + 1), max_size=8)),
        "row": draw(st.integers(0, PEOPLE - 1)),
    }


def data_of(case: dict[str, Any]) -> sl.Dataset:
    """The tables, in which every person and film is by its number."""
    frame = pl.DataFrame(case["rows"], schema={"who": pl.Int64, "film": pl.Int64, "w": pl.Float64}, orient="row")
    queries = pl.DataFrame(
        {"who": range(PEOPLE), "land": case["land"], "age": case["age"]},
        schema={"who": pl.Int64, "land": pl.String, "age": pl.Float64},
    )
    candidates = pl.DataFrame(
        {"film": range(FILMS), "kind": case["kind"], "genres": case["genres"]},
        schema={"film": pl.Int64, "kind": pl.String, "genres": pl.List(pl.String)},
    )
    return sl.Dataset(frame, "who", "film", weight="w", queries=queries, candidates=candidates)


def expected_of(
    case: dict[str, Any], features: PairFeatures, candidate: int, place: int, by_source: list[int]
) -> list[float]:
    """All numbers but those of sources, by loops."""
    chosen = [(who, film) for who, film, weight in case["rows"] if weight > 0]
    often = Counter(film for _, film in chosen)
    counts = [often[film] for film in range(FILMS)]
    history = [one for one in case["history"][-4:] if one < FILMS]
    out = plain.own(counts, history, candidate, place, by_source)
    for one in features.tastes:
        members = [plain.groups_of(one.grouping, value) for value in case[one.grouping.column]]
        new = candidate >= FILMS
        out.append(0.0 if new else plain.taste(members, counts, one.grouping.size, history, candidate))
    for each in features.likings:
        values = case[each.grouping.column]
        group = [(plain.groups_of(each.grouping, value) or [-1])[0] for value in values]
        size = each.grouping.size
        near = [[float(a == b) for a in range(size)] for b in range(size)]
        if not each.grouping.values:
            near = plain.nearness(values, group, each.grouping.edges)
        by_group = [(group[who], film) for who, film in chosen]
        of_it = [*counts, 0, 0]
        out.append(plain.liking(near, by_group, of_it, group[case["row"]], candidate))
    return out


@given(problems())
def test_all_numbers_are_those_of_loops(case: dict[str, Any]) -> None:
    data = data_of(case)
    features = PairFeatures.of(data, length=4)
    named = {one.column for one in features.groupings}
    lists = [one for each in case["genres"] for one in each or ()]
    for column, values in (("land", case["land"]), ("kind", case["kind"]), ("genres", lists)):
        assert (column in named) == (plain.frequent(values) is not None)
    groups = features.groups(data.queries)[case["row"]]
    rows = np.arange(FILMS + 2)[::-1]  # two of which are not known
    places = np.arange(FILMS + 2)
    sources = np.arange(2.0 * len(rows), dtype=np.float32).reshape(-1, 2)
    listed = np.array([[3, 0], [3, 9], [5, 1]], np.float32)
    found = features.of_pairs(np.array(case["history"], np.int64), groups, rows, sources, places, listed)
    assert found.dtype == np.float32
    assert found.shape == (len(rows), features.width(2)) == (len(rows), len(features.names(["a", "b"])))
    for number, candidate in enumerate(rows.tolist()):
        by_source = plain.places_by_source(listed.tolist(), sources[number].tolist())
        expected = [*sources[number], *expected_of(case, features, candidate, number, by_source)]
        assert found[number].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(problems(), st.lists(st.integers(0, FILMS - 1), max_size=4, unique=True))
def test_others_keep_their_numbers_when_candidates_are_deleted(case: dict[str, Any], gone: list[int]) -> None:
    """To the last bit, whether they are only left out of the history or renumbered too."""
    data = data_of(case)
    features = PairFeatures.of(data)
    left = [one for one in range(FILMS) if one not in gone]
    row = np.full(FILMS, -1)
    row[left] = np.arange(len(left))
    if not left:
        return
    after = features.renumbered(row)
    assert len(after) == len(left)
    history = np.array([one for one in case["history"] if one in left], np.int64)
    groups, nothing, places = features.groups(data.queries)[case["row"]], np.zeros((len(left), 0)), np.arange(len(left))
    found = [
        features.of_pairs(history, groups, np.array(left), nothing, places, nothing),
        after.of_pairs(row[history], groups, np.arange(len(left)), nothing, places, nothing),
    ]
    np.testing.assert_array_equal(*found)


@given(problems(), st.lists(word, min_size=3, max_size=3))
def test_added_and_changed_candidates_have_the_groups_of_their_columns(case: dict[str, Any], words: list[Any]) -> None:
    features = PairFeatures.of(data_of(case))
    table = pl.concat([
        data_of(case).candidates,
        pl.DataFrame({"film": [7, 8], "kind": words[:2], "genres": [[words[0], "x", "y", "z"], []]},
                     schema=data_of(case).candidates.schema),
    ])  # fmt: skip
    table = table.with_columns(kind=pl.when(pl.col("film") == 1).then(pl.lit(words[2])).otherwise("kind"))
    grown = features.grown(table, np.array([1, FILMS, FILMS + 1]))
    assert grown.counts.tolist() == [*features.counts.tolist(), 0, 0]
    for one in grown.tastes:
        values = table[one.grouping.column].to_list()
        members = [[group for group in row if group >= 0] for row in one.members.tolist()]
        assert members == [plain.groups_of(one.grouping, value) for value in values]
    same = grown.grown(table, np.zeros(0, np.int64))
    assert [one.members.tolist() for one in same.tastes] == [one.members.tolist() for one in grown.tastes]
    grown.check_tables(data_of(case).queries, table)


CASE = {
    "rows": [(0, 0, 1.0), (0, 1, 1.0), (1, 0, 1.0), (2, 2, 1.0), (1, 5, 0.0)], "land": ["x", "x", "y", None, "y"],
    "age": [20.0, 30.0, 40.0, None, 50.0], "kind": ["x", "x", "y", "y", None, "x"],
    "genres": [["x"], ["x", "y"], [], None, ["y"], ["x"]], "history": [], "row": 0,
}  # fmt: skip


def test_by_hand() -> None:
    features = PairFeatures.of(data_of(CASE))
    assert features.counts.tolist() == [2, 1, 1, 0, 0, 0]
    assert (features.total, len(features), features.reads) == (4, 6, ("land", "age"))
    assert features.names(["towers"]) == [
        "towers", "place", "popularity", "history length", "popularity to history", "taste for kind",
        "taste for genres", "liking by land", "liking by age",
    ]  # fmt: skip
    land = features.likings[0]
    # x chose 0 twice and 1 once; with shares 1/2, 1/4: log((2 + 5) / (3/2 + 5)), log((1 + 5) / (3/4 + 5))
    assert land.values(0, np.array([0, 1]), np.array([0.5, 0.25])).tolist() == pytest.approx(
        [np.log(7 / 6.5), np.log(6 / 5.75)]
    )
    assert land.values(-1, np.array([0]), np.array([0.5])).tolist() == [0]
    # kind: x was chosen 3 times and y once, so 4/6 and 2/6 with one each; both choices of the history are x
    taste = features.tastes[0]
    expected = [np.log((2 + 10 * 4 / 6) / (12 * 4 / 6)), np.log((10 * 2 / 6) / (12 * 2 / 6)), 0.0]
    assert taste.values(np.array([0, 1]), np.array([5, 2, 4])).tolist() == pytest.approx(expected, rel=1e-5)


def test_columns_that_a_request_lacks_or_has_otherwise() -> None:
    features = PairFeatures.of(data_of(CASE))
    assert features.groups(pl.DataFrame({"who": [1, 2]})).tolist() == [[-1, -1]] * 2
    assert features.groups(pl.DataFrame({"land": ["y", "?", None]}))[:, 0].tolist() == [1, -1, -1]
    with pytest.raises(DataError, match="the column 'land' is of type Int64"):
        features.groups(pl.DataFrame({"land": [3]}))
    nothing = PairFeatures.of(sl.Dataset({"q": [1, 2], "c": [1, 2]}, "q", "c"))
    assert (nothing.reads, nothing.groupings, nothing.width(1), nothing.width(2)) == ((), (), 5, 8)
    assert nothing.groups(pl.DataFrame({"q": [1, 2]})).shape == (2, 0)


def test_tables_without_the_columns_or_with_others_are_refused() -> None:
    data = data_of(CASE)
    features = PairFeatures.of(data)
    features.check_tables(data.queries, data.candidates)
    other = {
        "candidates": [
            data.candidates.drop("genres"), data.candidates[:5], data.candidates[::-1],
            data.candidates.with_columns(kind=pl.lit(3)),
        ],
        "queries": [data.queries.drop("age"), data.queries.with_columns(land=pl.lit(1.5))],
    }  # fmt: skip
    for table in other["candidates"]:
        with pytest.raises(ConfigError, match="which the towers' table of candidates lacks or has with other values"):
            features.check_tables(data.queries, table)
    for table in other["queries"]:
        with pytest.raises(ConfigError, match="which the towers' table of queries lacks or has with other values"):
            features.check_tables(table, data.candidates)


def test_choices_of_groups_that_nobody_is_in_are_none() -> None:
    taste = Taste.of(Grouping("a", values=("x", "y")), pl.DataFrame({"a": [None, None]}), np.array([1, 2]))
    assert taste.values(np.array([0, 1]), np.array([0, 1])).tolist() == [0, 0]
