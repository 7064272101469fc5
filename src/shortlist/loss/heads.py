"""Softmax and BSL of queries with several vectors: every candidate is scored by the query's best head.

The loss is that of ``columns`` with ``S_ik = max_h q_ih·c_k / T``, for positives and negatives alike, so that training,
metrics and search score alike, and no head escapes the loss. The gradient reaches the best head of each score (Cen et al.
2020, "Controllable multi-interest framework for recommendation", choose the head of the positive alone). Rows of queries go
in blocks; within one the gradient is torch's own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from shortlist._forks import refuse_after_fork
from shortlist.loss.columns import PLAIN, Columns, Places, SoftmaxOptions
from shortlist.loss.pairwise import best_scores, in_blocks, masses
from shortlist.loss.places import merged

__all__ = ["best_head_softmax"]


def best_head_softmax(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    columns: Columns,
    options: SoftmaxOptions = PLAIN,
    weight: Tensor | None = None,
) -> Tensor:
    """The loss of a batch of pairs, summed.

    Args:
        query: ``[queries, heads, dim]``, the other arguments as ``softmax_over``.
    """
    refuse_after_fork("best_head_softmax()")
    pair_query, pair_candidate, together = merged(pair_query, pair_candidate, weight, len(candidate))
    weights = together.to(query.dtype)
    count = columns.drawn.to(query.dtype)
    left = (
        0 * count
        if options.remove_accidental_hits
        else 1 - 1 / count.clamp(min=1)
        if columns.own_counted
        else 0 * count + 1
    )

    def of_rows(q: Tensor, c: Tensor, rows: Tensor) -> Tensor:
        """The loss of the pairs of these query rows."""
        first, stop = int(rows[0]), int(rows[-1]) + 1
        here = (pair_query >= first) & (pair_query < stop)
        i, j, w = pair_query[here] - first, pair_candidate[here], weights[here]
        scores = best_scores(q, c) / options.temperature  # [rows, columns]
        drawn, explicit = masses(
            scores.detach(), columns, first, stop, Places(i, j), options.hardest, own=options.negatives_only
        )
        own = torch.arange(len(i), device=i.device)
        drawn = drawn[i]  # [pairs, columns]
        drawn[own, j] = drawn[own, j] * left[j]
        mass = drawn + explicit[i]
        kept = mass[own, j]  # [pairs], of the own column
        if not options.negatives_only:
            mass[own, j] = 0
        some = (mass > 0).any(1, keepdim=True)
        terms = torch.where(mass > 0, torch.where(mass > 0, mass, 1).log() + scores[i], -torch.inf)
        log_rest = torch.where(some, terms, 0).logsumexp(1)  # [pairs]
        positive = scores[i, j]
        correction = torch.zeros_like(positive)
        if options.correct_positive and columns.log_q is not None:
            correction = columns.log_q[j].to(q.dtype)
        positive = positive - correction
        if options.negatives_only:
            return (w * (options.exponent * torch.where(some[:, 0], log_rest, 0) - positive)).sum()
        # log Z − S⁺, where the part of the own column that is kept is a constant next to the positive
        log_own = torch.log1p(kept * correction.exp())
        above = log_own + torch.where(some[:, 0], functional.softplus(log_rest - positive - log_own, threshold=80.0), 0)
        return (w * (options.exponent * above + (options.exponent - 1) * positive)).sum()

    return in_blocks(query, candidate, pair_query, of_rows, options.elements_on(query.device))
