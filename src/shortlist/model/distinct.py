"""The distinct values of some row numbers, by counting or by sorting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Distinct", "distinct"]


class Distinct(NamedTuple):
    """The distinct values of some rows, ascending; the place of each row among them; how often each occurs, where it was counted."""

    values: Tensor
    places: Tensor
    counts: Tensor | None


def distinct(rows: Tensor, total: int) -> Distinct:
    """The distinct values of ``rows``, int64 ``[rows]``.

    ``total`` bounds the values. When it is small compared with the batch, counting all of them is cheaper than sorting.
    """
    if total <= 4 * len(rows):
        return _counted(rows, total)
    ordered, order = torch.sort(rows)
    first = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    torch.ne(ordered[1:], ordered[:-1], out=first[1:])
    return Distinct(ordered[first], torch.empty_like(rows).index_copy_(0, order, first.cumsum(0) - 1), None)


def _counted(rows: Tensor, total: int) -> Distinct:
    """``distinct`` by a number for each of ``total`` values; on the processor numpy's calls are the shorter ones."""
    if rows.device.type != "cpu":
        marks = torch.zeros(total, dtype=torch.bool, device=rows.device).index_fill_(0, rows, True)
        return Distinct(torch.nonzero(marks).squeeze(1), (marks.cumsum(0) - 1).index_select(0, rows), None)
    numbers = rows.numpy()
    counts = np.bincount(numbers, minlength=total)
    values = np.flatnonzero(counts)
    place = np.empty(total, np.int64)
    place[values] = np.arange(len(values))
    return Distinct(*(torch.from_numpy(one) for one in (values, place[numbers], counts[values])))
