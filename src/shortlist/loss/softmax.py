"""In-batch softmax cross-entropy of B pairs, computed on the distinct queries and candidates of the batch.

Written with B columns, one per pair, the loss of pair (i, j) is ``w (log Σ_b exp S_i,b − S_ij)``. Columns that hold the
same candidate are equal, so with ``m_j`` the number of pairs of candidate j the sum is ``Σ_j m_j exp S_ij`` over the
distinct candidates, and rows that hold the same query share it. The matrix is [distinct queries, distinct candidates]
and is visited in blocks of rows, forward and gradient in one pass; no block is kept.

In a block, with ``P_ij = exp(q_i·c_j / T)`` and ``μ_j = m_j / Q_j`` (Q: sampling probability, 1 without correction):

1. ``Z_i = Σ_j μ_j P_ij``, and for the pair (i, j) of weight w
   ``Z = Z_i − μ_j P_ij (1 − 1/m_j)`` where accidental hits are removed: its own candidate counts once;
   the loss is ``w (log Z − S_ij)``.
2. The gradient with respect to S is ``a_i μ_j P_ij`` less, at each pair, ``w (1 + μ_j P_ij (1 − 1/m_j) / Z)``, where
   ``a_i = Σ w / Z`` over the pairs of row i. The pairs' share is written into P (divided by ``a_i μ_j``), so that
3. ``dq = a ∘ (P (μ ∘ c)) / T`` and ``dc = μ ∘ (Pᵀ (a ∘ q)) / T`` are two matrix products over what is there already.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["BLOCK_ELEMENTS", "LossAndGradients", "in_batch_softmax"]

BLOCK_ELEMENTS = 1 << 21
"""Elements of the block of P that is in memory at a time (8 MiB in float32)."""

SAFE_EXPONENT = 30.0
"""While no |logit| can exceed this, exp needs no shift: nothing overflows, underflows or loses precision."""


class LossAndGradients(NamedTuple):
    """The summed loss, and its gradients with respect to the two sides; each None where not asked for."""

    loss: Tensor
    d_query: Tensor
    d_candidate: Tensor


class _Pairs(NamedTuple):
    """The pairs of a batch ordered by query row: places in P, weights, and the multiplicity of each candidate."""

    query: Tensor  # [B]
    candidate: Tensor  # [B]
    weight: Tensor  # [B]


def in_batch_softmax(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    *,
    weight: Tensor | None = None,
    log_q: Tensor | None = None,
    temperature: float = 1.0,
    remove_accidental_hits: bool = False,
    block_elements: int = BLOCK_ELEMENTS,
    counts: Tensor | None = None,
) -> Tensor:
    """The loss of a batch of pairs, summed; differentiable in ``query`` and ``candidate``.

    query: ``[queries, dim]``, one row per distinct query; candidate: ``[candidates, dim]``, likewise.
    pair_query, pair_candidate: int64 ``[B]``, the row of each pair in them; every candidate row occurs at least once.
    weight: ``[B]``, the weight of each pair (1 by default).
    log_q: ``[candidates]``, log of the probability that a candidate is drawn into the batch; subtracted from its logits
        (Yi et al. 2019, "Sampling-bias-corrected neural modeling").
    temperature: logits are divided by it.
    remove_accidental_hits: the other pairs' copies of a pair's own candidate are not its negatives.
    counts: ``[candidates]``, how often each occurs where these pairs are a part of the batch; by default as in them.

    Under ``torch.autocast`` the three matrix products are of its lower precision; exponentials and sums stay float32.
    """
    kind = query.device.type
    lower = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    with torch.autocast(kind, enabled=False):
        if lower is not None:
            query, candidate = query.float(), candidate.float()
        loss: Tensor = _InBatchSoftmax.apply(  # type: ignore[no-untyped-call]
            query,
            candidate,
            pair_query,
            pair_candidate,
            weight,
            log_q,
            temperature,
            remove_accidental_hits,
            block_elements,
            lower,
            counts,
        )
    return loss


class _InBatchSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, candidate, *options):  # type: ignore[no-untyped-def]
        result = loss_and_gradients(query, candidate, *options)
        ctx.save_for_backward(result.d_query, result.d_candidate)
        return result.loss

    @staticmethod
    def backward(ctx, d_loss):  # type: ignore[no-untyped-def]
        d_query, d_candidate = ctx.saved_tensors
        return d_query * d_loss, d_candidate * d_loss, *[None] * 9


def loss_and_gradients(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    weight: Tensor | None,
    log_q: Tensor | None,
    temperature: float,
    remove_accidental_hits: bool,
    block_elements: int,
    lower: torch.dtype | None = None,
    counts: Tensor | None = None,
) -> LossAndGradients:
    """The summed loss and both gradients, in one pass over blocks of rows. Arguments as ``in_batch_softmax``.

    lower: the precision of the matrix products, where it is not that of the vectors.
    """
    occurring = torch.bincount(pair_candidate, minlength=len(candidate)) if counts is None else counts
    count = occurring.to(query.dtype)  # [candidates], m
    log_mu = count.log() if log_q is None else count.log() - log_q
    scaled = query / temperature  # [queries, dim]
    unshifted = _exponents_are_small(scaled, candidate, log_mu)
    mu = log_mu.exp() if unshifted else None
    weighted = candidate if mu is None else candidate * mu.unsqueeze(1)
    spare = 1 - 1 / count if remove_accidental_hits else None  # [candidates]: share of own mass that does not count
    rows = max(1, min(len(query), block_elements // max(1, len(candidate))))
    weights = torch.ones_like(pair_query, dtype=query.dtype) if weight is None else weight.to(query.dtype)
    pairs, edges = _by_block(_Pairs(pair_query, pair_candidate, weights), len(query), rows)

    loss = query.new_zeros(())
    d_query = torch.empty_like(scaled)
    d_candidate = torch.zeros_like(candidate)
    block_memory = query.new_empty(rows * len(candidate))
    for number, (first, last) in enumerate(pairwise(edges)):
        start, stop = number * rows, min((number + 1) * rows, len(query))
        block = block_memory[: (stop - start) * len(candidate)].view(stop - start, len(candidate))
        q = scaled[start:stop]  # [rows, dim]
        i, j, w = pairs.query[first:last] - start, pairs.candidate[first:last], pairs.weight[first:last]
        at = i * len(candidate) + j  # place of each pair in the flat block

        _product(q, candidate.T, block, lower)
        mu_j = None if mu is None else mu.index_select(0, j)
        z, mass, positive = _masses(block, i, at, log_mu, mu, mu_j)
        if log_q is not None:
            positive = positive - log_q[j]
        if spare is not None:
            excess = mass * spare[j]
            z = z - excess
        loss += torch.dot(w, z.log() - positive)

        share = w / z
        a = torch.bincount(i, share, minlength=stop - start).to(query.dtype)  # [rows]
        taken = w if spare is None else w + share * excess
        divisor = a.index_select(0, i)
        if mu_j is not None:
            divisor *= mu_j
        taken = torch.where(divisor == 0, 0, taken / divisor)  # 0: no weight, or too little for this precision
        block.view(-1).index_add_(0, at, taken, alpha=-1)
        _product(block, weighted, d_query[start:stop], lower)
        d_query[start:stop] *= a.unsqueeze(1)
        _product(block.T, q * a.unsqueeze(1), d_candidate, lower, add=True)
    if mu is not None:
        d_candidate *= mu.unsqueeze(1)
    return LossAndGradients(loss, d_query.div_(temperature), d_candidate)


def _by_block(pairs: _Pairs, queries: int, rows: int) -> tuple[_Pairs, list[int]]:
    """The pairs in the order of their queries, and where those of each block of ``rows`` queries begin."""
    if rows >= queries:
        return pairs, [0, len(pairs.query)]
    order = torch.argsort(pairs.query, stable=True)
    pairs = _Pairs(*(column[order] for column in pairs))
    bounds = torch.arange(0, queries + rows, rows, device=order.device)
    return pairs, torch.searchsorted(pairs.query, bounds).tolist()


def _masses(
    block: Tensor, i: Tensor, at: Tensor, log_mu: Tensor, mu: Tensor | None, mu_j: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Turns S ``[rows, candidates]`` into its exponentials; returns, of each pair, all ``[pairs]``: the sum over its row
    of μ P, its own μ_j P_ij, and its logit without −log Q.

    i, at: the row and the flat place of each pair. Without mu every row is shifted by its largest exponent, and P has μ in
    it.
    """
    flat = block.view(-1)
    own = flat.index_select(0, at)
    if mu is None or mu_j is None:
        block += log_mu
        shift = block.amax(1)  # [rows]
        block -= shift.unsqueeze(1)
        block.exp_()
        return block.sum(1).index_select(0, i), flat.index_select(0, at), own - shift[i]
    block.exp_()
    return torch.mv(block, mu).index_select(0, i), flat.index_select(0, at) * mu_j, own


def _product(left: Tensor, right: Tensor, out: Tensor, lower: torch.dtype | None, *, add: bool = False) -> None:
    """Writes ``left @ right`` into ``out``, or adds it there."""
    if lower is not None:
        product = left.to(lower) @ right.to(lower)
        out.add_(product) if add else out.copy_(product)
    elif add:
        out.addmm_(left, right)
    else:
        torch.mm(left, right, out=out)


def _exponents_are_small(scaled: Tensor, candidate: Tensor, log_mu: Tensor) -> bool:
    """Whether no exponent can leave the safe range; only asked on the CPU, where the answer costs no wait."""
    if scaled.device.type != "cpu":
        return False
    largest = scaled.square().sum(1).amax().sqrt() * candidate.square().sum(1).amax().sqrt()
    return bool(torch.maximum(largest, log_mu.abs().amax()) < SAFE_EXPONENT)
