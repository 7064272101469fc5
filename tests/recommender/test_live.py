"""Candidates that come, change and go: found by every way at once, gone by every way at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.recommender.live import _places, changed, with_texts


class Price(torch.nn.Module):
    def forward(self, embedded: Any) -> torch.Tensor:
        return next(value for name, value in embedded.items() if "Vector" in name or "Normal" in name)


@pytest.fixture
def priced() -> sl.Recommender:
    """Scores are price times 1 for every query; ann chose a. a 1, b 2, c 3; the price of nothing scores 0."""
    train = sl.Dataset(
        {"who": ["ann", "bob"], "what": ["a", "b"]},
        "who",
        "what",
        candidates={"what": ["a", "b", "c"], "price": [1.0, 2.0, 3.0], "kind": ["x", "y", "x"]},
    )

    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), dim=1), sl.Tower(sl.Normalization("price"), dim=1, module=Price())
    )
    model.prepare(train)
    model.query.tables["who:StringLookup"].weight[:] = 1.0
    return sl.Recommender(model.eval(), index=sl.BruteForce(), seen=train)


def ids(recommender: sl.Recommender, query: str = "bob", **options: Any) -> list[Any]:
    return recommender.recommend([query], k=10, exclude_seen=False, **options)[0].ids


def test_a_new_candidate_is_found_by_its_features(priced: sl.Recommender) -> None:
    priced.upsert(pl.DataFrame({"what": ["z", "y"], "price": [2.5, 9.0], "kind": ["x", None]}))
    assert ids(priced) == ["y", "c", "z", "b", "a"]
    assert ids(priced, where="kind = 'x'") == ["c", "z", "a"]
    assert ids(priced, deny=["y"], allow=["y", "z"]) == ["z"]
    assert "z" in priced.similar(["y"], k=4)[0].ids


def test_a_replaced_candidate_keeps_what_did_not_come_and_who_saw_it(priced: sl.Recommender) -> None:
    priced.upsert(pl.DataFrame({"what": ["a"], "price": [10]}))
    assert ids(priced) == ["a", "c", "b"]
    assert ids(priced, where="kind = 'x'") == ["a", "c"]
    assert priced.recommend(["ann"], k=3)[0].ids == ["c", "b"]  # still seen


def test_a_deleted_candidate_is_nowhere(priced: sl.Recommender) -> None:
    assert priced.delete(["c", "nowhere", "c"]) == 1
    assert ids(priced) == ["b", "a"]
    assert ids(priced, allow=["c", "a"]) == ["a"]
    assert ids(priced, where="kind = 'x'") == ["a"]
    with pytest.raises(DataError, match="does not have 'c'"):
        priced.similar(["c"])
    priced.cold_start = "popularity"
    assert ids(priced, "stranger") == ["a", "b"]
    assert ids(priced, "stranger", allow=["c", "b"]) == ["b"]
    priced.upsert(pl.DataFrame({"what": ["c"], "price": [0.5]}))
    priced.cold_start = "unknown"
    assert ids(priced) == ["b", "a", "c"]
    assert ids(priced, where="kind = 'x'") == ["a"]  # its kind went with it


@pytest.mark.parametrize("count", [3, 50])
@pytest.mark.parametrize("again", [False, True])
def test_what_changes_gave_a_candidate_goes_with_it(priced: sl.Recommender, count: int, again: bool) -> None:
    """20 times so many candidates with 2,000 characters each, new ones or the same: few and many take two ways."""
    for time in range(20):
        names = ["a", *(f"n{0 if again else time}-{number}" for number in range(count - 1))]
        priced.upsert(pl.DataFrame({"what": names, "kind": [str(time) * 2000] * count}))
        before = priced.served.state
        assert priced.delete(names) == count
    state = priced.served.state
    assert ids(priced) == ["c", "b"]
    assert state.candidates["kind"].null_count() == len(state.candidates) - 2
    assert state.candidates.filter(pl.col("what") == "b")["kind"].to_list() == ["y"]
    assert len(state.changed_rows) == 0
    assert before.candidates["kind"].null_count() == len(before.candidates) - 2 - count  # a state never changes
    merged = state.candidates.rechunk()  # as the next changes do
    assert merged.estimated_size() < 100 * len(merged)
    assert all(one.vector.base is None for one in state.deleted.values())  # none keeps those that went with it


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_rows_are_found_among_many(many: set[int], some: set[int]) -> None:
    own, rows = (np.array(sorted(one), np.int64) for one in (many, some))
    places, there = _places(own, rows)
    assert set(rows[there].tolist()) == many & some
    assert np.insert(own, places[~there], rows[~there]).tolist() == sorted(many | some)
    assert np.delete(own, places[there]).tolist() == sorted(many - some)


def test_the_bundles_own_rows_are_not_copied_when_they_are_deleted(priced: sl.Recommender) -> None:
    table = priced.served.state.candidates
    priced.delete(["a", "b"])
    assert priced.served.state.candidates is table
    priced.upsert(pl.DataFrame({"what": ["b"], "kind": ["z"]}))
    assert priced.served.state.changed_rows.tolist() == [1]


def test_categories_of_candidates_become_texts(priced: sl.Recommender) -> None:
    """Also in lists, and in further towers; an Enum and all else stay. Answers are the same."""
    state = priced.served.state
    words, levels = pl.Series("kind", ["x", "y", "x"]), pl.Enum(["low", "high"])
    tags = pl.Series("tags", [["a"], [], None], dtype=pl.List(pl.String))
    pairs = pl.Series("pair", [["a", "b"]] * 3, dtype=pl.Array(pl.String, 2))
    table = state.candidates.with_columns(
        words.cast(pl.Categorical),
        pairs.cast(pl.Array(pl.Categorical, 2)),
        tags.cast(pl.List(pl.Categorical)),
        pl.Series("level", ["low"] * 3, dtype=levels),
    )
    assert with_texts(priced.served) is priced.served  # what it has computed stays
    before = replace(priced.served, state=replace(state, candidates=table))
    after = with_texts(replace(before, others=(before,)))
    for one in (after, *after.others):
        assert one.state.candidates.schema == {
            "what": pl.String, "price": pl.Float64, "kind": pl.String, "pair": pl.Array(pl.String, 2),
            "tags": pl.List(pl.String), "level": levels,
        }  # fmt: skip
        assert one.state.candidates["tags"].to_list() == [["a"], [], None]
    assert with_texts(after).state is after.state
    assert ids(sl.Recommender(with_texts(before)), where="kind = 'x'") == ["c", "a"]


def test_one_change_makes_another_recommender(priced: sl.Recommender) -> None:
    after = sl.Recommender(changed(priced.served, pl.DataFrame({"what": ["n"], "price": [7.0]}), ["a"]))
    assert ids(priced) == ["c", "b", "a"]
    assert ids(after) == ["n", "c", "b"]
    assert after.candidate_ids.to_list() == ["a", "b", "c", "n"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"price": [1.0]}, "no column 'what'"),
        ({"what": ["q"], "prize": [1.0]}, "did you mean 'price'"),
        ({"what": ["q", "q"]}, "twice"),
        ({"what": [None]}, "are of type String"),
        ({"what": [7]}, "never converted"),
        ({"what": ["q"], "price": ["cheap"]}, "Float64 was expected"),
        ({"what": ["q"], "kind": [5]}, "String was expected"),
        ({"what": ["q"], "price": [float("nan")]}, "NaN"),
    ],
)
def test_what_does_not_fit_changes_nothing(priced: sl.Recommender, table: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        priced.upsert(pl.DataFrame(table))
    assert ids(priced) == ["c", "b", "a"]


def test_a_bundle_holds_what_is_there_when_it_is_saved(priced: sl.Recommender, tmp_path: Path) -> None:
    priced.upsert(pl.DataFrame({"what": ["n", "m"], "price": [7.0, 2.5], "kind": ["y", "x"]}))
    priced.upsert(pl.DataFrame({"what": ["b"], "price": [0.5]}))
    priced.delete(["c", "m"])
    priced.save(tmp_path / "b")
    assert priced.candidate_ids.to_list() == ["a", "b", "c", "n", "m"]  # the one saved stays as it was
    again = sl.Recommender.load(tmp_path / "b", modules={"candidate": Price()})
    assert again.candidate_ids.to_list() == ["a", "b", "n"]
    assert ids(again) == ids(priced) == ["n", "a", "b"]
    assert again.recommend(["ann"], k=3)[0].ids == ["n", "b"]  # a is still seen
    assert ids(again, where="kind = 'y'") == ["n", "b"]
    assert again.fingerprint != priced.fingerprint
    again.upsert(pl.DataFrame({"what": ["c"], "price": [3.0]}))
    assert ids(again) == ["n", "c", "a", "b"]


def test_what_was_seen_of_a_deleted_candidate_goes_with_it(priced: sl.Recommender, tmp_path: Path) -> None:
    priced.delete(["a"])
    priced.save(tmp_path / "b")
    again = sl.Recommender.load(tmp_path / "b")
    assert again.recommend(["ann", "bob"], k=3).to_frame()["what"].to_list() == ["c", "b", "c"]
    assert again.seen is not None
    assert again.seen.interactions.rows() == [("bob", "b")]


def test_an_approximate_index_is_built_anew(tmp_path: Path) -> None:
    """40 candidates, of which every other goes; the loaded one finds exactly what is left."""
    pairs = {"who": [f"u{number % 10}" for number in range(40)], "what": list(range(40))}
    train = sl.Dataset(pairs, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=4), sl.Tower(sl.IntegerLookup("what"), dim=4))
    model.prepare(train)
    recommender = sl.Recommender(model.eval(), index=sl.ScaNN(), seen=train)
    recommender.delete(list(range(0, 40, 2)))
    recommender.save(tmp_path / "b")
    again = sl.Recommender.load(tmp_path / "b")
    assert set(ids(again, "u1")) <= set(range(1, 40, 2))
    assert again.index.ids.tolist() == list(range(20))


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(1, 9)), max_size=12))
def test_any_sequence_of_changes_is_as_if_built_so(priced: sl.Recommender, steps: list[tuple[str, int | None]]) -> None:
    now: dict[str, float] = {"a": 1.0, "b": 2.0, "c": 3.0}
    recommender = priced
    for name, price in steps:
        if price is None:
            recommender = sl.Recommender(changed(recommender.served, None, [name]))
            now.pop(name, None)
        else:
            recommender = sl.Recommender(changed(recommender.served, pl.DataFrame({"what": [name], "price": [price]})))
            now[name] = float(price)
    found = recommender.recommend(["bob"], k=10, exclude_seen=False)[0]
    assert set(found.ids) == set(now)
    prices = np.array([now[name] for name in found.ids])
    assert (np.diff(prices) <= 0).all()
    assert recommender.index.size == len(now)


def test_older_states_stay_as_they_were_through_many_changes(priced: sl.Recommender) -> None:
    """Replaced, new and deleted in turn, often enough that tables and vectors are made afresh on the way."""
    states = [(priced, {"a": 1.0, "b": 2.0, "c": 3.0})]
    for number in range(150):
        recommender, prices = states[-1]
        table = {"what": ["b", f"n{number % 40}"], "price": [float(number), number + 0.5]}
        recommender = sl.Recommender(changed(recommender.served, pl.DataFrame(table), [f"n{(number + 7) % 40}"]))
        prices = {**prices, **dict(zip(table["what"], table["price"], strict=True))}
        prices.pop(f"n{(number + 7) % 40}", None)
        states.append((recommender, prices))
    for recommender, prices in states[::10]:
        found = recommender.recommend(["bob"], k=60, exclude_seen=False)[0]
        expected = recommender.embed_candidates(pl.DataFrame({"price": list(prices.values())}))[:, 0].tolist()
        assert dict(zip(found.ids, found.scores, strict=True)) == pytest.approx(
            dict(zip(prices, expected, strict=True))
        )
        state = recommender.served.state
        at = state.candidate_ids.rows(list(prices))
        assert recommender.served.vectors_of(np.array(at))[:, 0].tolist() == pytest.approx(expected)
        assert state.candidates["price"].gather(at).to_list() == list(prices.values())
        assert state.candidate_ids.take(np.array(at)) == list(prices)


def test_a_recommender_without_candidates_answers_and_is_not_saved(priced: sl.Recommender, tmp_path: Path) -> None:
    priced.delete(["a", "b", "c"])
    assert len(priced.recommend(["ann"], k=2)[0]) == 0
    with pytest.raises(ConfigError, match="all 3 candidates are deleted; a bundle needs at least one"):
        priced.save(tmp_path / "none.shortlist")
    assert not (tmp_path / "none.shortlist").exists()
    assert priced.ann_overlap(k=2) == 1.0  # there is nothing to find


def test_cells_that_a_row_lacks_are_kept_in_every_source() -> None:
    """Rows of one change that have different columns: the same as one change for each row, in both towers' tables and vectors."""
    films = {"film": [0, 1, 2], "year": [1990.0, 1995.0, 2000.0], "kind": ["x", "y", "x"]}
    train = sl.Dataset({"who": ["ann", "bob", "ann"], "film": [0, 1, 2]}, "who", "film", candidates=films)

    def towers(feature: Any) -> sl.TwoTower:
        model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(feature, dim=2))
        sl.fit(model, train, epochs=1)
        return model

    model = sl.Mixture([towers(sl.Category("kind")), towers(sl.Normalization("year"))], train)
    before = sl.Recommender(model, sl.BruteForce()).served
    rows: list[dict[str, Any]] = [
        {"film": 0, "year": 2020.0}, {"film": 1, "kind": "x"}, {"film": 2}, {"film": 3, "kind": "y"}, {"film": 4, "year": 1999.0}
    ]  # fmt: skip
    given = {name: [name in row for row in rows] for name in ("year", "kind")}
    table = pl.DataFrame(rows, schema={"film": pl.Int64, "year": pl.Float64, "kind": pl.String})
    together = changed(before, table, given=given)
    apart = before
    for row in rows:
        apart = changed(apart, pl.DataFrame([row]))
    for one, other in zip((together, *together.others), (apart, *apart.others), strict=True):
        assert one.state.candidates.rows() == other.state.candidates.rows()
        np.testing.assert_allclose(one.vectors, other.vectors, rtol=1e-6)  # type: ignore[arg-type]
    assert together.state.candidates.rows()[:3] == [(0, 2020.0, "x"), (1, 1995.0, "x"), (2, 2000.0, "x")]
