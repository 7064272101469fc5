"""Label smoothing against cross-entropy with a soft target."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.loss import Retrieval, Softmax

from . import plain
from .plain import Case, random_case
from .test_columns import cases


@given(case=cases, remove=st.booleans(), correct=st.booleans(), share=st.sampled_from([0.05, 0.3]))
def test_equals_the_plain_form(case, remove, correct, share) -> None:
    on = {"remove_accidental_hits": remove, "temperature": 0.5}
    task = Retrieval(loss=Softmax(share, correct), **on)
    wanted = plain.gradients(case, lambda leaf: plain.smoothed(leaf, share, correct_positive=correct, **on))
    got = plain.gradients(case, lambda leaf: task(*leaf.pairs, columns=leaf.columns, weight=leaf.weight))
    plain.assert_close(got, wanted, 1e-7)


def test_by_hand() -> None:
    """Scores ln 4, 0, ln 2 of which the first is right: Z = 7; target 0.7 and 0.15 each: ln 7 − 0.7 ln 4 − 0.15 ln 2."""
    pairs = (torch.ones(1, 1), torch.tensor([4.0, 1.0, 2.0]).log().unsqueeze(1), torch.tensor([0]), torch.tensor([0]))
    columns = random_case(0).columns._replace(drawn=torch.ones(3), log_q=None)
    loss = Retrieval(loss=Softmax(label_smoothing=0.3))(*pairs, columns=columns)
    assert loss.item() == pytest.approx(math.log(7) - 0.7 * math.log(4) - 0.15 * math.log(2))


def test_it_must_change_loss_and_gradients() -> None:
    case: Case = random_case(7)
    before, after = (
        plain.gradients(case, lambda leaf, task=task: task(*leaf.pairs, columns=leaf.columns))
        for task in (Retrieval(), Retrieval(loss=Softmax(label_smoothing=0.1)))
    )
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() > 1e-3


def test_without_columns_the_batch_is_what_competes() -> None:
    """Two pairs that score alike: ln 2 each, whatever the target."""
    pairs = (torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert Retrieval(loss=Softmax(label_smoothing=0.2))(*pairs).item() == pytest.approx(2 * math.log(2))


@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.05, 0.3]), pairs=st.integers(2, 30))
def test_the_epsilon_of_keras_times_all_but_one_column_is_ours(seed, share, pairs) -> None:
    """Keras spreads ε over all B columns of the batch, the positive's among them (docs/migration.md)."""
    case = random_case(seed, pairs, 4, 6)
    case = case._replace(columns=case.columns._replace(drawn=torch.bincount(case.pair_candidate, minlength=6)))
    logits = case.query[case.pair_query] @ case.candidate[case.pair_candidate].T  # [B, B]
    size = len(logits)
    target = (1 - share) * torch.eye(size, dtype=torch.float64) + share / size
    keras = -(target * logits.log_softmax(1)).sum()
    ours = Retrieval(loss=Softmax(share * (size - 1) / size), remove_accidental_hits=False)
    assert ours(*case.pairs, columns=case.columns).item() == pytest.approx(keras.item(), rel=1e-9)
