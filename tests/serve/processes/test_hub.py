"""The writing process and the workers that follow it, in one event loop: who has what when a change is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shortlist.serve import Service, Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.processes.channel import pair
from shortlist.serve.processes.following import Following
from shortlist.serve.processes.hub import Hub
from shortlist.serve.processes.messages import Applied, Pulse

WRITE = "w" * 20


class House:
    """A hub over a log, and workers in the same process; each call of ``open`` is a writing process that has started."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self.bundle, self.folder = bundle, folder
        self.workers: list[tuple[Service, Following]] = []
        self.replaced: list[str] = []

    def settings(self) -> Settings:
        return Settings(write_keys=(WRITE,), state=self.folder)

    def open(self) -> None:
        self.hub_service = Service(Loaded.read(self.bundle), self.settings())
        self.hub = Hub(self.hub_service)
        for number, (_, following) in enumerate(self.workers):
            one, two = pair()
            self.hub.add(one, number, counts=True)
            following.renew(two)

    async def worker(self) -> tuple[Service, Following]:
        one, two = pair()
        self.hub.add(one, len(self.workers))
        following = Following(two, self.replaced.append)
        records = await asyncio.to_thread(following.snapshot)
        service = Service(Loaded.read(self.bundle), self.settings(), follows=records)
        service.change = following.change
        await following.start(service)
        self.workers.append((service, following))
        return service, following

    def kill(self) -> None:
        """As a process that ends does: its sockets close, and nothing else happens."""
        for one in list(self.hub._followers):
            one.channel.close()
        self.hub._followers.clear()
        self.hub_service.writer.close()

    def close(self) -> None:
        self.kill()
        for service, following in self.workers:
            following.close()
            service.close()


@pytest.fixture
def house(bundles: Path, tmp_path: Path) -> Callable[[Callable[[House], Awaitable[None]]], None]:
    def live(do: Callable[[House], Awaitable[None]]) -> None:
        async def all_of() -> None:
            made = House(bundles / "one", tmp_path / "state")
            made.open()
            try:
                await do(made)
            finally:
                made.close()
                await asyncio.sleep(0)
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()

        asyncio.run(all_of())

    return live


def gone(*ids: str) -> dict[str, Any]:
    return {"op": "change", "at": 0.0, "upsert": [], "delete": list(ids), "expire": []}


def has(service: Service, one: str) -> bool:
    return one in service.loaded.state.candidate_ids.row_of


def test_a_change_is_everywhere_when_it_is_acknowledged(house: Any) -> None:
    async def do(at: House) -> None:
        one, _ = await at.worker()
        two, _ = await at.worker()
        assert list(await one.change(gone("c")))[:3] == [0, 1, 3]
        assert not has(one, "c")
        assert not has(two, "c")
        three, _ = await at.worker()  # it comes later, and has it too
        assert not has(three, "c")

    house(do)


def test_what_does_not_fit_is_refused_as_by_one_process(house: Any) -> None:
    async def do(at: House) -> None:
        one, _ = await at.worker()
        record = {"op": "change", "at": 0.0, "upsert": [{"what": "e", "stock": "many"}], "delete": [], "expire": []}
        with pytest.raises(Problem) as raised:
            await one.change(record)
        assert (raised.value.status, raised.value.field) == (422, "$.upsert[0].stock")

    house(do)


def test_what_would_keep_too_much_is_refused_by_the_writing_process_alone(house: Any) -> None:
    """A worker that is behind, or has other counts, refuses nothing that is acknowledged."""

    async def do(at: House) -> None:
        one, _ = await at.worker()
        record = {"op": "change", "at": 0.0, "upsert": [], "delete": ["x" * 1000], "expire": []}
        at.hub_service.writer._most = 1671
        with pytest.raises(Problem) as raised:
            await one.change(record)
        problem = raised.value
        assert (problem.status, problem.reason, problem.retry_after) == (503, "changes", 60)
        assert "would keep 1,672 bytes of changes; at most 1,671" in problem.detail
        assert "--max-changes" in str(problem.hint)
        at.hub_service.writer._most = 1672
        assert list(await one.change(record))[:3] == [0, 0, 4]
        assert one.writer.changes.kept.size == at.hub_service.writer.changes.kept.size == 1672
        two, _ = await at.worker()
        assert two.writer.changes.kept.size == 1672
        for service in (one, two):
            assert b"\nshortlist_changes_kept_bytes 0.0\n" in service.metrics.text()  # the writing process says it

    house(do)


def test_a_change_waits_for_a_worker_that_is_slow_and_not_for_one_that_has_gone(house: Any) -> None:
    async def do(at: House) -> None:
        one, _ = await at.worker()
        two, slow = await at.worker()
        slow._applying.cancel()  # it hears, and does not get to it
        task = asyncio.create_task(one.change(gone("c")))
        while has(one, "c"):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert not task.done()
        assert has(two, "c")
        slow.close()
        assert list(await task)[:3] == [0, 1, 3]
        at.workers.remove((two, slow))
        two.close()

    house(do)


def test_a_change_that_was_not_acknowledged_is_made_once_by_the_next_process(house: Any) -> None:
    """The first writing process ends after the log has the change and before anybody hears of it, then before the log has it."""

    async def do(at: House) -> None:
        one, _ = await at.worker()
        two, _ = await at.worker()
        await one.change(gone("a"))
        at.hub._writer.done = lambda records: at.kill()  # the log has it
        task = asyncio.create_task(one.change(gone("c")))
        while at.hub._followers:
            await asyncio.sleep(0)
        at.open()
        assert list(await task)[:3] == [0, 1, 2]  # its outcome as it was then
        assert not has(one, "c")
        assert not has(two, "c")
        at.kill()
        task = asyncio.create_task(two.change(gone("d")))
        await asyncio.sleep(0.05)
        at.open()
        assert list(await task)[:3] == [0, 1, 1]
        assert not has(one, "d")
        assert not at.replaced
        lines = (at.folder / "changes.log").read_text().splitlines()
        assert [line.partition('"delete":["')[2][:1] for line in lines] == ["a", "c", "d"]

    house(do)


def test_a_worker_that_missed_more_than_is_kept_is_replaced(house: Any) -> None:
    async def do(at: House) -> None:
        one, following = await at.worker()
        await one.change(gone("a"))
        following._last = "never heard of"
        at.kill()
        at.open()
        while not at.replaced:
            await asyncio.sleep(0)
        assert at.replaced == ["log"]
        two, _ = await at.worker()
        await asyncio.wait_for(two.change(gone("c")), 60)  # nobody waits for the other

    house(do)


def test_writing_processes_that_end_before_they_write_do_not_count_as_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that takes over has five seconds. If it ends before it has sent anything, the next one has none."""
    now = [100.0]
    monkeypatch.setattr("shortlist.serve.processes.following.time.monotonic", lambda: now[0])

    async def do() -> list[bool]:
        following, alive = Following(pair()[1], lambda why: None), []
        for seconds in (0.0, 4.0, 4.0):
            now[0] += seconds
            following.renew(pair()[1])
            alive.append(following.alive)
        following._take(Pulse(), [])
        alive.append(following.alive)
        now[0] += 6.0
        alive.append(following.alive)
        following.renew(pair()[1])
        alive.append(following.alive)
        following.close()
        return alive

    assert asyncio.run(do()) == [True, True, False, True, False, True]


def test_a_position_of_the_process_before_says_nothing_to_the_next(house: Any) -> None:
    """A worker was about to report what the old one had sent when the new one came: it does not have the next change yet."""

    async def do(at: House) -> None:
        one, _ = await at.worker()
        two, slow = await at.worker()
        await one.change(gone("a"))
        at.kill()
        slow._applying.cancel()  # it reports, and does not get to what the new one sends
        at.open()
        slow._channel.send(Applied(1000))
        follower = at.hub._followers[1]
        task = asyncio.create_task(one.change(gone("c")))
        while at.hub._followers[0].applied < 1:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert follower.applied == -1
        assert not task.done()
        assert has(two, "c")
        slow._applying = asyncio.create_task(slow._apply_all())
        assert list(await task)[:3] == [0, 1, 2]
        assert not has(two, "c")

    house(do)


def test_a_worker_that_closes_applies_nothing_more_and_nobody_waits_for_it(house: Any) -> None:
    """It has answered all of its requests; changes of others that arrive after that are no failure of its own."""

    async def do(at: House) -> None:
        one, _ = await at.worker()
        two, following = await at.worker()
        events: list[str] = []
        two.log.event = lambda name, **what: events.append(name)  # type: ignore[method-assign]
        two.closing = following.close
        hold = asyncio.Event()
        apply = two.writer.change

        async def slow(record: dict[str, Any]) -> Any:
            await hold.wait()
            return await apply(record)

        two.writer.change = slow  # type: ignore[method-assign]
        first = asyncio.create_task(one.change(gone("a")))
        while not following._channel._received and following._batches.empty() and at.hub._position < 1:
            await asyncio.sleep(0)
        two.close()
        hold.set()
        assert list(await asyncio.wait_for(first, 60))[:2] == [0, 1]
        assert list(await asyncio.wait_for(one.change(gone("c")), 60))[:2] == [0, 1]
        assert events == []
        assert at.replaced == []
        end, other = pair()
        following.renew(end)  # a writing process that starts at the same time
        assert end.fileno() == -1
        other.close()
        at.workers.pop()

    house(do)
