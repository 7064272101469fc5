"""A swap as the supervisor leads it: what it asks its processes for, whatever comes in between."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shortlist.serve import Service, Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.processes.channel import Channel, pair
from shortlist.serve.processes.children import WRITER, Child, Children, Plan
from shortlist.serve.processes.messages import Finish, Ready, Refused, Swap, Swapped
from shortlist.serve.processes.scraping import Scraping
from shortlist.serve.processes.swapping import Swapping
from shortlist.serve.processes.worker import Source, _write


class Stage:
    """A supervisor's part in a swap, with processes that do nothing: bundle "1" is served by two workers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shortlist.serve.processes.system.kill", lambda pid: None)
        self.out = io.StringIO()
        self.path = folder / "bundle"
        self.put("1")
        plan = Plan(self.path, 2, Settings(state=folder / "state"))
        self.children = Children(plan, None, Log(self.out))  # type: ignore[arg-type]
        self.ends: list[Channel] = []
        monkeypatch.setattr(self.children, "start_worker", self._started)
        self.children.writer = self._started(None, WRITER)  # type: ignore[arg-type]
        self.swapping = Swapping(plan, self.children, Scraping(self.children), Log(self.out))
        self.swapping.first(Ready("1", ""))
        self.children.workers = [self._started(self.swapping.source) for _ in range(2)]
        for one in self.children.workers:
            one.ready, one.opened = Ready("1", ""), 0.0
        self.now = 0.0

    def _started(self, source: Source, slot: int = 0) -> Child:
        mine, its = pair()
        self.ends.append(Channel(its))
        return Child(1, Channel(mine), slot, source, 0.0)

    def put(self, name: str) -> None:
        """Replace the bundle, in place."""
        self.path.mkdir(exist_ok=True)
        (self.path / "manifest.json").write_text(name * int(name))

    def look(self) -> None:
        self.now += 10.0
        self.swapping.check(self.now)

    def ready(self, number: int, bundle: str) -> None:
        """One of the workers that start has loaded a bundle."""
        child = self.children.starting[number]
        child.ready = Ready(bundle, "")
        self.swapping.is_ready(child.ready)

    def die(self, number: int) -> None:
        """One of the workers that start has ended."""
        self.swapping.ended(self.children.starting.pop(number))

    def asked(self) -> list[str]:
        """The bundles that the writing process was asked to take."""
        return [message.bundle for message, _ in self.ends[0].wait(0) if isinstance(message, Swap)]

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.out.getvalue().splitlines()]

    def close(self) -> None:
        for end in self.ends:
            end.close()
        self.children.selector.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(tmp_path, monkeypatch)
    yield made
    made.close()


def test_a_bundle_takes_over_once_all_have_it(stage: Stage) -> None:
    stage.look()
    assert stage.children.starting == []
    stage.put("2")
    stage.look()
    stage.ready(0, "2")
    stage.ready(1, "2")
    assert stage.asked() == ["2"]
    new = list(stage.children.starting)
    stage.swapping.writer_swapped("2")
    assert stage.children.workers == new
    assert stage.events() == ["swapped"]


def test_where_a_third_bundle_comes_in_between_it_begins_again(stage: Stage) -> None:
    """The first worker compares every file of the bundle, and its ids; the others must not load another one."""
    stage.put("2")
    stage.look()
    stage.ready(0, "2")
    stage.put("3")
    stage.ready(1, "3")
    assert stage.children.starting == []
    assert stage.asked() == []
    stage.look()
    assert len(stage.children.starting) == 1
    assert not stage.children.starting[0].source.verified
    for number in range(2):
        stage.ready(number, "3")
    assert stage.asked() == ["3"]
    stage.swapping.writer_swapped("3")
    assert {one.ready.bundle for one in stage.children.workers if one.ready} == {"3"}
    assert stage.events() == ["swapped"]


@pytest.mark.parametrize("answer", ["swapped", "refused"])
def test_an_answer_about_a_bundle_that_was_given_up_is_none_about_the_next(stage: Stage, answer: str) -> None:
    """The writing process takes long; a worker ends meanwhile, and then another bundle is there. Those that start are not ready."""

    def answered(bundle: str) -> None:
        if answer == "swapped":
            stage.swapping.writer_swapped(bundle)
        else:
            stage.swapping.writer_refused(bundle, "BundleError", "no.")

    stage.put("2")
    stage.look()
    stage.ready(0, "2")
    stage.ready(1, "2")
    stage.die(1)
    assert stage.asked() == ["2", "1"]  # it may have taken the new one, and takes the old one again
    answered("2")
    stage.put("3")
    stage.look()
    answered("2")
    stage.swapping.writer_swapped("1")
    assert len(stage.children.starting) == 1
    stage.ready(0, "3")
    answered("2")
    stage.ready(1, "3")
    answered("2")
    assert len(stage.children.starting) == 2
    assert stage.asked() == ["3"]
    stage.swapping.writer_swapped("3")
    assert {one.ready.bundle for one in stage.children.workers if one.ready} == {"3"}
    assert stage.events() == ["swap_refused", "swapped"]


def test_a_refusal_asks_for_nothing_more(stage: Stage) -> None:
    stage.put("2")
    stage.look()
    stage.ready(0, "2")
    stage.ready(1, "2")
    stage.swapping.writer_refused("2", "BundleError", "no.")
    assert stage.asked() == ["2"]
    assert stage.events() == ["swap_refused"]


def test_the_writing_process_takes_the_bundle_that_it_was_asked_for(bundles: Path, tmp_path: Path) -> None:
    """Not one that was put there since; and of two that were asked for at once the last."""
    for name in ("one", "two"):
        shutil.copytree(bundles / name, tmp_path / name)
    one, two = (Loaded.read(tmp_path / name).bundle for name in ("one", "two"))

    async def talk() -> tuple[list[Any], str, int]:
        service = Service(Loaded.read(tmp_path / "one"), Settings(write_keys=("w" * 20,), state=tmp_path / "state"))
        mine, its = pair()
        task = asyncio.create_task(_write(service, "one", Channel(its), []))
        came: list[Any] = []
        supervisor = Channel(mine)
        all_came = asyncio.Event()

        def take(message: Any, fds: list[int]) -> None:
            if isinstance(message, (Swapped, Refused)):
                came.append(message)
            if len(came) == 6:
                all_came.set()

        supervisor.attach(take, lambda: None)
        supervisor.send(Swap(str(tmp_path / "two"), "another"))
        supervisor.send(Swap(str(tmp_path / "two"), two))
        supervisor.send(Swap(str(tmp_path / "one"), one))
        supervisor.send(Swap(str(tmp_path / "two"), two))
        supervisor.send(Swap(str(tmp_path / "nowhere"), two))  # it has that one
        supervisor.send(Swap(str(tmp_path / "one"), one))
        await all_came.wait()
        supervisor.send(Finish())
        code = await task
        supervisor.close()
        last = service.loaded.bundle
        service.close()
        return came, last, code

    came, last, code = asyncio.run(talk())
    assert came[0] == Refused("BundleError", "another bundle was put there since.", "another")
    assert came[1:] == [Swapped(bundle) for bundle in (two, one, two, two, one)]
    assert (last, code) == (one, 0)
