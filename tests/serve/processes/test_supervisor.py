"""Several processes behind one socket: what each may do without the others' noticing, seen from outside."""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.processes.conftest import KEY, LONG, Load, Several, ask, lives

from shortlist.serve.processes.system import own_memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the tests look into /proc")


def change(server: Several, **body: object) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/candidates", json=body, headers=KEY, timeout=LONG)


def test_a_change_is_on_every_worker_when_it_is_acknowledged(several: Callable[..., Several]) -> None:
    server = several()
    assert [sorted(one) for one in server.answers_of_all()] == [["a", "b", "c", "d"]] * 2
    assert change(server, delete=["c"]).json()["deleted"] == 1
    assert [sorted(one) for one in server.answers_of_all()] == [["a", "b", "d"]] * 2
    said = httpx.post(
        f"{server.url}/v1/events", json={"events": [{"query": "cat", "candidate": "a"}]}, headers=KEY, timeout=LONG
    )
    assert said.json() == {"recorded": 1}
    assert server.figure('shortlist_changes_total{kind="delete"}') == 1  # once, though three processes made it
    assert server.figure('shortlist_changes_total{kind="event"}') == 1
    refused = change(server, upsert=[{"what": "e", "stock": "many"}])
    assert (refused.status_code, refused.json()["field"]) == (422, "$.upsert[0].stock")
    server.stop()


def test_the_writing_process_refuses_what_would_keep_too_much(several: Callable[..., Several]) -> None:
    """The worker passes that on; the limit is that of one process, in the figures too, and outlives the writing process."""
    server = several("--max-changes", 1)
    large = [{"what": name, "full_name": "n" * 60_000} for name in "efghijkl"]
    assert change(server, upsert=large).json()["upserted"] == 8
    for _ in range(2):
        refused = change(server, upsert=[{"what": "m", "full_name": "n" * 60_000}])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
        assert "at most 1,048,576 were expected" in refused.json()["detail"]
        assert server.figure("shortlist_changes_limit_bytes") == 1 << 20
        assert 960_000 < server.figure("shortlist_changes_kept_bytes") < 1 << 20
        os.kill(server.writer(), signal.SIGKILL)
        server.until(
            lambda: server.figure("shortlist_writer_restarts_total") and server.figure("shortlist_changes_limit_bytes")
        )
    assert change(server, delete=["e"]).json()["deleted"] == 1
    assert change(server, upsert=[{"what": "m", "full_name": "n" * 50_000}]).json()["upserted"] == 1
    assert [sorted(one) for one in server.answers_of_all()] == [sorted("abcdfghijklm")] * 2
    server.stop()


def test_a_worker_that_is_killed_takes_only_what_it_had_in_hand_with_it(several: Callable[..., Several]) -> None:
    """Each client loses at most the one request that was on a connection to that worker."""
    server = several()
    change(server, delete=["c"])
    load = Load(server)
    load.more()
    first = server.workers()[0]
    os.kill(first, signal.SIGKILL)
    server.until(lambda: server.events("worker_ended"))
    load.more()
    server.until(server.whole)
    load.more()
    load.stop()
    assert max(load.lost) <= 1
    assert not load.wrong
    assert server.events("worker_ended")[0]["reason"] == "died"
    assert server.figure('shortlist_worker_replacements_total{reason="died"}') == 1
    assert [sorted(one) for one in server.answers_of_all()] == [["a", "b", "d"]] * 2  # the new one has the log, too
    server.stop()


def test_the_writing_process_is_killed_and_no_change_is_lost_or_made_twice(
    several: Callable[..., Several], tmp_path: Path
) -> None:
    """Changes under way at the kill are sent again to the next one, and each is in the log once."""
    import threading

    server = several()
    acknowledged: list[str] = []
    others: list[int] = []

    def send(first: str) -> None:
        with httpx.Client(base_url=server.url, headers=KEY, timeout=LONG) as client:
            number = 0
            while len(acknowledged) < 60:
                one = f"{first}{number}"
                said = client.post("/v1/candidates", json={"upsert": [{"what": one, "stock": 1}]})
                if said.status_code == 200:
                    acknowledged.append(one)
                else:
                    others.append(said.status_code)
                number += 1

    threads = [threading.Thread(target=send, args=(first,)) for first in "xyz"]
    for one in threads:
        one.start()
    for kill in range(3):
        server.until(lambda least=10 * (kill + 1): len(acknowledged) >= least)
        before = server.writer()
        os.kill(before, signal.SIGKILL)
        server.until(lambda before=before: server.writer() != before)
    for one in threads:
        one.join()
    assert not others
    lines = (tmp_path / "state" / "changes.log").read_text().splitlines()
    names = [line.partition('"name":"')[2][:16] for line in lines if '"name"' in line and '"upsert":[{' in line]
    assert len(names) == len(set(names))
    for found in server.answers_of_all():
        assert len(found) == 50  # as many as were asked for, of more than were there before
    vectors = httpx.post(f"{server.url}/v1/embed", json={"candidates": acknowledged}, timeout=LONG).json()["vectors"]
    assert all(vector is not None for vector in vectors)
    assert server.figure("shortlist_writer_restarts_total") == 3
    server.stop()


def test_a_swap_under_load_loses_no_request_and_the_old_processes_end(
    several: Callable[..., Several], bundles: Path, tmp_path: Path
) -> None:
    server = several()
    change(server, delete=["c"])
    old = server.workers()
    load = Load(server)
    load.more()
    (tmp_path / "next").symlink_to(bundles / "two")
    (tmp_path / "next").replace(tmp_path / "current")
    server.until(lambda: server.events("swapped"))
    server.until(lambda: not any(map(lives, old)))
    load.more()
    load.stop()
    assert load.lost == [0] * len(load.lost)
    assert not load.wrong
    assert [sorted(one) for one in server.answers_of_all()] == [["a", "b", "d"]] * 2  # the log went with it
    bundle = httpx.get(f"{server.url}/readyz", timeout=LONG).json()["bundle"]
    assert bundle == server.events("swapped")[0]["bundle"] != server.events("started")[0]["bundle"]
    assert server.figure('shortlist_swaps_total{outcome="done"}') == 1
    (tmp_path / "broken").mkdir()
    (tmp_path / "next").symlink_to(tmp_path / "broken")
    (tmp_path / "next").replace(tmp_path / "current")
    server.until(lambda: server.events("swap_refused"))
    assert "there is no bundle at" in server.events("swap_refused")[0]["reason"]
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    server.until(lambda: len(server.events("swap_refused")) == 2)
    server.process.send_signal(signal.SIGHUP)  # looks again
    server.until(lambda: len(server.events("swap_refused")) == 3)
    assert httpx.get(f"{server.url}/readyz", timeout=LONG).json()["bundle"] == bundle
    server.stop()


def other_bundle(path: Path, pairs: dict[str, list[object]]) -> None:
    """A bundle of other data than that of ``bundles``."""
    import shortlist as sl

    train = sl.Dataset(pairs, "who", "what")
    lookups = [sl.StringLookup if isinstance(pairs[name][0], str) else sl.IntegerLookup for name in ("who", "what")]
    model = sl.TwoTower(sl.Tower(lookups[0]("who"), dim=2), sl.Tower(lookups[1]("what"), dim=2))
    model.prepare(train)
    sl.Recommender(model.eval(), seen=train).save(path)


@pytest.mark.parametrize("wanted", [False, True])
def test_a_bundle_of_other_data_is_refused_unless_it_is_wanted(
    several: Callable[..., Several], tmp_path: Path, wanted: bool
) -> None:
    other_bundle(tmp_path / "other", {"who": ["u", "v"], "what": ["m", "n"]})
    other_bundle(tmp_path / "integers", {"who": [1, 2], "what": [3, 4]})
    server = several(*["--other-data"] * wanted)
    (tmp_path / "next").symlink_to(tmp_path / "integers")
    (tmp_path / "next").replace(tmp_path / "current")
    server.until(lambda: server.events("swap_refused"))
    (tmp_path / "next").symlink_to(tmp_path / "other")
    (tmp_path / "next").replace(tmp_path / "current")
    if wanted:
        server.until(lambda: server.events("swapped"))
        said = httpx.post(f"{server.url}/v1/recommend", json={"queries": [{"id": "u"}]}, timeout=LONG).json()
        assert sorted(item["id"] for item in said["results"][0]["items"]) == ["n"]  # u chose m
    else:
        server.until(lambda: len(server.events("swap_refused")) == 2)
        assert [sorted(one) for one in server.answers_of_all()] == [["a", "b", "c", "d"]] * 2
        assert "0.0% of the query ids and 0.0% of the candidate ids" in server.events("swap_refused")[1]["reason"]
    assert "another type" in server.events("swap_refused")[0]["reason"]
    server.stop()


def test_long_ids_are_warned_of_at_the_start(tmp_path: Path) -> None:
    other_bundle(tmp_path / "long", {"who": [2**53 + 1, 2], "what": [3, 4]})
    server = Several(tmp_path / "long", "--no-log")
    assert server.stop() == 0
    (warning,) = [line for line in server.lines if line.startswith("warning: ")]
    assert "query ids of this model are beyond 2^53" in warning


def test_a_worker_that_hangs_is_replaced(several: Callable[..., Several]) -> None:
    server = several("--worker-timeout", "5")
    stopped = server.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    server.until(lambda: server.events("worker_ended"))
    assert server.events("worker_ended")[0]["reason"] == "hung"
    assert not lives(stopped)
    server.until(server.whole)
    assert change(server, delete=["c"]).status_code == 200
    assert [sorted(one) for one in server.answers_of_all()] == [["a", "b", "d"]] * 2
    server.stop()


def test_no_process_outlives_the_supervisor(several: Callable[..., Several]) -> None:
    server = several()
    pids = server.pids()
    assert len(pids) == 3
    os.kill(server.workers()[0], signal.SIGSTOP)  # not even one that stands still
    server.process.kill()
    server.process.wait()
    deadline = 1000
    while any(map(lives, pids)) and deadline:
        deadline -= 1
        import threading

        threading.Event().wait(0.02)
    assert not any(map(lives, pids))


def test_a_worker_that_outgrows_its_memory_is_replaced(several: Callable[..., Several]) -> None:
    server = several()
    needs = max(own_memory(pid) for pid in server.workers())
    server.stop()
    server = several("--max-memory", (needs >> 20) + 32)
    load = Load(server, clients=2)
    for number in range(80):  # each in every worker: a megabyte that the bundle does not have
        rows = [{"what": f"x{number}-{row}", "full_name": "x" * 60_000} for row in range(15)]
        said = change(server, upsert=rows)
        assert said.status_code == 200, said.text[:500]
        if server.events("worker_replaced"):
            break
    server.until(lambda: server.events("worker_replaced"))
    load.stop()
    assert server.events("worker_replaced")[0]["reason"] == "memory"
    assert load.lost == [0, 0]
    server.stop()


def test_sigterm_answers_what_is_under_way_and_ends_all(several: Callable[..., Several]) -> None:
    server = several("--max-wait", "100")
    body = b'{"queries":[{"id":"ann"}],"k":2}'
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
    connections = [socket.create_connection(("127.0.0.1", server.port), timeout=LONG) for _ in range(40)]
    for one in connections:
        one.sendall(head + body)
    for one in connections:
        assert one.recv(1) == b"H"  # each is known to its worker
        one.sendall(head + body)
    pids = server.pids()
    server.process.send_signal(signal.SIGTERM)
    answers = []
    for one in connections:
        parts = [b"H"]
        while part := one.recv(65536):
            parts.append(part)
        answers.append(b"".join(parts).count(b"HTTP/1.1 200 OK"))
        one.close()
    assert answers == [2] * 40
    assert server.stop() == 0
    assert not any(map(lives, pids))


@pytest.mark.parametrize("options", [[], ["--drain-seconds", "1"]])
def test_whoever_has_connected_before_the_end_is_answered(several: Callable[..., Several], options: list[str]) -> None:
    """Clients connect all the time, and SIGTERM comes. Each connection is answered or refused; none is reset."""
    import threading

    server = several(*options)
    answered, ends, first = threading.Semaphore(0), [], []

    def ask() -> None:
        try:
            while True:
                reply = server.raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                first.append(reply[:12])
                answered.release()
        except OSError as error:
            ends.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    for _ in range(20):
        answered.acquire()
    assert server.stop() == 0
    for one in threads:
        one.join(LONG)
    assert ends == [ConnectionRefusedError] * 4
    assert set(first) == {b"HTTP/1.1 200"}


def test_a_system_without_room_for_a_process_ends_nothing(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forking fails: the first time at the start, where it is an error, then where a worker is missing, where others go on."""
    from types import SimpleNamespace

    from shortlist.serve import Settings
    from shortlist.serve.logs import Log
    from shortlist.serve.processes import Plan, Supervisor
    from shortlist.serve.processes.children import Child

    def fork() -> int:
        raise OSError(11, "no room")

    monkeypatch.setattr(os, "fork", fork)
    before = set(os.listdir("/proc/self/fd"))
    out = io.StringIO()
    with socket.socket() as listening:
        plan = Plan(bundles / "one", 2, Settings(state=tmp_path / "state"))
        supervisor = Supervisor(plan, listening, Log(out))
        for _ in range(3):
            with pytest.raises(OSError, match="no room"):
                supervisor._children.start_worker(supervisor._swapping.source)
            with pytest.raises(OSError, match="no room"):
                supervisor._children.start_writer(supervisor._swapping.source)
        supervisor._swapping.ready = SimpleNamespace(bundle="x", ids=b"")  # type: ignore[assignment]
        supervisor._check_all(1e9)
        assert json.loads(out.getvalue())["event"] == "start_failed"
        supervisor._swapping.recheck()
        supervisor._swapping.check(1e9)
        assert json.loads(out.getvalue().splitlines()[-1])["event"] == "swap_refused"
        assert not any(isinstance(one, Child) for one in supervisor._children.running)
        supervisor._children.selector.close()
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_swap_without_a_slot_on_the_board_is_refused_and_ends_nothing(bundles: Path) -> None:
    """Replaced workers hold theirs for as long as their clients do. Before, the supervisor ended with an error."""
    from types import SimpleNamespace

    from shortlist.serve import Settings
    from shortlist.serve.logs import Log
    from shortlist.serve.processes import Plan, Supervisor
    from shortlist.serve.processes.board import SLOTS

    out = io.StringIO()
    with socket.socket() as listening:
        supervisor = Supervisor(Plan(bundles / "one", 2, Settings()), listening, Log(out))
        children = supervisor._children
        children.retiring = [SimpleNamespace(slot=slot) for slot in range(SLOTS)]  # type: ignore[misc]
        with pytest.raises(OSError, match="unavailable"):
            children.start_worker(supervisor._swapping.source)
        supervisor._swapping.ready = SimpleNamespace(bundle="x", ids=b"")  # type: ignore[assignment]
        supervisor._swapping.recheck()
        supervisor._swapping.check(1e9)
        assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["swap_refused"]
        children.selector.close()


def test_what_all_workers_hold_alike_is_made_before_they_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's files: their messages alone are some megabytes, which each worker would hold for itself."""
    from shortlist.serve import Settings, page
    from shortlist.serve.processes.supervisor import _prepare_for_all

    page.files.cache_clear()
    _prepare_for_all(Settings(items="films", page=False))
    assert page.files.cache_info().misses == 0
    _prepare_for_all(Settings(items="films"))
    monkeypatch.setattr(page, "catalogue", lambda code: pytest.fail("a worker reads it again"))
    assert "/" in page.files("films", None)


def test_connections_are_shared_among_the_workers(several: Callable[..., Several]) -> None:
    server = several()
    clients = [httpx.Client(base_url=server.url, timeout=LONG) for _ in range(12)]
    workers = [one.get("/healthz").headers["x-request-id"].partition("-")[0] for one in clients]
    counts = sorted(workers.count(one) for one in set(workers))
    for one in clients:
        one.close()
    assert len(counts) == 2
    assert counts[0] >= 4  # nobody may be more than a few ahead
    server.stop()


def test_figures_are_those_of_all_workers(several: Callable[..., Several]) -> None:
    server = several()
    for _ in range(10):
        server.answers_of_all()
    text = httpx.get(f"{server.url}/metrics", timeout=LONG).text
    (count,) = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith('shortlist_requests_total{route="/v1/recommend",status="200"}')
    ]
    assert count >= 20  # ten from each at the least
    assert 'shortlist_worker_lag_changes{worker="1"} 0.0' in text
    server.stop()


@pytest.mark.parametrize("state", [True, False])
def test_what_cannot_start_ends_in_a_message(tmp_path: Path, bundles: Path, state: bool) -> None:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shortlist", "serve", *map(str, arguments), "--port", "0", "--workers", "2"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG)

    options = ["--state", tmp_path / "state"] if state else []
    done = run(tmp_path / "nowhere", *options)
    assert done.returncode == 1
    assert "there is no bundle" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(bundles / "one", "--max-memory", "1", *options)
    assert done.returncode == 1
    assert "--max-memory is 1 MiB" in done.stderr
    assert "Traceback" not in done.stderr


def idle_supervisor(bundles: Path, out: io.StringIO) -> Any:
    """A supervisor that has started nothing."""
    from shortlist.serve import Settings
    from shortlist.serve.logs import Log
    from shortlist.serve.processes import Plan, Supervisor

    return Supervisor(Plan(bundles / "one", 2, Settings(), watch=False), socket.socket(), Log(out))


def test_a_pause_of_the_whole_server_is_nobodys_silence(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a container: the supervisor is woken first, and nobody can have given a sign of life. Who is silent after that is killed."""
    from shortlist.serve.processes import system
    from shortlist.serve.processes.channel import Channel, pair
    from shortlist.serve.processes.children import Child

    killed: list[int] = []
    monkeypatch.setattr(system, "kill", killed.append)
    supervisor = idle_supervisor(bundles, io.StringIO())
    now = supervisor._last_look = 100.0
    ends = [pair() for _ in range(2)]
    supervisor._children.workers = [
        Child(pid, Channel(mine), pid, supervisor._swapping.source, now) for pid, (mine, _) in enumerate(ends)
    ]
    for pause in (60.0, 11.0, 1e6):
        now += pause
        supervisor._check_all(now)
    assert killed == []
    for _ in range(101):
        now += 0.1
        supervisor._children.workers[1].last_message = now
        supervisor._check_all(now)
    assert killed == [0]
    for mine, its in ends:
        mine.close()
        its.close()
    supervisor._children.listening.close()
    supervisor._children.selector.close()


@pytest.mark.parametrize("drains", [True, False], ids=["while it drains", "while it stops"])
def test_changes_are_made_though_the_writing_process_ends_while_the_server_stops(
    several: Callable[..., Several], drains: bool
) -> None:
    """Another one takes its place until no worker needs it, and the end is logged; the server does not wait for nobody."""
    server = several(*(("--drain-seconds", "600") if drains else ()))
    event = {"events": [{"query": "cat", "candidate": "c"}]}
    body = json.dumps(event).encode()
    head = f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY['x-api-key']}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer = server.writer()
    os.kill(writer, signal.SIGSTOP)
    with contextlib.ExitStack() as opened:
        sent = [opened.enter_context(socket.create_connection(("127.0.0.1", server.port), LONG)) for _ in range(4)]
        for one in sent:
            one.sendall(head.encode() + body)
        server.until(lambda: server.figure("shortlist_requests_under_way") >= 4)
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: server.events("stopping"))
        os.kill(writer, signal.SIGKILL)
        assert [one.recv(12) for one in sent] == [b"HTTP/1.1 200"] * 4
    if drains:
        assert change(server, delete=["c"]).status_code == 200
        server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(LONG) == 0
    server._reader.join(LONG)
    assert [(one["reason"], one["code"]) for one in server.events("writer_ended")] == [("died", -9)]
    assert not any(map(lives, server.pids()))


def test_a_worker_that_is_killed_while_the_server_drains_is_logged_and_the_others_go_on(
    several: Callable[..., Several],
) -> None:
    server = several("--drain-seconds", "600")
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.events("stopping"))
    os.kill(server.workers()[0], signal.SIGKILL)
    server.until(lambda: server.events("worker_ended"))
    for _ in range(3):
        with httpx.Client(base_url=server.url, timeout=LONG) as client:
            assert ask(client).status_code == 200
    assert change(server, delete=["c"]).status_code == 200  # nobody waits for the one that has gone
    assert server.figure('shortlist_worker_replacements_total{reason="died"}') == 1
    server.until(lambda: server.whole(1))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(LONG) == 0
    server._reader.join(LONG)
    assert [(one["reason"], one["code"]) for one in server.events("worker_ended")] == [("died", -9)]
    assert not any(map(lives, server.pids()))


@pytest.mark.parametrize("place", ["workers", "retiring"])
@pytest.mark.parametrize(
    ("why", "code", "said"),
    [
        (None, 0, []),
        ("memory", 0, []),
        (None, -9, ["died"]),
        (None, 1, ["died"]),
        ("memory", -11, ["died"]),  # it was to be replaced, and crashed before its requests were answered
        ("hung", -9, ["hung"]),
        ("stopped", -9, ["stopped"]),  # by a third signal, or because it took too long
    ],
)
@pytest.mark.parametrize("opened", [1.0, None], ids=["answers", "starts"])
def test_every_end_of_a_worker_that_was_to_finish_is_logged_unless_it_has_finished(
    bundles: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    why: str | None,
    code: int,
    said: list[str],
    opened: float | None,
) -> None:
    """As the server stops, and as a worker is replaced. One that is killed while it starts has answered nobody."""
    from types import SimpleNamespace

    out = io.StringIO()
    supervisor = idle_supervisor(bundles, out)
    supervisor._swapping.ready = SimpleNamespace(bundle="x", ids=b"")
    supervisor._stop_by = 1e9 if place == "workers" else None
    child = SimpleNamespace(failed=None, end_reason=why, opened=opened, slot=3, families=[])
    getattr(supervisor._children, place).append(child)
    monkeypatch.setattr(supervisor._children, "reap", lambda child: code)
    supervisor._ended(child)
    assert supervisor._children.running == []
    supervisor._log.flush()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    said = said if opened else []
    assert [(one["event"], one["reason"], one["code"], one["worker"]) for one in events] == [
        ("worker_ended", reason, code, 3) for reason in said
    ]
    counted = {
        reason: supervisor._scraping.counts.replaced.labels(reason)._value.get()
        for reason in ("died", "hung", "memory")
    }
    assert counted == {reason: float(reason in said) for reason in counted}
    supervisor._children.listening.close()
    supervisor._children.selector.close()


def test_workers_that_find_another_bundle_are_started_less_and_less_often(bundles: Path) -> None:
    """One was put there and refused: the next worker finds it, too. After a swap the next one finds the right one."""
    from types import SimpleNamespace

    supervisor = idle_supervisor(bundles, io.StringIO())
    supervisor._swapping.ready = SimpleNamespace(bundle="x", ids=b"")
    source = supervisor._swapping.source

    def ended(of: object) -> int:
        child = SimpleNamespace(failed=None, end_reason="bundle", opened=None, source=of, slot=0)
        supervisor._worker_ended(child, -9)
        return int(supervisor._short_lived)

    assert [ended(source) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert ended(object()) == 0
    supervisor._children.listening.close()
    supervisor._children.selector.close()


@pytest.mark.parametrize(
    ("limit", "needs", "holds", "replaced", "low"),
    [
        (100, 20, 99, False, False),
        (100, 20, 101, True, False),
        (100, 79, 101, True, False),
        (100, 90, 101, False, True),  # another one would soon hold as much
        (100, 90, 113, True, True),
        (100, 200, 240, False, True),  # with the log as it is by now
        (100, 200, 251, True, True),
    ],
)
def test_a_worker_is_not_replaced_by_one_that_holds_hardly_less(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, limit: int, needs: int, holds: int, replaced: bool, low: bool
) -> None:
    from types import SimpleNamespace

    from shortlist.serve.processes import system

    memory = [needs]
    monkeypatch.setattr(system, "own_memory", lambda pid: memory[0] << 20)
    out = io.StringIO()
    supervisor = idle_supervisor(bundles, out)
    supervisor._swapping.ready = SimpleNamespace(bundle="x", ids=b"")
    worker = SimpleNamespace(pid=1, end_reason=None, opened=1.0, slot=0)
    supervisor._children.workers = [worker]
    for _ in range(3):
        supervisor._check_memory(worker, limit << 20)
    memory[0] = holds
    supervisor._check_workers_memory(limit << 20)
    assert worker.end_reason == ("memory" if replaced else None)
    supervisor._log.flush()
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    said = [{"event": "memory_limit_low", "limit": limit, "needs": needs}] if low else []
    assert [{name: one[name] for name in ("event", "limit", "needs")} for one in events] == said  # once
    supervisor._children.listening.close()
    supervisor._children.selector.close()


def test_a_server_whose_log_has_grown_beyond_its_memory_starts_again(several: Callable[..., Several]) -> None:
    server = several()
    needs = max(own_memory(pid) for pid in server.workers()) >> 20
    chosen = [{"query": f"{'q' * 1000}{number:06}", "candidate": f"{'c' * 1000}{number:06}"} for number in range(400)]
    for number in range(80):
        events = [{**one, "query": f"{number}{one['query'][4:]}"} for one in chosen]
        assert (
            httpx.post(f"{server.url}/v1/events", json={"events": events}, headers=KEY, timeout=LONG).status_code == 200
        )
    server.stop()
    server = several("--max-memory", needs + 8)
    assert change(server, delete=["c"]).status_code == 200
    assert [one["limit"] for one in server.events("memory_limit_low")] == [needs + 8]
    assert server.stop() == 0


def test_a_signal_at_any_moment_of_the_start_wakes_the_supervisor(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it counts signals, each of them is to end its wait."""
    supervisor = idle_supervisor(bundles, io.StringIO())
    whole = signal.signal

    def early(number: int, handler: Any) -> Any:
        before = whole(number, handler)
        if handler == supervisor._signalled:
            signal.raise_signal(number)
        return before

    monkeypatch.setattr(signal, "signal", early)
    with supervisor._handling_signals():
        assert supervisor._signals >= 2
        assert len(supervisor._signal_socket.recv(1024)) >= 2
    supervisor._children.listening.close()


@pytest.mark.parametrize("writes", [False, True])
def test_a_signal_to_a_process_that_was_just_forked_is_not_lost(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    """It comes before the process has its own handlers. A worker ends; the process that writes ignores it."""
    from shortlist.serve.processes import system
    from shortlist.serve.processes.children import WRITER

    supervisor = idle_supervisor(bundles, io.StringIO())
    fork = os.fork

    def forked() -> int:
        pid = fork()
        if pid == 0:
            signal.raise_signal(signal.SIGTERM)
        return pid

    monkeypatch.setattr(os, "fork", forked)
    monkeypatch.setattr(system, "kill", lambda pid: None)
    taken: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
    try:
        slot = WRITER if writes else 0
        child = supervisor._children._forked(slot, supervisor._swapping.source, lambda channel: 7)
        assert supervisor._children.reap(child) == (7 if writes else -signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert taken == [signal.SIGTERM]  # here they are not blocked any more
    supervisor._children.listening.close()
    supervisor._children.selector.close()


def test_a_second_signal_ends_the_drain_and_a_third_one_all(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGINT does what the second does. Nobody is killed before the third."""
    from shortlist.serve.processes import system
    from shortlist.serve.processes.channel import Channel, pair
    from shortlist.serve.processes.children import WRITER, Child
    from shortlist.serve.processes.messages import Stop

    done: list[tuple[str, int]] = []
    monkeypatch.setattr(system, "kill", lambda pid: done.append(("killed", pid)))
    monkeypatch.setattr(system, "end", lambda pid: done.append(("ended", pid)))

    def stopped(signals: list[int]) -> list[list[object]]:
        supervisor = idle_supervisor(bundles, io.StringIO())
        ends = [pair() for _ in range(2)]
        children = [
            Child(pid, Channel(mine), slot, supervisor._swapping.source, 0.0)
            for (pid, slot), (mine, _) in zip(((1, WRITER), (2, 0)), ends, strict=True)
        ]
        supervisor._children.writer, supervisor._children.workers = children[0], children[1:]
        supervisor._signal_socket, sender = socket.socketpair()
        supervisor._signal_socket.setblocking(False)
        steps: list[list[object]] = []
        for number in signals:
            supervisor._signalled(number, None)
            supervisor._handle_signals()
            heard = [type(message) for _, its in ends for message, _ in Channel(its).wait(0)]
            steps.append([*done, *heard])
            done.clear()
        for one in (*sum(ends, ()), sender, supervisor._signal_socket):
            one.close()
        supervisor._children.selector.close()
        return steps

    all_killed = [("killed", 1), ("killed", 2)]
    assert stopped([signal.SIGTERM] * 3) == [[("ended", 2)], [Stop], all_killed]
    assert stopped([signal.SIGINT] * 3) == [[("ended", 2), Stop], [], all_killed]


def test_a_second_sigterm_ends_the_drain_of_all_workers(several: Callable[..., Several]) -> None:
    """One that reaches every process of the group, as from a service manager, is one. Requests are answered, and nobody is killed."""
    server = several("--drain-seconds", "3600")
    for pid in [server.process.pid, *server.workers()]:
        os.kill(pid, signal.SIGTERM)
    server.until(lambda: server.events("stopping"))

    def ready() -> int:
        return httpx.get(f"{server.url}/readyz", timeout=LONG).status_code

    server.until(lambda: {ready() for _ in range(6)} == {503})
    body = b'{"queries":[{"id":"ann"}],"k":2}'
    head = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
    assert server.raw(head + body).startswith(b"HTTP/1.1 200 OK")
    assert server.stop() == 0


def test_a_worker_that_ends_by_the_signal_that_stops_the_server_is_no_failed_start(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C at a terminal reaches all of them, and both may be there at once."""
    supervisor = idle_supervisor(bundles, io.StringIO())
    with supervisor._handling_signals():
        child = supervisor._children._forked(0, supervisor._swapping.source, lambda channel: 1)
        supervisor._children.workers.append(child)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        signal.raise_signal(signal.SIGINT)
        both = [(child, selectors.EVENT_READ), (None, selectors.EVENT_READ)]
        monkeypatch.setattr(supervisor._children, "messages", lambda seconds: both)
        supervisor._turn()
        assert supervisor._stop_by is not None
        assert supervisor._children.running == []
