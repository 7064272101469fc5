"""Workers that take their share of connections, and do not wait for one that has stopped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shortlist.serve.processes.board import (
    AHEAD,
    FULL,
    NOT_ACCEPTING,
    PART,
    PATIENCE,
    QUIET,
    SLOTS,
    AcceptQuota,
    Board,
    Counted,
)


def looked(quota: AcceptQuota, room: bool = True) -> bool:
    """Whether it accepts a connection that waits."""
    if quota.leaves_to(quota.behind(room)):
        return False
    quota.accepted()
    return True


def test_whoever_is_ahead_leaves_connections_to_others() -> None:
    board, held = Board(), [0]
    board.set(1, 3)
    share = AcceptQuota(board, 0, lambda: held[0])
    taken = 0
    while looked(share):
        taken += 1
        held[0] += 1
    assert taken == 3 + AHEAD
    assert board.held() == [3 + AHEAD, 3]
    board.set(1, 4)
    assert looked(share)


@pytest.mark.parametrize("others", [1, 2, 7])
def test_nothing_is_left_to_those_that_accept_none_until_they_accept_again(others: int) -> None:
    """They have stopped. Before, each connection waited for ten looks, fifty a second."""
    board = Board()
    slots = range(1, 1 + others)
    for slot in slots:
        board.open(slot)
    share = AcceptQuota(board, 0, lambda: 50)
    assert [looked(share) for _ in range(PATIENCE + 100)] == [False] * PATIENCE + [True] * 100
    for slot in slots:
        board.count(slot)
        assert [looked(share) for _ in range(PATIENCE + 2)] == [False] * PATIENCE + [True] * 2


def test_one_that_accepts_is_waited_for_however_often() -> None:
    """Also next to one that has stopped. Before, every eleventh connection went to the one that was ahead."""
    board = Board()
    board.open(1)
    board.open(2)
    share = AcceptQuota(board, 0, lambda: 50)
    seen = []
    for _ in range(5 * PATIENCE):
        board.count(2)
        seen.append(looked(share))
    assert not any(seen)


def test_a_new_worker_is_not_taken_for_the_one_that_had_stopped() -> None:
    board = Board()
    board.open(1)
    share = AcceptQuota(board, 0, lambda: 50)
    while not looked(share):
        pass
    board.set(1, NOT_ACCEPTING)
    board.open(1)
    assert not looked(share)


def test_a_worker_without_room_leaves_connections_to_any_that_has_some() -> None:
    """However many that one holds. When none has room, or none that has accepts, it closes idle ones itself."""
    board = Board()
    board.set(1, 900)
    board.set(2, FULL)
    share = AcceptQuota(board, 0, lambda: 7)
    assert share.behind(False) == [1]
    assert board.held() == [FULL, 900, FULL]
    assert [looked(share, False) for _ in range(PATIENCE + 2)] == [False] * PATIENCE + [True] * 2
    board.set(1, FULL)
    assert share.behind(False) == ()
    assert share.behind(True) == ()
    assert AcceptQuota(board, 1, lambda: 900).behind(True) == [0]


def test_a_worker_without_room_is_waited_for_by_nobody() -> None:
    board = Board()
    board.open(1)
    AcceptQuota(board, 1, lambda: 0).behind(False)
    share = AcceptQuota(board, 0, lambda: 500)
    assert all(looked(share) for _ in range(5))


def test_alone_it_takes_them_all() -> None:
    board = Board()
    share = AcceptQuota(board, 0, lambda: 1000)
    assert all(looked(share) for _ in range(5))
    board.set(2, 0)
    assert not looked(share)
    board.set(2, NOT_ACCEPTING)
    assert looked(share)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_many_that_come_at_once_are_taken_in_few_turns_and_evenly(workers: int) -> None:
    """Each worker accepts up to 64 in a turn of its loop. One in each turn took 64 turns of both for 128 connections."""
    board, held, turns = Board(), [0] * workers, 0
    shares = [AcceptQuota(board, slot, lambda slot=slot: held[slot]) for slot in range(workers)]  # type: ignore[misc]
    while sum(held) < 64 * workers:
        turns += 1
        for slot in range(workers):
            for _ in range(min(64, 64 * workers - sum(held))):
                if not looked(shares[slot]):
                    break
                held[slot] += 1
    assert turns <= 16
    assert max(held) - min(held) <= AHEAD + 64 // PART


def test_the_last_to_stop_is_told() -> None:
    board = Board()
    shares = [AcceptQuota(board, slot, lambda: 0) for slot in range(3)]
    for one in shares:
        one.behind()
    assert [one.stop() for one in shares] == [True, True, False]


def test_one_that_has_stopped_is_none_that_still_accepts() -> None:
    """Else the last worker leaves new connections to it, and they wait until it is killed, and are reset."""
    board = Board()
    board.open(1)
    board.open(2)
    board.set(2, FULL)
    share = AcceptQuota(board, 0, lambda: 50)
    while not looked(share):
        pass
    assert share.stop()  # to the one that is full
    board.set(2, NOT_ACCEPTING)
    assert not share.stop()
    board.count(1)
    assert share.stop()


def test_every_slot_is_seen_by_the_others() -> None:
    """Also beyond those of one swap: replaced workers hold theirs until they have ended. Before, later ones were not."""
    board = Board()
    board.open(SLOTS - 1)
    share = AcceptQuota(board, 3, lambda: AHEAD)
    assert share.behind() == [SLOTS - 1]
    assert share.stop()
    board.set(SLOTS - 1, NOT_ACCEPTING)
    assert not share.stop()


def test_the_count_of_a_worker_begins_again_and_still_changes() -> None:
    board = Board()
    board._accepted[1] = NOT_ACCEPTING
    board.count(1)
    assert board.accepted(1) == 0


def test_connections_on_which_nobody_asks_do_not_count() -> None:
    """Neither those that never asked, nor those whose last reply is long past; those that wait for a reply do."""
    now = 100.0
    silent = [SimpleNamespace(idle=True, idle_since=now - QUIET - number) for number in range(30)]
    asking = [SimpleNamespace(idle=False, idle_since=now - 60) for _ in range(4)]
    fresh = [SimpleNamespace(idle=True, idle_since=now - QUIET / 2) for _ in range(2)]
    connections = {id(one): one for one in (*silent, *asking, *fresh)}
    counted = Counted(connections.values(), lambda: 3)
    assert counted() == 30 + 4 + 2 + 3
    counted.look(now)
    assert counted() == 4 + 2 + 3
    for one in silent:
        del connections[id(one)]
    assert counted() == 3
    for number in range(50):  # new ones in the place of those that were closed all count
        connections[number] = SimpleNamespace(idle=True, idle_since=now)
    assert counted() == 50 + 3
    counted.look(now)
    assert counted() == 4 + 2 + 50 + 3


@pytest.mark.parametrize("idle", [0, 300, 3000])
def test_a_new_worker_gets_its_share_of_requests_and_not_all(idle: int) -> None:
    """The other one holds idle connections from before. Before, the new one got all until it held as many."""
    board = Board()
    held = [[SimpleNamespace(idle=True, idle_since=0.0) for _ in range(idle)], []]
    counts = [Counted(one, lambda: 0) for one in held]
    for one in counts:
        one.look(60.0)
    shares = [AcceptQuota(board, slot, counts[slot]) for slot in (0, 1)]
    taken = [0, 0]
    for number in range(200):
        slot = number % 2 if shares[number % 2].behind() == () else 1 - number % 2
        held[slot].append(SimpleNamespace(idle=False, idle_since=60.0))
        shares[slot].behind()
        taken[slot] += 1
    assert taken == [100, 100]
