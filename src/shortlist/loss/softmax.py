"""In-batch softmax cross-entropy of B pairs, computed on the distinct queries and candidates of the batch.

Written with B columns, one per pair, the loss of pair (i, j) is ``w (log Σ_b exp S_i,b − S_ij)``. Columns that hold the
same candidate are equal, so with ``m_j`` the number of pairs of candidate j the sum is ``Σ_j m_j exp S_ij`` over the
distinct candidates, and rows that hold the same query share it. The matrix is [distinct queries, distinct candidates]
and is visited in blocks of rows, forward and gradient in one pass; no block is kept.

In a block, with ``P_ij = exp(q_i·c_j / T)`` and ``μ_j = m_j / Q_j`` (Q: sampling probability, 1 without correction):

1. ``R = Σ_{k ≠ j} μ_k P_ik`` is the mass of the row without the pair (i, j), never made by subtraction (``places``). With
   ``h = 1`` where accidental hits are removed (its own candidate counts once), else ``h = m_j``,
   ``Z = R + h μ_j P_ij / m_j``, and the loss of the pair of weight w is
   ``w (log Z − log(μ_j P_ij / m_j)) = w (log h + log(1 + R m_j / (h μ_j P_ij)))``, exact for a loss near 0 too.
2. The gradient with respect to S at (i, k) is ``a_i μ_k P_ik``, where ``a_i = Σ w / Z`` over the pairs of row i; at a pair's
   own place it is ``(a_i − w / Z) μ_j P_ij − w R / Z``. The latter is written into P (divided by ``a_i μ_j``), so that
3. ``dq = a ∘ (P (μ ∘ c)) / T`` and ``dc = μ ∘ (Pᵀ (a ∘ q)) / T`` are two matrix products over existing blocks.

Pairs at one place count as one with the sum of their weights. Values per pair are float64, values of the matrix float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from shortlist._forks import refuse_after_fork
from shortlist.loss.kernel import Mass, kernel_for
from shortlist.loss.places import Pairs, by_block, exact, occurrences, placed, without_own
from shortlist.loss.products import Transposed, product
from shortlist.loss.tiles import elements_on

__all__ = ["BLOCK_ELEMENTS", "LossAndGradients", "differentiable", "in_batch_softmax"]

BLOCK_ELEMENTS = 1 << 21
"""Elements of the block of P that is in memory at a time (8 MiB in float32); on a GPU more, see ``tiles``."""

SAFE_EXPONENT = 30.0
"""While no |logit| can exceed this, exp needs no shift: nothing overflows, underflows or loses precision."""


class LossAndGradients(NamedTuple):
    """The summed loss, and its gradients with respect to the two sides, None where they are not wanted."""

    loss: Tensor
    d_query: Tensor
    d_candidate: Tensor


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
    block_elements: int | None = None,
    counts: Tensor | None = None,
) -> Tensor:
    """The loss of a batch of pairs, summed; differentiable in ``query`` and ``candidate``.

    Under ``torch.autocast`` the three matrix products have its lower precision; exponentials and sums stay float32.

    Args:
        query: ``[queries, dim]``, one row per distinct query.
        candidate: ``[candidates, dim]``, one row per distinct candidate.
        pair_query: int64 ``[B]``, the row of each pair in ``query``.
        pair_candidate: int64 ``[B]``, the row of each pair in ``candidate``; every row occurs at least once.
        weight: ``[B]``, the weight of each pair (1 by default).
        log_q: ``[candidates]``, log of the probability that a candidate is drawn into the batch; subtracted from its
            logits (Yi et al. 2019, "Sampling-bias-corrected neural modeling").
        temperature: logits are divided by it.
        remove_accidental_hits: the other pairs' copies of a pair's own candidate are not its negatives.
        counts: ``[candidates]``, how often each occurs where these pairs are a part of the batch; by default as in
            them.
    """
    refuse_after_fork("in_batch_softmax()")

    def compute(query: Tensor, candidate: Tensor, lower: torch.dtype | None) -> LossAndGradients:
        return loss_and_gradients(
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

    return differentiable(compute, query, candidate)


def differentiable(
    compute: Callable[[Tensor, Tensor, torch.dtype | None], LossAndGradients], query: Tensor, candidate: Tensor
) -> Tensor:
    """The loss that ``compute`` returns for the vectors of both sides, with its gradients.

    Under ``torch.autocast`` it gets float32 vectors, and the lower precision for its matrix products; else None.
    """
    kind = query.device.type
    if not torch.is_autocast_enabled(kind):
        return _Differentiable.apply(compute, query, candidate, None)  # type: ignore[no-untyped-call, no-any-return]
    lower = torch.get_autocast_dtype(kind)
    with torch.autocast(kind, enabled=False):
        loss: Tensor = _Differentiable.apply(compute, query.float(), candidate.float(), lower)  # type: ignore[no-untyped-call]
    return loss


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, compute, query, candidate, lower):  # type: ignore[no-untyped-def]
        result = compute(query, candidate, lower)
        ctx.save_for_backward(result.d_query, result.d_candidate)
        return result.loss

    @staticmethod
    @once_differentiable
    def backward(ctx, d_loss):  # type: ignore[no-untyped-def]
        refuse_after_fork("backward()")
        d_query, d_candidate = ctx.saved_tensors
        if d_loss.device.type == "cpu" and d_loss.item() == 1:  # as ``backward()`` of the loss itself gives it
            return None, d_query, d_candidate, None
        return None, d_query * d_loss, d_candidate * d_loss, None


def loss_and_gradients(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    weight: Tensor | None,
    log_q: Tensor | None,
    temperature: float,
    remove_accidental_hits: bool,
    block_elements: int | None,
    lower: torch.dtype | None = None,
    counts: Tensor | None = None,
) -> LossAndGradients:
    """The summed loss and both gradients, in one pass over blocks of rows. Arguments as ``in_batch_softmax``.

    Args:
        lower: the precision of the matrix products, where it is not that of the vectors.
    """
    occurring = occurrences(pair_candidate, len(candidate)) if counts is None else counts
    count = occurring.to(query.dtype)  # [candidates], m
    log_mu = count.log() if log_q is None else count.log() - log_q
    if block_elements is None and (kernel := kernel_for(query, candidate, lower)) is not None:
        own = torch.zeros_like(count) if remove_accidental_hits else 1 - 1 / count.to(exact(query))
        pairs_of = (pair_query, pair_candidate, weight)
        return LossAndGradients(
            *kernel.softmax(query, candidate, pairs_of, Mass(log_mu, log_q, own), temperature=temperature)
        )
    scaled = query if temperature == 1 else query / temperature  # [queries, dim]
    mu = log_mu.exp() if _exponents_are_small(scaled, candidate, log_mu) else None
    weighted = candidate if mu is None else candidate * mu.unsqueeze(1)
    most = elements_on(query.device, BLOCK_ELEMENTS) if block_elements is None else block_elements
    rows = max(1, min(len(query), most // max(1, len(candidate))))
    of_pairs = exact(query)
    weights = query.new_ones(len(pair_query), dtype=of_pairs) if weight is None else weight.to(of_pairs)
    some_row_is_empty = weight is not None or mu is None  # without weight, or without mass that this precision can hold
    m_of = count.to(of_pairs)
    log_m_of, log_mu_of = m_of.log(), log_mu.to(of_pairs)
    mu_of = None if mu is None else mu.to(of_pairs)  # all [candidates]

    loss = query.new_zeros((), dtype=of_pairs)
    d_query = torch.empty_like(scaled)
    d_candidate = Transposed(candidate, rows, repeats=False)
    block_memory = query.new_empty(rows * len(candidate))
    for number, part in enumerate(by_block(Pairs(pair_query, pair_candidate, weights), len(query), rows)):
        start, stop = number * rows, min((number + 1) * rows, len(query))
        q, d_q = scaled[start:stop], d_query[start:stop]  # [rows, dim]
        at = part.places(len(candidate))
        memory = block_memory[: (stop - start) * len(candidate)].view(stop - start, len(candidate))
        block = _product(q, candidate.T, memory, lower)
        flat = block.view(-1)
        exponent = _exponentials(block, at, None if mu is not None else log_mu).to(of_pairs)  # [pairs]
        pairs = placed(part, at, block)
        flat.index_fill_(0, at, 0)
        rest = (block.sum(1) if mu is None else torch.mv(block, mu)).to(of_pairs)  # [rows], but for the pairs' places
        j = pairs.candidate
        if mu is not None:
            exponent += log_mu_of.index_select(0, j)
        mass = exponent.exp()  # [pairs], μ P
        others = without_own(pairs, mass, rest)  # [pairs], R
        own = mass / m_of.index_select(0, j) if remove_accidental_hits else mass  # [pairs], h μ P / m
        if mu is not None:
            each = (others / own).log1p_()
        else:  # the own mass may be too small for exp
            log_own = exponent - log_m_of.index_select(0, j) if remove_accidental_hits else exponent
            each = torch.logaddexp(others.log() - log_own, torch.zeros_like(own))
        if not remove_accidental_hits:
            each += log_m_of.index_select(0, j)
        loss += torch.dot(pairs.once(pairs.weight), each)

        share = pairs.weight / (others + own)  # [pairs], w / Z
        a = torch.zeros_like(rest).index_add_(0, pairs.row, pairs.once(share))  # [rows]
        of_row = a.index_select(0, pairs.row)
        d_own = (of_row - share).mul_(mass).sub_(share.mul_(others))
        divisor = of_row if mu_of is None else of_row.mul_(mu_of.index_select(0, j))
        d_own /= divisor
        if some_row_is_empty:
            d_own = torch.where(divisor == 0, 0, d_own)
        flat.scatter_(0, at, d_own.to(block.dtype))
        a = a.to(block.dtype).unsqueeze(1)
        torch.mul(_product(block, weighted, d_q, lower), a, out=d_q)
        d_candidate.add(*(side if lower is None else side.to(lower) for side in (block, q * a)))
    whole = d_candidate.total()
    if mu is not None:
        whole *= mu.unsqueeze(1)
    if temperature != 1:
        d_query /= temperature
    return LossAndGradients(loss.to(query.dtype), d_query, whole)


def _exponentials(block: Tensor, at: Tensor, log_mu: Tensor | None) -> Tensor:
    """Turns S ``[rows, candidates]`` into its exponentials. Returns the exponents at the pairs' places ``[pairs]``.

    With log_mu every row is shifted by its largest exponent, and P and its exponents have μ in them.
    """
    if log_mu is not None:
        block += log_mu
        block -= block.amax(1, keepdim=True)
    exponent = block.view(-1).index_select(0, at)
    block.exp_()
    return exponent


def _product(left: Tensor, right: Tensor, memory: Tensor, lower: torch.dtype | None) -> Tensor:
    """``left @ right``, in ``memory`` or elsewhere."""
    if lower is None:
        return product(left, right, memory, repeats=False)
    return memory.copy_(left.to(lower) @ right.to(lower))


def _exponents_are_small(scaled: Tensor, candidate: Tensor, log_mu: Tensor) -> bool:
    """Whether no exponent can leave the safe range; only called on the CPU, where the answer need not be waited for."""
    if scaled.device.type != "cpu":
        return False
    longest = [float(torch.linalg.vector_norm(side, dim=1).amax()) for side in (scaled, candidate)]
    return longest[0] * longest[1] < SAFE_EXPONENT and float(log_mu.abs().amax()) < SAFE_EXPONENT
