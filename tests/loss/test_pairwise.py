"""BPR and CCL against their plain form, and values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.loss import Columns, Places, pairwise_loss

from . import plain
from .plain import random_case
from .test_columns import cases


@given(
    case=cases,
    kind=st.sampled_from(["bpr", "ccl"]),
    hardest=st.sampled_from([None, 1, 3]),
    block=st.sampled_from([1, 50, 1 << 20]),
)
def test_equals_the_plain_form(case, kind, hardest, block) -> None:
    on = {"kind": kind, "hardest": hardest, "margin": 0.3, "negative_weight": 2.0}
    wanted = plain.gradients(case, lambda leaf: plain.pairwise(leaf, **on))
    got = plain.gradients(
        case, lambda leaf: pairwise_loss(*leaf.pairs, leaf.columns, weight=leaf.weight, block_elements=block, **on)
    )
    plain.assert_close(got, wanted, 1e-7)


def line(own: float, *others: float) -> tuple:
    """One query whose own column scores ``own``, and further columns."""
    return torch.ones(1, 1), torch.tensor([[own], *([other] for other in others)]), torch.tensor([0]), torch.tensor([0])


def test_bpr_by_hand() -> None:
    """Differences ln 3 and 0, drawn once and three times: (ln(1 + 1/3) + 3 ln 2) / 4."""
    pairs = line(math.log(3), 0.0, math.log(3))
    loss = pairwise_loss(*pairs, Columns(torch.tensor([1, 1, 3])), kind="bpr")
    assert loss.item() == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4)


def test_bpr_with_a_temperature() -> None:
    loss = pairwise_loss(*line(math.log(3), 0.0), Columns(torch.ones(2)), kind="bpr", temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + 1 / 9))


def test_ccl_by_hand() -> None:
    """1 − 0.9, and 5 times the mean of 0.4 − 0.1, 0 and 0.7 − 0.1."""
    pairs = line(0.9, 0.4, -0.5, 0.7)
    loss = pairwise_loss(*pairs, Columns(torch.ones(4)), kind="ccl", margin=0.1, negative_weight=5.0)
    assert loss.item() == pytest.approx(0.1 + 5 * (0.3 + 0 + 0.6) / 3)


def test_a_known_positive_is_hidden_and_an_explicit_negative_counts() -> None:
    hidden, explicit = Places(torch.tensor([0]), torch.tensor([1])), Places(torch.tensor([0]), torch.tensor([2]))
    columns = Columns(torch.tensor([1, 1, 0]), hidden=hidden, explicit=explicit)
    loss = pairwise_loss(*line(0.9, 0.4, 0.6), columns, kind="ccl", margin=0.1)
    assert loss.item() == pytest.approx(0.1 + 0.5)


def test_the_correction_weighs_draws_by_their_inverse_probability() -> None:
    """Probabilities 1/2 and 1/4: the second column counts twice as much as the first."""
    columns = Columns(torch.ones(3), torch.tensor([1.0, 1 / 2, 1 / 4]).log())
    loss = pairwise_loss(*line(0.9, 0.4, 0.7), columns, kind="ccl", margin=0.1)
    assert loss.item() == pytest.approx(0.1 + (0.3 + 2 * 0.6) / 3)


@pytest.mark.parametrize(("kind", "wanted"), [("bpr", 0.0), ("ccl", 0.25)])
def test_nothing_to_compete_with(kind, wanted) -> None:
    loss = pairwise_loss(*line(0.75), Columns(torch.ones(1)), kind=kind)
    assert loss.item() == pytest.approx(wanted)


@pytest.mark.parametrize("kind", ["bpr", "ccl"])
def test_gradcheck(kind) -> None:
    case = random_case(4, 6, 3, 4, corrected=True, weighted=True, hidden=True, explicit=True)

    def loss(query, candidate):
        return pairwise_loss(query, candidate, *case[2:5], kind=kind, weight=case.weight, margin=0.1)

    assert torch.autograd.gradcheck(loss, (case.query.requires_grad_(), case.candidate.requires_grad_()))


def test_the_kinds_differ() -> None:
    case = random_case(6)
    losses = [pairwise_loss(*case.pairs, case.columns, kind=kind) for kind in ("bpr", "ccl")]
    assert (losses[0] - losses[1]).abs() > 1e-3
