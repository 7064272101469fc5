"""Label smoothing: a share of each pair's target, spread evenly over the candidates that compete with it."""

from __future__ import annotations

import torch
from torch import Tensor

from shortlist.loss.columns import PLAIN, Columns, Places, SoftmaxOptions
from shortlist.loss.places import exact

__all__ = ["smoothing_gap"]


def smoothing_gap(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    columns: Columns,
    options: SoftmaxOptions = PLAIN,
    weight: Tensor | None = None,
) -> Tensor:
    """``Σ_p w (S⁺ − mean S')``: how far each positive's logit is above the mean of the logits that compete with it.

    ``S'_ik = q_i·c_k / T − log Q_k``; the mean is over the draws that compete with p, and the explicit negatives of its
    query, each counted once. A softmax with the share ε of its target spread over them has the loss of the plain softmax
    plus ε times this (Szegedy et al. 2016, "Rethinking the inception architecture"). A pair without negatives adds nothing.

    Only the first three ``options`` have an effect. No matrix of queries × columns is made: the sum of logits is a product with the sum of the columns.
    """
    # one item may have nearly all draws, which are subtracted from the sum: float64 keeps the digits of the rest
    dtype, enough = query.dtype, exact(query)
    query, candidate = query.to(enough), candidate.to(enough)
    log_q = query.new_zeros(len(candidate)) if columns.log_q is None else columns.log_q.to(enough)
    count = columns.drawn.to(enough)
    scaled = query / options.temperature

    def logits(rows: Tensor, places: Tensor) -> Tensor:
        return (scaled.index_select(0, rows) * candidate.index_select(0, places)).sum(1) - log_q[places]

    total = scaled @ (count @ candidate) - count @ log_q  # [queries], the sum over all draws
    number = count.sum().expand(len(query)).clone()
    own_left = count.index_select(0, pair_candidate)  # [pairs], draws of the pair's own column that still compete
    if columns.hidden is not None:
        hidden = _once(columns.hidden, len(candidate))
        n = count[hidden.column]
        total = total.index_add(0, hidden.row, -n * logits(*hidden))
        number = number.index_add(0, hidden.row, -n)
        keys = hidden.row * len(candidate) + hidden.column
        own_left = torch.where(torch.isin(pair_query * len(candidate) + pair_candidate, keys), 0, own_left)
    if columns.explicit is not None:
        total = total.index_add(0, columns.explicit.row, logits(*columns.explicit))
        number = number.index_add(0, columns.explicit.row, torch.ones_like(columns.explicit.row, dtype=query.dtype))
    if not options.remove_accidental_hits:
        own_left = own_left.clamp(max=1.0) if columns.own_counted else torch.zeros_like(own_left)
    own = logits(pair_query, pair_candidate)  # [pairs]
    others = number[pair_query] - own_left
    mean = (total[pair_query] - own_left * own) / others.clamp(min=1)
    positive = own if options.correct_positive else own + log_q[pair_candidate]
    gap = torch.where(others > 0, positive - mean, 0)
    return (gap.sum() if weight is None else (weight.to(enough) * gap).sum()).to(dtype)


def _once(places: Places, columns: int) -> Places:
    keys = torch.unique(places.row * columns + places.column)
    return Places(keys // columns, keys % columns)
