"""Queries of several vectors: every score is that of the best head, in every loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import shortlist as sl
from shortlist.loss import Columns, Retrieval, Softmax, pairwise_loss

from . import plain
from .plain import best_head_softmax, softmax_over
from .test_columns import cases, options


def of_heads(case, heads: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(len(case.query), heads, 3, generator=generator, dtype=torch.float64)
    return case._replace(query=query)


def by_maximum(case):
    """The same case with its scores made first: queries are rows of the maxima, candidates the unit vectors."""
    scores = (case.query @ case.candidate.T).amax(1)  # [queries, columns]
    return case._replace(query=scores, candidate=torch.eye(len(case.candidate), dtype=scores.dtype))


@given(
    case=cases, on=options, heads=st.integers(1, 3), seed=st.integers(0, 2**32), block=st.sampled_from([1, 50, 1 << 20])
)
def test_softmax_equals_the_plain_form_of_the_maxima(case, on, heads, seed, block) -> None:
    case = of_heads(case, heads, seed)
    wanted = plain.gradients(case, lambda leaf: plain.softmax(by_maximum(leaf), **on))
    got = plain.gradients(
        case,
        lambda leaf: best_head_softmax(*leaf.pairs, leaf.columns, weight=leaf.weight, block_elements=block, **on),
    )
    plain.assert_close(got, wanted, 1e-7)


@given(case=cases, on=options)
def test_one_head_is_a_plain_query(case, on) -> None:
    one = best_head_softmax(case.query.unsqueeze(1), *case.pairs[1:], case.columns, weight=case.weight, **on)
    torch.testing.assert_close(one, softmax_over(*case.pairs, case.columns, weight=case.weight, **on))


@given(case=cases, heads=st.integers(1, 3), seed=st.integers(0, 2**32), kind=st.sampled_from(["bpr", "ccl"]))
def test_pairwise_losses_equal_the_plain_form_of_the_maxima(case, heads, seed, kind) -> None:
    case = of_heads(case, heads, seed)
    wanted = plain.gradients(case, lambda leaf: plain.pairwise(by_maximum(leaf), kind=kind, margin=0.3))
    got = plain.gradients(
        case, lambda leaf: pairwise_loss(*leaf.pairs, leaf.columns, kind=kind, margin=0.3, weight=leaf.weight)
    )
    plain.assert_close(got, wanted, 1e-7)


def test_worked_by_hand() -> None:
    """One query with the heads (1, 0) and (0, 1), candidates (ln 2, 0), (0, ln 3) and (0, 0), a pair with the first.

    Scores by the best head ln 2, ln 3 and 0: ln ((2 + 3 + 1) / 2). With the head of the pair alone it would be ln (4 / 2).
    """
    query = torch.eye(2).unsqueeze(0)
    candidate = torch.tensor([[math.log(2), 0.0], [0.0, math.log(3)], [0.0, 0.0]])
    loss = Retrieval()(query, candidate, torch.tensor([0]), torch.tensor([0]), columns=Columns(torch.ones(3)))
    assert loss.item() == pytest.approx(math.log(3))


def test_a_batch_without_columns_is_its_own_negatives() -> None:
    """Two queries of two equal heads, all scores 0: ln 2 each."""
    loss = Retrieval()(torch.zeros(2, 2, 3), torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_label_smoothing_is_refused() -> None:
    pairs = (torch.zeros(2, 2, 3), torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([0, 1]))
    with pytest.raises(sl.ConfigError, match="label_smoothing does not support heads"):
        Retrieval(loss=Softmax(label_smoothing=0.1))(*pairs)
