"""Workers that take their share of connections, and do not wait for one that has stopped."""

from __future__ import annotations

from shortlist.serve.processes.board import AHEAD, NOT_ACCEPTING, PATIENCE, AcceptQuota, Board


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
    assert share() == 1


def test_those_that_nobody_takes_are_taken_all_the_same() -> None:
    board = Board()
    board.set(1, 0)
    share = AcceptQuota(board, 0, 4, lambda: 50)
    looks = [share() for _ in range(2 * (PATIENCE + 1))]
    assert looks == ([0] * PATIENCE + [1]) * 2


def test_alone_it_takes_them_all() -> None:
    board = Board()
    share = AcceptQuota(board, 0, 4, lambda: 1000)
    assert [share() for _ in range(5)] == [1] * 5
    board.set(2, 0)
    assert share() == 0
    board.set(2, NOT_ACCEPTING)
    assert share() == 1


def test_the_last_to_stop_is_told() -> None:
    board = Board()
    shares = [AcceptQuota(board, slot, 4, lambda: 0) for slot in range(3)]
    for one in shares:
        one()
    assert [one.stop() for one in shares] == [True, True, False]
