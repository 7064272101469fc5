"""uvicorn around the application: slow senders are cut off, and SIGTERM lets requests under way finish."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import Any

import uvicorn

from shortlist.serve.accepting import Acceptor, Quota
from shortlist.serve.app import App
from shortlist.serve.buffered import Buffered
from shortlist.serve.connection_limit import ConnectionLimit, raise_limit
from shortlist.serve.listening import BACKLOG
from shortlist.serve.protocol import Connection
from shortlist.serve.swap import Swapper

__all__ = ["Server", "run"]

SWEEP = 0.5  # seconds between two looks at connections and logs
SWITCH = 0.0001  # seconds until a busy thread lets another have the interpreter: the loop and a loader take turns
COLLECT = (
    20_000,
    20,
    20,
)  # objects made until garbage is collected: hundreds of requests at once make many, and none is garbage
DRAIN = 30  # seconds that requests under way have at the end


class Server(uvicorn.Server):
    """A uvicorn server that also looks after its connections and logs.

    Args:
        config: uvicorn's.
        app: the application.
        swapper: looks for another bundle meanwhile.
        live: is given the server and runs as long as it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        swapper: Swapper | None = None,
        live: Callable[[Server], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        super().__init__(config)
        self._app = app
        self._drain = app.service.settings.drain_seconds
        self._stop_at: float | None = None
        self._swapper = swapper
        self._live = live
        self._tasks: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # its own way of accepting connections is too slow for a flood
        self._limit = ConnectionLimit(self._app, clock=asyncio.get_running_loop().time)
        self.servers = []
        for one in sockets or ():
            self.accept(one)
        if self._live is None and hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, self._on_sighup)
        self._tasks.append(asyncio.create_task(self._sweep()))
        if self._swapper is not None:
            self._tasks.append(asyncio.create_task(self._swapper.watch()))
        if self._live is not None:
            self._tasks.append(asyncio.create_task(self._live(self)))

    def accept(self, listening: socket.socket, quota: Quota | None = None) -> Acceptor:
        """Accept the connections of a listening socket from now on.

        Args:
            listening: the socket.
            quota: see ``Acceptor``.
        """
        acceptor = Acceptor(
            listening,
            self._connection,
            self._limit,
            self._requests,
            lambda: self._app.service.turns.loop_answers_some,
            quota,
            self._app.is_change,
        )
        self.servers.append(acceptor)  # type: ignore[arg-type]
        return acceptor

    def _requests(self) -> tuple[int, int]:
        return self.server_state.total_requests, self._app.under_way

    def _connection(self) -> Buffered:
        return Buffered(Connection(self.config, self.server_state, self.lifespan.state))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a signal.

        At SIGTERM the server is first not ready for ``drain`` seconds, in which balancers look elsewhere; SIGINT or a
        second SIGTERM stops it now. A worker's supervisor says so itself (``stop``): the same SIGTERM may reach a worker
        twice, from its supervisor and from whatever signals the whole group.
        """
        if sig == signal.SIGTERM and self._drain and not self.should_exit:
            if self._stop_at is None:
                self._app.drain()
                self._stop_at = time.monotonic() + self._drain
                return
            if self._live is not None:
                return
        self._app.finish()
        super().handle_exit(sig, frame)
        self._captured_signals.clear()  # uvicorn would raise them again at the end: a clean stop is not a failure

    def stop(self) -> None:
        """Answer the requests that have arrived, and stop."""
        self._app.finish()
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop."""
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _on_sighup(self, sig: int, frame: FrameType | None) -> None:
        """SIGHUP: look for another bundle, even if the last was refused; when the terminal was closed, stop."""
        if os.isatty(2):
            self.handle_exit(signal.SIGTERM, frame)
        elif self._swapper is not None:
            self._swapper.recheck()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.finish()
        if self._swapper is not None:
            self._swapper.close()
        acceptors: Sequence[Any] = self.servers
        for one in acceptors:
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for one in acceptors:
            await one.wait_closed()
        await super().shutdown()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _sweep(self) -> None:
        """Look at connections and logs again and again, even after an error."""
        while True:
            await asyncio.sleep(SWEEP)
            try:
                self._check()
            except Exception as error:  # a bug of ours
                self._app.service.log.event("sweep_failed", kind=type(error).__name__)

    def _check(self) -> None:
        """Cut connections that send one request for too long, have stopped reading their reply, or wait too long."""
        app, now = self._app, asyncio.get_running_loop().time()
        app.service.log.flush()
        app.count_refused()
        limit = app.service.settings.limits.receive_seconds
        for one in list(Connection.all_open):
            if one.buffered():
                app.unsent.watch(one, now)
            if one.waiting_since is not None and now - one.waiting_since > limit:
                one.abort("slow")
        app.unsent.check(now)
        app.cancel_overdue(time.monotonic())


def run(
    app: App,
    sockets: Sequence[socket.socket],
    *,
    swapper: Swapper | None = None,
    live: Callable[[Server], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        app: the application.
        sockets: they listen.
        swapper: looks for another bundle meanwhile.
        live: runs meanwhile, too.
    """
    config = uvicorn.Config(
        app,
        loop=f"{__name__}:{new_loop.__name__}",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=None,
    )
    server = Server(config, app, swapper, live)
    raise_limit()
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()  # the bundle stays: the collector need not search it again and again
    gc.set_threshold(*COLLECT)
    server.run(sockets=list(sockets))


def new_loop() -> asyncio.AbstractEventLoop:
    """The event loop of uvloop, where it is installed, or Python's; it takes attributes, as ``at_once`` needs."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()

    class Loop(uvloop.Loop):
        pass

    return Loop()
