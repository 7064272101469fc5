"""A bundle is loaded in small steps, with pauses while there are requests; the answers are the same."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shortlist as sl
from shortlist.recommender.pipeline import recommend
from shortlist.serve import throttle
from shortlist.serve.change_log import ChangeLog
from shortlist.serve.changes import Changes
from shortlist.serve.events import Events
from shortlist.serve.loaded import Loaded
from shortlist.serve.preparing import Preparation
from shortlist.serve.swap import Swapper, signature
from shortlist.serve.throttle import LATELY, Throttle, wait_for_turns


class Clock:
    """Both clocks of a thread, and what it slept."""

    def __init__(self) -> None:
        self.worked, self.now = 0.0, 1000.0
        self.pauses: list[float] = []

    def thread_time(self) -> float:
        return self.worked

    def perf_counter(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return False


def test_pauses_are_49_times_as_long_as_the_work_while_requests_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(throttle, "time", clock)
    asked = clock.now
    one = Throttle(lambda: asked, clock)  # type: ignore[arg-type]
    clock.worked += 0.001
    one.pause()
    assert clock.pauses == pytest.approx([0.049])
    clock.worked += 0.0001
    one.pause()
    assert len(clock.pauses) == 1  # too little for a pause, but not forgotten
    clock.worked += 0.0009
    one.pause()
    assert clock.pauses[1:] == pytest.approx([0.049])
    clock.worked += 1.0  # native code, which lets others run
    one.pause()
    assert clock.pauses[2:] == pytest.approx([0.098])
    clock.now += LATELY  # nobody asks any more
    clock.worked += 0.001
    one.pause()
    assert len(clock.pauses) == 3


def test_every_part_of_the_loading_rests(bundles: Path) -> None:
    """Each file of the bundle is a step of its own, and so are tables, tensors, the index, and each stored request."""
    rests: list[int] = []
    paced = Loaded.read(bundles / "one", pause=lambda: rests.append(1))
    files = sum(file.is_file() for file in (bundles / "one").rglob("*")) - 1  # the manifest is read before
    stored = 4  # ann, bob, cat, and one that nobody knows
    assert len(rests) >= files + stored + 4
    plain = Loaded.read(bundles / "one")
    who = ["ann", "bob", "cat", "dan", "eve"]
    assert recommend(paced.served, who, k=3) == recommend(plain.served, who, k=3)
    assert paced.state.candidate_ids.row_of == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_maps_of_ids_are_made_in_pieces(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shortlist.data import id_map as room

    monkeypatch.setattr(room, "PIECE", 3)
    rests: list[int] = []
    ids = sl.Recommender.load(bundles / "one").served.state.candidate_ids
    ids.prepare(lambda: rests.append(1))
    assert len(rests) == 2  # of four ids
    assert (ids.rows(["d", "a", "x"]), ids.row_of["c"]) == ([3, 0, -1], 2)


def test_a_swap_pauses_while_there_are_requests_and_hurries_at_the_end(
    clients: Callable[..., Any], bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "LATELY", 600.0)  # however long a loading thread waits for its turn
    client = clients()
    link = tmp_path / "current"
    link.symlink_to(bundles / "one")
    service = client.app.service
    swapper = Swapper(service, link, signature(link))
    pauses: list[float] = []

    class Hurry(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return True

    swapper._no_pauses = Hurry()
    link.unlink()
    link.symlink_to(bundles / "two")
    assert client.loop.run_until_complete(swapper.check())
    assert pauses == []  # nobody has asked anything
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200
    link.unlink()
    link.symlink_to(bundles / "one")
    assert client.loop.run_until_complete(swapper.check())
    assert pauses
    swapper.close()
    assert swapper._no_pauses.is_set()


# Cores.


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have it")
def test_threads_that_work_next_to_the_event_loop_wait_for_a_core(clients: Callable[..., Any], tmp_path: Path) -> None:
    """Those that load a bundle, shorten the log, and import torch; the thread that starts them does not."""
    before = os.sched_getscheduler(0)
    service = clients().app.service
    swapper, log = Swapper(service, tmp_path, None), ChangeLog(tmp_path / "log", Changes(Events(None)), service)
    found = [one.submit(os.sched_getscheduler, 0).result() for one in (swapper._thread, log._shortener)]

    class Served:
        others = ()
        embedder = type("Embedder", (), {"import_runtime": lambda self, side: found.append(os.sched_getscheduler(0))})()

    preparation = Preparation(Served())  # type: ignore[arg-type]
    preparation.start()
    preparation.wait()
    assert found == [os.SCHED_BATCH if before == os.SCHED_OTHER else before] * 3
    assert os.sched_getscheduler(0) == before
    swapper.close()
    log.close(applied=False)


@pytest.mark.parametrize("policy", ["SCHED_IDLE", "SCHED_FIFO"])
def test_a_policy_that_was_chosen_for_the_process_stays(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Any] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda thread: getattr(os, policy, 99), raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: chosen.append(arguments), raising=False)
    wait_for_turns()
    assert chosen == []


@pytest.mark.parametrize("error", [PermissionError(1, "not permitted"), AttributeError("sched_setscheduler")])
def test_a_system_that_refuses_leaves_the_thread_as_it_is(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(os, "sched_setscheduler", refused, raising=False)
    wait_for_turns()
