"""``POST /v1/impressions``: on the disk when acknowledged, refused in words, bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.changing import KEY
from tests.serve.test_journal import AWAY

from shortlist.serve import change_routes, impressions
from shortlist.serve.impression_files import FOLDER, records_of, segments
from shortlist.serve.impressions import ImpressionLog
from shortlist.serve.logs import Log

SHOWN = {"query": "ann", "items": [{"candidate": "a"}, {"candidate": "b"}], "at": 5.0}


def logged(tmp_path: Path) -> list[dict[str, Any]]:
    return [record for path in segments(tmp_path / "state" / FOLDER) for record in records_of(path)]


def send(client: Any, *shown: dict[str, Any]) -> Any:
    return client.post("/v1/impressions", {"impressions": list(shown)}, headers=KEY)


def test_a_list_is_on_the_disk_when_it_is_acknowledged(writable: Callable[..., Any], tmp_path: Path) -> None:
    client = writable()
    item = {"candidate": "nowhere", "place": 7, "bundle": "a", "propensity": 0.25, "shares": {"model": 0.75}}
    assert send(client, SHOWN, {"query": "stranger", "items": [item], "request": "r-1", "bundle": "old"}).json() == {
        "recorded": 2
    }
    first, second = logged(tmp_path)
    assert first == {
        "op": "shown", "at": 5.0, "query": "ann", "bundle": client.app.service.loaded.bundle,
        "items": [{"candidate": "a", "place": 1}, {"candidate": "b", "place": 2}],
    }  # fmt: skip
    assert (second["query"], second["bundle"], second["request"], second["items"]) == ("stranger", "old", "r-1", [item])
    assert b'shortlist_changes_total{kind="impression"} 2.0' in client.get("/metrics").content


def test_events_follow_lists_in_the_same_log(writable: Callable[..., Any], tmp_path: Path) -> None:
    client = writable()
    event = {"query": "ann", "candidate": "c", "at": 6.0}
    assert client.post("/v1/events", {"events": [event]}, headers=KEY).status_code == 200
    assert not (tmp_path / "state" / FOLDER).exists()  # nobody logs what was shown
    send(client, SHOWN)
    assert client.post("/v1/events", {"events": [event]}, headers=KEY).json() == {"recorded": 1}
    assert [record["op"] for record in logged(tmp_path)] == ["shown", "events"]
    assert logged(tmp_path)[1]["events"] == [event]


def test_many_at_once_are_all_there(writable: Callable[..., Any], tmp_path: Path) -> None:
    client = writable()
    client._client.headers.update(KEY)
    bodies = [("/v1/impressions", {"impressions": [{**SHOWN, "request": f"r{n}"}]}) for n in range(300)]
    assert {reply.status_code for reply in client.together(bodies)} == {200}
    assert sorted(record["request"] for record in logged(tmp_path)) == sorted(f"r{n}" for n in range(300))


@pytest.mark.parametrize(
    ("shown", "field"),
    [
        ([], "$.impressions"),
        ([{**SHOWN, "items": []}], "$.impressions"),
        ([{**SHOWN, "query": 7}], "$.impressions[0].query"),
        ([SHOWN, {**SHOWN, "items": [{"candidate": 7}]}], "$.impressions[1].items[0].candidate"),
        ([{**SHOWN, "items": [{"candidate": "a", "place": 2}, {"candidate": "b"}]}], "$.impressions[0].items"),
        ([{**SHOWN, "items": [{"candidate": "a", "place": 0}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a", "propensity": 0}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a", "propensity": 1.5}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a", "shares": {str(n): 0.1 for n in range(33)}}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a", "shares": {"model": -0.1}}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a", "shares": {"model": 1e300}}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a"}, {"candidate": "a"}]}], "$.impressions[0].items"),
        ([{**SHOWN, "bundle": "x" * 201}], None),
        ([{**SHOWN, "items": [{"candidate": "a", "secret": 1}]}], None),
        ([{"items": [{"candidate": "a"}]}], None),
        ([{**SHOWN, "items": [{"candidate": "a"}] * 10_001}], "$.impressions[0].items"),
        ([{**SHOWN, "items": [{"candidate": f"{n}"} for n in range(6_000)]}] * 2, "$.impressions"),
    ],
)
def test_what_does_not_fit_is_refused_and_not_logged(
    writable: Callable[..., Any], tmp_path: Path, shown: list[Any], field: str | None
) -> None:
    reply = send(writable(), *shown)
    assert reply.status_code in (400, 422), reply.text
    assert field is None or reply.json()["field"] == field
    assert logged(tmp_path) == []


def test_a_write_key_is_needed(writable: Callable[..., Any], client: Any) -> None:
    assert writable().post("/v1/impressions", {"impressions": [SHOWN]}).status_code == 401
    assert client.post("/v1/impressions", {"impressions": [SHOWN]}).status_code == 403


def test_a_full_disk_is_told_and_the_next_list_is_logged(
    writable: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = writable()
    send(client, SHOWN)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        reply = send(client, SHOWN)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
    assert b'shortlist_refused_total{reason="disk"} 1.0' in client.get("/metrics").content
    assert send(client, SHOWN).status_code == 200
    assert len(logged(tmp_path)) == 2


def test_the_log_is_bounded_and_the_newest_stay(
    writable: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impressions, "PARTS", 256)
    client = writable(impression_bytes=1 << 20)  # files of 4 KiB
    items = [{"candidate": f"{n:03}" + "a" * 997, "place": n} for n in range(1, 101)]  # 100 kB each
    for number in range(15):
        assert send(client, {**SHOWN, "items": items, "request": f"r{number}"}).status_code == 200
    folder = tmp_path / "state" / FOLDER
    assert sum(path.stat().st_size for path in segments(folder)) <= 1.2 * (1 << 20)
    kept = [record["request"] for record in logged(tmp_path)]
    assert kept == [f"r{number}" for number in range(15 - len(kept), 15)]
    assert 8 <= len(kept) <= 12


def test_lists_of_one_request_are_one_write_with_pauses(
    writable: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,000 lists of two items are 1,000 records of three entries: 166 of them are at most 500, and a pause comes after as many."""
    client = writable()
    log = client.app.service.impressions
    writes, pauses = [], []
    write = log._write
    monkeypatch.setattr(log, "_write", lambda added: (writes.append([len(some) for some in added]), write(added)))
    monkeypatch.setattr(log, "_pause", lambda: pauses.append(1))
    shown = {**SHOWN, "items": [{"candidate": "a"}, {"candidate": "b"}]}
    assert send(client, *[shown] * 1000).status_code == 200
    assert writes == [[1000]]
    assert len(pauses) == 6  # 6 times 166 are 996
    assert len(logged(tmp_path)) == 1000


LISTS = {
    "one list": [10_000],
    "lists of one": [1] * 10_000,
    "long lists": [2_500] * 4,
    "short lists": [50] * 200,
    "a long one behind short ones": [*[1] * 400, 9_600],
}


@pytest.mark.parametrize("lengths", LISTS.values(), ids=LISTS)
def test_places_are_checked_between_pauses(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, lengths: list[int]
) -> None:
    """However they are spread over lists, at most 500 places are checked at once, and a list counts for ten of them."""
    pieces = pieces_of(writable(), monkeypatch, [{**SHOWN, "items": items(length)} for length in lengths])
    assert max(10 * lists + places for lists, places in pieces) <= 510
    assert tuple(map(sum, zip(*pieces, strict=True))) == (len(lengths), 10_000)


def test_shares_count_as_places(writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A place with 32 shares takes as long as nine without."""
    shares = {f"{number:02}": 0.5 for number in range(32)}
    shown = [{**SHOWN, "items": [{**one, "shares": shares} for one in items(1000)]}]
    pieces = pieces_of(writable(), monkeypatch, shown)
    assert max(places for _, places in pieces) <= 56
    assert sum(places for _, places in pieces) == 1000


def items(count: int) -> list[dict[str, Any]]:
    return [{"candidate": f"i{number}"} for number in range(count)]


def pieces_of(client: Any, monkeypatch: pytest.MonkeyPatch, shown: list[Any]) -> list[tuple[int, int]]:
    """Lists and places that were checked between two pauses, for one request."""
    pieces = [(0, 0)]

    def check(value: Any, strings: bool, field: str) -> None:
        lists, places = pieces[-1]
        pieces[-1] = (lists + 1, places) if field.endswith("query") else (lists, places + 1)

    monkeypatch.setattr(change_routes, "check_id", check)
    monkeypatch.setattr(client.app.service.turns, "yield_to_loop", lambda: pieces.append((0, 0)) or 0.0)
    assert send(client, *shown).json() == {"recorded": len(shown)}
    return pieces


@pytest.mark.parametrize("take_away", AWAY)
def test_what_is_acknowledged_after_a_file_was_taken_away_is_in_the_log(
    writable: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take_away: Callable[[Path], None]
) -> None:
    """Removed, renamed, rotated or cut off: before a list, and while it is written."""
    client = writable()
    folder = tmp_path / "state" / FOLDER
    assert send(client, {**SHOWN, "request": "first"}).status_code == 200
    take_away(segments(folder)[-1])
    assert send(client, {**SHOWN, "request": "second"}).status_code == 200
    assert "second" in [record["request"] for record in logged(tmp_path)]
    whole, taken = os.fsync, [take_away]

    def fsync(file: int) -> None:
        whole(file)
        if taken:
            taken.pop()(segments(folder)[-1])

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        assert send(client, {**SHOWN, "request": "third"}).status_code == 200
    assert send(client, {**SHOWN, "request": "fourth"}).status_code == 200
    assert {"third", "fourth"} <= {record["request"] for record in logged(tmp_path)}


def test_a_disk_that_stays_full_is_logged_once_and_events_are_said_to_count(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of requests at a full disk, whose log is perhaps on the same one; what is in the lists by then is said to be."""
    client = writable()
    send(client, SHOWN)
    said: list[str] = []
    client.app.service.log.event = lambda name, **what: said.append(name)
    whole = os.pwrite

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    for times in (1, 2):
        monkeypatch.setattr(os, "pwrite", full)
        for _ in range(3):
            assert send(client, SHOWN).json()["detail"] == "this could not be written to the impression log."
            event = {"events": [{"query": "ann", "candidate": "c"}]}
            reply = client.post("/v1/events", event, headers=KEY)
            assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
            assert "were recorded" in reply.json()["detail"]
        assert '"c"' in client.get("/v1/history", params={"query": "ann"}).text
        monkeypatch.setattr(os, "pwrite", whole)
        assert send(client, SHOWN).status_code == 200
        assert said == ["impressions_failed"] * times


@pytest.mark.parametrize("most", [1 << 20, 16 << 20, 1 << 30])
def test_files_are_short_where_several_processes_write(tmp_path: Path, most: int) -> None:
    log = ImpressionLog(tmp_path, most, Log(requests=False))
    assert {1 << 20: 1 << 16, 16 << 20: 1 << 16, 1 << 30: 1 << 22}[most] == log._longest
    log.close()


def test_the_log_of_several_processes_is_no_longer_than_that_of_one(tmp_path: Path) -> None:
    """Each writes to a file of its own, which no other deletes."""
    most, made = 16 << 20, []
    record = {"op": "shown", "at": 1.0, "query": "q" * 9_000, "items": [], "bundle": "b"}

    async def all_of() -> None:
        logs = [ImpressionLog(tmp_path, most, Log(requests=False)) for _ in range(8)]
        for _ in range(300):
            await asyncio.gather(*(log.add([record]) for log in logs))
            made.append(sum(path.stat().st_size for path in segments(tmp_path / FOLDER)))
        for log in logs:
            log.close()

    asyncio.run(all_of())
    assert most // 2 < max(made) <= most
