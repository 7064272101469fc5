"""The bytes that are kept of changes: counted exactly, foreseen exactly, and bounded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.changing import KEY, WRITE, change, ids

import shortlist as sl
from shortlist.serve import Service, Settings, kept
from shortlist.serve.changes import Changes, Foreseen
from shortlist.serve.events import Events
from shortlist.serve.kept import Growth, Kept, Sizes, in_parts, width_of
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.writer import _Task

MOST = 1 << 20  # bytes, the least limit that can be set
FLAT, CELL, MEMBER = 600, 80, 40


def record(at: float = 0.0, **parts: Any) -> dict[str, Any]:
    return {"op": "change", "at": at, "upsert": [], "delete": [], "expire": [], **parts}


def all_changes(width: int = 0) -> Changes:
    made = Changes(Events(None))
    made.id_column, made.kept.width = "what", width
    return made


def recounted(changes: Changes) -> int:
    """The bytes, from the shortest log alone: as plainly as can be."""
    candidates: set[Any] = set()
    size = 0
    for one in changes.records():
        rows = one.get("upsert", [])
        candidates |= (
            {row["what"] for row in rows} | {*one.get("delete", [])} | {x["id"] for x in one.get("expire", [])}
        )
        for row in rows:
            for value in row.values():
                size += CELL
                if isinstance(value, str):
                    size += 2 * characters(value)
                elif isinstance(value, list):
                    size += sum(MEMBER + 2 * characters(member) for member in value)
    return size + sum(FLAT + changes.kept.width + characters(one) for one in candidates)


def characters(value: Any) -> int:
    if not isinstance(value, str):
        return 8
    return len(value) * (1 if value.isascii() else 4)


IDS = st.sampled_from(["a", "b", "é", "long one", 7])
TEXTS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(0, 1), st.text(max_size=5))
ROWS = st.dictionaries(st.sampled_from(["name", "kind", "tags"]), st.one_of(TEXTS, st.lists(TEXTS, max_size=4)))
RECORDS = st.builds(
    lambda at, upsert, delete, expire: record(
        at=float(at),
        upsert=[{"what": one, **row} for one, row in upsert.items()],
        delete=delete,
        expire=[{"id": one, "at": float(at)} for one, at in expire.items()],
    ),
    st.integers(0, 20),
    st.dictionaries(IDS, ROWS, max_size=2),
    st.lists(IDS, max_size=2),
    st.dictionaries(IDS, st.integers(0, 20), max_size=2),
)
EVENTS = st.just({"op": "events", "at": 0.0, "events": [{"query": "ann", "candidate": "b", "at": 0.0}]})
STEPS = st.lists(st.one_of(RECORDS, RECORDS, EVENTS, st.sampled_from(["copy", "expired", "log"])), max_size=14)


@given(STEPS)
def test_the_count_is_exact_after_any_sequence_of_changes(steps: list[Any]) -> None:
    changes, copies = all_changes(width=32), []
    for now, step in enumerate(steps):
        if step == "copy":
            copies.append((changes, recounted(changes)))
            changes = changes.copied()
            changes._queue = list(copies[-1][0]._queue)
        elif step == "expired":
            changes.expired(float(now))
        elif step == "log":
            again = all_changes(width=32)
            again.apply_all(changes.records())
            changes = again
        else:
            changes.apply({**step, "at": float(now)})
        assert changes.kept.size == recounted(changes)
    for before, size in copies:
        assert before.kept.size == recounted(before) == size


@given(st.lists(RECORDS, max_size=5), st.lists(st.one_of(RECORDS, EVENTS), max_size=5))
def test_what_a_batch_of_records_will_add_is_known_before(first: list[Any], batch: list[Any]) -> None:
    """To the byte: it is taken where that fits, and its last record that grows is refused where one byte is missing."""
    changes = all_changes(width=32)
    changes.apply_all(first)
    after, sizes = all_changes(width=32), [changes.kept.size]
    after.apply_all(first)
    for one in batch:
        after.apply(one)
        sizes.append(after.kept.size)
    foreseen, growth = Foreseen(changes), Growth(changes, max(sizes))
    parts = []
    for one, size in zip(batch, sizes[1:], strict=True):
        parts.append(growth.of(one, foreseen.overdue(one["at"]), lambda: None))
        growth.add(parts[-1])
        foreseen.add(one)
        assert changes.kept.size + growth._size == size
    for at, part in enumerate(parts):
        foreseen, growth = Foreseen(changes), Growth(changes, sizes[at + 1] - 1)
        for one, before in zip(batch[:at], parts[:at], strict=True):
            growth.add(before)
            foreseen.add(one)
        overdue = foreseen.overdue(batch[at]["at"])
        if part.size > 0:
            with pytest.raises(Problem, match=f"would keep {sizes[at + 1]:,} bytes"):
                growth.of(batch[at], overdue, lambda: None)
        else:
            assert growth.of(batch[at], overdue, lambda: None) == part
    assert recounted(changes) == changes.kept.size == sizes[0]


def test_what_a_candidate_counts() -> None:
    """By hand: 600 and its id; 80 for each value; 2 for a character, 8 for one that is not ASCII; 56 for a number in a list."""
    changes = all_changes(width=100)
    changes.apply(record(delete=["ab"]))
    assert changes.kept.size == 600 + 100 + 2
    changes.apply(record(upsert=[{"what": "ab", "name": "four", "stock": 3, "tags": [1, 2]}]))
    assert changes.kept.size == 702 + (80 + 4) + (80 + 8) + 80 + (80 + 2 * 56)
    changes.apply(record(upsert=[{"what": "ab", "name": "é", "tags": None}]))
    assert changes.kept.size == 702 + (80 + 4) + (80 + 8) + 80 + 80
    changes.apply(record(expire=[{"id": 5, "at": 10.0}]))
    assert changes.kept.size == 702 + (80 + 4) + (80 + 8) + 80 + 80 + 600 + 100 + 8
    changes.apply(record(at=20.0, delete=["ab"]))
    assert changes.kept.size == 702 + 708
    changes.kept.width = 0  # another bundle
    assert changes.kept.size == 602 + 608


def test_a_candidate_that_expires_before_a_record_frees_its_columns() -> None:
    changes = all_changes()
    changes.apply(record(upsert=[{"what": "a", "name": "n" * 100}], expire=[{"id": "a", "at": 10.0}]))
    growth, small = Growth(changes, changes.kept.size), record(at=20.0, upsert=[{"what": "b"}])
    with pytest.raises(Problem):
        growth.of({**small, "upsert": [{"what": "b", "name": "n" * 100}]}, [], lambda: None)
    growth = Growth(changes, changes.kept.size + 400)  # a's columns were 82 and 280; b's are 82, and b itself 601
    growth.add(growth.of(small, ["a"], lambda: None))
    changes.apply(small)
    assert changes.kept.size == recounted(changes) == 601 + 601 + 82


def test_the_width_of_a_candidate_is_that_of_its_vector_and_of_its_columns(writable: Callable[..., Any]) -> None:
    client = writable()
    assert width_of(client.app.service.loaded.served) == 4 * 2 + 4 * 16  # two dimensions, four columns
    assert client.app.service.writer.changes.kept.width == 72
    assert kept._width_of_type(pl.Array(pl.Array(pl.Float32, 3), 10)) == 10 * 3 * 16
    assert kept._width_of_type(pl.Struct({"a": pl.Int8, "b": pl.Array(pl.Int8, 2)})) == 16 + 32


def test_others_have_turns_while_sizes_are_counted() -> None:
    """Before each 200 rows; and after each 2,000 values of lists, however they are spread over rows."""
    left: list[int] = []
    assert list(in_parts(range(401), lambda: left.append(1))) == [*range(401)]
    assert len(left) == 3
    for rows in ([{"tags": [1] * 10_000}], [{"tags": [1] * 100}] * 100, [{str(n): [1] * 100 for n in range(100)}]):
        pauses: list[int] = []
        sizes = Sizes(lambda: pauses.append(1))  # noqa: B023 - called before the next
        assert sum(map(sizes.of, rows)) == 80 * sum(map(len, rows)) + 10_000 * 56
        assert len(pauses) == 4
    assert Sizes().of(None) == 0


def test_others_have_turns_while_a_change_is_looked_at() -> None:
    """1,001 candidates each that are upserted, deleted and given an expiry: before the first, and after each 200."""
    pauses: list[int] = []
    names = [str(number) for number in range(1001)]
    one = record(
        upsert=[{"what": name} for name in names], delete=names, expire=[{"id": name, "at": 9.0} for name in names]
    )
    Growth(all_changes(), 1 << 30).of(one, [], lambda: pauses.append(1))
    assert len(pauses) == 3 * 6


def test_who_follows_another_process_counts_nothing_twice() -> None:
    calls: list[int] = []
    part = Growth(all_changes(), None).of(record(upsert=[{"what": "a"}] * 500), [], lambda: calls.append(1))
    assert (part.rows, part.added, part.size, calls) == ({}, set(), 0, [])


def large(*names: str, characters: int = 60_000) -> list[dict[str, Any]]:
    return [{"what": name, "full_name": "n" * characters} for name in names]


def test_changes_beyond_the_limit_are_refused_and_those_that_free_are_taken(writable: Callable[..., Any]) -> None:
    client = writable(change_bytes=MOST)
    service = client.app.service
    log = service.settings.state / "changes.log"
    assert change(client, upsert=large(*"efgh")).status_code == 200
    assert change(client, upsert=large(*"ijkl")).status_code == 200  # 8 of 120,000
    before = service.writer.changes.kept.size, log.stat().st_size
    reply = change(client, upsert=large("m"))
    assert reply.status_code == 503
    problem = reply.json()
    grown = before[0] + 120_000 + 2 * 80 + 2 + 600 + 72 + 1
    assert problem["detail"] == (
        f"the change was not made: the server would keep {grown:,} bytes of changes; at most 1,048,576 were expected."
    )
    assert "--max-changes" in problem["hint"]
    assert reply.headers["retry-after"] == "60"
    assert (service.writer.changes.kept.size, log.stat().st_size) == before
    assert "m" not in ids(client)
    text = client.get("/metrics").text
    assert 'shortlist_refused_total{reason="changes"} 1.0' in text
    assert f"shortlist_changes_kept_bytes {float(before[0])}" in text
    assert "shortlist_changes_limit_bytes 1.048576e+06" in text
    events = {"events": [{"query": "ann", "candidate": "m"}]}
    assert client.post("/v1/events", events, headers=KEY).status_code == 200
    assert change(client, upsert=large("e")).status_code == 200  # as it was
    assert change(client, upsert=large("f", characters=100)).status_code == 200
    assert change(client, upsert=large("m", characters=59_000)).status_code == 200  # where f's was
    assert change(client, upsert=large("n"), delete=["m"]).status_code == 200
    assert change(client, upsert=large("o")).status_code == 503
    assert change(client, delete=["n", "e"]).status_code == 200
    assert change(client, upsert=large("o")).status_code == 200
    assert set(ids(client, k=50)) == {*"abcdfghijklo"}
    assert set(ids(writable(change_bytes=MOST), k=50)) == {*"abcdfghijklo"}


@pytest.mark.parametrize("kind", ["upsert", "delete", "expire"])
def test_ids_alone_reach_the_limit_whatever_is_done_with_them(writable: Callable[..., Any], kind: str) -> None:
    """Also those that no bundle ever had: each counts once, for good."""
    client = writable(change_bytes=MOST)
    make = {
        "upsert": lambda names: [{"what": name} for name in names],
        "delete": list,
        "expire": lambda names: [{"id": name, "at": 9e9} for name in names],
    }[kind]
    each = 600 + 72 + 7 + (80 + 2 * 7 if kind == "upsert" else 0)
    fit = MOST // each
    names = [f"{number:07}" for number in range(fit + 1)]
    assert change(client, **{kind: make(names)}).status_code == 503
    assert client.app.service.writer.changes.kept.size == 0
    assert change(client, **{kind: make(names[:fit])}).status_code == 200
    assert client.app.service.writer.changes.kept.size == fit * each
    assert change(client, **{kind: make(names[:fit])}).status_code == 200  # again
    assert change(client, **{kind: make(names[-1:])}).status_code == 503
    assert change(client, delete=names[:fit]).status_code == 200
    assert client.app.service.writer.changes.kept.size == fit * (600 + 72 + 7)


def test_changes_of_one_batch_count_together(writable: Callable[..., Any]) -> None:
    """Each fits alone; the one that is refused takes no room from those behind it, nor one that does not fit the bundle."""
    service = writable(change_bytes=MOST).app.service
    records = [
        record(upsert=large(*"efgh")),
        record(upsert=[{"what": "x", "full_name": "n" * 60_000, "stock": "many"}]),
        record(upsert=large(*"ijkl")),
        record(upsert=large(*"mnop")),
        record(upsert=large("i", characters=10)),
        record(upsert=large("q", characters=59_000)),
    ]
    outcomes, loaded, logged = service.writer._apply([_Task(Future(), record=one) for one in records])
    statuses = [getattr(one, "status", 200) for one in outcomes]
    assert statuses == [200, 422, 200, 503, 200, 200]
    assert logged == [records[0], records[2], records[4], records[5]]
    assert {*"efghijklq"} <= loaded.state.candidate_ids.row_of.keys()
    assert service.writer.changes.kept.size == recounted(service.writer.changes) <= MOST


def test_a_log_beyond_the_limit_still_starts(writable: Callable[..., Any]) -> None:
    """What was acknowledged is there; what makes it more is refused until it is less."""
    client = writable()
    for names in ("efghijkl", "mnopqrst"):
        assert change(client, upsert=large(*names)).status_code == 200
    client = writable(change_bytes=MOST)
    assert set(ids(client, k=50)) == {*"abcdefghijklmnopqrst"}
    assert client.app.service.writer.changes.kept.size > 1.8 * MOST
    assert change(client, upsert=[{"what": "u"}]).status_code == 503
    assert change(client, delete=["unknown"]).status_code == 503
    assert change(client, upsert=[{"what": "e", "stock": 1}]).status_code == 503
    assert change(client, upsert=large("e", characters=10)).status_code == 200
    assert change(client, delete=[*"fghijklmno"]).status_code == 200
    assert change(client, upsert=[{"what": "u"}]).status_code == 200


def test_a_server_that_takes_changes_keeps_no_categories(
    clients: Callable[..., Any], tmp_path: Path, bundles: Path
) -> None:
    """Polars keeps each word of one for good: texts of a candidate that is upserted again and again would never be freed."""
    made = sl.Recommender.load(bundles / "one")
    state = made.served.state
    table = state.candidates.with_columns(pl.col("kind").cast(pl.Categorical))
    made.served = replace(made.served, state=replace(state, candidates=table))
    for settings, kind in ((Settings(), pl.Categorical), (Settings(write_keys=(WRITE,), state=tmp_path), pl.String)):
        client = clients(settings, made)
        assert client.app.service.loaded.state.candidates["kind"].dtype == kind
        assert set(ids(client, where="kind = 'x'")) == {"a", "c"}
        client.loop.run_until_complete(client.app.service.writer.swap(Loaded("one", made.served)))
        assert client.app.service.loaded.state.candidates["kind"].dtype == kind
        assert (client.app.service.loaded.served is made.served) == (kind == pl.Categorical)  # with all it has computed
    assert change(client, upsert=[{"what": "e", "kind": "x"}, {"what": "a", "kind": "z"}]).status_code == 200
    assert set(ids(client, where="kind = 'x'")) == {"c", "e"}
    follower = Service(Loaded("one", made.served), settings, follows=[])  # of another process's log
    assert follower.loaded.state.candidates["kind"].dtype == pl.String
    follower.close()


def test_copies_count_on_their_own() -> None:
    one = Kept()
    one.add("abc")
    copy = one.copied()
    copy.add_bytes(10)
    assert (one.size, copy.size) == (603, 613)


def test_a_row_of_the_bundle_before_ends_no_batch() -> None:
    """Its id is in another column since the bundle was replaced. Before, every change of its batch failed with it."""
    changes = Changes(Events(None))
    changes.id_column = "item"
    record = {"op": "change", "at": 0.0, "upsert": [{"what": "a", "kind": "x"}], "delete": [], "expire": []}
    growth = Growth(changes, 1 << 20)
    growth.add(growth.of(record, [], lambda: None))
    assert changes.kept.size == 0
