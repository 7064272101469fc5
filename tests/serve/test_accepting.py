"""Connections that come at once are taken at once, and a process without room for more tries again."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import uvloop

from shortlist.serve.accepting import AT_ONCE, BETWEEN, LAST, LEAST, LEFT, LEFT_BETWEEN, SOON, Acceptor


class Greeting(asyncio.Protocol):
    """Says a word to whoever comes."""

    def __init__(self, made: list[Greeting]) -> None:
        self._made = made

    def connection_made(self, transport: Any) -> None:
        self._made.append(self)
        transport.write(b"hello")
        transport.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(1024)
        yield one


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_crowd_is_taken_in_a_few_turns_of_the_loop(
    listening: socket.socket, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """100 wait before the loop looks. One for each turn would take 100 turns."""
    crowd = [socket.create_connection(listening.getsockname(), timeout=120) for _ in range(100)]
    made: list[Greeting] = []

    async def some_turns() -> None:
        acceptor = Acceptor(listening, lambda: Greeting(made))
        for _ in range(20):
            await asyncio.sleep(0)
        acceptor.close()
        await acceptor.wait_closed()

    loop = new_loop()
    loop.run_until_complete(some_turns())
    assert len(made) == 100
    assert {one.recv(10) for one in crowd} == {b"hello"}
    loop.close()
    for one in crowd:
        one.close()


class Share:
    """A share of so many connections, next to others that accept at the end, too, or do not."""

    def __init__(self, most: int, others: bool = False) -> None:
        self.most, self.others, self.count, self.looks = most, others, 0, 0
        self.leaves = True

    def behind(self, room: bool) -> list[int]:
        return [] if room and self.count < self.most else [1]

    def leaves_to(self, behind: Sequence[int]) -> bool:
        self.looks += bool(behind)
        return bool(behind) and self.leaves

    def accepted(self) -> None:
        self.count += 1

    def stop(self) -> bool:
        return self.others


@pytest.mark.parametrize(("leave", "taken"), [(False, 10), (True, 3)])
def test_connections_are_left_to_others_until_the_end_or_for_good(
    listening: socket.socket, leave: bool, taken: int
) -> None:
    """Its share is three of the ten that wait. A server that stops takes the rest; one whose place others take leaves it to them."""
    crowd = [socket.create_connection(listening.getsockname(), timeout=120) for _ in range(10)]
    made: list[Greeting] = []
    share = Share(3)

    async def some_turns() -> None:
        acceptor = Acceptor(listening, lambda: Greeting(made), quota=share)
        while len(made) < 3:
            await asyncio.sleep(0)
        acceptor.close(leave)
        acceptor.close()  # the server's own end closes all there are
        await acceptor.wait_closed()
        assert acceptor.opening == 0

    asyncio.run(some_turns())
    assert len(made) == taken
    for one in crowd:
        one.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems cannot")
@pytest.mark.parametrize(("others", "late"), [(False, False), (True, True)])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_last_to_stop_lets_nobody_connect_whom_it_does_not_accept(
    listening: socket.socket, new_loop: Callable[[], asyncio.AbstractEventLoop], others: bool, late: bool
) -> None:
    """Five wait when it stops, and one comes then. Where other processes accept, that one is theirs."""
    crowd = [socket.create_connection(listening.getsockname(), timeout=120) for _ in range(5)]
    made: list[Greeting] = []
    theirs = listening.dup()

    async def stop() -> None:
        acceptor = Acceptor(listening, lambda: Greeting(made), quota=Share(100, others))
        acceptor.close()
        with socket.socket() as after:
            after.setblocking(False)
            assert after.connect_ex(theirs.getsockname()) == errno.EINPROGRESS
            await acceptor.wait_closed()
            assert listening.fileno() == -1
            theirs.setblocking(False)
            if late:
                theirs.accept()[0].close()
            else:
                with pytest.raises(BlockingIOError):
                    theirs.accept()

    loop = new_loop()
    loop.run_until_complete(stop())
    loop.close()
    assert len(made) == 5
    assert {one.recv(10) for one in crowd} == {b"hello"}
    for one in (*crowd, theirs):
        one.close()


class Scripted:
    """A listening socket that does what it is told: raises, or hands out one end of a pair."""

    def setsockopt(self, *values: Any) -> None:
        raise OSError(errno.ENOPROTOOPT, "this system has no filters")

    def close(self) -> None:
        pass

    def __init__(self, *events: Exception | None) -> None:
        self.events, self.others = list(events), []  # type: ignore[var-annotated]

    def setblocking(self, flag: bool) -> None:
        pass

    def accept(self) -> tuple[socket.socket, Any]:
        event = self.events.pop(0) if self.events else BlockingIOError()
        if event is not None:
            raise event
        ours, other = socket.socketpair()
        self.others.append(other)
        return ours, None


class Turns:
    """A loop of which only the calls are looked at."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.later: list[Any] = []
        self.opened = 0

    def add_reader(self, one: Any, call: Callable[[], None]) -> None:
        self.readers.append(call)

    def remove_reader(self, one: Any) -> None:
        self.readers.clear()

    def call_later(self, seconds: float, call: Any, *arguments: Any) -> Any:
        self.later.append((call, arguments))
        return self

    def cancel(self) -> None:
        self.later.clear()

    def create_task(self, coroutine: Any) -> Any:
        coroutine.close()
        self.opened += 1
        return self

    def add_done_callback(self, call: Any) -> None:
        pass

    def create_future(self) -> Any:
        return self

    def set_result(self, result: Any) -> None:
        pass


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    loop = Turns()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


def test_without_room_for_more_files_it_waits_and_tries_again(turns: Turns) -> None:
    listening = Scripted(None, OSError(errno.EMFILE, "too many"), None, ConnectionAbortedError(), None)
    Acceptor(listening, asyncio.Protocol)  # type: ignore[arg-type]
    turns.readers[0]()
    assert (turns.opened, turns.readers) == (1, [])  # it does not turn in circles meanwhile
    ((call, arguments),) = turns.later
    call(*arguments)
    turns.readers[0]()
    assert turns.opened == 3  # the one that had gone again counts for nothing


def test_a_flood_leaves_a_turn_to_others(turns: Turns) -> None:
    """However many requests are answered in a turn, and however many are under way."""
    listening = Scripted(*[None] * (AT_ONCE + 1))
    acceptor = Acceptor(listening, asyncio.Protocol, requests=lambda: (5000, 5000))  # type: ignore[arg-type]
    turns.readers[0]()
    assert turns.opened == AT_ONCE
    acceptor.close()
    assert turns.readers == []


@pytest.mark.parametrize(
    ("answered", "under_way", "opened"),
    [
        ([0, 0, 0], 0, [4, 4, 4]),  # nobody asks
        ([10, 10, 13], 20, [14, 4, 7]),  # as many more as were answered since the last turn
        ([1000, 1001, 1001], 2, [6, 5, 4]),  # a quiet hour's answers are nothing of this turn
        ([0, 0, 0], 500, [4, 4, 4]),  # nor are requests that nobody answers
    ],
)
def test_connections_take_no_more_of_a_turn_than_requests(
    turns: Turns, answered: list[int], under_way: int, opened: list[int]
) -> None:
    counts = iter(answered)
    Acceptor(Scripted(*[None] * 100), asyncio.Protocol, requests=lambda: (next(counts), under_way))  # type: ignore[arg-type]
    assert LEAST == 4
    for expected in opened:
        before = turns.opened
        turns.readers[0]()
        assert turns.opened - before == expected


def test_while_requests_are_answered_connections_come_in_few_of_the_turns(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn each millisecond: the first, and then one in five, accepts; without requests, each."""
    now, answering = 100.0, True
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    Acceptor(Scripted(*[None] * 200), asyncio.Protocol, answering=lambda: answering)  # type: ignore[arg-type]
    assert BETWEEN == 0.005
    seen = []
    for turn in range(22):
        answering = turn < 16
        turns.readers[0]()
        seen.append(turns.opened // LEAST)
        now += 0.00101
    assert seen == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10]


def test_at_the_end_all_that_wait_are_taken(turns: Turns) -> None:
    """300 clients have connected; none of them is reset, however few are taken in a turn."""
    acceptor = Acceptor(Scripted(*[None] * 300), asyncio.Protocol)  # type: ignore[arg-type]
    acceptor.close()
    assert turns.opened == 300


ASKED = b"POST /v1/recommend HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"


class Noted(Greeting):
    """Notes what was sent before the connection was opened, and keeps it."""

    ahead = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._made.append(self)
        transport.write(b"hello")

    def sent_ahead(self, count: int) -> None:
        self.ahead = count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems tell it later")
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("at_once", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("content", [b"", ASKED, ASKED * 20, ASKED * 400, ASKED.replace(b"/1.1", b"/1.0")], ids=len)
def test_clients_that_have_left_are_not_opened(
    listening: socket.socket, new_loop: Callable[[], asyncio.AbstractEventLoop], content: bytes, at_once: bool
) -> None:
    """Twelve of them, before and behind one that stays and one that has only closed its side for sending."""
    made: list[Greeting] = []
    staying: list[socket.socket] = []
    for number in range(14):
        one = socket.create_connection(listening.getsockname(), timeout=60)
        if number == 6:
            staying.append(one)
            continue
        if number == 9:
            one.sendall(ASKED)
            one.shutdown(socket.SHUT_WR)
            staying.append(one)
            continue
        one.sendall(content)
        if at_once:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()

    async def some_turns() -> tuple[int, list[bytes]]:
        acceptor = Acceptor(listening, lambda: Noted(made), keeps=lambda content: False)
        while len(made) < 2:
            await asyncio.sleep(0)
        acceptor.close()
        await acceptor.wait_closed()
        receive = asyncio.get_running_loop().run_in_executor
        came = [
            await receive(None, one.recv, size, socket.MSG_WAITALL) for one, size in zip(staying, (5, 6), strict=True)
        ]
        for one in made:
            one.transport.abort()  # type: ignore[attr-defined]
        return acceptor.left, came

    loop = new_loop()
    left, came = loop.run_until_complete(some_turns())
    loop.close()
    assert left == 12
    assert [one.ahead for one in made] == [0, 1]  # type: ignore[attr-defined]
    assert came == [b"hello", b"Hhello"]
    for one in staying:
        one.close()


def test_a_change_is_opened_although_its_client_has_left(listening: socket.socket) -> None:
    """And so is what may become one: a head that has not arrived whole costs nothing to answer."""
    made: list[Greeting] = []
    contents = [b"a change " + ASKED, ASKED, b"POST /v1/can"]
    for content in contents:
        with socket.create_connection(listening.getsockname(), timeout=60) as one:
            one.sendall(content)

    async def some_turns() -> None:
        acceptor = Acceptor(listening, lambda: Noted(made), keeps=lambda content: content.startswith(b"a change"))
        acceptor.close()
        await acceptor.wait_closed()

    asyncio.run(some_turns())
    assert [one.ahead for one in made] == [0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("answering", [False, True])
def test_those_that_have_left_take_a_few_of_a_turn_and_no_place_of_others(
    turns: Turns, answering: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """70 that have left, then ten that have not: no turn has more than its share, which is larger where turns are apart."""
    monkeypatch.setattr("shortlist.serve.accepting.BETWEEN", 0.0)
    listening = Scripted(*[None] * 80)
    accept, number = listening.accept, 0

    def some_left() -> tuple[socket.socket, Any]:
        nonlocal number
        ours, _ = accept()
        number += 1
        if number <= 70:
            listening.others[-1].close()
        return ours, None

    listening.accept = some_left  # type: ignore[method-assign]
    acceptor = Acceptor(listening, asyncio.Protocol, answering=lambda: answering)  # type: ignore[arg-type]
    assert (LEFT, LEFT_BETWEEN) == (4, 32)
    seen = []
    for _ in range(5 if answering else 20):
        turns.readers[0]()
        seen.append((acceptor.left, turns.opened))
    last = [(70, 4), (70, 8), (70, 10)]
    assert seen == ([(32, 0), (64, 0), *last] if answering else [*((4 * turn, 0) for turn in range(1, 18)), *last])


def test_at_the_end_more_that_have_left_than_a_turn_takes_hide_nobody(turns: Turns) -> None:
    """300 have left in front of one that has not; nobody can look again after the end."""
    listening = Scripted(*[None] * 301)
    accept = listening.accept

    def some_left() -> tuple[socket.socket, Any]:
        ours, _ = accept()
        if len(listening.events):
            listening.others[-1].close()
        return ours, None

    listening.accept = some_left  # type: ignore[method-assign]
    acceptor = Acceptor(listening, asyncio.Protocol)  # type: ignore[arg-type]
    acceptor.close()
    assert (acceptor.left, turns.opened) == (300, 1)


class NoRoom:
    """A limit that is reached."""

    def __init__(self, closed: int = 0) -> None:
        self.closed = closed

    def has_room(self, opening: int) -> bool:
        return False

    def make_room(self) -> bool:
        self.closed += 1
        return True


@pytest.mark.parametrize("tries", [0, 1, 3])
def test_no_try_is_left_once_the_socket_is_closed(listening: socket.socket, tries: int) -> None:
    """There was no room, and the next try would look at a socket that is no more."""
    with socket.create_connection(listening.getsockname(), timeout=120):

        async def stop() -> list[asyncio.TimerHandle]:
            acceptor = Acceptor(listening, lambda: Greeting([]), NoRoom(), quota=Share(100, others=True))
            for _ in range(tries):
                acceptor._accept()
            acceptor.close()
            await acceptor.wait_closed()
            loop: Any = asyncio.get_running_loop()
            return [one for one in loop._scheduled if not one.cancelled()]

        loop = asyncio.SelectorEventLoop()
        assert loop.run_until_complete(stop()) == []
        loop.close()


@pytest.mark.parametrize(
    ("waiting", "alone", "leaves", "closed"),
    [(0, True, True, 0), (0, False, False, 0), (1, True, True, 1), (1, False, True, 0), (1, False, False, 1)],
)
def test_idle_connections_are_closed_for_one_that_waits_and_that_nobody_else_takes(
    listening: socket.socket, waiting: int, alone: bool, leaves: bool, closed: int
) -> None:
    """Before, 32 were closed whenever the last place was taken, and although another process had room."""
    limit, share = NoRoom(), Share(100)
    share.leaves = leaves
    crowd = [socket.create_connection(listening.getsockname(), timeout=120) for _ in range(waiting)]

    async def look() -> None:
        acceptor = Acceptor(listening, lambda: Greeting([]), limit, quota=None if alone else share)
        acceptor._accept()
        seen.append(limit.closed)
        acceptor.close(leave=True)
        await acceptor.wait_closed()

    seen: list[int] = []
    asyncio.run(look())
    assert seen == [closed]
    assert share.looks == (0 if alone else waiting)
    for one in crowd:
        one.close()


def test_a_look_at_which_nobody_waits_is_none(listening: socket.socket) -> None:
    """Others took it meanwhile. Before, the process looked no more for two milliseconds, and such looks counted."""
    share, made = Share(3), []  # type: ignore[var-annotated]
    crowd = [socket.create_connection(listening.getsockname(), timeout=120) for _ in range(3)]

    async def look() -> list[bool]:
        acceptor = Acceptor(listening, lambda: Greeting(made), quota=share)
        acceptor._accept()
        acceptor._accept()
        loop = asyncio.get_running_loop()
        still = [acceptor._retry is None, loop.remove_reader(listening)]
        acceptor.close(leave=True)
        await acceptor.wait_closed()
        return still

    loop = asyncio.SelectorEventLoop()
    assert loop.run_until_complete(look()) == [True, True]
    loop.close()
    assert (share.count, share.looks, len(made)) == (3, 0, 3)
    for one in crowd:
        one.close()


def test_those_that_have_left_are_counted_for_others_too(listening: socket.socket) -> None:
    """A process that takes only connections whose clients have left has not stopped."""
    share = Share(100)
    for _ in range(3):
        socket.create_connection(listening.getsockname(), timeout=120).close()

    async def look() -> int:
        acceptor = Acceptor(listening, lambda: Greeting([]), quota=share)
        acceptor._accept()
        acceptor.close(leave=True)
        await acceptor.wait_closed()
        return acceptor.left

    assert asyncio.run(look()) == 3
    assert share.count == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems cannot")
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_at_the_end_room_is_made_for_all_that_have_connected(
    listening: socket.socket,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    others: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is room for one, and for one more after each look. Where others accept, the rest is theirs. Before, it was reset."""
    monkeypatch.setattr("shortlist.serve.accepting.LAST", 300.0)
    crowd = [socket.create_connection(listening.getsockname(), timeout=120) for _ in range(60)]
    made: list[Greeting] = []

    class OneMore:
        most = 1

        def has_room(self, opening: int) -> bool:
            return len(made) + opening < self.most

        def make_room(self) -> bool:
            self.most += 1
            return True

    theirs = listening.dup()

    async def stop() -> None:
        acceptor = Acceptor(listening, lambda: Greeting(made), OneMore(), quota=Share(100, others))
        acceptor.close()
        await acceptor.wait_closed()

    loop = new_loop()
    loop.run_until_complete(stop())
    loop.close()
    assert len(made) < 60 if others else len(made) == 60
    for one in (*crowd, theirs):
        one.close()


def test_the_end_does_not_wait_for_room_for_ever(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can be closed: three seconds, and then the socket is."""
    monkeypatch.setattr("shortlist.serve.accepting.complete_no_more", lambda listening: True)
    monkeypatch.setattr("shortlist.serve.accepting.someone_waits", lambda listening: True)
    acceptor = Acceptor(Scripted(*[None] * 3), asyncio.Protocol, NoRoom())  # type: ignore[arg-type]
    acceptor.close()
    looks = 0
    while turns.later:
        ends = [one for one in turns.later if one[1][0] is not acceptor._listening]
        assert len(ends) == 1
        turns.later.clear()
        ends[0][0](*ends[0][1])
        looks += 1
        turns.later[:] = [one for one in turns.later if one[1][0] is not acceptor._listening]
    assert looks == pytest.approx(LAST / SOON, abs=3)
    assert turns.opened == 0
