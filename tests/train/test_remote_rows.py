"""Rows that other processes hold: read from them, and their gradients added up where the rows are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import shortlist as sl
from shortlist.train.remote_rows import Elsewhere, RemoteRows


class Two:
    """One of two processes; threads stand for them."""

    size = 2

    def __init__(self, rank: int, sent: list[Any], met: threading.Barrier) -> None:
        self.rank, self._sent, self._met = rank, sent, met

    def exchanged(self, values: Tensor, sent: list[int], received: list[int]) -> Tensor:
        self._sent[self.rank] = values.split(sent)
        self._met.wait(30)
        here = torch.cat([parts[self.rank] for parts in self._sent])
        self._met.wait(30)
        assert len(here) == sum(received)
        return here


def both(work: Callable[[RemoteRows, int], Any]) -> list[Any]:
    """The same work in both processes, on a table of five rows."""
    sent, met = [None, None], threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda rank: work(RemoteRows(Two(rank, sent, met), 5), rank), range(2)))  # type: ignore[arg-type]


TABLE = torch.tensor([[0.0], [10.0], [20.0], [30.0], [40.0]])
READS = (torch.tensor([3, 0]), torch.tensor([4, 3]))


def test_rows_come_from_the_process_that_holds_them() -> None:
    found = both(lambda remote, rank: remote.read(TABLE[rank::2], READS[rank])[0].flatten().tolist())
    assert found == [[30, 0], [40, 30]]


def test_gradients_are_added_up_where_the_rows_are() -> None:
    """Both read row 3, the second one of process 1: 1 + 8. Rows 0 and 4 are the first and third of process 0."""
    given = (torch.tensor([[1.0], [2.0]]), torch.tensor([[4.0], [8.0]]))

    def work(remote: RemoteRows, rank: int) -> tuple[list[int], list[float]]:
        rows, route = remote.read(TABLE[rank::2], READS[rank])
        codes, total = remote.gradients([(route, given[rank], rows), (route, None, rows)])  # type: ignore[misc]
        return codes.tolist(), total.flatten().tolist()

    assert both(work) == [([0, 2], [2, 4]), ([1], [9])]


def test_without_reads_there_are_no_gradients() -> None:
    assert both(lambda remote, rank: remote.gradients([])) == [None, None]


def test_rows_that_are_elsewhere_after_training_cannot_be_read() -> None:
    gone = Elsewhere(1, 2, 5)
    assert gone.cardinality == 5
    assert gone.gradients([]) is None
    with pytest.raises(sl.ConfigError, match="rank 1 of 2 has only a part of this table") as raised:
        gone.read(TABLE[1::2], torch.tensor([0]))
    assert "rank 0 alone" in str(raised.value.hint)
