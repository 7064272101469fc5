"""The shared row of a table's unknown values, if training never met one: the mean of the trained rows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from shortlist.model.embedding import EmbeddingTable
from shortlist.model.two_tower import TwoTower

__all__ = ["fill_untrained", "unknown_rows"]

NUMBERS = 1 << 19  # added up at a time, as float64
MOST = 1 << 20  # so many rows, evenly spread, are used in place of a longer table


def unknown_rows(model: TwoTower) -> dict[str, Tensor]:
    """A copy of the row of unknown values of each table, by the table's name; taken before training."""
    return {name: table.weight[0].detach().clone() for name, table, _ in _tables(model)}


@torch.no_grad()
def fill_untrained(model: TwoTower, before: dict[str, Tensor]) -> None:
    """Give the row of unknown values the mean of all other rows, in each table where training left it as ``before``.

    A row that no batch read keeps its random start, and a query or value that training never saw would be answered from
    it. Where the table's rows are the tower's vectors and the tower normalises, the mean is that of rows of length 1.
    """
    for name, table, unit in _tables(model):
        if len(table.weight) > 1 and name in before and torch.equal(table.weight[0], before[name]):
            table.write(torch.zeros(1, dtype=torch.long, device=table.weight.device), _mean(table, unit)[None])


def _mean(table: EmbeddingTable, unit: bool) -> Tensor:
    """The mean of the rows of known values, ``[dim]``, of the type in which rows are read."""
    known = len(table.weight) - 1
    step, count, place = max(1.0, known / MOST), min(known, MOST), table.weight.device
    total = torch.zeros(table.dim, dtype=torch.float64, device=place)
    at_a_time = max(1, NUMBERS // table.dim)
    for low in range(0, count, at_a_time):
        codes = 1 + (torch.arange(low, min(low + at_a_time, count), device=place, dtype=torch.float64) * step).long()
        rows = table.rows(codes)
        total += (torch.nn.functional.normalize(rows, dim=1) if unit else rows).sum(0, dtype=torch.float64)
    return (total / count).to(rows.dtype)


def _tables(model: TwoTower) -> Iterator[tuple[str, EmbeddingTable, bool]]:
    """Every table by a name of its own, and whether its rows are vectors that the tower brings to length 1."""
    for side, tower in (("query", model.query), ("candidate", model.candidate)):
        for name, table in tower.tables.items():
            if isinstance(table, EmbeddingTable):
                yield (
                    f"{side}.{name}",
                    table,
                    tower.normalize and tower.is_table and tower.heads == 1 and name != "bias",
                )
