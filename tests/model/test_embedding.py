"""Embedding tables: what a read in training touches, and what a read elsewhere leaves alone."""

import torch

from shortlist.model import EmbeddingTable


def test_a_training_read_touches_distinct_rows_only() -> None:
    table = EmbeddingTable(10, 3)
    rows = table(torch.tensor([4, 2, 4]))
    rows.sum().backward()
    ((codes, leaf, _),) = table.touched
    assert codes.tolist() == [2, 4]
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[1.0] * 3, [2.0] * 3]
    assert torch.equal(rows.detach(), table.weight[[4, 2, 4]])


def test_reads_outside_training_leave_no_trace() -> None:
    table = EmbeddingTable(10, 3).eval()
    assert torch.equal(table(torch.tensor([7])), table.weight[[7]])
    assert table.touched == []
