"""Optimizers of rows: one accumulator a row by hand, and rows that a batch lacks."""

from __future__ import annotations

import pytest
import torch
from tests.model.camps import camps, tables, towers

import shortlist as sl
from shortlist.train.optimizers import Updater


def test_row_wise_adagrad_by_hand() -> None:
    """a = 0 + (9 + 16) / 2 = 12.5; then a = 12.5 + (0 + 7) / 2 = 16, whose root is 4."""
    optimizer = sl.RowwiseAdagrad(0.5, initial_accumulator=0.0, epsilon=1e-12)
    rows = torch.tensor([[1.0, 2.0]])
    (slot,) = slots = optimizer.slots(rows)
    assert slot.shape == (1, 1)
    rows = optimizer.update(rows, torch.tensor([[3.0, -4.0]]), slots)
    root = 12.5**0.5
    torch.testing.assert_close(rows, torch.tensor([[1 - 1.5 / root, 2 + 2 / root]]))
    moved = optimizer.update(rows, torch.tensor([[0.0, 7**0.5]]), slots)
    torch.testing.assert_close(moved - rows, torch.tensor([[0.0, -0.5 * 7**0.5 / 4]]))
    assert slot.item() == pytest.approx(16)


def test_row_wise_adagrad_is_adagrad_where_a_row_is_one_number() -> None:
    rows, gradient = torch.randn(5, 1), torch.randn(5, 1)
    both = []
    for optimizer in (sl.Adagrad(0.1), sl.RowwiseAdagrad(0.1)):
        slots = optimizer.slots(rows)
        both.append(optimizer.update(optimizer.update(rows, gradient, slots), gradient, slots))
    torch.testing.assert_close(*both)
    dense, change = torch.randn(6), torch.randn(6)  # a bias: each of its numbers is a row
    pair = [one.update(dense, change, one.slots(dense)) for one in (sl.Adagrad(0.1), sl.RowwiseAdagrad(0.1))]
    torch.testing.assert_close(*pair)


def test_rows_and_slots_that_are_absent_stay_bit_identical() -> None:
    model = towers(table_dtype="bfloat16")
    data = camps()
    model.prepare(data)
    model.train()
    updater = Updater(sl.RowwiseAdagrad(0.1), model)
    before = [table.weight.clone() for table in tables(model)]
    (model.query.tables["reader:IntegerLookup"](torch.tensor([2, 5])) ** 2).sum().backward()
    updater.step()
    query, candidate = tables(model)
    assert (query.weight != before[0]).any(1).nonzero().flatten().tolist() == [2, 5]
    assert torch.equal(candidate.weight, before[1])
    assert (updater.table_slots[0][0] != torch.tensor(0.1)).flatten().nonzero().flatten().tolist() == [2, 5]
