"""The admission queue: who is let in, who waits, who is turned away, and when those are resumed again."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from shortlist.serve.admission import PAUSE, REFUSAL, SLOTS, Admission, is_plain, overloaded
from shortlist.serve.settings import Limits

HEAD = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"


class Connection:
    """Counts what happens to it."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone
        self.leave: Callable[[float], None] | None = None
        self.resumed = 0

    def start(self, cycle: Any, app: Any, leave: Callable[[float], None] | None) -> bool:
        self.leave = None if self.gone else leave
        return not self.gone

    def resume(self) -> None:
        self.resumed += 1


class Loop:
    """A clock that stands until it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Any, *arguments: Any) -> None:
        self.due.append((when, call, arguments))

    def until(self, when: float) -> None:
        while self.due and min(self.due, key=lambda one: one[0])[0] <= when:
            first = min(self.due, key=lambda one: one[0])
            self.due.remove(first)
            self.now = max(self.now, first[0])
            first[1](*first[2])
        self.now = when


def enter(admission: Admission, count: int, now: float = 0.0, gone: bool = False) -> list[Connection]:
    connections = [Connection(gone) for _ in range(count)]
    for connection in connections:
        admission.enter((connection, None, None), now)
    return connections


def one_at_a_time(wait_seconds: float, worked: list[float]) -> tuple[Admission, list[Connection]]:
    """Sixty requests, of which one is inside; the processor time is in ``worked``."""
    admission = Admission(Limits(wait_seconds=wait_seconds), lambda: worked[0])
    admission.slots = 1
    return admission, enter(admission, 60)


def leave(connection: Connection, at: float) -> None:
    assert connection.leave
    connection.leave(at)


def test_a_few_are_inside_and_the_next_come_in_their_order() -> None:
    admission = Admission(Limits(under_way=5))
    admission.slots = 2
    admission._set_pace(1e-9)
    first, second, third, fourth, fifth = enter(admission, 5)
    assert [connection.leave is not None for connection in (first, second, third, fourth, fifth)] == [
        True,
        True,
        *[False] * 3,
    ]
    assert (admission.active, len(admission.waiting), admission.full) == (2, 3, True)  # 5 may be under way
    assert second.leave
    second.leave(0.01)
    assert third.leave
    assert not fourth.leave
    assert (admission.active, len(admission.waiting), admission.full) == (2, 2, False)


def test_who_has_hung_up_takes_no_place() -> None:
    admission = Admission(Limits())
    admission.slots = 1
    (first,) = enter(admission, 1)
    enter(admission, 3, gone=True)
    (last,) = enter(admission, 1)
    assert first.leave
    first.leave(0.01)
    assert last.leave
    assert (admission.active, len(admission.waiting)) == (1, 0)


def test_the_queue_is_as_long_as_can_be_answered_in_time() -> None:
    """One leaves each 10 ms; within 0.25 s that makes 25, after the window in which it was measured."""
    worked = [0.0]
    admission, inside = one_at_a_time(0.25, worked)
    for step, connection in enumerate(inside[:12], 1):
        worked[0] = step * 0.02  # two threads
        leave(connection, step * 0.01)
    assert admission.pace == pytest.approx(0.01)
    assert admission.most == 25
    assert len(admission.waiting) == 60 - 1 - 12
    assert admission.full


def test_a_pause_of_the_process_refuses_nobody() -> None:
    """Stopped for 0.5 s while 60 came, of which each takes a millisecond: all are let in within the tenth of a second."""
    worked = [0.0]
    admission, inside = one_at_a_time(0.1, worked)
    for step, connection in enumerate(inside[:59], 1):
        worked[0] = step * 0.001
        leave(connection, 0.5 + step * 0.001)
        assert admission.most >= 60
    assert admission.pace <= 0.001


def test_at_the_end_whoever_has_come_is_let_in() -> None:
    admission = Admission(Limits(wait_seconds=0.1, under_way=1000))
    admission._set_pace(0.01)
    assert admission.most == 10
    admission.finish()
    assert admission.most == 1000 - admission.slots
    admission._set_pace(0.1)
    assert admission.most == 1000 - admission.slots


def test_an_old_pace_does_not_count() -> None:
    admission = Admission(Limits(wait_seconds=0.25))
    admission.slots = 1
    admission._set_pace(0.1)
    assert admission.most == 2
    enter(admission, 2, now=50.0)
    assert admission.most == 1250


def test_refused_askers_are_heard_again_when_the_server_can_afford_them() -> None:
    admission, loop = Admission(Limits()), Loop()
    enter(admission, admission.slots + 1)  # one waits
    connections = [Connection() for _ in range(3000)]
    told = [admission.refuse(connection, loop) for connection in connections]  # type: ignore[arg-type]
    assert admission.refused == 3000
    assert (told[0], told[248], told[251], told[2990]) == (1, 1, 2, 12)  # four thousandths of a second each
    loop.until(100.0 + 1000 * REFUSAL)
    assert abs(sum(connection.resumed for connection in connections) - 1000) <= 11  # it looks each 5 ms
    loop.until(100.0 + 3000 * REFUSAL + 0.01)
    assert [connection.resumed for connection in connections] == [1] * 3000
    assert not loop.due
    assert admission.refuse(Connection(), loop) == 1  # type: ignore[arg-type]


def test_while_nobody_waits_as_many_are_heard_again_as_there_is_room_for() -> None:
    """Clients that retried at once: their requests are there, and without this they would find an idle server in 1.2 s."""
    admission, loop = Admission(Limits()), Loop()
    enter(admission, 28)
    connections = [Connection() for _ in range(300)]
    for connection in connections:
        admission.refuse(connection, loop)  # type: ignore[arg-type]
    loop.until(100.0 + REFUSAL)
    assert sum(connection.resumed for connection in connections) == SLOTS - 28
    arrived = enter(admission, SLOTS - 28)
    assert all(connection.leave for connection in arrived)
    loop.until(100.0 + 20 * REFUSAL)
    assert sum(connection.resumed for connection in connections) == SLOTS - 28  # those whose time is up were among them
    leave(arrived[0], loop.now)
    loop.until(loop.now + 2 * PAUSE)
    assert (
        sum(connection.resumed for connection in connections) == SLOTS - 28 + 2
    )  # nobody came: one more, and again one


def crowd(clients: int, gap: float, seconds: float) -> tuple[int, int, int]:
    """Clients that each want an answer every ``gap`` seconds and come back when they were told to.

    An answer takes 0.2 ms, a refusal a fifth of that. A client does not make up for what it missed.

    Returns:
        Answers; refusals; and turns of the server, after the first second, in which there was no request.
    """
    loop, inside = Loop(), deque[Client]()
    loop.now = 0.0
    admission = Admission(Limits(), lambda: loop.now)
    arrivals = [(number * gap / clients, number) for number in range(clients)]
    those = [Client(inside, number, due) for due, number in arrivals]
    answered = refused = empty = 0
    now = 0.0
    while now < seconds:
        now += 0.0002
        loop.until(now)
        while arrivals and arrivals[0][0] <= now:
            client = those[heapq.heappop(arrivals)[1]]
            if admission.full:
                refused += 1
                now += 0.00004
                client.due = now + admission.refuse(client, loop)  # type: ignore[arg-type]
                heapq.heappush(arrivals, (client.due, client.number))
            else:
                admission.enter((client, None, None), now)
        if not inside:
            empty += now > 1.0
            continue
        client = inside.popleft()
        answered += 1
        leave(client, now)
        client.due = max(client.due + gap, now - 1.0)
        heapq.heappush(arrivals, (max(now, client.due), client.number))
    return answered, refused, empty


class Client(Connection):
    """One of a crowd."""

    def __init__(self, inside: deque[Client], number: int, due: float) -> None:
        super().__init__()
        self._inside, self.number, self.due = inside, number, due

    def start(self, cycle: Any, app: Any, leave: Callable[[float], None] | None) -> bool:
        self._inside.append(self)
        return super().start(cycle, app, leave)


@pytest.mark.parametrize("gap", [0.04, 0.25])
def test_a_crowd_that_waits_when_told_leaves_hardly_a_turn_without_a_request(gap: float) -> None:
    """2,000 clients who want 10 or 1.6 times what can be answered: seconds in Retry-After that were too long would empty the
    queue, ones that were too short would have the server refuse all the time."""
    answered, refused, empty = crowd(2000, gap, 4.0)
    assert empty <= 0.02 * 3.0 / 0.0002
    assert refused <= 2000 + 4.0 / REFUSAL
    assert answered >= 0.96 * 4.0 / 0.0002


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEAD + b"\r\n{}", True),
        (HEAD + b"connection: keep-alive\r\n\r\n{}", True),
        (b"POST / HTTP/1.1\r\nContent-Length:2\r\nHost: x\r\n\r\n{}", True),
        (HEAD + b"\r\n{}x", False),
        (HEAD + b"\r\n{", False),
        (HEAD + b"\r\n{}" + HEAD, False),
        (HEAD, False),
        (b"", False),
        (HEAD + b"connection: close\r\n\r\n{}", False),
        (HEAD + b"expect: 100-continue\r\n\r\n{}", False),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n{}", False),
        (HEAD + b"content-length: 2\r\n\r\n{}", False),
        (HEAD.replace(b"1.1", b"1.0") + b"\r\n{}", False),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", False),
        (b"POST /x HTTP/1.1\r\nhost: x\r\n\r\n", False),
    ],
)
def test_what_is_plain(data: bytes, expected: bool) -> None:
    assert is_plain(data) is expected


def test_the_refusal_is_a_problem_that_says_when_to_come_back() -> None:
    head, _, body = overloaded(3).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert b"retry-after: 3" in lines
    assert b"content-length: %d" % len(body) in lines
    assert b'"status":503' in body


def test_refused_askers_that_hang_up_take_no_time_of_others() -> None:
    """Of 3,000 every hundredth stays: the next one is told a second, and they are read again one after the other."""
    admission, loop = Admission(Limits()), Loop()
    enter(admission, admission.slots + 1)  # one waits
    connections = [Connection() for _ in range(3000)]
    for connection in connections:
        admission.refuse(connection, loop)  # type: ignore[arg-type]
    staying = connections[::100]
    for connection in connections:
        if connection not in staying:
            admission.discard(connection)  # type: ignore[arg-type]
    assert len(admission._paused) == 30
    assert admission.refuse(late := Connection(), loop) == 1  # type: ignore[arg-type]
    loop.until(100.0 + 10 * REFUSAL + PAUSE)
    assert 9 <= sum(connection.resumed for connection in staying) <= 12
    loop.until(100.0 + 31 * REFUSAL + PAUSE)
    assert [connection.resumed for connection in (*staying, late)] == [1] * 31
    assert sum(connection.resumed for connection in connections) == 30
    loop.until(loop.now + PAUSE)
    assert not loop.due


def test_who_asks_and_hangs_up_again_and_again_delays_nobody() -> None:
    admission, loop = Admission(Limits()), Loop()
    enter(admission, admission.slots + 1)
    for _ in range(3000):
        gone = Connection()
        assert admission.refuse(gone, loop) == 1  # type: ignore[arg-type]
        admission.discard(gone)  # type: ignore[arg-type]
    assert not admission._paused


def test_a_turn_that_nobody_takes_is_given_back() -> None:
    """Of four that are read already one has its turn, one is given up before it, one at that moment; the last has it then."""

    async def talk() -> None:
        admission = Admission(Limits())
        admission.slots = 1
        await admission.turn()
        assert admission.active == 1
        given_up, unlucky, last = (asyncio.create_task(admission.turn()) for _ in range(3))
        await asyncio.sleep(0)
        assert len(admission.waiting) == 3
        given_up.cancel()
        await asyncio.sleep(0)
        admission.leave(0.1)
        unlucky.cancel()
        for one in (given_up, unlucky):
            with pytest.raises(asyncio.CancelledError):
                await one
        await last
        assert (admission.active, len(admission.waiting)) == (1, 0)
        admission.leave(0.2)
        assert admission.active == 0

    asyncio.run(talk())
