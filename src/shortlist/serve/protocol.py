"""One connection: HTTP/1.1 by uvicorn, behind the admission queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from shortlist.serve.admission import Admission, is_plain, overloaded
from shortlist.serve.app import ALWAYS, LATE, PLACE
from shortlist.serve.http import CLOSE, Answer, Headers, reply_head
from shortlist.serve.parsing import Flow, Parsing
from shortlist.serve.sockets import send_now, unsent_bytes

__all__ = ["Connection"]

UNSENT = 4096  # bytes: a connection with more of its replies unsent is not read
JOINED = 65_536  # bytes of a body that is copied behind its head, to be sent in one call of the system
GRACE = 0.25  # seconds between the wish to stop and the end of a connection that has nothing to say


class Connection(Parsing):
    """A connection that asks the admission queue before parsing a request, answers one at a time, and is closed when idle.

    Attributes:
        idle_since: the last time that a reply was complete.
    """

    all_open: ClassVar[set[Connection]] = set()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._admission: Admission = self._application.admission
        self._unsent = self._application.unsent
        self._deferred: Any = None  # the cycle of one to be answered once the last reply is sent
        self._alone = self._application.alone
        self._at_once = False  # whether the request that enters is begun at once
        self._queued = False  # whether its request waits at the gate
        self._ended = False  # whether its client has closed its side
        self._task: asyncio.Task[None] | None = None  # of the request that is being answered
        self.idle_since = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._leaving.attach(transport)
        self.flow = Flow(transport)
        transport.set_write_buffer_limits(UNSENT, 0)
        self.waiting_since = self.loop.time()
        self.idle_since = self.waiting_since
        self.all_open.add(self)
        if self._application.finishing:  # it was being accepted when the others were shut down
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self.all_open.discard(self)
        self._unsent.discard(self)
        self._received.discard(self)
        self._intake.discard(self)
        self._admission.discard(self)
        self._deferred, self._unparsed = None, b""
        super()._unset_keepalive_if_required()
        if self._task is not None:
            self._application.client_closed(self._task)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._crowded:
            return
        if self._unparsed or self._unanswered:  # also read although reading is paused
            self._keep(self._unparsed + data)
            return
        if self._admission.full and self._refused_early(data):
            return
        if self._between_requests:
            head = None if self._rests or self.transport.is_closing() else self._heads.of(data)
            if head is not None:
                self._take(head, data)
                return
            if not data.strip(b"\r\n"):
                return  # empty lines before a request begin none, and keep no idle connection open
        self._parse(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection is kept: a client that has sent everything may still read the replies."""
        self._ended = True
        cycle = self.cycle
        if not self._between_requests or self._unparsed or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        self._leaving.watch(self)
        return True

    def sent_ahead(self, count: int) -> None:
        """Note that so many bytes of the next reply were sent."""
        self._leaving.ahead = count

    def _enter(self, cycle: Any) -> None:
        if self.flow.write_paused:
            self._deferred = cycle
            return
        if cycle.scope["path"] in ALWAYS:
            self._application.probes.enter((self, cycle, self._application.answer))
        elif self._admission.full:
            seconds, self._resting = self._admission.refuse(self, self.loop), True
            self.start(cycle, partial(self._application.refuse, seconds=seconds), None)
        elif cycle.more_body:  # a slow sender takes no place in the queue until all is there
            cycle.scope[LATE] = self._rest_after_reply
            self._received.wait_for(self)
            self.start(cycle, self._application.answer, None)
        else:
            self._queued = False
            self._at_once = self._alone.begins(self.loop) and not self._admission.waiting
            self._admission.enter((self, cycle, self._application.answer), self.loop.time())
            self._queued, self._at_once = True, False  # if its turn has not come

    def start(self, cycle: Any, answer: Answer, leave: Callable[[float], None] | None) -> bool:
        """Answer a request.

        Args:
            cycle: of uvicorn.
            answer: answers it.
            leave: called at its end, or when it gives its place back.

        Returns:
            False if the client has hung up.
        """
        if leave is not None and (cycle.disconnected or self.transport.is_closing()):
            return False
        if (self._unparsed or (self._queued and self._ended)) and self._leaving.has_left(cycle, bool(self._unparsed)):
            self.transport.abort()
            return False

        def give_back() -> None:
            nonlocal leave
            if leave is not None:
                held, leave = leave, None
                held(self.loop.time())

        cycle.scope[PLACE] = give_back, self._rest_after_reply
        work = answer(cycle.scope, cycle.receive, partial(self._write, cycle))
        at_once, self._at_once = (
            self._at_once,
            False,
        )  # a request behind this one may begin while this one's reply is written
        task = self._alone.task(self.loop, work) if at_once else self.loop.create_task(work)
        if not task.done():  # else the task of such a request is noted
            self._task = task
        self.tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            if self._task is task:
                self._task = None
            if not cycle.response_complete:  # it was cancelled, or writing failed: no reply is to come
                self.transport.close()
            cycle.on_response = None  # it refers to this connection, which refers to it
            give_back()

        task.add_done_callback(done)
        return True

    def _write(self, cycle: Any, status: int, headers: Headers, body: bytes | memoryview) -> bool:
        """Write a whole reply, in one call of the system unless it is long; False, and none, to a client that has hung up."""
        if cycle.disconnected or self.transport.is_closing():  # uvicorn tells only the last of several cycles
            return False
        cycle.keep_alive = cycle.keep_alive and CLOSE not in headers
        cycle.response_started = True
        head = self._leaving.rest_of(reply_head(status, headers, cycle.keep_alive))
        if cycle.scope["method"] == "HEAD":
            self.transport.write(head)
        elif len(body) <= JOINED:
            self._send(b"".join((head, body)))
        else:
            self.transport.write(head)
            self.transport.write(body)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _send(self, reply: bytes) -> None:
        """Send a short reply now, not at the end of this turn of the event loop, for which the loop may have to wait."""
        sent = send_now(self.transport, reply)
        if sent < len(reply):
            self.transport.write(reply[sent:])

    def shutdown(self) -> None:
        """Finish: every request that was sent by now is answered, even if it has not been read yet."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            return
        self.resume()
        self.loop.call_later(GRACE, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.idle:
            self.transport.close()

    # Sending: nothing is read from a connection, and nothing answered on it, while its last reply is unsent.

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_reading()
        self._unsent.add(self, self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent.discard(self)
        self.flow.resume_reading()
        if self._deferred is not None:
            deferred, self._deferred = self._deferred, None
            self._enter(deferred)
        self.parse_more()
        self._rest()

    def on_response_complete(self) -> None:
        """As uvicorn's, but with one clock for all requests: one for each costs more the more connections are open."""
        self.idle_since = self.loop.time()
        self._leaving.replied()
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._start_clock()
        if self.cycle.response_complete:  # else another request has been parsed behind it
            self._size = 0
            self._received.answered(self)
            self._received.put(self, len(self._unparsed))
        if self.flow.write_paused or self._unparsed:
            self.flow.pause_reading()
        if self._unparsed:
            self.loop.call_soon(self.parse_more)
        self._rest()

    @property
    def idle(self) -> bool:
        """Whether it waits for no reply: no request has begun, or all are answered."""
        return self._between_requests and not self._unparsed and (self.cycle is None or self.cycle.response_complete)

    @property
    def has_asked(self) -> bool:
        """Whether its client has ever sent a request, one that was refused too."""
        return self._refused_at > 0 or self.cycle is not None

    def buffered(self) -> int:
        """Bytes of replies in this process's memory."""
        return int(self.transport.get_write_buffer_size())

    def outstanding(self) -> int:
        """Bytes that the other side has not received."""
        return self.buffered() + unsent_bytes(self.transport)

    def abort(self, reason: str) -> None:
        """End the connection at once."""
        self._application.service.metrics.cut.labels(reason).inc()
        self.transport.abort()

    # Refusing.

    def _refused_early(self, data: bytes) -> bool:
        """Whether ``data`` was a whole plain request, and has been answered by 503; else it is parsed."""
        cycle = self.cycle
        if (
            not self._between_requests
            or (cycle is not None and not cycle.response_complete)
            or self._application.draining
        ):
            return False
        if not is_plain(data):
            return False
        self.waiting_since = None
        self.idle_since = self._refused_at = self.loop.time()
        self.transport.write(self._leaving.rest_of(overloaded(self._admission.refuse(self, self.loop))))
        self.transport.pause_reading()
        self._start_clock()
        return True

    def _rest_after_reply(self) -> int:
        """Have the connection rest once its request, which is refused, has its reply.

        Returns:
            After how many whole seconds the client may try again.
        """
        self._resting = True
        return self._admission.rest(self, self.loop)

    def resume(self) -> None:
        """Read again."""
        self._resting = False
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.resume_reading()
        if self._unparsed:
            self.loop.call_soon(self.parse_more)

    # Idle connections are closed.

    def _start_clock(self) -> None:
        if self.timeout_keep_alive_task is None:
            self._strike_in(self.timeout_keep_alive)

    def _strike_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        """A request does not stop the clock: when it strikes, it looks since when the connection has been idle."""

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        left = max(self.idle_since, self._refused_at) + self.timeout_keep_alive - self.loop.time()
        if not self.idle:
            return  # the reply starts it again
        if left > 0:
            self._strike_in(left)
        else:
            super().timeout_keep_alive_handler()
