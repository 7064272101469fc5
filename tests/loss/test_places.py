"""One pair, or one candidate, that fills a batch: every loss in float32 against its definition in float64, to 1e-4."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from shortlist.loss import BPR, CCL, Columns, Retrieval, Softmax, in_batch_softmax

ALLOWED = 1e-4


class Batch(NamedTuple):
    """A batch in float64."""

    query: Tensor  # [queries, dim]
    candidate: Tensor  # [candidates, dim]
    pair_query: Tensor  # [B]
    pair_candidate: Tensor  # [B]
    weight: Tensor | None
    log_q: Tensor | None

    def in_float32(self) -> Batch:
        return Batch(*(part.float() if part is not None and part.is_floating_point() else part for part in self))

    @property
    def count(self) -> Tensor:
        """How often each candidate occurs ``[candidates]``."""
        return torch.bincount(self.pair_candidate, minlength=len(self.candidate)).double()


def of_one_pair(repeats: int, logit: float, pairs: int = 8192) -> Batch:
    """One pair at ``logit`` so many times, then as many others at about 0, most of other queries."""
    generator = torch.Generator().manual_seed(repeats)
    others = pairs - repeats
    query, candidate = (torch.randn(401, 4, generator=generator, dtype=torch.float64) * 0.3 for _ in range(2))
    query[0] = candidate[0] = torch.tensor([logit**0.5, 0, 0, 0], dtype=torch.float64)
    candidate[1:, 0] *= 0.1
    rest = [
        torch.cat([torch.arange(1, 401), torch.randint(0, 401, (others - 400,), generator=generator)]) for _ in "qc"
    ]
    first = torch.zeros(repeats, dtype=torch.long)
    return Batch(query, candidate, torch.cat([first, rest[0]]), torch.cat([first, rest[1].flip(0)]), None, None)


def of_one_candidate(share: float, pairs: int = 8192, queries: int = 1500, logit: float = 3.0) -> Batch:
    """One candidate in a share of all pairs, of random queries."""
    generator = torch.Generator().manual_seed(int(share * 1000))
    times = int(share * pairs)
    others = pairs - times
    query = torch.randn(queries, 8, generator=generator, dtype=torch.float64)
    chosen, rest = torch.randint(1, 500, (others,), generator=generator).unique(return_inverse=True)
    candidate = torch.randn(len(chosen) + 1, 8, generator=generator, dtype=torch.float64)
    scale = (logit / (query @ candidate.T).std()).sqrt()
    pair_query = torch.cat([torch.arange(queries), torch.randint(0, queries, (pairs - queries,), generator=generator)])
    return Batch(
        query * scale,
        candidate * scale,
        pair_query,
        torch.cat([torch.zeros(times, dtype=torch.long), rest + 1]),
        None,
        None,
    )


def weighted(batch: Batch) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return batch._replace(weight=torch.rand(len(batch.pair_query), generator=generator, dtype=torch.float64) + 0.1)


def corrected(batch: Batch) -> Batch:
    return batch._replace(log_q=(batch.count / len(batch.pair_query)).log())


BATCHES = {
    **{
        f"a pair {n} times at {logit}": of_one_pair(n, logit)
        for n in (1, 30, 1000, 5000)
        for logit in (0.5, 12.0, 25.0)
    },
    **{f"a candidate in {share} of the batch": of_one_candidate(share) for share in (0.1, 0.5, 0.9, 0.99)},
    "a candidate in 0.99 of 65,536": of_one_candidate(0.99, 65536),
    "logits that need a shift": of_one_candidate(0.9, logit=15.0),
    "a pair at 45": of_one_pair(300, 45.0),
    "weighted": weighted(of_one_pair(3000, 15.0)),
    "corrected": corrected(of_one_pair(3000, 15.0)),
    "weighted and corrected": corrected(weighted(of_one_candidate(0.9))),
}


def distinct_pairs(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Query and candidate of each distinct pair, and the sum of its weights."""
    distinct, place = torch.stack([batch.pair_query, batch.pair_candidate]).unique(dim=1, return_inverse=True)
    weights = torch.ones(len(place), dtype=torch.float64) if batch.weight is None else batch.weight
    return (*distinct, torch.zeros(distinct.shape[1], dtype=torch.float64).index_add_(0, place, weights))


def pairwise(batch: Batch, kind: str) -> Tensor:
    """BPR and CCL (margin 0.8) over the masses of all other candidates."""
    i, j, weight = distinct_pairs(batch)
    own = torch.arange(len(i))
    logits = batch.query[i] @ batch.candidate.T
    mass = batch.count if batch.log_q is None else batch.count * (-batch.log_q).exp()
    mass = mass.repeat(len(i), 1)
    mass[own, j] = 0
    mass = mass / mass.sum(1, keepdim=True)
    positive = logits[own, j]
    if kind == "bpr":
        return (weight * (mass * torch.nn.functional.softplus(logits - positive[:, None])).sum(1)).sum()
    return (weight * (1 - positive + (mass * (logits - 0.8).clamp(min=0)).sum(1))).sum()


def softmax(batch: Batch, remove: bool = True, smoothing: float = 0.0) -> Tensor:
    """A logsumexp over what competes with each distinct pair; nothing is taken out of a sum."""
    i, j, weight = distinct_pairs(batch)
    own = torch.arange(len(i))
    logits = batch.query[i] @ batch.candidate.T  # [distinct, candidates]
    if batch.log_q is not None:
        logits = logits - batch.log_q
    count = batch.count.repeat(len(i), 1)
    if remove:
        count[own, j] = 1
    above = torch.logsumexp(logits - logits[own, j][:, None] + count.log(), 1)
    if smoothing:
        count[own, j] -= 1
        number = count.sum(1)
        above = above + smoothing * (logits[own, j] - (count * logits).sum(1) / number)
    return (weight * above).sum()


def gradients(batch: Batch, loss: Callable[[Batch], Tensor]) -> dict[str, Tensor]:
    leaf = batch._replace(
        query=batch.query.clone().requires_grad_(), candidate=batch.candidate.clone().requires_grad_()
    )
    value = loss(leaf)
    found = torch.autograd.grad(value, (leaf.query, leaf.candidate))
    return {"loss": value.detach(), "d_query": found[0], "d_candidate": found[1]}


def fast(remove: bool = True, block: int = 1 << 21) -> Callable[[Batch], Tensor]:
    return lambda batch: in_batch_softmax(
        *batch[:4], weight=batch.weight, log_q=batch.log_q, remove_accidental_hits=remove, block_elements=block
    )


def by_columns(heads: bool = False, **options) -> Callable[[Batch], Tensor]:
    task = Retrieval(**options)

    def loss(batch: Batch) -> Tensor:
        columns = Columns(torch.bincount(batch.pair_candidate, minlength=len(batch.candidate)), batch.log_q)
        query = batch.query.unsqueeze(1) if heads else batch.query
        return task(query, *batch[1:4], weight=batch.weight, columns=columns)

    return loss


KEPT = partial(softmax, remove=False)
KERNELS = {
    "fast": (fast(), softmax),
    "fast, hits kept": (fast(False), KEPT),
    "fast, in blocks": (fast(block=1 << 16), softmax),
    "columns": (by_columns(), softmax),
    "columns, hits kept": (by_columns(remove_accidental_hits=False), KEPT),
    "smoothing": (by_columns(loss=Softmax(label_smoothing=0.1)), partial(softmax, smoothing=0.1)),
    "heads": (by_columns(heads=True), softmax),
    "heads, hits kept": (by_columns(heads=True, remove_accidental_hits=False), KEPT),
    "bpr": (by_columns(loss=BPR()), partial(pairwise, kind="bpr")),
    "ccl": (by_columns(loss=CCL()), partial(pairwise, kind="ccl")),
}


def assert_relative(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, value in wanted.items():
        off = float((got[name].double() - value).abs().max() / value.abs().max())
        assert off <= ALLOWED, f"{name}: off by {off:.2g} of its largest entry"


@cache
def expected(batch: str, definition: Callable[..., Tensor]) -> dict[str, Tensor]:
    """By the definition in float64, of the numbers that float32 has."""
    single = BATCHES[batch].in_float32()
    exact = Batch(*(part.double() if part is not None and part.is_floating_point() else part for part in single))
    return gradients(exact, definition)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("batch", BATCHES)
def test_any_multiplicity_is_right_in_float32(batch: str, kernel: str) -> None:
    loss, definition = KERNELS[kernel]
    assert_relative(gradients(BATCHES[batch].in_float32(), loss), expected(batch, definition))


def test_a_loss_near_0_is_above_0_and_has_its_gradient() -> None:
    """One query: 1,000 times the candidate at logit 15, each of 7,192 others at 0 once, weightless.

    Accidental hits removed, a pair competes with e^-15 · 7192 = 2.2e-3 of itself.
    """
    candidate = torch.zeros(7193, 1)
    candidate[0] = 15.0
    candidate.requires_grad_()
    query = torch.ones(1, 1, requires_grad=True)
    pair_candidate = torch.cat([torch.zeros(1000, dtype=torch.long), torch.arange(1, 7193)])
    weight = (pair_candidate == 0).float()
    in_batch_softmax(
        query,
        candidate,
        torch.zeros(8192, dtype=torch.long),
        pair_candidate,
        weight=weight,
        remove_accidental_hits=True,
    ).backward()
    rival = 7192 * math.exp(-15)
    assert candidate.grad[0].item() == pytest.approx(-1000 * rival / (1 + rival), rel=1e-5)
    assert query.grad.item() == pytest.approx(-15 * 1000 * rival / (1 + rival), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_vectors_in_half_precision_are_taken(dtype: torch.dtype) -> None:
    """A loop of one's own may have them; results are of their precision."""
    batch = of_one_pair(600, 4.0, pairs=1200)
    halves = Batch(batch.query.to(dtype), batch.candidate.to(dtype), batch.pair_query, batch.pair_candidate, None, None)
    single = Batch(halves.query.float(), halves.candidate.float(), *halves[2:])
    got, wanted = gradients(halves, fast()), gradients(single, fast())
    for name, value in wanted.items():
        assert got[name].dtype == dtype
        assert (got[name].float() - value).abs().max() <= 0.05 * value.abs().max(), name
