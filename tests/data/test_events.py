"""Which rows are interactions, what they weigh, which count as seen: the same in memory and from disk."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shortlist as sl
from shortlist.data.events import Events
from shortlist.errors import ConfigError, DataError, ShortlistWarning

LOG = pl.DataFrame(
    {
        "who": ["ann", "ann", " bob", "bob", "cat", "NaN", None, "cat"],
        "what": [1, 2, 1, 1, 3, 1, 2, 2],
        "event": ["view", "cart", "buy", "view", "remove_from_cart", "buy", "buy", None],
        "at": [1, 2, 3, 4, 5, 6, 7, 8],
    }
)
WEIGHTS = {"event": {"view": 1, "cart": 3, "buy": 10}}


def in_memory(log: pl.DataFrame, tmp_path: Path, events: Events | None) -> sl.Dataset:
    return sl.Dataset(log, "who", "what", "at", events=events)


def from_disk(log: pl.DataFrame, tmp_path: Path, events: Events | None) -> sl.Dataset:
    half = log.height // 2
    (tmp_path / "log").mkdir()
    log[:half].write_parquet(tmp_path / "log" / "a.parquet")
    log[half:].write_parquet(tmp_path / "log" / "b.parquet")
    shards = sl.Shards.encode(
        tmp_path / "log", tmp_path / "shards",
        query="who", candidate="what", timestamp="at", events=events, block_rows=2, piece_rows=2,
    )  # fmt: skip
    assert len(shards) == len(shards.to_dataset())
    assert shards.account.to_dict() | {"files": None, "notes": None, "warnings": None} == shards.to_dataset().account.to_dict() | {
        "files": None, "notes": None, "warnings": None, "times": shards.account.times,
    }  # fmt: skip
    return shards.to_dataset()


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


def told(read: Any, log: pl.DataFrame, tmp_path: Path, events: Events | None = None) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(log, tmp_path, events)
    assert len(caught) == len({str(one.message) for one in caught})  # once, not twice
    assert all(issubclass(one.category, ShortlistWarning) for one in caught)
    return [str(one.message) for one in caught]


CLEAN = pl.DataFrame({"who": ["ann", "bob", "cat"], "what": ["x", "y", "z"], "at": [1, 2, 3]})


@pytest.mark.parametrize("read", [in_memory, from_disk])
@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"event": ["view", "cart", "remove_from_cart"]}, "1 rows have 'remove_from_cart' as 'event'"),
        ({"status": ["paid", "Cancelled", "REFUNDED"]}, "2 rows have 'Cancelled', 'REFUNDED' as 'status'"),
        ({"Quantity": [1, -6, 2]}, "1 rows have a negative 'Quantity'"),
        (
            {"who": ["ann", "ann ", "bob"]},
            "1 of 3 ids in 'who' differ from another only by blanks, such as 'ann' and 'ann '",
        ),
        ({"who": ["ann", "Ann", "bob"]}, "only by upper and lower case, such as 'Ann' and 'ann'"),
        ({"who": ["\u00fc", "u\u0308", "bob"]}, "only by Unicode's normal form"),
        ({"who": ["ann", "who", "bob"]}, """1 of the rows have the column's own name, 'who', as 'who'"""),
        ({"what": ["NaN", "None", "z"]}, "2 of the rows have 'NaN', 'None' as 'what'"),
        ({"what": ["12346.0", "12347.0", "x"]}, "2 of 3 ids in 'what' are whole numbers with .0, such as '12346.0'"),
    ],
)
def test_what_looks_wrong_is_said_once_with_numbers(
    read: Any, columns: dict[str, list[Any]], says: str, tmp_path: Path
) -> None:
    (found,) = told(read, CLEAN.with_columns(**{name: pl.Series(values) for name, values in columns.items()}), tmp_path)
    assert says in found


@pytest.mark.parametrize("read", [in_memory, from_disk])
def test_clean_tables_are_read_in_silence(read: Any, tmp_path: Path) -> None:
    log = CLEAN.with_columns(event=pl.Series(["view", "returning", "cart"]), lat=pl.Series([-1.5, 2.0, 3.0]))
    assert told(read, log, tmp_path) == []


@pytest.mark.parametrize("read", [in_memory, from_disk])
def test_events_that_are_spoken_for_are_not_warned_of(read: Any, tmp_path: Path) -> None:
    log = CLEAN.with_columns(event=pl.Series(["view", "cart", "remove_from_cart"]), qty=pl.Series([1, 2, -1]))
    assert told(read, log, tmp_path, Events(where="event <> 'remove_from_cart' and qty > 0")) == []


@pytest.mark.parametrize("read", [in_memory, from_disk])
def test_a_crawler_is_named(read: Any, tmp_path: Path) -> None:
    """bot has 30 of 60 rows among 31 queries; without it nobody stands out."""
    log = pl.DataFrame(
        {"who": ["bot"] * 30 + [f"u{n}" for n in range(30)], "what": [n % 7 for n in range(60)], "at": list(range(60))}
    )
    (found,) = told(read, log, tmp_path)
    assert "one who, 'bot', has 30 of 60 rows (50%)" in found
    (tmp_path / "again").mkdir()
    assert told(read, log, tmp_path / "again", Events(where="who <> 'bot'")) == []


@pytest.mark.parametrize(("length", "named"), [(60, True), (200, False)])
def test_a_crawler_can_be_left_out_by_the_condition_that_is_given(length: int, named: bool, tmp_path: Path) -> None:
    bot = "b" * length
    log = pl.DataFrame({"who": [bot] * 30 + [f"u{n}" for n in range(30)], "what": [n % 7 for n in range(60)], "at": 0})
    (found,) = told(in_memory, log, tmp_path)
    where = found.partition('--where "')[2].partition('")')[0]
    assert bool(where) == named
    if named:
        assert told(in_memory, log, tmp_path, Events(where=where)) == []
    assert len(found) < 300


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


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_from_float_columns(tmp_path: Path, suffix: str) -> None:
    """As pandas writes a column of integers in which one is missing."""
    log = pl.DataFrame({"who": [12346.0, None, 12347.0], "what": [1, 2, 3]})
    file = tmp_path / f"log.{suffix}"
    log.write_csv(file) if suffix == "csv" else log.write_parquet(file)
    data = sl.Dataset(file, "who", "what", events=Events(strip_ids=True, drop_null_ids=True))
    assert data.interactions["who"].to_list() == [12346, 12347]
    if suffix == "parquet":
        shards = sl.Shards.encode(
            file, tmp_path / "shards", query="who", candidate="what", events=Events(strip_ids=True, drop_null_ids=True)
        )
        assert shards.queries["who"].to_list() == [12346, 12347]
        with pytest.raises(DataError, match=r"1 are not whole numbers.*1\.5"):
            sl.Dataset({"who": [1.5, 2.0], "what": [1, 2]}, "who", "what", events=Events(strip_ids=True))


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_the_tables_of_features_are_cleaned_too() -> None:
    films = {"what": [" a", "b", None], "year": [1990, 2000, 2010]}
    data = sl.Dataset(
        {"who": [1, 1], "what": ["a", "b "]}, "who", "what", candidates=films,
        events=Events(strip_ids=True, drop_null_ids=True),
    )  # fmt: skip
    assert data.candidates.rows() == [("a", 1990), ("b", 2000)]


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
