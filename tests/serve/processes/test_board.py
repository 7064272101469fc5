"""Workers that take their share of connections, and do not wait for one that has stopped."""

from __future__ import annotations

import pytest

from shortlist.serve.processes.board import AHEAD, NOT_ACCEPTING, PART, PATIENCE, AcceptQuota, Board


def test_whoever_is_ahead_leaves_connections_to_others() -> None:
    board, held = Board(), [0]
    board.set(1, 3)
    share = AcceptQuota(board, 0, 4, lambda: held[0])
    taken = 0
    while share():
        taken += 1
        held[0] += 1
    assert taken == 3 + AHEAD
    assert board.least(1, 4) == 3 + AHEAD
    board.set(1, 4)
    assert share()


def test_those_that_nobody_takes_are_taken_all_the_same() -> None:
    board = Board()
    board.set(1, 0)
    share = AcceptQuota(board, 0, 4, lambda: 50)
    looks = [share() for _ in range(2 * (PATIENCE + 1))]
    assert looks == ([False] * PATIENCE + [True]) * 2


def test_alone_it_takes_them_all() -> None:
    board = Board()
    share = AcceptQuota(board, 0, 4, lambda: 1000)
    assert all(share() for _ in range(5))
    board.set(2, 0)
    assert not share()
    board.set(2, NOT_ACCEPTING)
    assert share()


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_many_that_come_at_once_are_taken_in_few_turns_and_evenly(workers: int) -> None:
    """Each worker accepts up to 64 in a turn of its loop. One in each turn took 64 turns of both for 128 connections."""
    board, held, turns = Board(), [0] * workers, 0
    shares = [AcceptQuota(board, slot, workers, lambda slot=slot: held[slot]) for slot in range(workers)]  # type: ignore[misc]
    while sum(held) < 64 * workers:
        turns += 1
        for slot in range(workers):
            for _ in range(min(64, 64 * workers - sum(held))):
                if not shares[slot]():
                    break
                held[slot] += 1
    assert turns <= 16
    assert max(held) - min(held) <= AHEAD + 64 // PART


def test_the_last_to_stop_is_told() -> None:
    board = Board()
    shares = [AcceptQuota(board, slot, 4, lambda: 0) for slot in range(3)]
    for one in shares:
        one()
    assert [one.stop() for one in shares] == [True, True, False]
