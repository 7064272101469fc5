"""Bytes of one connection, parsed into requests by uvicorn: a piece at a time, and no more than can be answered."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shortlist.serve.app import BODY, COMPLETE, App
from shortlist.serve.http import reply_head
from shortlist.serve.known_heads import HEAD_END, Head
from shortlist.serve.leaving import Leaving
from shortlist.serve.problems import TYPE, Problem
from shortlist.serve.request_heads import (
    LONGEST_HEAD,
    LONGEST_URL,
    MOST_LINES,
    body_length,
    long_head,
    malformed,
    name_host,
    strange,
    without_upgrade,
)
from shortlist.serve.sockets import closed_by_peer

__all__ = ["Flow", "Parsing"]


PIECE = 4096  # bytes that are parsed at a time, of one request
CHUNKED = 512  # of a chunked body, until its chunks are seen to be long
DENSE = 256  # and of one in short chunks: each takes as long as hundreds of bytes
CHUNK = 128  # bytes of a chunk, with what frames it, that is not short
FEW = 2  # chunks of a piece that are not many, however short they are


class Flow(FlowControl):
    """Reads nothing more while some bytes that were read are not parsed, also when uvicorn asks for more.

    Attributes:
        held: whether it is not.
    """

    held = False

    def resume_reading(self) -> None:
        """Read on, if nothing is held."""
        if not self.held:
            super().resume_reading()


def _parser(connection: Parsing) -> Any:
    """As uvicorn makes one: requests behind the last one of a connection are ignored."""
    parser = httptools.HttpRequestParser(connection)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


class Parsing(HttpToolsProtocol, ABC):
    """The requests of a connection, as its bytes are parsed.

    uvicorn bounds how long a connection may idle between requests, but not how long a request may take to arrive, nor
    how long its head may be.

    Attributes:
        flow: set when the connection is made.
        waiting_since: since when its client has to send something; None while it need not.
    """

    flow: Flow
    waiting_since: float | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application: App = self.app
        self._between_requests = True  # nothing of a request has arrived, or all of it
        self._reading = False
        self._parsed: Any = None  # the cycle of a request whose head was read
        self._too_long: Problem | None = None
        self._piece = b""  # that is being parsed
        self._unframed = 0  # bytes read since the request began, or since its body's last piece
        self._head = self._lines = 0
        self._left = 0  # bytes of a body of known length that have not been read
        self._spent = 0.0  # seconds that the sender had taken when its bytes were kept
        self._chunks = 0  # that have begun, of the body that is parsed
        self._step = 0  # bytes of a chunked body that are parsed at a time; 0 where none is parsed
        self._upgrade = False  # whether the head that is parsed asks for another protocol
        self._crowded = False  # whether nothing more is read: requests follow one of unknown length
        self._refused_at = 0.0
        self._resting = False  # whether nothing is to be read, since a request was refused, until it is resumed
        self._unparsed = b""  # read, and not parsed yet
        self._received = self._application.received
        self._intake = self._application.intake
        self._heads = self._application.heads
        self._size = 0  # bytes read of the request that is not answered yet
        self._leaving = Leaving(self._application.is_change)

    @abstractmethod
    def _enter(self, cycle: Any) -> None:
        """Have a request answered whose head has arrived, and perhaps its body."""

    @abstractmethod
    def abort(self, reason: str) -> None:
        """End the connection at once; ``Received`` may ask for it."""

    # The parser's calls.

    def on_message_begin(self) -> None:
        if self.pipeline:
            self._crowded = True
            raise ValueError("another request waits")
        self._between_requests = self._upgrade = False
        self.waiting_since = self.loop.time()
        self._unframed = self._head = self._lines = self._left = self._chunks = self._step = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_URL:
            self._refuse(
                Problem(414, f"the address is longer than {LONGEST_URL:,} bytes.", hint="send long values in a body")
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        self._head += len(name) + len(value) + 4
        if self._lines > MOST_LINES or self._head > LONGEST_HEAD:
            self._refuse(long_head())
        if self.cycle is None or self.cycle.scope is not self.scope:  # else a trailer, which is not read
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        method, version = self.parser.get_method().decode("ascii"), self.parser.get_http_version()
        problem = strange(method, version, self.url, self.headers)
        if problem is not None:
            self._refuse(problem)
        name_host(self.url, self.headers)
        if self.parser.should_upgrade():  # it reads no body of such a request: ``_feed`` has it read again
            self._upgrade = True
            self.scope["method"], self.scope["http_version"] = method, version
            return
        self._left = body_length(self.headers)
        if self._leaving.ahead:  # its client has sent everything, and nothing may come between the parts of its reply
            self.expect_100_continue = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unframed = 0
        self._left = max(0, self._left - len(body))
        super().on_body(body)

    def on_chunk_header(self) -> None:
        self._unframed = 0
        self._chunks += 1

    def _refuse(self, problem: Problem) -> None:
        """Stop parsing: httptools passes the error on, and ``send_400_response`` replies."""
        self._too_long = problem
        raise ValueError(problem.detail)

    def send_400_response(self, msg: str) -> None:
        """The one reply to a request that cannot be parsed or is too long; then the connection ends."""
        cycle = self.cycle
        if self._crowded:  # the others are answered, and then the connection ends
            cycle.keep_alive, self._unparsed = False, b""
            self.flow.held = True
            self.flow.pause_reading()
            return
        if cycle is not None and not cycle.response_complete:  # its body has not arrived
            started, cycle.disconnected = cycle.response_started, True
            cycle.message_event.set()
            if started:
                self.transport.close()
                return
        problem = self._too_long or malformed(self._piece)
        self._application.service.metrics.replied("none", problem.status)
        body = problem.body(None)
        headers = [(b"content-type", TYPE.encode()), (b"content-length", b"%d" % len(body))]
        if problem.retry_after is not None:
            headers.append((b"retry-after", b"%d" % problem.retry_after))
        self.transport.write(self._leaving.rest_of(reply_head(problem.status, headers, keep_alive=False)) + body)
        self.transport.close()

    def refuse_body(self) -> None:
        """Refuse the request that is being received."""
        self._application.service.metrics.refused.labels("room").inc()
        self._too_long = Problem(
            503, "the server is receiving too much.", retry_after=1, hint="wait for the seconds in Retry-After"
        )
        self.send_400_response("")

    def on_message_complete(self) -> None:
        if self._upgrade:
            return
        self._between_requests = True
        self._step = 0
        self.waiting_since = None
        self._rest()
        self._received.whole(self)
        self.scope[COMPLETE] = time.perf_counter()  # type: ignore[literal-required]
        cycle = self.cycle
        if (
            len(cycle.body) <= PIECE and not cycle.waiting_for_100_continue
        ):  # else reading may wait until it is received
            self.scope[BODY] = cycle.body  # type: ignore[literal-required]
        super().on_message_complete()

    # What is parsed, and when.

    def _take(self, head: Head, data: bytes) -> None:
        """Take a whole request whose head was read before, as if it were parsed."""
        self.on_message_begin()
        self.url = head.url
        self.headers.extend(head.headers)
        self.scope.update(head.scope)  # type: ignore[typeddict-item]
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        self.cycle.body += data[head.size :]
        self._size = len(data)
        self.on_message_complete()
        self._enter(self.cycle)

    def _parse(self, data: bytes) -> None:
        """Parse what was read of one request, until it is complete or others have their turn: the rest can wait.

        A request that waits behind another one of its connection is bytes: parsed, it would take fifty times as much
        memory, and its time would be lost where the client has hung up meanwhile.
        """
        self._reading, begins = True, self._between_requests
        if begins:
            data = data.lstrip(b"\r\n")  # the parser skips them too
        at, long = 0, len(data) > PIECE
        while at < len(data) and not self._waits and not self.transport.is_closing():
            dense = self._step == DENSE
            if (long or dense) and not self._intake.take(PIECE) and (at or dense):
                self._intake.wait(self)  # else one piece is always parsed: most requests have no more
                break
            piece, chunks = self._piece_of(data, at), self._chunks
            at += len(piece)
            self._unframed += len(piece)
            self._piece = piece
            if not self._answered_early:
                self._size += len(piece)
                self._received.put(self, self._size)
            if self.transport.is_closing():
                break
            self._feed(piece)
            if self._chunks and not self._between_requests:
                self._step = self._step_after(len(piece), self._chunks - chunks)
            if not self._between_requests and self._unframed > LONGEST_HEAD and not self.transport.is_closing():
                self._too_long = long_head()
                self.send_400_response("")
        self._reading = False
        if at < len(data) and not self._crowded and not self.transport.is_closing():
            self._keep(data[at:])
        elif not (self._between_requests or self._answered_early or self.transport.is_closing()):
            self._received.hold(self, self._size)
        if self._parsed is not None:
            parsed, self._parsed = self._parsed, None
            if not self.transport.is_closing():
                if begins and len(data) <= PIECE:
                    self._heads.keep(data, self.url, parsed.scope)
                self._enter(parsed)

    def _piece_of(self, data: bytes, at: int) -> bytes:
        """The bytes from ``at`` on that are parsed next: nothing behind a head, or behind a body of known length."""
        end = min(len(data), at + PIECE)
        if self._left:
            end = min(end, at + self._left)
        elif self._between_requests or self._in_head:
            found = data.find(HEAD_END, at, end)
            end = end if found < 0 else found + len(HEAD_END)
        else:
            end = min(end, at + (self._step or CHUNKED))
        return data if at == 0 and end == len(data) else data[at:end]

    def _step_after(self, size: int, chunks: int) -> int:
        """How much of a chunked body is parsed next, after so many bytes in which so many chunks have begun."""
        if chunks > FEW and chunks * CHUNK > size:
            return DENSE
        return min(PIECE, 2 * (self._step or CHUNKED))

    @property
    def _in_head(self) -> bool:
        """Whether some of a head has been read, and not all of it."""
        return self.cycle is None or self.cycle.scope is not self.scope

    @property
    def _answered_early(self) -> bool:
        """Whether the request that arrives was answered before its end: the rest of it is dropped as it is read."""
        return not (self._between_requests or self._in_head) and self.cycle.response_complete

    @property
    def _waits(self) -> bool:
        """Whether nothing more is parsed for now."""
        return self._unanswered or self._crowded or self._rests

    @property
    def _unanswered(self) -> bool:
        """Whether a whole request waits for its reply."""
        return self._between_requests and self.cycle is not None and not self.cycle.response_complete

    def _feed(self, piece: bytes) -> None:
        """Have bytes parsed. A wish for another protocol is ignored, as RFC 9110 (7.8) allows: Java's client has one."""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade as found:
            head = without_upgrade(self.scope["method"], self.url, self.scope["http_version"], self.headers)
            self.parser = _parser(self)
            self._feed(head)
            if not self.transport.is_closing() and (rest := piece[found.args[0] :]):
                self._feed(rest)

    def _keep(self, unparsed: bytes) -> None:
        """Keep bytes until it is their turn; that time does not count as the sender's."""
        if self.waiting_since is not None:
            self._spent = self.loop.time() - self.waiting_since
        self._unparsed, self.waiting_since = unparsed, None
        self.flow.held = True
        self.flow.pause_reading()
        self._received.put(self, self._size + len(unparsed))
        if not self.transport.is_closing():
            self._received.hold(self, len(unparsed) + (0 if self._between_requests else self._size))

    def parse_more(self) -> None:
        """Parse the bytes that were kept."""
        if self._unparsed and not self._waits and not self.flow.write_paused and not self.transport.is_closing():
            if closed_by_peer(self.transport):  # the loop does not look while reading is paused
                self.transport.abort()
                return
            unparsed, self._unparsed = self._unparsed, b""
            if not self._between_requests:
                self.waiting_since = self.loop.time() - self._spent
            self.flow.held = False
            self.flow.resume_reading()
            self._parse(unparsed)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self._reading:
            self._parsed = cycle  # how much of it has arrived is known when everything that is here was read
        else:
            self._enter(cycle)

    def _rest(self) -> None:
        """Read nothing more where it rests; ``parse_more`` parses nothing more then."""
        if self._rests and not self.transport.is_closing():
            self._refused_at = self.loop.time()
            self.transport.pause_reading()

    @property
    def _rests(self) -> bool:
        """Whether a request was refused, all of it has arrived, and the reply is written: nothing more is read until it is resumed."""
        return self._resting and self._between_requests and self.cycle.response_complete
