"""What clients notice of pauses of the whole process, and of servers that take each other's place."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import threading
import time

from benchmarks.serving.callers import Callers
from benchmarks.serving.processes import Reader
from benchmarks.serving.server import Server
from benchmarks.serving.speed import USERS

SHARES = (0.25, 0.5, 0.75, 0.9)
PAUSES = 0.010, 0.060  # seconds
EVERY = 0.5  # seconds between two pauses
CONNECTIONS = 64


def pauses(options: argparse.Namespace) -> dict:
    """Clients at fixed rates, whatever the server does, while it is stopped for 10 to 60 ms twice a second (SIGSTOP).

    Rates are shares of what as many connections of the same clients are given when they ask without pause.
    """
    server = Server(options.bundles[0], "--no-log")
    callers = Callers(server.port, 1e6, USERS, connections=CONNECTIONS, k=10, record=False)
    time.sleep(2)
    capacity = callers.during(options.seconds)["good_per_second"]
    callers.stop()
    shares = {}
    for share in SHARES:
        callers = Callers(server.port, share * capacity, USERS, connections=CONNECTIONS, k=10)
        time.sleep(1)
        callers.count()
        count = _pause(server, options.seconds)
        refused = callers.turned_away
        said = callers.stop()
        shares[f"{share:.0%}"] = said | {"pauses": count, "refused": refused}
    server.stop()
    return {"capacity_per_second": capacity, "connections": CONNECTIONS, "shares": shares}


def _pause(server: Server, seconds: float) -> int:
    """Stop a server again and again for so many seconds; how often."""
    chance, end, count = random.Random(7), time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        time.sleep(EVERY)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(*PAUSES))
        server.process.send_signal(signal.SIGCONT)
        count += 1
    return count


def rolling(options: argparse.Namespace) -> dict:
    """One server after the other behind one port: the next starts, gets the new connections, and the old one gets SIGTERM.

    A small proxy stands for a balancer. Clients keep their connections, until the server closes them.
    """
    drain = "--drain-seconds", "0.5"
    old = Server(options.bundles[0], "--no-log", *drain)
    proxy = _Proxy(old.port)
    readers = [Reader(proxy.port) for _ in range(16)]
    seconds = []
    for _ in range(options.count):
        new = Server(options.bundles[0], "--no-log", *drain)
        proxy.to = new.port
        started = time.perf_counter()
        old.stop()
        seconds.append(time.perf_counter() - started)
        old = new
    for reader in readers:
        reader.stop()
    proxy.stop()
    old.stop()
    return {
        "restarts": options.count,
        "answers": sum(reader.good for reader in readers),
        "failed": sum(len(reader.failed) for reader in readers),
        "wrong": sum(reader.wrong for reader in readers),
        "longest_stop_s": max(seconds),
    }


class _Proxy:
    """Hands the bytes of each connection to the server that was ``to`` when it began, and back."""

    def __init__(self, to: int) -> None:
        self.to = to
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(writer):  # cancelled when the proxy stops
            there = await asyncio.open_connection("127.0.0.1", self.to)
            with contextlib.closing(there[1]):
                await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer), return_exceptions=True)

    def stop(self) -> None:
        """Close all connections, and the loop."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(1 << 16):
            writer.write(part)
            await writer.drain()
    writer.close()
