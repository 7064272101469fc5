"""Losses that compare scores two at a time or one at a time: BPR and CCL, each over every column that competes.

With ``S_ik = q_i·c_k / T`` and the masses ``M_k`` of the columns that compete with the pair p = (i, j) of weight w (see
``columns``; its own candidate never does), normalised to sum to 1:

- BPR: ``w Σ_k M_k log(1 + exp(S_ik − S_ij))`` (Rendle et al. 2009, "BPR: Bayesian personalized ranking").
- CCL: ``w (1 − S_ij + γ Σ_k M_k max(0, S_ik − margin))`` (Mao et al. 2021, "SimpleX"; meant for cosines, γ its weight of
  negatives).

A pair with which nothing competes has the loss of its positive part alone. Repeats of a pair are one with the sum of their
weights. Rows of queries go in blocks; within one the gradient is
torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from shortlist._forks import refuse_after_fork
from shortlist.loss.columns import Columns, Places
from shortlist.loss.places import merged
from shortlist.loss.softmax import BLOCK_ELEMENTS, LossAndGradients
from shortlist.loss.tiles import elements_on

__all__ = ["best_scores", "in_blocks", "masses", "pairwise_loss"]

OfRows: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The loss of some query rows, of their vectors, the candidates' and their numbers."""


def pairwise_loss(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    columns: Columns,
    *,
    kind: Literal["bpr", "ccl"],
    weight: Tensor | None = None,
    temperature: float = 1.0,
    margin: float = 0.8,
    negative_weight: float = 1.0,
    hardest: int | None = None,
    block_elements: int | None = None,
) -> Tensor:
    """The loss of a batch of pairs, summed; other arguments as in ``softmax_over``.

    Args:
        query: ``[queries, dim]``, or ``[queries, heads, dim]``: every candidate is then scored by the query's best head.
        margin: of CCL.
        negative_weight: of CCL.
    """
    refuse_after_fork("pairwise_loss()")
    pair_query, pair_candidate, together = merged(pair_query, pair_candidate, weight, len(candidate))
    weights = together.to(query.dtype)

    def of_rows(q: Tensor, c: Tensor, rows: Tensor) -> Tensor:
        """The loss of the pairs of these query rows."""
        first, stop = int(rows[0]), int(rows[-1]) + 1
        here = (pair_query >= first) & (pair_query < stop)
        i, j, w = pair_query[here] - first, pair_candidate[here], weights[here]
        scores = best_scores(q, c) / temperature  # [rows, columns]
        drawn, explicit = masses(scores.detach(), columns, first, stop, Places(i, j), hardest)
        own = torch.arange(len(i), device=i.device)
        mass = (drawn + explicit)[i]  # [pairs, columns]
        mass[own, j] = 0
        mass = mass / mass.sum(1, keepdim=True).clamp(min=torch.finfo(mass.dtype).tiny)
        positive = scores[i, j]  # [pairs]
        if kind == "bpr":
            each = (mass * functional.softplus(scores[i] - positive.unsqueeze(1))).sum(1)
        else:
            each = 1 - positive + negative_weight * (mass * (scores[i] - margin).clamp(min=0)).sum(1)
        return (w * each).sum()

    most = elements_on(query.device, BLOCK_ELEMENTS) if block_elements is None else block_elements
    return in_blocks(query, candidate, pair_query, of_rows, most)


def best_scores(q: Tensor, c: Tensor) -> Tensor:
    """``q·c`` of rows ``[rows, dim]``, or by the best of heads ``[rows, heads, dim]``; ``[rows, columns]``."""
    return q @ c.T if q.ndim == 2 else (q @ c.T).amax(1)


def masses(
    scores: Tensor,
    columns: Columns,
    first: int,
    stop: int,
    pairs: Places,
    hardest: int | None,
    *,
    own: bool = False,
) -> tuple[Tensor, Tensor]:
    """The weight of each column against each row's pairs, as drawn and as explicit, both ``[rows, columns]``.

    A pair's own column is still included.

    Args:
        own: hide each row's pairs from it, as ``hardest`` does.
    """
    log_q = columns.log_q if columns.log_q is not None else scores.new_zeros(len(columns.drawn))
    inverse = (-log_q.to(scores.dtype)).exp()
    mass = (columns.drawn.to(scores.dtype) * inverse).repeat(len(scores), 1)
    if columns.hidden is not None:
        row, column = _within(columns.hidden, first, stop)
        mass[row, column] = 0
    if own or hardest is not None:
        mass[pairs.row, pairs.column] = 0
    if hardest is not None:
        logits = torch.where(mass > 0, scores - log_q, -torch.inf)
        if hardest < logits.shape[1]:
            mass = torch.where(logits >= logits.topk(hardest, dim=1).values[:, -1:], mass, 0)
    explicit = torch.zeros_like(mass)
    if columns.explicit is not None:
        row, column = _within(columns.explicit, first, stop)
        explicit.index_put_((row, column), inverse[column], accumulate=True)
    return mass, explicit


def _within(places: Places, first: int, stop: int) -> Places:
    here = (places.row >= first) & (places.row < stop)
    return Places(places.row[here] - first, places.column[here])


def in_blocks(query: Tensor, candidate: Tensor, pair_query: Tensor, of_rows: OfRows, block_elements: int) -> Tensor:
    """The sum of ``of_rows`` over blocks of query rows, whose pairs times columns (times heads) fit ``block_elements``."""
    most = int(torch.bincount(pair_query).max())
    heads = 1 if query.ndim == 2 else query.shape[1]
    rows = max(1, block_elements // (len(candidate) * max(most, heads)))
    loss: Tensor = _InBlocks.apply(query, candidate, of_rows, rows)  # type: ignore[no-untyped-call]
    return loss


class _InBlocks(torch.autograd.Function):
    """The sum of ``of_rows`` over blocks of query rows, with both gradients made on the way; no block is kept."""

    @staticmethod
    def forward(ctx, query, candidate, of_rows, rows):  # type: ignore[no-untyped-def]
        parts = LossAndGradients(query.new_zeros(()), torch.empty_like(query), torch.zeros_like(candidate))
        for numbers in torch.arange(len(query), device=query.device).split(rows):
            with torch.enable_grad():
                q = query.detach()[numbers].requires_grad_()
                c = candidate.detach().requires_grad_()
                loss = of_rows(q, c, numbers)
                d_query, d_candidate = torch.autograd.grad(loss, (q, c))
            parts.loss.add_(loss.detach())
            parts.d_query[numbers] = d_query
            parts.d_candidate.add_(d_candidate)
        ctx.save_for_backward(parts.d_query, parts.d_candidate)
        return parts.loss

    @staticmethod
    def backward(ctx, d_loss):  # type: ignore[no-untyped-def]
        refuse_after_fork("backward()")
        d_query, d_candidate = ctx.saved_tensors
        return d_query * d_loss, d_candidate * d_loss, None, None
