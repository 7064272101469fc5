"""HTTP/1.1 as uvicorn speaks it, behind the admission queue: one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shortlist.serve.admission import Admission, busy, plain
from shortlist.serve.app import ALWAYS, App

__all__ = ["Connection"]

GRACE = 0.25  # seconds between the wish to stop and the end of a connection that has nothing to say


class Connection(HttpToolsProtocol):
    """Remembers since when it waits for the rest of a request, and asks the admission queue before it makes anything of one.

    uvicorn bounds how long a connection may idle between requests, not how long a request may take to arrive.
    """

    everyone: ClassVar[set[Connection]] = set()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application: App = self.app
        self._admission: Admission = self._application.admission
        self._between = True  # nothing of a request has come, or all of it
        self._reading = False
        self._begun: tuple[Any, Any] | None = None
        self._refused_at = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.waiting_since: float | None = self.loop.time()
        self.everyone.add(self)
        if self._application.draining:  # it was being taken when the others were told
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self.everyone.discard(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._between = False
        self.waiting_since = self.loop.time()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._between = True
        self.waiting_since = None
        super().on_message_complete()

    # Coming in.

    def data_received(self, data: bytes) -> None:
        if self._admission.full and self._turned_away(data):
            return
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._begun is not None:
            begun, self._begun = self._begun, None
            if not self.transport.is_closing():
                self._enter(*begun)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self._reading:
            self._begun = cycle, app  # how much of it has come is known when all that is here was read
        else:
            self._enter(cycle, app)

    def _enter(self, cycle: Any, app: Any) -> None:
        if cycle.scope["path"] in ALWAYS:
            self.begin(cycle, app, None)
        elif self._admission.full:
            self.begin(cycle, self._application.refuse, None)
        elif cycle.more_body:  # who sends slowly takes nobody's place
            self.begin(cycle, app, None)
        else:
            self._admission.enter((self, cycle, app), self.loop.time())

    def begin(self, cycle: Any, app: Any, leave: Callable[[float], None] | None) -> bool:
        """Answer a request; ``leave`` is called at its end. False where its asker has hung up."""
        if leave is not None and (cycle.disconnected or self.transport.is_closing()):
            return False
        task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            if leave is not None:
                leave(self.loop.time())

        task.add_done_callback(done)
        return True

    def shutdown(self) -> None:
        """Finish: what was sent by now is answered, also where it has not been read yet."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            return
        self.resume()
        self.loop.call_later(GRACE, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._between and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    # Turned away.

    def _turned_away(self, data: bytes) -> bool:
        """Whether ``data`` was a whole plain request, and has been answered by 503; else it goes the long way."""
        cycle = self.cycle
        if not self._between or (cycle is not None and not cycle.response_complete) or self._application.draining:
            return False
        if not plain(data):
            return False
        self.waiting_since, self._refused_at = None, self.loop.time()
        self.transport.write(busy(self._admission.refuse(self, self.loop)))
        self.transport.pause_reading()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return True

    def resume(self) -> None:
        """Read again."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        left = self._refused_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:  # it was refused since the clock was set
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()
