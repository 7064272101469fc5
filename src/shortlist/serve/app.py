"""The ASGI application: finds the route, checks the key, reads the body, and turns every outcome into one reply."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

from shortlist.serve.admission import Admission, Probes
from shortlist.serve.at_once import Alone
from shortlist.serve.gate import Gate
from shortlist.serve.http import (
    CLOSE,
    Decompression,
    Headers,
    Incoming,
    Receive,
    Reply,
    Write,
    parameters,
    plain_body,
    read_body,
)
from shortlist.serve.known_heads import KnownHeads
from shortlist.serve.preparing import AFTER
from shortlist.serve.problems import TYPE, Problem, drop_traceback
from shortlist.serve.received import SMALL, Intake, Received
from shortlist.serve.routes import MODELS, Route, canonical, routes_of
from shortlist.serve.service import LIGHT, Service
from shortlist.serve.shortage import shortage
from shortlist.serve.tracing import Span, Traces
from shortlist.serve.turns import Lane
from shortlist.serve.unsent import Unsent

__all__ = ["App"]

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
ALWAYS = frozenset({"/healthz", "/readyz", "/metrics"})  # answered however much is under way
PORT = re.compile(rb":\d*$")
COMPLETE = "shortlist.complete"  # in a request's scope: when its last byte was read, by time.perf_counter
BODY = "shortlist.body"  # and the body, where it is short and has arrived whole
PLACE = "shortlist.place"  # of one on a connection: gives its place in the queue back; and what ``_turn`` calls
LATE = "shortlist.late"  # of one that takes its place in the queue once its body has arrived: called where that is full; see ``_turn``
GIVEN_ID = re.compile(rb"[A-Za-z0-9._:/=+-]{1,128}")
TRACE = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")  # W3C Trace Context
LARGE = 2  # requests with a body beyond ``SMALL`` that are read and answered at once, and as many changes
WAITING = (
    32  # of them that may wait, with what they brought: fewer than ``admission.SLOTS``, so that others have a place
)
CHANGES = 128  # of shorter changes, which wait for the disk
CHANGES_SIZE = 1 << 20  # bytes of their bodies
WAITING_SIZE = 8 << 20  # bytes of those that wait to be read
STALLED = 20.0  # seconds without an answer, while some are waited for, after which the server is not ready
NO_BODY = frozenset({"GET", "HEAD"})
CLIENT_CLOSED = 499  # in figures and logs, the status of a request whose asker hung up before its answer


class _ClientClosed(Exception):  # noqa: N818 - it is nobody's error, and never leaves this module
    pass


class App:
    """The routes over a Service, for any ASGI server."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.admission = Admission(service.settings.limits)
        self.probes = Probes()
        self.unsent = Unsent(service.settings.limits.unsent, service.settings.limits.send_seconds)
        self.received = Received(service.settings.limits.body, service.settings.limits.under_way)
        self.intake = Intake()
        self.heads = KnownHeads()
        self.alone = Alone()
        service.metrics.unsent.set_function(lambda: self.unsent.total)
        self.draining = False  # whether each reply is its connection's last
        self.finishing = False  # whether nobody else is to come
        self._routes = routes_of(service)
        service.metrics.expect({route.label for methods in self._routes.values() for route in methods.values()})
        self._under_way = 0
        self._in_progress: dict[asyncio.Task[Any], float] = {}  # what is being answered, since when; the oldest first
        self._cancellable: set[asyncio.Task[Any]] = set()  # of them, those that change nothing
        limits = service.settings.limits
        self._large = Gate(LARGE, waiting=WAITING)  # for requests with a long body, which take many times its size
        self._large_changes = Gate(LARGE, waiting=WAITING, waiting_size=self.received.most // 2)
        self._changes = Gate(CHANGES, CHANGES_SIZE, max(1, limits.under_way // 2), WAITING_SIZE)
        self._answered = 0.0  # when the last of them was
        service.progress = self.progressing
        service.batcher.arrived = lambda: self.admission.begun
        service.batcher.at_once = lambda: self.alone.answering
        service.metrics.under_way.set_function(lambda: self.under_way)
        self._traces = Traces() if service.settings.traces else None
        self._instance = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            written: list[tuple[int, Headers, bytes | memoryview]] = []
            await self.answer(scope, receive, lambda *reply: written.append(reply))
            for status, headers, body in written:  # one; none for a client that has hung up
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.service.writer.start()
                if self.service.settings.writable:
                    asyncio.get_running_loop().call_later(AFTER, self.service.writer.preparation.start)
                await send({"type": "lifespan.startup.complete"})
            else:
                self.service.close()
                if self._traces is not None:
                    self._traces.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    @property
    def under_way(self) -> int:
        """Requests that are being answered or wait for it."""
        return self._under_way + len(self.admission.waiting)

    def drain(self) -> None:
        """From now on the server is not ready and closes each connection after its next reply.

        It still accepts new ones.
        """
        self.draining = True
        self.service.ready = False

    def finish(self) -> None:
        """From now on every request that has arrived is answered, however long it takes, and no connection is kept."""
        self.drain()
        self.finishing = True
        self.admission.finish()
        self.unsent.finish()
        self.service.batcher.finish()

    async def answer(self, scope: Mapping[str, Any], receive: Receive, write: Write) -> None:
        """Answer one request.

        Args:
            scope: of ASGI.
            receive: of ASGI.
            write: is given the reply's status, headers and body; gives False if the client has hung up. Not called if that
                is known.
        """
        place = scope["path"] not in ALWAYS  # scrapers wait for their figures, and take nobody's
        if place and self._under_way >= self.service.settings.limits.under_way:
            await self.refuse(scope, receive, write)
            return
        started = time.perf_counter()
        service, metrics = self.service, self.service.metrics
        headers = dict(scope["headers"])
        request_id, span, trace = self._request_id(headers), None, _trace(headers)
        complete = scope.get(COMPLETE, started)  # before its turn
        if self._traces is not None and scope["path"] not in ALWAYS:
            span = self._traces.begin(scope["method"], headers, complete)
            trace = span.traceparent
        bundle, label, close, writes = service.loaded.bundle, "none", False, False
        begun = [started]  # and when its turn was, where it had to wait for it after that
        self._under_way += place
        try:
            method, path = scope["method"], scope["path"]
            self._check_host(scope, headers)
            route = self._route(method, path)
            label, writes = route.label, route.access == "write"
            self._check_key(route, headers)
            body = b""
            if method not in NO_BODY:
                body = await self._body(scope, receive, headers)
            incoming = Incoming(path, scope["query_string"], headers, body)
            if incoming.query and method == "POST":
                parameters(incoming)  # takes none: what was meant for the body would be ignored in silence
            if path in ALWAYS:
                reply = await route.handler(service, incoming)
            else:
                late = None if LATE not in scope else (begun, scope[LATE])
                reply = await self._answer(route, incoming, late, scope.get(PLACE))
            self._check_size(reply)
        except Problem as problem:
            reply, close = _problem(problem, request_id), problem.close
            if problem.status == 503:
                metrics.refused.labels(problem.reason).inc()
            drop_traceback(problem)
        except _ClientClosed:
            self._record(scope, span, request_id, trace, label, CLIENT_CLOSED, bundle, complete, begun[-1])
            return
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # no memory, or a bug of ours: logged without what the request brought
            self._log_bug(error, request_id, label)
            short = shortage(error, writes)
            if short is not None:
                metrics.refused.labels(short.reason).inc()
            reply = _problem(
                short
                or Problem(
                    500,
                    "internal server error; it was logged.",
                    hint="find it in the log by this request_id",
                ),
                request_id,
            )
            drop_traceback(error)
        finally:
            self._under_way -= place
        there = _write(write, reply, request_id, close or self.draining, trace)
        status = reply.status if there else CLIENT_CLOSED
        self._record(scope, span, request_id, trace, label, status, bundle, complete, begun[-1])

    async def _body(self, scope: Mapping[str, Any], receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """The body of a request, which is not under way until it is there.

        Raises:
            Problem: for one that is too long or incomplete, and where too many requests are under way by then.
        """
        limits = self.service.settings.limits
        self._under_way -= 1
        try:
            body = await read_body(receive, headers, limits.body, scope.get(BODY))
        finally:
            self._under_way += 1
        if self._under_way > limits.under_way:
            raise _overloaded()
        return body

    def _record(
        self,
        scope: Mapping[str, Any],
        span: Span | None,
        request_id: str,
        trace: str | None,
        label: str,
        status: int,
        bundle: str,
        complete: float,
        started: float,
    ) -> None:
        """Note a request that is over, in metrics, the log and its trace.

        Args:
            complete: when its last byte was read, by ``time.perf_counter``, unless its body arrived later.
            started: when its turn was.
        """
        service, metrics, complete = self.service, self.service.metrics, scope.get(COMPLETE, complete)
        seconds, queue = time.perf_counter() - complete, max(0.0, started - complete)
        if label not in ALWAYS and status != CLIENT_CLOSED:
            metrics.queue.observe(queue)
            metrics.total.observe(seconds)
        metrics.replied(label, status)
        service.log.request(request_id, label, status, seconds, bundle, None if trace is None else trace[3:35])
        if span is not None and self._traces is not None:
            self._traces.end(span, scope["method"], label, status, bundle=bundle, queue_seconds=queue)

    async def _answer(
        self,
        route: Route,
        incoming: Incoming,
        late: tuple[list[float], Callable[[], int]] | None,
        place: tuple[Callable[[], None], Callable[[], int]] | None = None,
    ) -> Reply:
        """The reply of a route.

        Args:
            route: that was asked for.
            incoming: the request.
            late: where it has no place in the queue yet, gets the time of its turn, and what ``_turn`` calls; else None.
            place: gives its place in the queue back, and refuses it as ``late`` does; None without a connection.

        Raises:
            Problem: when it takes too long.
        """
        task, entered, writes = asyncio.current_task(), False, route.access == "write"
        assert task is not None
        self._in_progress[task] = time.monotonic()
        turns = self.service.turns
        turns.enter()
        try:
            if not writes:
                self._cancellable.add(task)
            if late is not None:
                begun, refused = late
                await self._turn(refused)
                entered = True
                begun.append(time.perf_counter())
            if writes:  # it waits for the disk, and for other processes: the place is for others
                if place is not None:
                    place[0]()
                if entered:
                    entered = False
                    self.admission.leave(asyncio.get_running_loop().time())
            body = plain_body(incoming, LIGHT, self.service.settings.limits.body)
            if not isinstance(body, Decompression) and len(body) <= SMALL:
                plain = incoming if body is incoming.body else incoming._replace(body=body)
                if not writes:
                    return await route.handler(self.service, plain)
                async with self._through(self._changes, len(body), place):
                    return await route.handler(self.service, plain)
            async with self._through(self._large_changes if writes else self._large, len(incoming.body), place):
                if isinstance(body, Decompression):
                    body = await turns.take(Lane.LARGE, partial(body.finish, turns.yield_to_loop))
                return await route.handler(self.service, incoming._replace(body=body))
        except asyncio.CancelledError:
            if task in self._in_progress:
                if task not in self._cancellable:
                    raise _ClientClosed from None
                raise
            raise Problem(
                503,
                "the request was not answered in time.",
                retry_after=5,
                reason="late",
                hint="a change may still be made; send it again" if writes else "send it again later",
            ) from None
        except Problem as problem:
            drop_traceback(problem)  # its frames hold what is freed below
            raise
        finally:
            if entered:
                self.admission.leave(asyncio.get_running_loop().time())
            self.service.free(task)
            turns.leave_soon()
            self._cancellable.discard(task)
            if self._in_progress.pop(task, None) is not None:
                self._answered = time.monotonic()

    async def _turn(self, refused: Callable[[], int]) -> None:
        """Wait in the queue, as requests do that arrive whole; the request has to leave it.

        Args:
            refused: called where it is refused; gives the seconds after which the client may try again.

        Raises:
            Problem: when it would wait too long.
        """
        if self.admission.full:
            problem = _overloaded()
            problem.retry_after = refused()
            raise problem
        self._under_way -= 1
        try:
            with self.service.turns.off_loop():
                await self.admission.turn()
        finally:
            self._under_way += 1

    def _through(
        self, gate: Gate, size: int, place: tuple[Callable[[], None], Callable[[], int]] | None
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """The turn of a request with so many bytes at a gate.

        Raises:
            Problem: when too many wait for theirs.
        """
        if gate.full(size) and not self.finishing:
            problem = _overloaded("wait")
            if place is not None:
                problem.retry_after = place[1]()
            raise problem
        return gate.through(size, self.service.turns.off_loop())

    def cancel_overdue(self, now: float) -> None:
        """Answer requests that have waited for too long by 503.

        Args:
            now: by ``time.monotonic``.
        """
        most = self.service.settings.limits.answer_seconds
        for task in [task for task, since in self._in_progress.items() if now - since > most]:
            del self._in_progress[task]
            task.cancel()

    def client_closed(self, task: asyncio.Task[Any]) -> None:
        """Stop answering a request whose client has hung up, unless it is a change."""
        if task in self._cancellable:
            self._cancellable.discard(task)
            task.cancel()

    def progressing(self, now: float) -> bool:
        """Whether requests are answered, if there are any.

        Args:
            now: by ``time.monotonic``.
        """
        oldest = next(iter(self._in_progress.values()), now)
        return now - max(oldest, self._answered) <= STALLED

    def count_refused(self) -> None:
        """Add the refusals of the admission queue to the metrics."""
        count, self.admission.refused = self.admission.refused, 0
        if count:
            self.service.metrics.replied("none", 503, count)
            self.service.metrics.refused.labels("queue").inc(count)

    async def refuse(self, scope: Mapping[str, Any], receive: Receive, write: Write, seconds: int = 0) -> None:
        """Reply 503 at once: the body is not read, and the reply is counted but not logged.

        Args:
            scope: of ASGI.
            receive: of ASGI.
            write: as for ``answer``.
            seconds: after which the client may try again, where the admission queue has counted the refusal; else 0.
        """
        headers = dict(scope["headers"])
        request_id, problem = self._request_id(headers), _overloaded()
        if seconds:
            problem.retry_after = seconds
        else:
            self.service.metrics.replied("none", 503)
            self.service.metrics.refused.labels("queue").inc()
        _write(write, _problem(problem, request_id), request_id, self.draining, _trace(headers))

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """The caller's id if it is short and plain; else one of our own."""
        given = headers.get(b"x-request-id")
        if given is not None and GIVEN_ID.fullmatch(given):
            return given.decode()
        return f"{self._instance}-{next(self._numbers)}"

    def _check_size(self, reply: Reply) -> None:
        """Check that a reply is no longer than all replies that wait for their readers may be together.

        Raises:
            Problem: for a longer one.
        """
        most = self.service.settings.limits.unsent
        if len(reply.body) > most:
            raise Problem(
                422,
                f"the reply would be {len(reply.body):,} bytes; at most {most:,} are sent.",
                "$",
                hint="ask for fewer queries, shorter lists or fewer columns at a time",
            )

    def _check_host(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
        """Check the Host header.

        Raises:
            Problem: for a request without exactly one, or for another host than this server's.
        """
        host = headers.get(b"host")
        if host is None:
            if scope.get("http_version") == "1.0":
                return
            raise Problem(400, "the Host header is missing.", hint="HTTP/1.1 needs one")
        if len(headers) < len(scope["headers"]) and [name for name, _ in scope["headers"]].count(b"host") > 1:
            raise Problem(400, "there is more than one Host header.", hint="send one")
        hosts = self.service.settings.hosts
        if hosts is not None and PORT.sub(b"", host).lower().decode("latin-1") not in hosts:
            raise Problem(
                421, "the server does not answer requests for this host name.", hint="start it with --allow-host NAME"
            )

    def _route(self, method: str, path: str) -> Route:
        methods = self._routes.get(path) or self._routes.get(canonical(path))
        if methods is None and path.startswith(MODELS):
            paths = f"{MODELS}{self.service.loaded.name}, with :predict or /metadata behind it"
            raise Problem(404, "there is no such model.", hint=f"paths: {paths}")
        if methods is None:
            raise Problem(404, "there is nothing at this path.", hint="GET /openapi.json lists the paths")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise Problem(405, "this path does not support this method.", hint=f"methods: {', '.join(sorted(methods))}")
        return route

    def is_change(self, content: bytes) -> bool:
        """Whether a request, of which at least the first line is given, asks for a change: that is made for a client that has left, too."""
        method, _, rest = content.lstrip(b"\r\n").partition(b"\r\n")[0].partition(b" ")
        if not self.service.settings.writable or method != b"POST":
            return False
        path = unquote(rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
        if not path.startswith("/"):  # a whole address, as to a proxy
            return True
        route = self._routes.get(path, {}).get("POST")
        return route is not None and route.access == "write"

    def _check_key(self, route: Route, headers: Mapping[bytes, bytes]) -> None:
        """Check the key that a route needs.

        Raises:
            Problem: for a request without it.
        """
        settings = self.service.settings
        if route.access == "open":
            return
        if route.access == "write" and not settings.writable:
            raise Problem(403, "this server is read-only.", hint="start it with write keys and --state")
        keys = settings.write_keys if route.access == "write" else (*settings.keys, *settings.write_keys)
        if not keys or (route.access == "read" and not settings.keys):
            return
        given = headers.get(b"x-api-key", b"")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if not given and scheme.lower() == b"bearer":
            given = token.strip()
        if _is_one_of(given, keys):
            return
        if route.access == "write" and _is_one_of(given, settings.keys):
            raise Problem(403, "this key can read but not write.", hint="use one of the keys in SHORTLIST_WRITE_KEYS")
        raise Problem(401, "the API key is missing or wrong.", hint="Authorization: Bearer KEY")

    def _log_bug(self, error: BaseException, request_id: str, label: str) -> None:
        where = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        self.service.log.event("error", id=request_id, route=label, kind=type(error).__name__, where=where[-8:])


def _is_one_of(given: bytes, keys: tuple[str, ...]) -> bool:
    """Whether a key is one of ``keys``, in a time that does not depend on which."""
    return any([hmac.compare_digest(given, key.encode()) for key in keys])  # noqa: C419 - all, in constant time


def _overloaded(reason: str = "queue") -> Problem:
    hint = "wait for the seconds in Retry-After"
    return Problem(503, "the server is overloaded.", retry_after=1, reason=reason, hint=hint)


def _problem(problem: Problem, request_id: str) -> Reply:
    headers: list[tuple[bytes, bytes]] = []
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % problem.retry_after))
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.status == 405 and problem.hint is not None:
        headers.append((b"allow", problem.hint.partition(": ")[2].encode()))
    return Reply(problem.body(request_id), problem.status, TYPE, tuple(headers))


def _trace(headers: Mapping[bytes, bytes]) -> str | None:
    """The traceparent of this request, in the caller's trace; None if the caller has none."""
    given = headers.get(b"traceparent")
    found = None if given is None else TRACE.fullmatch(given)
    return None if found is None else f"00-{found[1].decode()}-{secrets.token_hex(8)}-{found[2].decode()}"


def _write(write: Write, reply: Reply, request_id: str, close: bool, trace: str | None) -> bool:
    """Write a reply; False where the client has hung up."""
    headers = [
        (b"content-type", reply.kind.encode()),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        *reply.headers,
    ]
    if trace is not None:
        headers.append((b"traceparent", trace.encode()))
    if close:
        headers.append(CLOSE)
    return write(reply.status, headers, reply.body) is not False
