"""The gate: who is inside, who waits, and that reads do not wait for changes which wait for the disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.serve.conftest import WRITE
from tests.serve.wires import POST, Wire, connected, settled

from shortlist.serve import Settings
from shortlist.serve.admission import SLOTS
from shortlist.serve.app import CHANGES, CHANGES_SIZE, LARGE, WAITING, WAITING_SIZE
from shortlist.serve.gate import Gate
from shortlist.serve.settings import Limits

NOBODY = contextlib.nullcontext()


@given(
    some.lists(some.tuples(some.integers(0, 12), some.booleans()), max_size=30),
    some.integers(1, 4),
    some.integers(1, 10),
)
def test_nobody_overtakes_and_nothing_is_lost(arrivals: list[tuple[int, bool]], most: int, size: int) -> None:
    """Whatever arrives, and whoever gives up while waiting: in the order of arrival, within both bounds, and empty at the end."""
    order: list[int] = []

    async def all_of() -> None:
        gate, inside = Gate(most, size), [0, 0]

        async def one(number: int, weight: int) -> None:
            async with gate.through(weight, NOBODY):
                order.append(number)
                inside[0] += 1
                inside[1] += weight
                assert inside[0] <= most
                assert inside[1] <= size or inside[0] == 1
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                inside[0] -= 1
                inside[1] -= weight

        tasks = [asyncio.create_task(one(number, weight)) for number, (weight, _) in enumerate(arrivals)]
        await asyncio.sleep(0)
        gone = [number for number, (_, leaves) in enumerate(arrivals) if leaves and number not in order]
        for number in gone:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(order + gone) == list(range(len(arrivals)))
        assert order == sorted(order)
        assert (gate.inside, gate.waiting, gate._size, gate._waiting_size) == (0, 0, 0, 0)

    asyncio.run(all_of())


def test_one_that_gives_up_when_its_turn_has_come_lets_the_next_in() -> None:
    async def all_of() -> list[int]:
        gate, order = Gate(1), []

        async def one(number: int) -> None:
            async with gate.through(1, NOBODY):
                order.append(number)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(number)) for number in range(3)]
        await asyncio.sleep(0)
        while gate.waiting == 2:
            await asyncio.sleep(0)
        tasks[1].cancel()  # woken, and not run since
        await asyncio.gather(*tasks, return_exceptions=True)
        return order

    assert asyncio.run(all_of()) == [0, 2]


def test_a_gate_is_full_by_number_or_by_bytes_and_never_for_the_first() -> None:
    async def all_of() -> None:
        gate = Gate(1, waiting=2, waiting_size=10)
        assert not gate.full(1000)
        async with gate.through(1000, NOBODY):
            assert not gate.full(1000)
            tasks = [asyncio.create_task(_pass(gate, 8))]
            await asyncio.sleep(0)
            assert gate.full(3)
            assert not gate.full(2)
            tasks.append(asyncio.create_task(_pass(gate, 1)))
            await asyncio.sleep(0)
            assert gate.full(0)
        await asyncio.gather(*tasks)

    asyncio.run(all_of())


async def _pass(gate: Gate, size: int) -> None:
    async with gate.through(size, NOBODY):
        pass


SHORT = {
    "/v1/events": {"events": [{"query": "ann", "candidate": "c"}]},
    "/v1/impressions": {"impressions": [{"query": "ann", "items": [{"candidate": "c"}]}]},
    "/v1/candidates": {"delete": ["nobody"]},
}
LONG = {
    "/v1/events": {"events": [{"query": "ann", "candidate": "c"}] * 2_500},
    "/v1/impressions": {"impressions": [{"query": "ann", "items": [{"candidate": "c"}]}] * 2_000},
    "/v1/candidates": {"delete": [f"nobody {number:04}" for number in range(5_000)]},
}
READ = {"queries": [{"id": "ann"}], "k": 1}
LONG_READ = {"queries": [{"id": "ann", "exclude": ["d"] * 9_000}] * 2, "k": 1}


def request(path: str, body: Any, late: bool = False) -> tuple[bytes, bytes]:
    """Head and body, or all of it as one."""
    content = json.dumps(body).encode()
    head = POST.replace(b"/v1/recommend", path.encode())
    head += b"x-api-key: %b\r\ncontent-length: %d\r\n\r\n" % (WRITE.encode(), len(content))
    return (head, content) if late else (head + content, b"")


@pytest.mark.parametrize("late", [False, True], ids=["at once", "head first"])
@pytest.mark.parametrize("body", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("path", list(SHORT))
def test_reads_do_not_wait_for_changes_that_wait_for_the_disk(
    clients: Callable[..., Any], tmp_path: Any, path: str, body: dict[str, Any], late: bool
) -> None:
    """A slow disk, a writing process that stands still, a worker that has not applied the last change: no place is taken."""
    client = clients(
        Settings(write_keys=(WRITE,), state=tmp_path / "state", limits=Limits(wait_seconds=100.0, under_way=1024))
    )
    service, disk, waiting = client.app.service, asyncio.Event(), [0]

    async def stuck(what: Any) -> Any:
        waiting[0] += 1
        await disk.wait()
        return (0, 0, 4, 0) if path == "/v1/candidates" else 1

    service.change = service.impressions.add = stuck

    async def sent(path: str, body: Any, late: bool = False) -> Wire:
        wire = Wire()
        connection = connected(client, wire)
        for part in request(path, body, late):
            if part:
                connection.data_received(part)
                await asyncio.sleep(0)
        return wire

    async def answered(wire: Wire) -> bytes:
        await settled(wire.protocol)
        return wire.written[9:12]

    async def talk() -> None:
        changes = [await sent(path, body[path], late) for _ in range(2 * SLOTS)]
        least = CHANGES if body is SHORT else LARGE
        while waiting[0] < least:
            await asyncio.sleep(0)
        for read in (READ, LONG_READ):
            assert await answered(await sent("/v1/recommend", read)) == b"200"
        assert waiting[0] == least
        refused = [one for one in changes if one.written]
        assert len(refused) == (0 if body is SHORT else 2 * SLOTS - LARGE - WAITING)
        assert {one.written[9:12] for one in refused} <= {b"503"}
        assert all(b"retry-after" in one.written for one in refused)
        disk.set()
        made = [await answered(one) for one in changes if one not in refused]
        assert set(made) == {b"200"}
        assert client.app.admission.active == 0
        for one in changes:
            one.protocol.connection_lost(None)

    client.loop.run_until_complete(talk())


def test_changes_that_wait_leave_half_of_the_requests_to_others(clients: Callable[..., Any], tmp_path: Any) -> None:
    """However many arrive, and whatever their length: the others get a 503, and reads are answered."""
    client = clients(
        Settings(write_keys=(WRITE,), state=tmp_path / "state", limits=Limits(wait_seconds=100.0, under_way=1024))
    )
    disk = asyncio.Event()

    async def stuck(what: Any) -> int:
        await disk.wait()
        return 1

    client.app.service.change = stuck
    short = request("/v1/events", SHORT["/v1/events"])[0]
    medium = request("/v1/events", {"events": [{"query": "ann", "candidate": "c" * 1000}] * 50})[0]

    async def talk(content: bytes, count: int) -> tuple[int, int]:
        disk.clear()
        wires = [Wire() for _ in range(count)]
        for wire in wires:
            connected(client, wire).data_received(content)
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        read = Wire()
        connected(client, read).data_received(request("/v1/recommend", READ)[0])
        await settled(read.protocol)
        assert read.written[9:12] == b"200"
        disk.set()
        for wire in wires:
            await settled(wire.protocol)
        codes = [wire.written[9:12] for wire in wires]
        assert set(codes) == {b"200", b"503"}
        return codes.count(b"200"), codes.count(b"503")

    assert client.loop.run_until_complete(talk(short, 1000)) == (CHANGES + 512, 1000 - CHANGES - 512)
    body = len(medium.partition(b"\r\n\r\n")[2])
    kept = CHANGES_SIZE // body + WAITING_SIZE // body
    assert client.loop.run_until_complete(talk(medium, 300)) == (kept, 300 - kept)
