"""Queries of several vectors: each pair is learned with the head that scores its candidate best."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from shortlist.loss.columns import Columns, Places

__all__ = ["Heads", "best_heads"]


class Heads(NamedTuple):
    """The same batch with a row for each (query, head) that some pair is learned with."""

    query: Tensor  # [rows, dim]
    pair_query: Tensor  # [B], rows of query
    columns: Columns | None


def best_heads(
    query: Tensor, candidate: Tensor, pair_query: Tensor, pair_candidate: Tensor, columns: Columns | None = None
) -> Heads:
    """Chooses for each pair the head with the highest ``q·c``, the first of equal ones, and makes rows of them.

    query: ``[queries, heads, dim]``. A pair's negatives are scored by the head of the pair; what is hidden from a query,
    or explicit for it, is so for each of its rows. Source: Cen et al. 2020, "Controllable multi-interest framework for
    recommendation" (ComiRec), §3.2; Li et al. 2019, "Multi-interest network with dynamic routing" (MIND).
    """
    queries, heads, dim = query.shape
    with torch.no_grad():
        own = torch.einsum("phd,pd->ph", query[pair_query], candidate[pair_candidate])  # [B, heads]
        wanted = pair_query * heads + own.argmax(1)
        chosen, rows = torch.unique(wanted, return_inverse=True)  # [rows], [B]
    flat = query.reshape(queries * heads, dim).index_select(0, chosen)
    if columns is not None:
        columns = columns._replace(
            hidden=_of_rows(columns.hidden, chosen // heads, queries),
            explicit=_of_rows(columns.explicit, chosen // heads, queries),
        )
    return Heads(flat, rows, columns)


def _of_rows(places: Places | None, owner: Tensor, queries: int) -> Places | None:
    """Places of queries as places of their rows; ``owner`` ``[rows]``, ascending, is the query of each row."""
    if places is None:
        return None
    first = torch.searchsorted(owner, torch.arange(queries, device=owner.device))
    number = torch.bincount(owner, minlength=queries)[places.row]  # rows of each place's query
    place = torch.arange(len(number), device=owner.device).repeat_interleave(number)
    within = torch.arange(len(place), device=owner.device) - (torch.cumsum(number, 0) - number)[place]
    return Places(first[places.row][place] + within, places.column[place])
