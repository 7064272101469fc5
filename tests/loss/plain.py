"""The losses as their definitions write them: a row for each pair, a column for each candidate, float64, autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shortlist import loss
from shortlist.loss import Columns, Places, SoftmaxOptions


def _told(of_columns: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A loss that takes its options as keywords."""

    def told(*pairs: Any, weight: Tensor | None = None, **options: Any) -> Tensor:
        return of_columns(*pairs, SoftmaxOptions(**options), weight)

    return told


softmax_over = _told(loss.softmax_over)
best_head_softmax = _told(loss.best_head_softmax)


class Case(NamedTuple):
    """The arguments of a loss."""

    query: Tensor  # [queries, dim]
    candidate: Tensor  # [columns, dim]
    pair_query: Tensor  # [B]
    pair_candidate: Tensor  # [B]
    columns: Columns
    weight: Tensor | None = None

    @property
    def pairs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self[:4]

    def single(self) -> Case:
        """The same in float32."""
        columns = self.columns
        if columns.log_q is not None:
            columns = columns._replace(log_q=columns.log_q.float())
        weight = None if self.weight is None else self.weight.float()
        return self._replace(query=self.query.float(), candidate=self.candidate.float(), columns=columns, weight=weight)


def random_case(
    seed: int,
    pairs: int = 12,
    queries: int = 5,
    columns: int = 7,
    *,
    corrected: bool = False,
    weighted: bool = False,
    hidden: bool = False,
    explicit: bool = False,
    own_counted: bool = True,
    logit: float = 2.0,
) -> Case:
    """Every query has a pair; counts are the batch's plus draws, or draws alone (then some are 0)."""
    generator = torch.Generator().manual_seed(seed)

    def below(bound: int, size: int) -> Tensor:
        return torch.randint(0, bound, (size,), generator=generator)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    pairs = max(pairs, queries)
    pair_query = torch.cat([torch.arange(queries), below(queries, pairs - queries)])
    pair_candidate = below(columns, pairs)
    count = torch.bincount(below(columns, columns), minlength=columns)
    if own_counted:
        count = count + torch.bincount(pair_candidate, minlength=columns)
    scale = logit**0.5
    return Case(
        normal(queries, 3) * scale,
        normal(columns, 3) * scale,
        pair_query,
        pair_candidate,
        Columns(
            count,
            normal(columns) - 1 if corrected else None,
            own_counted,
            Places(below(queries, 6), below(columns, 6)) if hidden else None,
            Places(below(queries, 4), below(columns, 4)) if explicit else None,
        ),
        torch.rand(pairs, generator=generator, dtype=torch.float64) if weighted else None,
    )


def masses(case: Case, options: dict) -> Tensor:
    """M ``[B, columns]``: what each column weighs against each pair, the positive's own term aside."""
    columns, (i, j) = case.columns, case.pairs[2:]
    log_q = torch.zeros(len(case.candidate)) if columns.log_q is None else columns.log_q
    inverse = (-log_q).exp()
    rows = []
    for pair in range(len(i)):
        count = columns.drawn.double().clone()
        if options.get("remove_accidental_hits", True):
            count[j[pair]] = 0
        elif columns.own_counted:
            count[j[pair]] = max(count[j[pair]] - 1, 0)
        hidden = set()
        if columns.hidden is not None:
            hidden |= {int(c) for r, c in zip(*columns.hidden, strict=True) if r == i[pair]}
        own = {int(c) for r, c in zip(i, j, strict=True) if r == i[pair]}
        if options.get("negatives_only") or options.get("hardest"):
            hidden |= own
        for column in hidden:
            count[column] = 0
        mass = count * inverse
        if options.get("hardest"):
            # one list for the query: its pairs are hidden from it, so whose turn it is does not matter
            logits = (case.query[i[pair]] @ case.candidate.T).detach() / options.get("temperature", 1.0) - log_q
            logits = torch.where(mass > 0, logits, -torch.inf)
            least = sorted(logits.tolist(), reverse=True)[min(options["hardest"], len(logits)) - 1]
            mass = torch.where(logits >= least, mass, 0)
        if columns.explicit is not None:
            for r, c in zip(*columns.explicit, strict=True):
                if r == i[pair]:
                    mass[c] += inverse[c]
        rows.append(mass)
    return torch.stack(rows)


def scores(case: Case, options: dict) -> tuple[Tensor, Tensor]:
    """S ``[B, columns]`` and S⁺ ``[B]``."""
    logits = case.query[case.pair_query] @ case.candidate.T / options.get("temperature", 1.0)
    own = logits[torch.arange(len(logits)), case.pair_candidate]
    if options.get("correct_positive", True) and case.columns.log_q is not None:
        own = own - case.columns.log_q[case.pair_candidate]
    return logits, own


def weighted_sum(case: Case, losses: Tensor) -> Tensor:
    return losses.sum() if case.weight is None else (case.weight * losses).sum()


def log_sum(mass: Tensor, logits: Tensor, positive: Tensor | None) -> Tensor:
    """log (Σ M exp S + exp S⁺), and 0 where nothing is summed."""
    terms = torch.where(mass > 0, torch.where(mass > 0, mass, 1).log() + logits, -torch.inf)
    if positive is not None:
        return torch.cat([terms, positive[:, None]], 1).logsumexp(1)
    some = (mass > 0).any(1)
    return torch.where(some, torch.where(some[:, None], terms, 0).logsumexp(1), 0)


def softmax(case: Case, **options) -> Tensor:
    """Steps 1 to 3 of ``columns``."""
    mass = masses(case, options)
    logits, positive = scores(case, options)
    log_z = log_sum(mass, logits, None if options.get("negatives_only") else positive)
    return weighted_sum(case, options.get("exponent", 1.0) * log_z - positive)


def pairwise(case: Case, kind: str, margin: float = 0.8, negative_weight: float = 1.0, **options) -> Tensor:
    """BPR and CCL, from their formulas."""
    mass = masses(case, options)
    mass[torch.arange(len(mass)), case.pair_candidate] = 0
    share = mass / mass.sum(1, keepdim=True).clamp(min=1e-300)
    logits, _ = scores(case, options)
    own = logits[torch.arange(len(logits)), case.pair_candidate]
    if kind == "bpr":
        losses = (share * torch.logaddexp(torch.zeros_like(logits), logits - own[:, None])).sum(1)
    else:
        losses = 1 - own + negative_weight * (share * (logits - margin).clamp(min=0)).sum(1)
    return weighted_sum(case, losses)


def smoothed(case: Case, share: float, **options) -> Tensor:
    """Cross-entropy with a soft target: 1 − share on the positive, share spread over the draws that compete."""
    log_q = torch.zeros(len(case.candidate)) if case.columns.log_q is None else case.columns.log_q
    mass = masses(case, options)
    draws = mass * log_q.exp()
    logits, positive = scores(case, options)
    log_z = log_sum(mass, logits, positive)
    number = draws.sum(1)
    mean = (draws * (logits - log_q)).sum(1) / number.clamp(min=1)
    target = torch.where(number > 1e-9, (1 - share) * positive + share * mean, positive)
    return weighted_sum(case, log_z - target)


def gradients(case: Case, loss) -> tuple[Tensor, Tensor, Tensor]:
    """The loss and both gradients."""
    leaf = case._replace(query=case.query.clone().requires_grad_(), candidate=case.candidate.clone().requires_grad_())
    value = loss(leaf)
    return (value.detach(), *torch.autograd.grad(value, (leaf.query, leaf.candidate)))


def assert_close(got, wanted, relative: float) -> None:
    for name, one, other in zip(("loss", "d_query", "d_candidate"), got, wanted, strict=True):
        off = (one.double() - other).abs().max()
        assert off <= relative * max(1.0, float(other.abs().max())), f"{name} off by {off}"
