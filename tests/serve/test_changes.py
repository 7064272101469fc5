"""Changes folded into one state: a log that was shortened says the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shortlist as sl
from shortlist.recommender.live import as_stored
from shortlist.serve.changes import Changes, column_of
from shortlist.serve.events import Events

STEP = st.one_of(
    st.builds(lambda one, stock: ("upsert", one, stock), st.sampled_from("abz"), st.integers(0, 3)),
    st.builds(lambda one: ("delete", one, 0), st.sampled_from("abz")),
    st.builds(lambda one, at: ("expire", one, at), st.sampled_from("abz"), st.integers(0, 30)),
)


@given(st.lists(STEP, max_size=14))
def test_a_shortened_log_says_the_same(steps: list[tuple[str, str, int]]) -> None:
    long = Changes(Events(None))
    long.id_column = "what"
    for now, (kind, one, value) in enumerate(steps):
        made = {"op": "change", "at": float(now), "upsert": [], "delete": [], "expire": []}
        made[kind] = {
            "upsert": [{"what": one, "stock": value}],
            "delete": [one],
            "expire": [{"id": one, "at": float(value)}],
        }[kind]
        long.apply(made)
    short = Changes(Events(None))
    short.id_column = "what"
    for made in long.records():
        short.apply(made)
    for now in (10.0, 40.0):
        long.expired(now)
        short.expired(now)
        assert (short._rows, set(short._deleted)) == (long._rows, set(long._deleted))


def test_others_have_turns_while_many_choices_are_recorded() -> None:
    """1,001 choices of one record: before the first, and after each 200."""
    changes, left = Changes(Events(None)), []
    events = [{"query": number, "candidate": "a", "at": 0.0} for number in range(1001)]
    changes.apply({"op": "events", "at": 0.0, "events": events}, lambda: left.append(changes.events.count))
    assert left == [0, 200, 400, 600, 800, 1000]
    assert changes.events.count == 1001


def test_names_of_changes_are_kept_without_looking_through_them() -> None:
    """The last 4,096 of 10,000; and what reads a log never copies them for a record."""

    class Counted(dict[str, Any]):
        walks = 0

        def __iter__(self) -> Iterator[str]:
            Counted.walks += 1
            return super().__iter__()

    changes = Changes(Events(None))
    changes.outcomes = Counted()
    record = {"op": "events", "at": 0.0, "events": []}
    for number in range(10_000):
        changes.apply({**record, "name": str(number), "outcome": number})
        changes.apply(record)
    assert list(changes.outcomes) == [str(number) for number in range(10_000 - 4096, 10_000)]
    assert Counted.walks == 10_000 - 4096 + 1  # to the first one, for each that goes; and just now
    again = Changes(Events(None))
    for made in changes.records():
        again.apply(made)
    assert again.outcomes == changes.outcomes


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("us"), pl.Datetime("ms", "UTC"), pl.Time, pl.List(pl.Date)])
@pytest.mark.parametrize("value", [1_700_000_000, 1_700_000_000_000, 0, 1.5, True])
def test_a_number_is_no_time(kind: pl.DataType, value: float) -> None:
    """Polars would take it for days, milliseconds, microseconds or nanoseconds, by the column."""
    values = [[value]] if isinstance(kind, pl.List) else [value]
    with pytest.raises(sl.DataError, match="takes"):
        column_of("released", [*values, None], {"released": kind})


def test_a_time_is_a_text() -> None:
    texts = ["2020-01-31T12:00:00", None]
    assert column_of("released", texts, {"released": pl.Datetime("us")}).to_list() == texts
    assert column_of("released", [None, None], {"released": pl.Datetime("us")}).to_list() == [None, None]


@pytest.mark.parametrize(
    "kind",
    [
        pl.String(), pl.Int64(), pl.UInt8(), pl.Float64(), pl.Boolean(), pl.Date(), pl.Datetime("us", "UTC"), pl.Time(),
        pl.Categorical(), pl.Enum(["x"]), pl.List(pl.String), pl.List(pl.Int64), pl.Array(pl.Float32, 2),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 3])
def test_nulls_alone_fit_a_column_of_every_kind(kind: pl.DataType, count: int) -> None:
    found = as_stored(column_of("released", [None] * count, {"released": kind}), kind)
    assert found.dtype == kind
    assert found.to_list() == [None] * count


def test_few_entries_of_any_kind_are_applied_between_two_pauses() -> None:
    """1,000 of each of four kinds: a pause before every 200."""
    rows = [{"what": f"r{one}"} for one in range(1000)]
    record = {
        "op": "change",
        "at": 0.0,
        "upsert": rows,
        "delete": [f"d{one}" for one in range(1000)],
        "expire": [{"id": f"r{one}", "at": 9e9} for one in range(1000)],
    }
    events = {"op": "events", "at": 0.0, "events": [{"query": one, "candidate": "c", "at": 1.0} for one in range(1000)]}
    changes = Changes(Events(None))
    changes.id_column = "what"
    sizes: list[int] = []
    for one in (record, events):
        changes.apply(one, lambda: sizes.append(changes.size))
    assert sizes == list(range(0, 4000, 200))
    assert changes.size == 4000
