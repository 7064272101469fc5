"""Exact ranks: the number of candidates in the whole catalogue that score at least as high as the chosen one.

No list is sorted. Scores of distinct queries against all candidates are computed tile by tile, and in each tile the
candidates at or above each pair's own score are counted; ties count against the model unless asked otherwise. One compiled call
does all of it (``loss.counts``) but for several vectors a query, times of release, GPUs and machines without the kernel.

The same vector may score differently in its last bits from one tile to the next, since a matrix product adds up in an
order of its own. A score that is as near to a pair's own as rounding can bring it is therefore a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from shortlist.errors import TrainingError
from shortlist.language import counted
from shortlist.loss import counts
from shortlist.loss.kernel import Kernel
from shortlist.loss.tiles import elements_on

__all__ = [
    "Hidden",
    "Pairs",
    "Released",
    "Ties",
    "best_columns",
    "check_finite",
    "edges_of",
    "found_ranks",
    "ranks",
    "top_lists",
]

Ties = Literal["worst", "expected"]

TILE_ELEMENTS = 1 << 20
COLUMNS = 1 << 10  # tiles of 1024 x 1024 scores stay in the second-level cache while they are compared
PAIRS = 512
PRODUCTS = 1 << 13


class Hidden(NamedTuple):
    """Candidates that do not compete, per query: ``query`` and ``candidate`` rows ``[hidden]``, sorted by query."""

    query: Tensor
    candidate: Tensor


class Released(NamedTuple):
    """A candidate competes for a pair only if it existed then: times ``[candidates]`` and ``[pairs]``."""

    candidate: Tensor
    pair: Tensor

    def only(self, chosen: Tensor | slice) -> Released:
        """The times of these pairs alone."""
        return Released(self.candidate, self.pair[chosen])


class Pairs(NamedTuple):
    """Pairs to be ranked, and which candidates count against them.

    Attributes:
        query: int64 ``[pairs]``, rows.
        candidate: int64 ``[pairs]``, rows; −1 for one that is in no catalogue.
        hidden: candidates left out of each query's competition.
        released: candidates that did not exist yet at a pair's time do not compete for it.
        favourable: count only candidates that score higher, not those that tie.
    """

    query: Tensor
    candidate: Tensor
    hidden: Hidden | None = None
    released: Released | None = None
    favourable: bool = False

    def only(self, chosen: Tensor | slice) -> Pairs:
        """These pairs alone."""
        released = None if self.released is None else self.released.only(chosen)
        return self._replace(query=self.query[chosen], candidate=self.candidate[chosen], released=released)

    def cpu(self) -> Pairs:
        """The same pairs and times on the CPU; hidden candidates stay where they are."""
        released = None if self.released is None else Released(*(one.cpu() for one in self.released))
        return self._replace(query=self.query.cpu(), candidate=self.candidate.cpu(), released=released)

    def of_rows(self, first: int, hidden: Hidden | None) -> Pairs:
        """The same pairs of a part of the queries, counted from ``first``, of which ``hidden`` is."""
        return self._replace(query=self.query - first, hidden=hidden)

    def reach(self, scores: Tensor, thresholds: Tensor, out: Tensor | None = None) -> Tensor:
        """Where a score counts against its pair."""
        compare = torch.gt if self.favourable else torch.ge
        return compare(scores, thresholds) if out is None else compare(scores, thresholds, out=out)

    def withhold(self, reached: Tensor, pairs: slice, columns: slice) -> None:
        """Leave out candidates that did not exist yet."""
        if self.released is not None:
            there = self.released.candidate[columns].unsqueeze(0) <= self.released.pair[pairs].unsqueeze(1)
            reached.mul_(there)


def found_ranks(rank: Tensor, candidates: int) -> Tensor:
    """Ranks as float64 on the CPU, inf for candidates that are hidden or in no catalogue: they are found at no k."""
    rank = rank.cpu()
    return rank.double().masked_fill_(rank > candidates, torch.inf)


def ranks(query: Tensor, candidate: Tensor, pairs: Pairs) -> Tensor:
    """Rank of each pair, int64 ``[pairs]``: 1 + the number of other candidates that score as high or higher.

    "As high" is up to the rounding of the dot product.

    Args:
        query: ``[queries, dim]``, or ``[queries, heads, dim]``: then a candidate's score is that of the best head.
        candidate: ``[candidates, dim]``. A pair whose own candidate is hidden, or in no catalogue, can never be
            recommended and gets rank ``candidates + 1``.

    Raises:
        TrainingError: where a vector is not finite, naming the first, or scores overflow.
    """
    check_finite("query", query)
    check_finite("candidate", candidate)
    if (compiled := _compiled(query, candidate, pairs)) is not None:
        return compiled
    order = _by_query(pairs.query, len(query))
    ordered, hidden = pairs.only(order), pairs.hidden
    most = elements_on(query.device, TILE_ELEMENTS)
    wide = (most // TILE_ELEMENTS) * COLUMNS  # with more room in a tile, more candidates
    columns = min(len(candidate), wide if len(order) <= len(query) else 4 * wide)
    rows = max(1, min(len(query), most // columns))
    buffers = _Buffers(query.new_empty(rows, columns), query.new_empty(PAIRS, columns))
    above = torch.zeros(len(order), dtype=torch.long, device=query.device)
    starts = range(0, len(query), rows)
    edges = edges_of(ordered.query, len(query), rows)
    hidden_edges = None if hidden is None else edges_of(hidden.query, len(query), rows)
    for number, start in enumerate(starts):
        tile = slice(edges[number], edges[number + 1])
        if tile.start == tile.stop:
            continue
        left_out = None
        if hidden is not None and hidden_edges is not None:
            part = slice(hidden_edges[number], hidden_edges[number + 1])
            left_out = Hidden(hidden.query[part] - start, hidden.candidate[part])
        asked = ordered.only(tile).of_rows(start, left_out)
        above[tile] = _count_above(query[start : start + rows], candidate, asked, buffers)
    above[ordered.candidate < 0] = len(candidate)
    return torch.empty_like(above).index_copy_(0, order, above + 1)


def _compiled(query: Tensor, candidate: Tensor, pairs: Pairs) -> Tensor | None:
    """The ranks, where the kernel makes them: all in one call."""
    kernel = None if pairs.released is not None else counts.kernel_for_ranks(query, candidate)
    if kernel is None:
        return None
    made = counts.ranked(
        kernel,
        query,
        candidate,
        (pairs.query, pairs.candidate),
        pairs.hidden,
        _margin(query, pairs.favourable),
        higher=pairs.favourable,
        columns=4 * COLUMNS,
    )
    if made is None:
        return None
    _check_scores(made.unclear, query)
    return made.rank


def _by_query(rows: Tensor, queries: int) -> Tensor:
    """The order of the pairs by query, those of one query as they were; numpy sorts numbers of 16 bits by their digits."""
    if rows.device.type == "cpu" and queries <= 1 << 16:
        return torch.from_numpy(np.argsort(rows.numpy().astype(np.uint16), kind="stable"))
    return torch.argsort(rows, stable=True)


class _Buffers(NamedTuple):
    scores: Tensor  # [rows, columns]
    compared: Tensor  # [PAIRS, columns]


def _count_above(
    query: Tensor,
    candidate: Tensor,
    asked: Pairs,
    buffers: _Buffers,
) -> Tensor:
    """How many visible candidates other than its own reach each pair's score, int64 ``[pairs]``, over one tile row."""
    columns = buffers.scores.shape[1]
    own, hidden = asked.candidate, asked.hidden
    thresholds = _thresholds(query, candidate, asked.query, own.clamp(min=0), asked.favourable)  # [pairs]
    count = _counting(asked, thresholds, (len(query), len(candidate)), buffers)
    above = torch.zeros(len(own), dtype=torch.long, device=query.device)
    if hidden is not None:
        by_column = torch.argsort(hidden.candidate, stable=True)
        hidden = Hidden(hidden.query[by_column], hidden.candidate[by_column])
        hidden_edges = edges_of(hidden.candidate, len(candidate), columns)
    for number, first in enumerate(range(0, len(candidate), columns)):
        width = min(columns, len(candidate) - first)
        scores = buffers.scores.view(-1)[: len(query) * width].view(len(query), width)
        _scores(query, candidate[first : first + width], scores)
        if hidden is not None:
            part = slice(hidden_edges[number], hidden_edges[number + 1])
            scores[hidden.query[part], hidden.candidate[part] - first] = -torch.inf
        above += count(scores, first)
    if hidden is not None:
        above[_is_hidden(asked.query, own, hidden, len(candidate))] = len(candidate)
    return above


# Of scores ``[rows, width]``, from a column on: how many reach each pair's.
_Count: TypeAlias = "Callable[[Tensor, int], Tensor]"


def _counting(asked: Pairs, thresholds: Tensor, shape: tuple[int, int], buffers: _Buffers) -> _Count:
    """A function that counts the scores of a tile that reach each pair's, its own left out, int64 ``[pairs]``.

    Args:
        shape: how many rows and candidates there are.
    """
    kernel = None if asked.released is not None else counts.kernel_for_scores(buffers.scores)
    if kernel is not None:
        return partial(_counted, kernel, asked, thresholds)
    if torch.equal(asked.query, torch.arange(shape[0], device=asked.query.device)):
        return _one_pair_each(asked, thresholds, shape[1], buffers.scores.shape[1])
    return partial(_of_many_pairs, asked, thresholds, buffers.compared)


def _counted(kernel: Kernel, asked: Pairs, thresholds: Tensor, scores: Tensor, first: int) -> Tensor:
    return counts.reaching(kernel, scores, asked.query, asked.candidate - first, thresholds, higher=asked.favourable)


def _one_pair_each(asked: Pairs, thresholds: Tensor, candidates: int, columns: int) -> _Count:
    """Where row r is that of pair r: the tile itself is compared, without a copy."""
    by_own = torch.argsort(asked.candidate, stable=True)
    edges = edges_of(asked.candidate[by_own], candidates, columns)
    own_column = asked.candidate[by_own] % columns

    def count(scores: Tensor, first: int) -> Tensor:
        width, number = scores.shape[1], first // columns
        here = by_own[edges[number] : edges[number + 1]]
        if len(here):
            column = own_column[edges[number] : edges[number + 1]]
            scores.view(-1).index_fill_(0, here * width + column, -torch.inf)
        asked.reach(scores, thresholds.unsqueeze(1), out=scores)
        asked.withhold(scores, slice(None), slice(first, first + width))
        return scores.sum(1).long()

    return count


def _of_many_pairs(asked: Pairs, thresholds: Tensor, compared: Tensor, scores: Tensor, first: int) -> Tensor:
    """Rows are copied for each pair, ``PAIRS`` at a time."""
    width, own = scores.shape[1], asked.candidate
    above = torch.zeros(len(own), dtype=torch.long, device=own.device)
    here = torch.nonzero((own >= first) & (own < first + width)).squeeze(1)
    scores_of_own = scores[asked.query[here], own[here] - first]
    for pairs in range(0, len(own), PAIRS):
        part = slice(pairs, min(pairs + PAIRS, len(own)))
        copied = compared.view(-1)[: (part.stop - part.start) * width].view(-1, width)
        torch.index_select(scores, 0, asked.query[part], out=copied)
        asked.reach(copied, thresholds[part].unsqueeze(1), out=copied)
        asked.withhold(copied, part, slice(first, first + width))
        above[part] = copied.sum(1).long()
    counted = asked.reach(scores_of_own, thresholds[here])
    if asked.released is not None:
        counted = counted & (asked.released.candidate[own[here]] <= asked.released.pair[here])
    above[here] -= counted.to(above.dtype)
    return above


def top_lists(query: Tensor, candidate: Tensor, k: int, hidden: Hidden | None = None) -> Tensor:
    """The k best candidates of each query, int64 ``[queries, k]``, best first, equal scores by row; −1 beyond the visible.

    Args:
        query: as in ``ranks``.
        candidate: as in ``ranks``.
        hidden: as in ``Pairs``; the scores of ``TILE_ELEMENTS`` pairs at a time are in memory, on a GPU more.
    """
    width = min(k, len(candidate))
    rows = max(1, elements_on(query.device, TILE_ELEMENTS) // len(candidate))
    edges = None if hidden is None else edges_of(hidden.query, len(query), rows)
    lists = torch.full((len(query), k), -1, dtype=torch.long, device=query.device)
    exact, among = query.double(), candidate.double()  # rounded once, as an index has it: equal vectors tie
    for number, start in enumerate(range(0, len(query), rows)):
        tile = exact[start : start + rows]
        scores = _scores(tile, among, tile.new_empty(len(tile), len(candidate))).to(query.dtype)
        if hidden is not None and edges is not None:
            part = slice(edges[number], edges[number + 1])
            scores[hidden.query[part] - start, hidden.candidate[part]] = -torch.inf
        lists[start : start + rows, :width] = best_columns(scores, width)
    return lists


def best_columns(scores: Tensor, width: int) -> Tensor:
    """The columns of the ``width`` best scores of each row, int64 ``[rows, width]``, best first, equal ones by column; −1 in
    place of those that are −inf."""
    best, found = _first_best(scores, width)
    order = torch.argsort(found, dim=1, stable=True)
    order = order.gather(1, torch.argsort(best.gather(1, order), dim=1, descending=True, stable=True))
    best, found = best.gather(1, order), found.gather(1, order)
    return torch.where(torch.isfinite(best), found, -1)


def _first_best(scores: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The ``width`` best of each row and their columns, in any order; of equal ones the first."""
    best, found = torch.topk(scores, min(width + 1, scores.shape[1]), dim=1)
    if best.shape[1] == width:
        return best, found
    tied = best[:, width - 1] == best[:, width]  # topk keeps any of those that tie for the last place
    best, found = best[:, :width], found[:, :width]
    if tied.any():
        last = best[tied, -1:]
        above, level = scores[tied] > last, scores[tied] == last
        chosen = above | (level & (level.cumsum(1) <= width - above.sum(1, keepdim=True)))
        found[tied] = chosen.nonzero()[:, 1].view(-1, width)
        best[tied] = scores[tied].gather(1, found[tied])
    return best, found


def _scores(query: Tensor, candidate: Tensor, out: Tensor) -> Tensor:
    """Writes the scores ``[queries, candidates]`` into ``out`` and returns it; of several heads the best."""
    if query.ndim == 2:
        return torch.mm(query, candidate.T, out=out)
    torch.mm(query[:, 0], candidate.T, out=out)
    for head in range(1, query.shape[1]):
        torch.maximum(out, query[:, head] @ candidate.T, out=out)
    return out


def _thresholds(query: Tensor, candidate: Tensor, pair_query: Tensor, own: Tensor, favourable: bool) -> Tensor:
    """The score from which a candidate counts against each pair ``[pairs]``: the pair's own, less rounding (or more)."""
    margin = _margin(query, favourable)
    kernel = counts.kernel_for_scores(query) if candidate.dtype == query.dtype and candidate.is_contiguous() else None
    if kernel is not None:
        thresholds = counts.thresholds(kernel, query, candidate, pair_query, own, margin)
    else:
        thresholds = _thresholds_by_torch(query, candidate, (pair_query, own), margin)
    _check_scores(int((~torch.isfinite(thresholds)).sum()), query)
    return thresholds


def _margin(query: Tensor, favourable: bool) -> float:
    """How far below its own a score still counts against a pair, as a share of its products' sizes.

    Two sums of the same products, whatever their order, differ by at most ``dim · eps · Σ|q_k c_k|`` (Higham 2002,
    "Accuracy and stability of numerical algorithms", §3.1); a single product has no order.
    """
    dim = query.shape[-1]
    return 0.0 if dim == 1 else (dim + 1) * torch.finfo(query.dtype).eps * (-1 if favourable else 1)


def _check_scores(too_large: int, query: Tensor) -> None:
    if too_large:
        raise TrainingError(
            f"scores of {counted(too_large, 'pair')} are too large for {query.dtype}.",
            hint="the training diverged: lower the learning rate, or raise the temperature",
        )


def _thresholds_by_torch(query: Tensor, candidate: Tensor, pairs: tuple[Tensor, Tensor], margin: float) -> Tensor:
    """As ``counts.thresholds``; of several heads for the best."""
    parts = []
    for rows, columns in zip(*(side.split(PRODUCTS) for side in pairs), strict=True):
        products = query[rows] * (candidate[columns] if query.ndim == 2 else candidate[columns].unsqueeze(1))
        if query.ndim == 3:  # [pairs, heads, dim]: the best head's
            best = products.sum(2).argmax(1)
            products = products[torch.arange(len(best), device=best.device), best]
        parts.append(products.sum(1) - margin * products.abs_().sum(1))  # products: [pairs, dim]
    return torch.cat(parts)


def _is_hidden(pair_query: Tensor, own: Tensor, hidden: Hidden, candidates: int) -> Tensor:
    return torch.isin(pair_query * candidates + own, hidden.query * candidates + hidden.candidate)


def edges_of(values: Tensor, end: int, step: int) -> list[int]:
    """Where each run of ``step`` consecutive numbers begins in sorted ``values``, from 0 to ``end``."""
    bounds = torch.arange(0, end + step, step, device=values.device)
    return torch.searchsorted(values.contiguous(), bounds).tolist()


def check_finite(side: str, vectors: Tensor) -> None:
    """TrainingError where a vector of ``side`` is not finite, naming the first."""
    if torch.isfinite(vectors.sum()):  # no sum with NaN or an infinite number is
        return
    bad = ~torch.isfinite(vectors).flatten(1).all(1)
    if bad.any():
        first = int(torch.nonzero(bad)[0])
        raise TrainingError(
            f"{int(bad.sum()):,} of {len(vectors):,} {side} vectors are NaN or infinite (first: row {first}).",
            hint="the training diverged: lower the learning rate, or raise the temperature",
        )
