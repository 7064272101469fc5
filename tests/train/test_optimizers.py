"""Optimizers of rows: one accumulator a row by hand, and rows that a batch lacks."""

from __future__ import annotations

import pytest
import torch
from tests.model.camps import camps, tables, towers

import shortlist as sl
from shortlist.loss.kernel import Kernel, kernel_for_rows
from shortlist.model import EmbeddingTable
from shortlist.train.optimizers import Optimizer, Updater


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


@pytest.mark.parametrize("optimizer", [sl.Adagrad(0.1), sl.Adam(0.05), sl.AdamW(0.05, weight_decay=0.1)])
def test_a_step_with_the_kernel_is_one_without_it_and_either_continues_the_other(
    optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables by rows, layers, biases and a number alone; the slots have the same form, so state may change hands."""

    class Parts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.layer = EmbeddingTable(9, 4), torch.nn.Linear(4, 3)
            self.cube, self.number = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 3, 4), ()))

    def trained(compiled: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        module = Parts().train()
        with torch.no_grad():
            module.table.weight.copy_(torch.randn(9, 4))
        updater = Updater(optimizer, module)
        for number, on in enumerate(compiled):
            monkeypatch.setenv("SHORTLIST_KERNEL", on)
            out = module.layer(module.table(torch.tensor([number, 3, 8 - number])))
            ((out**2).sum() + (module.cube**2).sum() * module.number).backward()
            updater.step(0.5)
        assert [part.grad for part in module.parameters()] == [None] * 4
        return [*module.state_dict().values(), *(slot for _, slot, _ in updater.slots())]

    plain = trained("0000")
    for one in ("1111", "0101", "1100"):
        for got, wanted in zip(trained(one), plain, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_step_is_one_call_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all tables and layers; none for an optimizer of one's own, even a kind of Adam."""
    if kernel_for_rows(torch.zeros(1, 1)) is None:
        pytest.skip("no kernel was built for this processor")
    calls: list[int] = []
    own = Kernel.update
    monkeypatch.setattr(
        Kernel, "update", lambda kernel, updates, *rest: calls.append(len(updates)) or own(kernel, updates, *rest)
    )

    class Mine(sl.Adam):
        pass

    for optimizer, wanted in ((sl.AdamW(), [4]), (sl.Adagrad(), [4]), (Mine(), []), (sl.SGD(), [])):
        calls.clear()
        module = torch.nn.Sequential(EmbeddingTable(9, 4), torch.nn.Linear(4, 3), torch.nn.Linear(3, 1, bias=False))
        updater = Updater(optimizer, module)
        module(torch.tensor([1, 2])).sum().backward()
        updater.step()
        assert calls == wanted
