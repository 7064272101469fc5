"""The loss on distinct rows against its plain twin with B columns: same loss, same gradients, every option."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shortlist.loss import in_batch_softmax, softmax

OPTIONS = ("weighted", "corrected", "remove_accidental_hits", "heated")
COMBINATIONS = [dict(zip(OPTIONS, on, strict=True)) for on in itertools.product([False, True], repeat=len(OPTIONS))]


class Batch(NamedTuple):
    query: Tensor  # [queries, dim]
    candidate: Tensor  # [candidates, dim]
    pair_query: Tensor  # [B]
    pair_candidate: Tensor  # [B]
    weight: Tensor | None = None
    log_q: Tensor | None = None
    temperature: float = 1.0
    remove_accidental_hits: bool = False


class Outcome(NamedTuple):
    loss: Tensor
    d_query: Tensor
    d_candidate: Tensor


def plain(batch: Batch) -> Tensor:
    """The loss as the paper writes it: a column per pair, a row per pair, cross-entropy."""
    query = batch.query[batch.pair_query]  # [B, dim]
    candidate = batch.candidate[batch.pair_candidate]  # [B, dim]
    logits = query @ candidate.T / batch.temperature  # [B, B]
    if batch.log_q is not None:
        logits = logits - batch.log_q[batch.pair_candidate]
    if batch.remove_accidental_hits:
        same = batch.pair_candidate[:, None] == batch.pair_candidate[None, :]
        logits = logits.masked_fill(same & ~torch.eye(len(same), dtype=torch.bool), -torch.inf)
    losses = torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)), reduction="none")
    return losses.sum() if batch.weight is None else (batch.weight * losses).sum()


def expected(batch: Batch) -> Outcome:
    """The plain loss and its gradients by autograd, in float64."""
    exact = batch._replace(
        query=batch.query.double().requires_grad_(),
        candidate=batch.candidate.double().requires_grad_(),
        weight=None if batch.weight is None else batch.weight.double(),
        log_q=None if batch.log_q is None else batch.log_q.double(),
    )
    loss = plain(exact)
    return Outcome(loss.detach(), *torch.autograd.grad(loss, (exact.query, exact.candidate)))


def ours(batch: Batch, block_elements: int | None = softmax.BLOCK_ELEMENTS) -> Outcome:
    query, candidate = batch.query.clone().requires_grad_(), batch.candidate.clone().requires_grad_()
    loss = in_batch_softmax(
        query,
        candidate,
        batch.pair_query,
        batch.pair_candidate,
        weight=batch.weight,
        log_q=batch.log_q,
        temperature=batch.temperature,
        remove_accidental_hits=batch.remove_accidental_hits,
        block_elements=block_elements,
    )
    return Outcome(loss.detach(), *torch.autograd.grad(loss, (query, candidate)))


def assert_equal(batch: Batch, block_elements: int | None, relative: float) -> None:
    """Loss and gradients agree with the plain form to ``relative``.

    A logit L carries a rounding error of about L machine epsilons whatever the method, so past |L| = 10 the bar
    grows with the largest one. What is compared is relative to the loss, and to the largest entry of a
    gradient; where terms cancel (one lone pair: loss and gradients are 0) to the largest sum of them.
    """
    wanted, got = expected(batch), ours(batch, block_elements)
    largest = largest_logit(batch)
    relative *= max(1.0, largest / 10)
    weight = torch.ones(len(batch.pair_query)) if batch.weight is None else batch.weight
    rows = float(torch.bincount(batch.pair_query, weight).max()) / batch.temperature
    columns = float(torch.bincount(batch.pair_candidate, weight).max()) / batch.temperature
    _close("loss", got.loss, wanted.loss, relative, float(weight.sum()))
    _close("d_query", got.d_query, wanted.d_query, relative, rows * float(batch.candidate.detach().abs().max()))
    _close(
        "d_candidate", got.d_candidate, wanted.d_candidate, relative, columns * float(batch.query.detach().abs().max())
    )


def _close(name: str, got: Tensor, wanted: Tensor, relative: float, floor: float) -> None:
    error = float((got.double() - wanted).abs().max())
    scale = max(float(wanted.abs().max()), floor)
    assert error <= relative * scale, f"{name}: off by {error:.3g}, allowed {relative:.3g} of {scale:.3g}"


def largest_logit(batch: Batch) -> float:
    logits = batch.query.detach() @ batch.candidate.detach().T / batch.temperature
    if batch.log_q is not None:
        logits = logits - batch.log_q
    return float(logits.abs().max())


def random_batch(seed: int, pairs: int, queries: int, candidates: int, logit: float, **on: bool) -> Batch:
    """A batch whose largest |q·c / T| is about ``logit``; few ids for many pairs make repeats."""
    generator = torch.Generator().manual_seed(seed)
    chosen_queries, pair_query = torch.randint(queries, (pairs,), generator=generator).unique(return_inverse=True)
    chosen, pair_candidate = torch.randint(candidates, (pairs,), generator=generator).unique(return_inverse=True)
    query = torch.randn(len(chosen_queries), 4, generator=generator, dtype=torch.float64)
    candidate = torch.randn(len(chosen), 4, generator=generator, dtype=torch.float64)
    temperature = 0.3 if on["heated"] else 1.0
    largest = (query @ candidate.T / temperature).abs().max()
    scale = (logit / largest) ** 0.5
    weight = None
    if on["weighted"]:
        weight = torch.rand(pairs, generator=generator, dtype=torch.float64) * 3
        weight[torch.rand(pairs, generator=generator) < 0.2] = 0  # a pair that does not count
        weight[0] = 1  # and one that does
    log_q = None
    if on["corrected"]:
        log_q = torch.rand(len(chosen), generator=generator, dtype=torch.float64).mul_(12).neg_()  # down to 6e-6
    return Batch(
        query * scale,
        candidate * scale,
        pair_query,
        pair_candidate,
        weight,
        log_q,
        temperature,
        on["remove_accidental_hits"],
    )


def in_float32(batch: Batch) -> Batch:
    return Batch(*(part.float() if isinstance(part, Tensor) and part.is_floating_point() else part for part in batch))


seeds = st.integers(0, 2**32)
sizes = st.fixed_dictionaries(
    {"pairs": st.integers(1, 40), "queries": st.integers(1, 30), "candidates": st.integers(1, 30)}
)
logits = st.sampled_from([0.01, 1.0, 8.0, 28.0, 33.0, 100.0])  # either side of the exponent that needs a shift
blocks = st.sampled_from([1, 7, 64, softmax.BLOCK_ELEMENTS, None])  # None: by the compiled kernel, in float32


@pytest.mark.parametrize("on", COMBINATIONS, ids=lambda on: "+".join(name for name in on if on[name]) or "plain")
@given(seed=seeds, size=sizes, logit=logits, block=blocks)
def test_equals_the_plain_form(on, seed, size, logit, block):
    batch = random_batch(seed, **size, logit=logit, **on)
    assert_equal(batch, block, relative=1e-10)
    assert_equal(in_float32(batch), block, relative=1e-5)


@pytest.mark.parametrize("logit", [1.0, 100.0])
@pytest.mark.parametrize("on", COMBINATIONS[::5], ids=str)
def test_equals_the_plain_form_at_a_few_hundred_pairs(on, logit):
    batch = random_batch(3, pairs=600, queries=200, candidates=150, logit=logit, **on)
    for block in (1 << 10, softmax.BLOCK_ELEMENTS, None):
        assert_equal(batch, block, relative=1e-10)
        assert_equal(in_float32(batch), block, relative=1e-5)


def with_repeats() -> Batch:
    """Three pairs of two queries and two candidates: candidate 0 twice."""
    return Batch(
        torch.tensor([[1.0], [2.0]]),
        torch.tensor([[1.0], [0.0]]),
        torch.tensor([0, 1, 1]),
        torch.tensor([0, 0, 1]),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"remove_accidental_hits": True},
        {"weight": torch.tensor([1.0, 2.0, 1.0])},
        {"log_q": torch.tensor([0.0, -1.0])},
        {"temperature": 2.0},
        {"candidate": torch.tensor([[1.0], [0.001]])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_option_must_change_loss_and_gradients(change):
    before, after = ours(with_repeats()), ours(with_repeats()._replace(**change))
    for name, one, other in zip(Outcome._fields, before, after, strict=True):
        assert (one - other).abs().max() > 1e-5, name
    wanted = expected(with_repeats())
    with pytest.raises(AssertionError, match="off by"):
        _close("loss", after.loss, wanted.loss, 1e-5, 0.0)


def test_worked_by_hand_two_pairs_that_score_alike():
    """Both queries are 0, so each of two columns has probability 1/2: loss 2 ln 2."""
    batch = Batch(torch.zeros(2, 1), torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    got = ours(batch)
    assert got.loss.item() == pytest.approx(2 * math.log(2))
    # d_query: mean of the candidates (2) less its own (1, then 3); d_candidate: times a query that is 0
    assert got.d_query.tolist() == [[pytest.approx(1.0)], [pytest.approx(-1.0)]]
    assert got.d_candidate.tolist() == [[0.0], [0.0]]


def test_worked_by_hand_a_repeated_candidate():
    """q = 0, pairs (0, a), (0, a), (0, b): columns a a b. Kept, each loss is ln 3; removed, a competes with b."""
    batch = Batch(torch.zeros(1, 1), torch.tensor([[1.0], [4.0]]), torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1]))
    kept, removed = ours(batch), ours(batch._replace(remove_accidental_hits=True))
    assert kept.loss.item() == pytest.approx(3 * math.log(3))
    assert removed.loss.item() == pytest.approx(2 * math.log(2) + math.log(3))
    # kept: 3 rows of mean (1 + 1 + 4) / 3 = 2, less 1 + 1 + 4
    assert kept.d_query.item() == pytest.approx(0.0, abs=1e-6)
    # removed: twice mean (1 + 4) / 2, once 2, less 6
    assert removed.d_query.item() == pytest.approx(1.0)


def test_worked_by_hand_log_q():
    """Equal scores, sampling probabilities 3/4 and 1/4: odds are 4/3 to 4, so 1/4 and 3/4."""
    batch = Batch(
        torch.zeros(2, 1),
        torch.ones(2, 1),
        torch.tensor([0, 1]),
        torch.tensor([0, 1]),
        log_q=torch.tensor([3 / 4, 1 / 4]).log(),
    )
    assert ours(batch).loss.item() == pytest.approx(math.log(4) + math.log(4 / 3))


def test_worked_by_hand_temperature_and_weight():
    """Logits ln 3 / (1/2) = 2 ln 3 against 0: odds 9 to 1."""
    batch = Batch(
        torch.tensor([[1.0], [0.0]]),
        torch.tensor([[math.log(3)], [0.0]]),
        torch.tensor([0, 1]),
        torch.tensor([0, 1]),
        weight=torch.tensor([5.0, 2.0]),
        temperature=0.5,
    )
    assert ours(batch).loss.item() == pytest.approx(5 * math.log(10 / 9) + 2 * math.log(2))


def test_a_lone_pair_has_nothing_to_learn():
    got = ours(Batch(torch.tensor([[3.0, 1.0]]), torch.tensor([[2.0, 5.0]]), torch.tensor([0]), torch.tensor([0])))
    assert got.loss.item() == pytest.approx(0, abs=1e-5)
    assert got.d_query.abs().max() < 1e-5


def test_a_pair_of_weight_zero_stays_a_negative_but_has_no_loss_of_its_own():
    batch = with_repeats()._replace(weight=torch.tensor([0.0, 0.0, 0.0]))
    got = ours(batch)
    assert got.loss == 0
    assert not got.d_query.any()
    assert not got.d_candidate.any()


@pytest.mark.parametrize("log_q", [[-700.0, 0.0], [0.0, -700.0], [-40.0, -40.0], [29.0, -29.0], [300.0, 300.0]])
@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_extreme_log_q(log_q, remove, scale):
    batch = with_repeats()._replace(log_q=torch.tensor(log_q), remove_accidental_hits=remove)
    batch = batch._replace(query=batch.query * scale, candidate=batch.candidate * scale)
    assert_equal(batch, softmax.BLOCK_ELEMENTS, relative=1e-5)
    assert_equal(batch._replace(query=batch.query.double(), candidate=batch.candidate.double()), 1, relative=1e-10)


@pytest.mark.parametrize("logit", [1.0, 25.0, 60.0])
@pytest.mark.parametrize("tiny", [1e-10, 1e-20, 1e-30, 1e-38])
@pytest.mark.parametrize("remove", [False, True])
def test_weights_may_be_tiny(remove, tiny, logit):
    """Weights that decay with age become as small as float32 goes; they must not turn into NaN."""
    side = torch.full((3, 1), logit**0.5)
    batch = Batch(side[:2], side, torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]), torch.tensor([tiny, 1.0, 1.0]))
    assert_equal(batch._replace(remove_accidental_hits=remove), softmax.BLOCK_ELEMENTS, relative=1e-5)
    assert_equal(batch._replace(remove_accidental_hits=remove), 1, relative=1e-5)


def test_logits_far_beyond_the_range_of_exp():
    batch = in_float32(random_batch(9, 20, 12, 12, logit=5000.0, **COMBINATIONS[0]))
    got = ours(batch)
    assert all(part.isfinite().all() for part in got)
    assert_equal(batch, 16, relative=1e-5)


def test_nan_comes_out_as_nan():
    """fit stops on a loss that is not finite; it must not be swallowed."""
    batch = with_repeats()
    batch.query[0, 0] = math.nan
    assert ours(batch).loss.isnan()


def test_the_gradient_scales_with_the_loss():
    batch = with_repeats()
    query, candidate = batch.query.requires_grad_(), batch.candidate.requires_grad_()
    loss = in_batch_softmax(query, candidate, batch.pair_query, batch.pair_candidate)
    once = torch.autograd.grad(loss, (query, candidate), retain_graph=True)
    twice = torch.autograd.grad(2 * loss, (query, candidate))
    for one, two in zip(once, twice, strict=True):
        torch.testing.assert_close(2 * one, two)


def test_inputs_are_left_alone():
    batch = in_float32(random_batch(1, 30, 10, 10, 8.0, **COMBINATIONS[-1]))
    before = [part.clone() if isinstance(part, Tensor) else part for part in batch]
    ours(batch)
    ours(batch, 7)
    for was, part in zip(before, batch, strict=True):
        assert torch.equal(was, part) if isinstance(part, Tensor) else was == part


@pytest.mark.parametrize("on", COMBINATIONS, ids=str)
def test_gradcheck(on):
    batch = random_batch(2, pairs=6, queries=3, candidates=3, logit=2.0, **on)

    def loss(query: Tensor, candidate: Tensor) -> Tensor:
        return in_batch_softmax(
            query,
            candidate,
            batch.pair_query,
            batch.pair_candidate,
            weight=batch.weight,
            log_q=batch.log_q,
            temperature=batch.temperature,
            remove_accidental_hits=batch.remove_accidental_hits,
            block_elements=4,
        )

    assert torch.autograd.gradcheck(loss, (batch.query.requires_grad_(), batch.candidate.requires_grad_()))


def test_block_size_does_not_change_the_result():
    batch = random_batch(4, 60, 20, 20, 8.0, **COMBINATIONS[-1])
    whole = ours(batch)
    for block in (1, 20, 33, 399, 400):
        for one, other in zip(whole, ours(batch, block), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_autocast_lowers_the_products_alone():
    batch = in_float32(random_batch(3, pairs=600, queries=200, candidates=150, logit=8.0, **COMBINATIONS[-1]))
    wanted, exact = expected(batch), ours(batch)
    with torch.autocast("cpu", torch.bfloat16):
        lowered = ours(batch)
    for name, want, full, low in zip(Outcome._fields, wanted, exact, lowered, strict=True):
        assert low.dtype == torch.float32
        assert not torch.equal(low, full), name
        assert (low - want).abs().max() < 0.02 * want.abs().max(), name


def test_gradients_are_those_of_the_loss_times_what_comes_from_above() -> None:
    """Of the loss itself, of a multiple, and twice over one graph: each time exactly that many times the first."""
    batch = Batch(torch.randn(4, 3), torch.randn(5, 3), torch.arange(4), torch.tensor([0, 1, 2, 2]))
    query, candidate = (side.clone().requires_grad_() for side in batch[:2])
    loss = in_batch_softmax(query, candidate, *batch[2:4], counts=torch.ones(5))
    first = torch.autograd.grad(loss, (query, candidate), retain_graph=True)
    kept = [one.clone() for one in first]
    four = torch.autograd.grad(4 * loss, (query, candidate), retain_graph=True)
    assert all(torch.equal(many, 4 * one) for many, one in zip(four, kept, strict=True))
    for times in (1, 2):
        loss.backward(retain_graph=True)
        assert query.grad is not None
        assert candidate.grad is not None
        assert torch.equal(query.grad, times * kept[0])
        assert torch.equal(candidate.grad, times * kept[1])
    query.grad.zero_()
    assert torch.equal(torch.autograd.grad(loss, query)[0], kept[0])
