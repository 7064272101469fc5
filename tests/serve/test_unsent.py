"""Replies that nobody reads: few bytes in total, the slowest reader goes first, and nobody who stopped keeps one."""

from __future__ import annotations

import pytest

from shortlist.serve.unsent import Unsent

MB = 1_000_000


class Reader:
    """A connection that has not taken so many bytes, all of them in the process's memory."""

    def __init__(self, size: int) -> None:
        self.size, self.reason = size, ""

    def buffered(self) -> int:
        return self.size

    def outstanding(self) -> int:
        return self.size

    def abort(self, reason: str) -> None:
        self.size, self.reason = 0, reason


def test_sixty_replies_that_nobody_reads_are_one_in_memory() -> None:
    unsent = Unsent(32 * MB, 10.0)
    readers = [Reader(23 * MB) for _ in range(60)]
    for now, reader in enumerate(readers):
        unsent.add(reader, float(now))
        assert unsent.total == 23 * MB
    assert [one.reason for one in readers] == ["room"] * 59 + [""]


def test_the_slowest_reader_makes_room() -> None:
    """Ten seconds in: one took 8 of 10 MB, 2.5 s for the rest; one took 1 of 4, 30 s; one came just now."""
    unsent = Unsent(10 * MB, 100.0)
    quick, slow, fresh = Reader(10 * MB), Reader(4 * MB), Reader(5 * MB)
    unsent.watch(quick, 0.0)
    unsent.watch(slow, 0.0)
    quick.size, slow.size = 2 * MB, 3 * MB
    unsent.add(fresh, 10.0)
    assert unsent.total == 10 * MB
    unsent.add(last := Reader(1), 10.0)
    assert (quick.reason, slow.reason, fresh.reason, last.reason) == ("", "room", "", "")
    assert unsent.total == 7 * MB + 1


def test_a_reader_that_takes_nothing_is_cut_off_and_one_that_takes_a_little_is_not() -> None:
    unsent = Unsent(32 * MB, 10.0)
    still, moving = Reader(MB), Reader(MB)
    unsent.watch(still, 0.0)
    unsent.watch(moving, 0.0)
    for now in range(1, 31):
        still.size -= 100  # a drop now and then is no progress
        moving.size -= 4_000  # a step of 16,384 in five seconds
        unsent.check(float(now))
        assert still.reason == ("unread" if now > 10 else "")
    assert moving.reason == ""
    moving.size = 0
    unsent.check(31.0)
    assert unsent.total == 0
    moving.size = MB
    assert unsent.total == 0  # nobody looks at it any more


def test_what_is_written_meanwhile_is_no_loss_of_progress() -> None:
    unsent = Unsent(32 * MB, 10.0)
    reader = Reader(20_000)
    unsent.watch(reader, 0.0)
    reader.size = 40_000
    unsent.check(5.0)
    reader.size = 20_000
    unsent.check(9.0)
    unsent.check(18.0)
    assert reader.reason == ""
    unsent.check(20.0)
    assert reader.reason == "unread"


@pytest.mark.parametrize(("taken", "reason"), [(0, "unread"), (100_000, "unread"), (900_000, "")])
def test_a_server_that_stops_waits_for_no_reader_that_is_slow(taken: int, reason: str) -> None:
    """Three seconds: nothing of a megabyte; a tenth, so that the rest takes 27 s; nine tenths, a third of a second."""
    unsent = Unsent(32 * MB, 10.0)
    reader = Reader(MB)
    unsent.watch(reader, 0.0)
    unsent.finish()
    reader.size -= taken
    unsent.check(3.0)
    assert reader.reason == reason
