"""Clients who ask at times of their own, whatever the server does, and come back when they are told to."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable

import msgspec


class _Item(msgspec.Struct):
    id: str | int


class _Found(msgspec.Struct):
    items: list[_Item]


class Reply(msgspec.Struct):
    """What a caller looks at."""

    results: list[_Found]
    bundle: str


_REPLY = msgspec.json.Decoder(Reply)


class Callers:
    """``connections`` clients on a thread of their own, which together want ``rate`` answers a second.

    Each asks at times that do not depend on the answers, one request at a time; whoever is told to come back later does
    so, and does not make up for what it missed. Times are from the moment that a request was due, so that a server that
    stands still for a while is late for all that were due meanwhile.

    right: whether a reply is, by user.
    """

    def __init__(self, port: int, rate: float, users: list[str], right: Callable[[str, Reply], bool] | None = None,
                 connections: int = 16, k: int = 5, record: bool = True) -> None:  # fmt: skip
        self.port, self.gap, self.users, self.right, self.k, self.record = (
            port,
            connections / rate,
            users,
            right,
            k,
            record,
        )
        self.times: list[float] = []
        self.refusals: list[float] = []
        self.wrong: list[str] = []
        self.seconds = 0.0
        self.stopped = self.counting = False
        self.good = self.turned_away = 0
        self._connections = connections
        self.bodies = {user: _post(user, k) for user in users}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        import uvloop

        loop = uvloop.new_event_loop()
        loop.run_until_complete(self._all(loop))
        loop.close()

    @property
    def thread(self) -> int:
        """The system's number of its thread."""
        return self._thread.native_id or 0

    async def _all(self, loop: asyncio.AbstractEventLoop) -> None:
        chance = random.Random(7)
        callers = []
        for _ in range(self._connections):
            _, caller = await loop.create_connection(lambda: _Caller(self, chance), "127.0.0.1", self.port)
            callers.append(caller)
        start = time.perf_counter()
        for caller in callers:
            caller.due = start + chance.random() * self.gap
            caller.later()
        while not self.stopped:
            await asyncio.sleep(0.02)
        while any(caller.asked for caller in callers) and time.perf_counter() < self.end + 20:
            await asyncio.sleep(0.02)
        self.wrong += ["never answered" for caller in callers if caller.asked]
        for caller in callers:
            caller.transport.close()

    def count(self) -> None:
        """Count from now on."""
        self.times, self.refusals, self.good, self.turned_away = [], [], 0, 0
        self.begin = time.perf_counter()

    def during(self, seconds: float) -> dict:
        """What the next seconds bring; the load goes on."""
        self.count()
        time.sleep(seconds)
        return self._found()

    def stop(self) -> dict:
        """Requests, what went wrong, and times."""
        self.end = time.perf_counter()
        self.stopped = True
        found = self._found()
        self._thread.join()
        return found | {"wrong": len(self.wrong), "first_wrong": self.wrong[:3]}

    def _found(self) -> dict:
        self.end = time.perf_counter()
        self.seconds = self.end - getattr(self, "begin", self.end - 1e-9)
        good, away = self.good, self.turned_away
        result = {
            "requests": len(self.times) if self.record else self.good,
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:3],
            "good_per_second": good / self.seconds,
            "refused_per_second": away / self.seconds,
        }
        for name, times in (("", sorted(self.times)), ("refusal_", sorted(self.refusals))):
            if times:
                result[f"{name}p50_ms"] = times[len(times) // 2] * 1e3
                result[f"{name}p99_ms"] = times[len(times) * 99 // 100] * 1e3
        return result


def _post(user: str, k: int) -> bytes:
    body = b'{"queries":[{"id":%s}],"k":%d}' % (msgspec.json.encode(user), k)
    return b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


class _Caller(asyncio.Protocol):
    def __init__(self, load: Callers, chance: random.Random) -> None:
        self.load, self.chance = load, chance
        self.due = 0.0
        self.asked = False
        self.came = b""
        self.loop = asyncio.get_event_loop()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def later(self) -> None:
        wait = self.due - time.perf_counter()
        if wait <= 0:
            self.ask()
        elif not self.load.stopped:
            self.loop.call_later(wait, self.ask)

    def ask(self) -> None:
        if self.load.stopped:
            return
        self.user = self.chance.choice(self.load.users)
        self.asked, self.sent = True, time.perf_counter()
        self.transport.write(self.load.bodies[self.user])

    def data_received(self, data: bytes) -> None:
        came = self.came + data if self.came else data
        head, found, body = came.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self.came = came
            return
        self.came, self.asked, now = b"", False, time.perf_counter()
        load, status = self.load, head[9:12]
        if status == b"503" and b"retry-after: " in head:
            load.turned_away += 1
            load.refusals.append(now - self.sent)
            self.due = now + int(head.partition(b"retry-after: ")[2].partition(b"\r\n")[0])
        else:
            load.good += status == b"200"
            if load.record:
                load.times.append(now - self.due)
            if status != b"200":
                load.wrong.append(f"{status!r}: {body[:200]!r}")
            elif load.right is not None and not load.right(self.user, _REPLY.decode(body)):
                load.wrong.append(f"another answer: {body[:200]!r}")
            self.due += self.load.gap
            if self.due < now - 1.0:  # it has more to ask than it can
                self.due = now
        self.later()

    def connection_lost(self, error: Exception | None) -> None:
        if self.asked and not self.load.stopped:
            self.load.wrong.append(f"lost: {error}")
