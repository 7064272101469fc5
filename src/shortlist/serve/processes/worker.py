"""The processes that the supervisor forks: one that answers, and the one that writes changes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from shortlist.errors import ShortlistError
from shortlist.serve.accepting import Acceptor
from shortlist.serve.app import App
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.processes import figures
from shortlist.serve.processes.board import NOT_ACCEPTING, AcceptQuota, Board, Counted
from shortlist.serve.processes.channel import Channel
from shortlist.serve.processes.following import Following
from shortlist.serve.processes.hub import Hub
from shortlist.serve.processes.messages import (
    Asked,
    Beat,
    Failed,
    Family,
    Finish,
    Merged,
    NewFollower,
    NewLog,
    Open,
    Publish,
    Published,
    Ready,
    Refused,
    Replace,
    Retire,
    Scrape,
    Stop,
    Swap,
    Swapped,
)
from shortlist.serve.processes.sharing import Shared
from shortlist.serve.protocol import Connection
from shortlist.serve.schema import RecommendRequest
from shortlist.serve.scrapes import Scrapes
from shortlist.serve.server import Server, run
from shortlist.serve.service import Service
from shortlist.serve.settings import Settings
from shortlist.serve.shortage import with_threads
from shortlist.serve.swap import Ids, check_replaces
from shortlist.store.allocation import give_back

__all__ = ["Source", "beating", "work", "write"]

BEAT = 0.5  # seconds between two signs of life
REPORT = 4  # beats between two reports of figures and of the latest requests, for the time after this worker
ASKED_BYTES = 1 << 18  # of those requests at most
FIGURES = 2.0  # seconds that a scraper waits for the figures of all
LOOK = 0.02  # seconds between two looks at whether the last connection is closed

_REQUEST = msgspec.json.Decoder(RecommendRequest)
_IDS = msgspec.msgpack.Decoder(Ids)


class Source(msgspec.Struct, frozen=True):
    """A bundle to answer from.

    Attributes:
        path: a folder.
        name: its name for people.
        verified: whether a process compared its files.
        shared: arrays that its workers share.
        replaces: ids of the bundle that it is to replace, as ``Ready`` has them; empty when they need not be compared.
    """

    path: Path
    name: str
    verified: bool = False
    shared: Shared | None = None
    replaces: bytes = b""

    def read(self, settings: Settings) -> Loaded:
        """The bundle.

        Raises:
            BundleError: when it cannot be loaded.
            ShortlistError: when it may not replace the one before.
        """
        loaded = Loaded.read(
            self.path,
            settings.trusted,
            cold_start=settings.cold_start,
            verified=self.verified,
            key=settings.signature,
            share=self.shared,
        )
        loaded.name = self.name
        if self.replaces:
            check_replaces(_IDS.decode(self.replaces), loaded, settings.other_data)
        return loaded


@contextlib.contextmanager
def beating(channel: Channel) -> Iterator[None]:
    """Send signs of life from a thread, while the process loads and has no event loop yet."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT):
            channel.send(Beat())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _loaded_or_reported(channel: Channel, load: Callable[[], Any]) -> Any:
    """The result of ``load``; if it fails, None, and the supervisor gets the reason."""
    try:
        with beating(channel):
            return load()
    except ShortlistError as error:
        failed = Failed(type(error).__name__, error.message, error.hint)
    except EOFError:
        failed = Failed("EOFError", "the writing process has ended.", None)
    except Exception as error:  # a bug of ours, or no memory
        failed = Failed(type(error).__name__, str(error), None)
    channel.send(failed)
    while channel.pending:
        channel.wait(BEAT)
    return None


def work(
    source: Source,
    settings: Settings,
    log: Log,
    channel: Channel,
    listening: socket.socket,
    share: tuple[Board, int],
    follow: socket.socket | None,
    asked: Sequence[bytes],
) -> int:
    """Answer until a message or signal says to stop.

    Args:
        source: the bundle.
        settings: of the server.
        log: of the server.
        channel: to the supervisor.
        listening: the socket that clients connect to.
        share: the board, and this worker's slot.
        follow: the socket to the writing process, if there is one.
        asked: requests to warm up with.

    Returns:
        The exit code.
    """
    following = None if follow is None else Following(follow, lambda why: channel.send(Replace(why)))

    def load() -> Service:
        loaded = source.read(settings)
        follows = None if following is None else following.snapshot()
        service = with_threads(partial(Service, loaded, settings, log, follows))
        service.asked.extend(_REQUEST.decode(one) for one in asked)
        service.warm(service.loaded, lambda: None)
        gc.collect()
        give_back()
        return service

    service = _loaded_or_reported(channel, load)
    if service is None:
        return 1
    worker = _Worker(service, channel, listening, share, following)
    run(worker.app, [], live=worker.live)
    return 0


class _Worker:
    """A worker once it has loaded its bundle."""

    def __init__(
        self,
        service: Service,
        channel: Channel,
        listening: socket.socket,
        share: tuple[Board, int],
        following: Following | None,
    ) -> None:
        self._service = service
        self._channel = channel
        self._listening = listening
        self._board, self._slot = share
        self._following = following
        self._numbers = itertools.count(1)
        self._scrapes: dict[int, asyncio.Future[list[Family]]] = {}
        self._retiring: asyncio.Task[None] | None = None
        self._acceptor: Acceptor | None = None
        self._held = Counted(Connection.all_open, lambda: 0 if self._acceptor is None else self._acceptor.opening)
        self.app = App(service)
        service.scrapes = Scrapes(self._figures_of_all)
        if following is not None:
            service.change = following.change
            service.writes = lambda: following.alive
            service.closing = following.close

    async def live(self, server: Server) -> None:
        """Send signs of life and read the supervisor's messages until the server ends."""
        self._server = server
        self._channel.attach(self._take, lambda: os._exit(1))  # without a supervisor nothing would end this process
        beats = asyncio.create_task(self._beat())
        try:
            if self._following is not None:
                await self._following.start(self._service)
            loaded = self._service.loaded
            ids = msgspec.msgpack.encode(Ids.of(loaded))
            self._channel.send(Ready(loaded.bundle, str(loaded.served), loaded.long_ids, ids))
            await beats
        except Exception as error:
            self._channel.send(Failed(type(error).__name__, str(error), None))
            raise
        finally:
            beats.cancel()
            self._publish(0)

    async def _beat(self) -> None:
        for number in itertools.count():
            self._channel.send(Beat())
            self._held.look(asyncio.get_running_loop().time())
            if number % REPORT == 0:
                self._publish(0)
                if self._service.asked:
                    self._channel.send(Asked(self._latest()))
            await asyncio.sleep(BEAT)

    def _latest(self) -> list[bytes]:
        found: list[bytes] = []
        for request in reversed(self._service.asked):
            found.append(msgspec.json.encode(request))
            if sum(map(len, found)) > ASKED_BYTES:
                return found[:-1]
        return found

    def _take(self, message: Any, fds: list[int]) -> None:
        if isinstance(message, Open):
            quota = AcceptQuota(self._board, self._slot, self._held)
            if self._server.should_exit:
                quota.stop()
            else:
                self._acceptor = self._server.accept(self._listening, quota)
        elif isinstance(message, Retire):
            if self._retiring is None:
                self._retiring = asyncio.create_task(self._retire(message.seconds))
        elif isinstance(message, Stop):
            self._server.stop()
        elif isinstance(message, Publish):
            self._publish(message.number)
        elif isinstance(message, Merged):
            future = self._scrapes.get(message.number)
            if future is not None and not future.done():
                future.set_result(message.families)
        else:
            assert isinstance(message, NewLog)
            assert self._following is not None
            self._following.renew(socket.socket(fileno=fds[0]))

    def _publish(self, number: int) -> None:
        self._channel.send(Published(number, figures.families_of(self._service.metrics.registry)))

    async def _retire(self, seconds: float) -> None:
        """Answer each connection once more, announce its end, and stop."""
        if self._acceptor is not None:
            self._acceptor.close(leave=True)
        self._board.set(self._slot, NOT_ACCEPTING)
        self.app.draining = True
        if self._following is not None:
            self._following.retiring = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while Connection.all_open and loop.time() < deadline:
            await asyncio.sleep(LOOK)
        self._server.should_exit = True

    async def _figures_of_all(self) -> bytes:
        """The figures of all processes, added up."""
        number = next(self._numbers)
        self._scrapes[number] = asyncio.get_running_loop().create_future()
        self._channel.send(Scrape(number))
        try:
            families = await asyncio.wait_for(self._scrapes[number], FIGURES)
        finally:
            del self._scrapes[number]
        return await self._service.run(figures.text, families)


def write(
    source: Source, settings: Settings, log: Log, channel: Channel, followers: Sequence[tuple[socket.socket, int]]
) -> int:
    """Write changes until a message says to stop.

    Args:
        source: the bundle.
        settings: of the server.
        log: of the server.
        channel: to the supervisor.
        followers: workers that answer already, with their slots.

    Returns:
        The exit code.
    """

    def load() -> Service:
        loaded = source.read(settings)
        return with_threads(partial(Service, loaded.changed(loaded.exact), settings, log))

    service = _loaded_or_reported(channel, load)
    if service is None:
        return 1
    try:
        return asyncio.run(_write(service, source.name, channel, followers))
    finally:
        service.close()


async def _write(service: Service, name: str, channel: Channel, followers: Sequence[tuple[socket.socket, int]]) -> int:
    service.writer.preparation.start()
    hub = Hub(service)
    for way, slot in followers:
        hub.add(way, slot, counts=True)
    finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    swaps: set[asyncio.Task[None]] = set()
    in_turn = asyncio.Lock()  # the last swap that was asked for is the last that is made

    def end(code: int) -> None:
        if not finished.done():
            finished.set_result(code)

    async def swap(path: str, bundle: str) -> None:
        try:
            async with in_turn:
                if service.loaded.bundle != bundle:
                    source = Source(Path(path), name, verified=True)
                    loaded = await asyncio.get_running_loop().run_in_executor(None, source.read, service.settings)
                    if loaded.bundle != bundle:
                        channel.send(Refused("BundleError", "another bundle was put there since.", bundle))
                        return
                    await service.writer.swap(loaded.changed(loaded.exact))
        except Exception as error:
            message = error.message if isinstance(error, ShortlistError) else str(error)
            channel.send(Refused(type(error).__name__, message, bundle))
        else:
            channel.send(Swapped(bundle))

    def take(message: Any, fds: list[int]) -> None:
        if isinstance(message, NewFollower):
            hub.add(socket.socket(fileno=fds[0]), message.slot)
        elif isinstance(message, Publish):
            channel.send(Published(message.number, figures.families_of(service.metrics.registry)))
        elif isinstance(message, Swap):
            task = asyncio.create_task(swap(message.path, message.bundle))
            swaps.add(task)
            task.add_done_callback(swaps.discard)
        else:
            assert isinstance(message, Finish)
            end(0)

    channel.attach(take, lambda: end(1))
    channel.send(Ready(service.loaded.bundle, str(service.loaded.served)))  # another one may take its place: not held

    async def beat() -> None:
        while True:
            channel.send(Beat())
            await asyncio.sleep(BEAT)

    tasks = [asyncio.create_task(one) for one in (beat(), hub.pulse())]
    for task in tasks:
        task.add_done_callback(lambda _: end(1))
    try:
        return await finished
    finally:
        for task in tasks:
            task.cancel()
