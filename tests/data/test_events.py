"""Which rows are interactions, what they weigh, which count as seen: the same in memory and from disk."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.memory_and_disk import from_disk, in_memory, told

import shortlist as sl
from shortlist.data.events import Events
from shortlist.errors import ConfigError, DataError

LOG = pl.DataFrame(
    {
        "who": ["ann", "ann", " bob", "bob", "cat", "NaN", None, "cat"],
        "what": [1, 2, 1, 1, 3, 1, 2, 2],
        "event": ["view", "cart", "buy", "view", "remove_from_cart", "buy", "buy", None],
        "at": [1, 2, 3, 4, 5, 6, 7, 8],
    }
)
WEIGHTS = {"event": {"view": 1, "cart": 3, "buy": 10}}


def rows(data: sl.Dataset) -> list[tuple[Any, ...]]:
    weight = pl.lit(None) if data.weight is None else pl.col(data.weight).cast(pl.Float64)
    seen = pl.lit(True) if data.seen_column is None else pl.col(data.seen_column)
    return data.interactions.select("at", "who", "what", weight.alias("w"), seen.alias("s")).sort("at").rows()


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            Events(where="event = 'buy'", drop_null_ids=True),
            [(3, " bob", 1, None, True)],
        ),
        (
            Events(drop_null_ids=True, strip_ids=True),
            [(1, "ann", 1, None, True), (2, "ann", 2, None, True), (3, "bob", 1, None, True), (4, "bob", 1, None, True),
             (5, "cat", 3, None, True), (8, "cat", 2, None, True)],
        ),
        (
            Events(weight_by=WEIGHTS, drop_null_ids=True),
            [(1, "ann", 1, 1, True), (2, "ann", 2, 3, True), (3, " bob", 1, 10, True), (4, "bob", 1, 1, True)],
        ),
        (
            Events(where="at < 5", weight_by=WEIGHTS, seen_where="event in ('cart', 'buy')", strip_ids=True),
            [(1, "ann", 1, 1, False), (2, "ann", 2, 3, True), (3, "bob", 1, 10, True), (4, "bob", 1, 1, False)],
        ),
    ],
)  # fmt: skip
def test_what_each_option_does(read: Any, events: Events, expected: list[Any], tmp_path: Path) -> None:
    data = read(LOG, tmp_path, events)
    assert rows(data) == expected
    assert data.seen.interactions["at"].sort().to_list() == [row[0] for row in expected if row[4]]


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_what_counts_as_seen_goes_with_a_split() -> None:
    data = sl.Dataset(LOG[:5], "who", "what", "at", events=Events(seen_where="event <> 'view'"))
    train, test = sl.split_by_time(data, at=4)
    assert train.seen.interactions["at"].to_list() == [2, 3]
    assert test.seen.interactions["at"].to_list() == [5]
    assert train.with_interactions(train.interactions).seen_column == data.seen_column


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_only_what_counts_as_seen_is_left_out_of_lists_and_of_measuring() -> None:
    log = pl.DataFrame({"who": ["a", "a", "b", "b"], "what": [1, 2, 1, 3], "event": ["view", "buy", "buy", "view"]})
    train = sl.Dataset(log, "who", "what", events=Events(seen_where="event = 'buy'"))
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.IntegerLookup("what"), dim=2))
    sl.fit(model, train, epochs=1, batch_size=4)
    recommender = sl.Recommender(model, seen=train)
    assert [sorted(one.ids) for one in recommender.recommend(["a", "b"], k=3)] == [[1, 3], [2, 3]]
    test = sl.Dataset(
        {"who": ["a", "b"], "what": [1, 1]}, "who", "what", queries=train.queries, candidates=train.candidates
    )
    found = sl.evaluate(model, test, seen=train, ks=(3,))
    assert found.figures["model"]["seen_in"]["top_3"] == 1.0
    assert found.figures["model"]["seen_out"]["top_3"] == 0.5  # a's 1 was but viewed; b bought 1


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (lambda: Events(where="event = 'bought'"), "no rows are left: all 8"),
        (lambda: Events(where="evnt = 'buy'"), "the interactions have no column 'evnt'.*did you mean 'event'"),
        (lambda: Events(where="at > date '2020-01-01'"), "where=.*is compared with"),
        (lambda: Events(seen_where="event ="), "seen_where=.*is not a condition"),
        (lambda: Events(weight_by={"evnt": {"buy": 1}}), "no column 'evnt'.*did you mean 'event'"),
        (lambda: Events(weight_by={"at": {"one": 1}}), "weight_by lists 'one'; 'at' is of type Int64"),
        (lambda: Events(weight_by={"event": {"sold": 1}}), "no rows are left"),
    ],
)
@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_what_cannot_be(read: Any, events: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"(?s){says}"):
        read(LOG, tmp_path, events())


@pytest.mark.parametrize("weight_by", [{}, {"a": {}}, {"a": {"x": 1}, "b": {"x": 1}}, {"a": {"x": -1}}, {"a": {"x": "1"}}, {"a": 1},
                                       {"a": {"x": float("nan")}}])  # fmt: skip
def test_weights_that_cannot_be(weight_by: Any) -> None:
    with pytest.raises(ConfigError, match="weight_by"):
        Events(weight_by=weight_by)


def test_a_weight_column_next_to_weights_by_event_is_refused() -> None:
    with pytest.raises(ConfigError, match="weight='at' was given with weight_by"):
        sl.Dataset(LOG, "who", "what", weight="at", events=Events(weight_by=WEIGHTS))


def test_unlisted_events_are_counted_and_misspelt_ones_named() -> None:
    events = Events(weight_by={"event": {"view": 1, "cart": 3, "bye": 10}})
    found = told(in_memory, LOG[:6], Path(), events)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notes = in_memory(LOG[:6], Path(), events).notes
    assert notes == (
        "left out 3 of 6 rows whose 'event' is not listed",
        "weight_by does not list these values of 'event': buy (2), remove_from_cart (1)",
    )
    assert any("weight_by lists 'bye', which no row has as 'event'; did you mean 'buy'?" in one for one in found)


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["view", "buy"]), pl.String])
def test_weights_by_any_type_of_column(kind: Any) -> None:
    log = pl.DataFrame({"q": [1, 2], "c": [1, 2], "event": pl.Series(["view", "buy"]).cast(kind)})
    assert sl.Dataset(log, "q", "c", events=Events(weight_by={"event": {"view": 1, "buy": 2}})).weights.tolist() == [
        1,
        2,
    ]  # type: ignore[union-attr]
    coded = log.with_columns(event=pl.Series([7, 8], dtype=pl.Int8))
    for weights in ({7: 1, 8: 2}, {"7": 1, "8": 2}):
        assert sl.Dataset(coded, "q", "c", events=Events(weight_by={"event": weights})).weights.tolist() == [1, 2]  # type: ignore[union-attr]


EVENTS = st.sampled_from(["view", "cart", "buy", "share"])
ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), EVENTS, st.integers(0, 9)), min_size=1, max_size=12
)


@settings(max_examples=30, deadline=None)
@given(rows_=ROWS, least=st.integers(0, 5))
@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_memory_and_disk_agree(tmp_path_factory: pytest.TempPathFactory, rows_: list[Any], least: int) -> None:
    log = pl.DataFrame(rows_, schema=["who", "what", "event", "at"], orient="row")
    events = Events(where=f"at >= {least}", weight_by=WEIGHTS, seen_where="event = 'buy'")
    weights = WEIGHTS["event"]
    expected = sorted(
        (at, who, what, float(weights[event]), event == "buy")
        for who, what, event, at in rows_
        if at >= least and event in weights
    )
    for number, read in enumerate((in_memory, from_disk)):
        place = tmp_path_factory.mktemp(f"agree{number}")
        if not expected:
            with pytest.raises(DataError, match="no rows are left"):
                read(log, place, events)
        else:
            assert sorted(rows(read(log, place, events))) == expected
