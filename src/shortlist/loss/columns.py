"""Softmax and BSL of B pairs over any set of columns: the batch, samples, the whole catalogue, negatives of one query.

``in_batch_softmax`` is the fast case of this: columns that are the batch's own candidates. Here a column k competes with
the mass ``M_k = n_k / Q_k``: how often it was drawn as a negative, over the probability of that draw (1 without
correction). With ``S_ik = q_i·c_k / T``, for the pair p = (i, j) of weight w:

1. ``Z = Σ_k M_k exp S_ik`` over the columns that compete with p; those of ``explicit`` compete with their own query too,
   each with ``1 / Q_k``. Nothing is taken back out of a sum (``places``).
2. The positive: ``S⁺ = S_ij − log Q_j``, or ``S_ij`` where it is left out of the correction, and unless the loss has
   negatives alone (``negatives_only``) ``Z += exp S⁺``.
3. The loss is ``w (exponent · log Z − S⁺)``; with the positive in Z ``log Z − S⁺`` is made as
   ``log(1 + Σ_k M_k exp(S_ik − S⁺))``, exact for a loss near 0 too.

Columns that do not compete with p: those hidden from its query (known positives), those not among the ``hardest`` of its
query, and p's own: all copies of it where accidental hits are removed, else only the one draw that p itself is.

Sources: Yi et al. 2019 (logQ); Yang et al. 2020, "Mixed negative sampling for learning two-tower neural networks";
Wu et al. 2024, "BSL: Understanding and improving softmax loss for recommendation".
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from shortlist._forks import refuse_after_fork
from shortlist.loss.kernel import Mass, kernel_for
from shortlist.loss.places import Pairs, by_block, exact, placed, without_own
from shortlist.loss.products import Transposed, product
from shortlist.loss.softmax import BLOCK_ELEMENTS, LossAndGradients, _exponents_are_small, differentiable
from shortlist.loss.tiles import elements_on

__all__ = ["PLAIN", "Columns", "Places", "SoftmaxOptions", "softmax_over"]

LEAST_ROWS = 16
"""The least number of rows in a block, however long the catalogue: smaller matrix products are not worth a call."""

LOG2_E, LN_2 = 1 / math.log(2), math.log(2)


class Places(NamedTuple):
    """Places in [queries, columns]: int64 ``[places]`` each."""

    row: Tensor
    column: Tensor


class Columns(NamedTuple):
    """The candidates that compete with the pairs of a batch.

    Attributes:
        drawn: ``[columns]``, how often each column was drawn as a negative (0: it is there as a positive, or for one
            query).
        log_q: ``[columns]``, log of the probability of a draw (or of the expected number of draws); None: no
            correction.
        own_counted: whether the pairs themselves are among the draws, as they are in a batch.
        hidden: places that never compete (known positives).
        explicit: places that compete though not drawn.
    """

    drawn: Tensor
    log_q: Tensor | None = None
    own_counted: bool = True
    hidden: Places | None = None
    explicit: Places | None = None


class SoftmaxOptions(NamedTuple):
    """Options of a softmax over columns, for queries of one vector or of several.

    Attributes:
        correct_positive: subtract log Q from the positive's logit too.
        negatives_only: leave the positive out of the denominator (BSL).
        exponent: the power of Z.
        hardest: only this many of each query's highest logits (log Q subtracted) compete, apart from its pairs.
        block_elements: how many scores are in memory at a time; None for what the device has room for.
    """

    temperature: float = 1.0
    remove_accidental_hits: bool = True
    correct_positive: bool = True
    negatives_only: bool = False
    exponent: float = 1.0
    hardest: int | None = None
    block_elements: int | None = None

    def elements_on(self, device: torch.device) -> int:
        """How many scores are in memory at a time on a device."""
        return elements_on(device, BLOCK_ELEMENTS) if self.block_elements is None else self.block_elements


PLAIN = SoftmaxOptions()


def softmax_over(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    columns: Columns,
    options: SoftmaxOptions = PLAIN,
    weight: Tensor | None = None,
) -> Tensor:
    """The loss of a batch of pairs, summed; differentiable in ``query`` and ``candidate``.

    Memory grows with ``options.block_elements``, not with queries × columns.

    Args:
        query: ``[queries, dim]``, one row per distinct query.
        candidate: ``[columns, dim]``, one row per distinct candidate.
        pair_query: int64 ``[B]``, the row of each pair in ``query``.
        pair_candidate: int64 ``[B]``, the row of each pair in ``candidate``.
        weight: ``[B]``.
    """
    refuse_after_fork("softmax_over()")

    def compute(query: Tensor, candidate: Tensor, lower: torch.dtype | None) -> LossAndGradients:
        return _loss_and_gradients(query, candidate, pair_query, pair_candidate, columns, weight, options, lower)

    return differentiable(compute, query, candidate)


def _loss_and_gradients(
    query: Tensor,
    candidate: Tensor,
    pair_query: Tensor,
    pair_candidate: Tensor,
    columns: Columns,
    weight: Tensor | None,
    options: SoftmaxOptions,
    lower: torch.dtype | None,
) -> LossAndGradients:
    """The summed loss and both gradients, block by block of query rows."""
    hidden = columns.hidden
    if options.negatives_only or options.hardest is not None:  # a query's own pairs are never its negatives
        own = Places(pair_query, pair_candidate)
        hidden = own if hidden is None else Places(*(torch.cat(both) for both in zip(hidden, own, strict=True)))
    if options.hardest is None and options.block_elements is None:
        kernel = kernel_for(query, candidate, lower)
        if kernel is not None:
            log_q, log_mass = _log_masses(candidate, columns)
            return LossAndGradients(
                *kernel.softmax(
                    query,
                    candidate,
                    (pair_query, pair_candidate, weight),
                    Mass(log_mass, log_q, _kept(columns, options.remove_accidental_hits)),
                    temperature=options.temperature,
                    correct_positive=options.correct_positive,
                    negatives_only=options.negatives_only,
                    exponent=options.exponent,
                    hidden=hidden,
                    explicit=columns.explicit,
                )
            )
    scaled = query / options.temperature  # [queries, dim]
    weights = query.new_ones(len(pair_query), dtype=exact(query)) if weight is None else weight.to(exact(query))
    rows = max(
        min(LEAST_ROWS, len(query)), min(len(query), options.elements_on(query.device) // max(1, len(candidate)))
    )
    hidden, explicit = _sorted(hidden), _sorted(columns.explicit)
    bounds = range(0, len(query) + rows, rows)
    pair_parts = by_block(Pairs(pair_query, pair_candidate, weights), len(query), rows)
    hidden_parts, explicit_parts = (_parts(part, bounds) for part in (hidden, explicit))
    block = _Block(scaled, candidate, columns, options, lower, rows)
    memory = query.new_empty(rows * len(candidate))
    loss = query.new_zeros((), dtype=exact(query))
    d_query = torch.empty_like(query)
    for number, start in enumerate(range(0, len(query), rows)):
        stop = min(start + rows, len(query))
        loss += block.add(
            scaled[start:stop],
            pair_parts[number],
            None if hidden is None else Places(*hidden_parts[number]),
            None if explicit is None else Places(*explicit_parts[number]),
            memory[: (stop - start) * len(candidate)].view(stop - start, len(candidate)),
            d_query[start:stop],
        )
    return LossAndGradients(loss.to(query.dtype), d_query.div_(options.temperature), block.d_candidate.total())


class _Block:
    """The numbers that all blocks of rows share.

    Exponents are logarithms to base 2, since ``exp2`` is the faster of the exponentials.
    """

    def __init__(
        self,
        scaled: Tensor,
        candidate: Tensor,
        columns: Columns,
        options: SoftmaxOptions,
        lower: torch.dtype | None,
        rows: int,
    ) -> None:
        self.candidate, self.options = candidate, options
        self.log_q, self.log_mass = _log_masses(candidate, columns)
        finite = torch.cat([self.log_q, torch.where(columns.drawn > 0, self.log_mass, 0)])
        self.unshifted = _exponents_are_small(scaled, candidate, finite)
        self.unweighted = candidate.device.type == "cpu" and not bool(self.log_mass.any())  # every mass is 1
        self.lowered = None if lower is None else candidate.to(lower)
        self.d_candidate = Transposed(candidate, rows)
        self.kept = _kept(columns, options.remove_accidental_hits)

    def add(
        self,
        q: Tensor,  # [rows, dim], divided by the temperature
        pairs: Pairs,
        hidden: Places | None,
        explicit: Places | None,
        memory: Tensor,  # [rows, columns], that may be written over
        d_query: Tensor,  # [rows, dim], to be written
    ) -> Tensor:
        """The loss of these rows."""
        options, c = self.options, self.candidate
        places = placed(pairs, pairs.places(len(c)), memory)
        i, j, of_pairs = places.row, places.candidate, places.weight.dtype
        own = _dots(q, c, i, j).to(of_pairs)  # [pairs], S_ij
        block = self._exponents(q, memory)
        flat = block.view(-1)
        if hidden is not None:
            flat.index_fill_(0, hidden.row * len(c) + hidden.column, -torch.inf)
        if options.hardest is not None:
            _keep_hardest(block, LOG2_E * (self.log_mass + self.log_q), options.hardest)
        positive = own - self.log_q[j] if options.correct_positive else own  # [pairs], S⁺
        added = None if explicit is None else LOG2_E * (_dots(q, c, *explicit) - self.log_q[explicit.column])
        if self.unshifted:
            shift = block.new_zeros(len(block))
        else:
            shift = _shift(block, explicit, added)  # [rows]
            block.sub_(shift.unsqueeze(1))
        block.exp2_()
        shift_of = shift.to(of_pairs)[i] * LN_2  # [pairs]
        mass = flat.index_select(0, places.at).to(of_pairs)  # [pairs], of the own column
        flat.index_fill_(0, places.at, 0)
        rest = block.sum(1).to(of_pairs)  # [rows]
        if explicit is not None and added is not None:
            added = (added - shift[explicit.row]).to(of_pairs).exp2()
            rest.index_add_(0, explicit.row, added)

        others = without_own(places, mass, rest)  # [pairs], R
        kept = mass * self.kept[j]
        z = others + kept  # [pairs], without the positive
        log_others = z.log() + shift_of  # −inf where nothing competes
        if options.negatives_only:
            log_z = log_others
            each = options.exponent * torch.where(log_z == -torch.inf, 0, log_z) - positive
        else:
            above = torch.logaddexp(log_others - positive, torch.zeros_like(positive))  # log Z − S⁺
            log_z = positive + above
            each = options.exponent * above
            if options.exponent != 1:
                each += (options.exponent - 1) * positive
        loss = torch.dot(places.once(places.weight), each)

        share = torch.where(
            z > 0, options.exponent * places.weight * (shift_of - log_z).exp(), 0
        )  # w / Z, of shifted masses
        a = torch.zeros_like(rest).index_add_(0, i, places.once(share))  # [rows]
        block *= a.to(block.dtype).unsqueeze(1)
        d_own = (a[i] - share) * mass
        if options.negatives_only:
            d_own += share * kept - places.weight
        else:
            d_own += (options.exponent - 1) * places.weight - share * others
        flat.scatter_(0, places.at, d_own.to(block.dtype))
        if explicit is not None and added is not None:
            flat.index_add_(0, explicit.row * len(c) + explicit.column, (a[explicit.row] * added).to(block.dtype))
        self._add_gradients(block, q, d_query)
        return loss

    def _exponents(self, q: Tensor, memory: Tensor) -> Tensor:
        """``log₂ (M_k exp S_ik)`` of each place ``[rows, columns]``, in this memory or another."""
        q = q * LOG2_E
        if self.lowered is None:
            block = product(q, self.candidate.T, memory)
        else:
            block = memory.copy_(q.to(self.lowered.dtype) @ self.lowered.T)
        return block if self.unweighted else block.add_(LOG2_E * self.log_mass)

    def _add_gradients(self, block: Tensor, q: Tensor, d_query: Tensor) -> None:
        """Writes the gradient of these rows, and adds to that of the columns.

        Args:
            block: ``[rows, columns]``, the gradient of each logit.
        """
        if self.lowered is None:
            d_query.copy_(product(block, self.candidate))
            self.d_candidate.add(block, q)
        else:
            rounded = block.to(self.lowered.dtype)
            d_query.copy_(rounded @ self.lowered)
            self.d_candidate.add(rounded, q.to(rounded.dtype))


def _log_masses(candidate: Tensor, columns: Columns) -> tuple[Tensor, Tensor]:
    """Of each column ``[columns]``: log Q, and the log of its mass, −inf where it was not drawn."""
    count = columns.drawn.to(candidate.dtype)
    log_q = candidate.new_zeros(len(candidate)) if columns.log_q is None else columns.log_q.to(count.dtype)
    return log_q, count.log() - log_q


def _kept(columns: Columns, remove_accidental_hits: bool) -> Tensor:
    """The share of a pair's own column that competes with it ``[columns]``."""
    copies = columns.drawn.to(exact(columns.drawn))
    if remove_accidental_hits:
        return torch.zeros_like(copies)
    return (1 - 1 / copies.clamp(min=1)) if columns.own_counted else torch.ones_like(copies)


def _shift(block: Tensor, explicit: Places | None, added: Tensor | None) -> Tensor:
    """The largest exponent of each row, so that no sum overflows or vanishes ``[rows]``; 0 where nothing competes."""
    shift = block.amax(1)
    if explicit is not None and added is not None:
        shift.scatter_reduce_(0, explicit.row, added, "amax")
    return torch.where(shift == -torch.inf, 0, shift)


def _keep_hardest(block: Tensor, log_count: Tensor, hardest: int) -> None:
    """Leaves in each row the ``hardest`` highest logits, counts aside; ties of the last one stay too."""
    if hardest >= block.shape[1]:
        return
    logits = block - torch.where(log_count == -torch.inf, 0, log_count)
    least = logits.topk(hardest, dim=1).values[:, -1:]
    block.masked_fill_(logits < least, -torch.inf)


def _dots(q: Tensor, c: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return (q.index_select(0, rows) * c.index_select(0, columns)).sum(1)


def _sorted(places: Places | None) -> Places | None:
    """The places in the order of their rows, which most already have: sorting takes longer than to see that."""
    if places is None or (places.row.device.type == "cpu" and bool((places.row[1:] >= places.row[:-1]).all())):
        return places  # a GPU sorts sooner than the processor could know
    order = torch.argsort(places.row, stable=True)
    return Places(places.row[order], places.column[order])


def _parts(columns: tuple[Tensor, ...] | None, bounds: range) -> list[tuple[Tensor, ...]]:
    """Columns sorted by the first, cut at its ``bounds``; within a part its numbers count from the part's bound.

    A GPU is waited for where there are several parts.
    """
    if columns is None:
        return []
    row, *others = columns
    edges = [0, len(row)]
    if len(bounds) > 2:
        cuts = torch.arange(bounds.start, bounds.stop, bounds.step, device=row.device)
        edges = torch.searchsorted(row.contiguous(), cuts).tolist()
    return [
        (row[first:last] - start, *(other[first:last] for other in others))
        for start, (first, last) in zip(bounds, pairwise(edges), strict=False)
    ]
