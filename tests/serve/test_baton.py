"""Threads that work next to the event loop: one at a time, and none waits in vain."""

from __future__ import annotations

import threading

import pytest

from shortlist.serve.baton import Baton

LONG = 60.0  # seconds: no test waits for so long


class _Thread(threading.Thread):
    """Takes the baton, and says so."""

    def __init__(self, baton: Baton) -> None:
        super().__init__(daemon=True)
        self.baton, self.took = baton, threading.Event()
        self.start()

    def run(self) -> None:
        self.baton.take(threading.get_ident())
        self.took.set()


@pytest.fixture
def baton() -> Baton:
    """One that 1 has, and that nobody takes from it."""
    taken = Baton(LONG)
    taken.take(1)
    return taken


def waits(baton: Baton, count: int) -> None:
    """Return when so many threads wait for the baton."""
    while len(baton._waiting) < count:
        threading.Event().wait(0.001)


def test_nobody_has_it_at_first_and_it_is_taken_at_once() -> None:
    baton = Baton(LONG)
    assert baton.holder is None
    baton.take(1)
    baton.take(1)
    assert baton.holder == 1


def test_a_pause_gives_it_to_the_thread_that_has_waited_longest(baton: Baton) -> None:
    threads = []
    for number in range(3):
        threads.append(_Thread(baton))
        waits(baton, number + 1)
    for thread in threads:
        before = baton.holder
        assert before is not None
        baton.pass_on(before)
        assert thread.took.wait(LONG)
        assert baton.holder == thread.ident


def test_a_pause_keeps_it_where_nobody_waits(baton: Baton) -> None:
    baton.pass_on(1)
    assert baton.holder == 1


def test_only_its_holder_gives_it(baton: Baton) -> None:
    thread = _Thread(baton)
    waits(baton, 1)
    baton.pass_on(2)
    baton.put_down(2)
    assert baton.holder == 1
    baton.put_down(1)
    assert thread.took.wait(LONG)


def test_it_lies_there_when_the_work_is_done(baton: Baton) -> None:
    baton.put_down(1)
    assert baton.holder is None


def test_it_is_taken_from_a_thread_that_does_not_pause() -> None:
    baton = Baton(0.001)
    baton.take(1)
    baton.take(2)
    assert baton.holder == 2
    assert not baton._waiting
    baton.put_down(1)  # which has it no more
    assert baton.holder == 2


def test_it_is_taken_where_it_was_given_too_late_and_taken_by_another(
    baton: Baton, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of a thread's patience and its next step the baton is given to it, and taken from it."""

    class Late:
        """A lock for which a thread waits in vain."""

        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                baton.put_down(1)
                assert baton.holder == 2
                baton._holder = 3
            return timeout is None

        def release(self) -> None:
            pass

    monkeypatch.setattr("shortlist.serve.baton.threading.Lock", Late)
    baton.take(2)
    assert baton.holder == 2
    assert not baton._waiting


@pytest.mark.parametrize("patience", [0.0, 0.0002, LONG])
def test_threads_that_take_it_again_and_again_all_get_on(patience: float) -> None:
    """However often it is taken from one that is just giving it."""
    baton, done = Baton(patience), []

    def work() -> None:
        me = threading.get_ident()
        for _ in range(300):
            baton.pass_on(me)
            baton.take(me)
        baton.put_down(me)
        done.append(me)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(LONG)
    assert len(done) == 4
    assert not baton._waiting
