"""Softmax and BSL over any columns against their plain form, every combination of options; values worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.loss import Columns, Places, columns, in_batch_softmax

from . import plain
from .plain import Case, random_case, softmax_over

flags = st.booleans()
cases = st.builds(
    random_case,
    seed=st.integers(0, 2**32),
    pairs=st.integers(1, 30),
    queries=st.integers(1, 9),
    columns=st.integers(1, 12),
    corrected=flags,
    weighted=flags,
    hidden=flags,
    explicit=flags,
    own_counted=flags,
    logit=st.sampled_from([0.1, 2.0, 10.0, 60.0]),
)
options = st.fixed_dictionaries(
    {
        "remove_accidental_hits": flags,
        "correct_positive": flags,
        "negatives_only": flags,
        "exponent": st.sampled_from([1.0, 0.8, 1.3]),
        "hardest": st.sampled_from([None, 1, 2, 5]),
        "temperature": st.sampled_from([1.0, 0.5]),
    }
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "LEAST_ROWS", 1)


@given(case=cases, on=options, block=st.sampled_from([1, 9, 40, 1 << 20, None]))
def test_equals_the_plain_form(case, on, block) -> None:
    wanted = plain.gradients(case, lambda leaf: plain.softmax(leaf, **on))
    got = plain.gradients(
        case, lambda leaf: softmax_over(*leaf.pairs, leaf.columns, weight=leaf.weight, block_elements=block, **on)
    )
    plain.assert_close(got, wanted, 1e-7)


@given(case=cases, on=options, block=st.sampled_from([9, 1 << 20, None, None]))
def test_equals_the_plain_form_in_float32(case, on, block) -> None:
    wanted = plain.gradients(case, lambda leaf: plain.softmax(leaf, **on))
    got = plain.gradients(
        case.single(),
        lambda leaf: softmax_over(*leaf.pairs, leaf.columns, weight=leaf.weight, block_elements=block, **on),
    )
    plain.assert_close(got, wanted, 1e-3)


@given(seed=st.integers(0, 2**32), remove=flags, corrected=flags, weighted=flags)
def test_the_batch_alone_is_the_fast_path(seed, remove, corrected, weighted) -> None:
    case = random_case(seed, 20, 6, 8, corrected=corrected, weighted=weighted)
    case = case._replace(columns=case.columns._replace(drawn=torch.bincount(case.pair_candidate, minlength=8)))
    present = case.columns.drawn > 0
    place = present.cumsum(0) - 1
    log_q = None if case.columns.log_q is None else case.columns.log_q[present]
    fast = in_batch_softmax(
        case.query,
        case.candidate[present],
        case.pair_query,
        place[case.pair_candidate],
        weight=case.weight,
        log_q=log_q,
        remove_accidental_hits=remove,
    )
    slow = softmax_over(*case.pairs, case.columns, weight=case.weight, remove_accidental_hits=remove)
    torch.testing.assert_close(slow, fast)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 2.0},
        {"remove_accidental_hits": False},
        {"correct_positive": False},
        {"negatives_only": True},
        {"exponent": 1.5},
        {"hardest": 1},
        {"columns": {"hidden": None}},
        {"columns": {"explicit": None}},
        {"columns": {"log_q": None}},
        {"columns": {"drawn": torch.full((7,), 2)}},
    ],
    ids=str,
)
def test_each_option_must_change_loss_and_gradients(change) -> None:
    case = random_case(5, 14, corrected=True, hidden=True, explicit=True)
    changed = case._replace(columns=case.columns._replace(**change.get("columns", {})))
    on = {name: value for name, value in change.items() if name != "columns"}
    before = plain.gradients(case, lambda leaf: softmax_over(*leaf.pairs, leaf.columns))
    after = plain.gradients(changed, lambda leaf: softmax_over(*leaf.pairs, leaf.columns, **on))
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() > 1e-4


def zeros(count: list[float], **columns) -> Case:
    """Two queries and as many columns as counts, all scores 0; pairs (0, 0) and (1, 1)."""
    size = len(count)
    return Case(
        torch.zeros(2, 1),
        torch.ones(size, 1),
        torch.tensor([0, 1]),
        torch.tensor([0, 1]),
        Columns(torch.tensor(count), **columns),
    )


def test_worked_by_hand_samples_alone() -> None:
    """Columns 0 and 1 are positives that were not drawn, column 2 was drawn three times: Z = 1 + 3."""
    loss = softmax_over(*zeros([0, 0, 3], own_counted=False)[:5])
    assert loss.item() == pytest.approx(2 * math.log(4))


def test_worked_by_hand_a_sample_that_is_the_positive_is_no_negative() -> None:
    """Column 0 drawn twice: pair 0 sees column 2 alone, Z = 1 + 3; pair 1 both, Z = 1 + 2 + 3."""
    case = zeros([2, 0, 3], own_counted=False)
    assert softmax_over(*case[:5]).item() == pytest.approx(math.log(4) + math.log(6))
    kept = softmax_over(*case[:5], remove_accidental_hits=False)
    assert kept.item() == pytest.approx(2 * math.log(6))


def test_worked_by_hand_the_correction_of_a_mixture() -> None:
    """A batch of 2 and 2 draws. Of 4 draws, column 2 expects 1 (Q = 1/4) and came twice: mass 2 / (1/4) = 8; columns 0
    and 1 expect 3/2 each (Q = 3/8): mass 8/3. Z of either pair: its own 8/3, the other's 8/3, and 8: 40/3.
    """
    log_q = torch.tensor([3 / 8, 3 / 8, 1 / 4]).log()
    case = zeros([1, 1, 2], log_q=log_q)
    assert softmax_over(*case[:5]).item() == pytest.approx(2 * math.log((40 / 3) / (8 / 3)))


def test_worked_by_hand_the_positive_left_out_of_its_correction() -> None:
    """Expected numbers of draws 1, 1, 1/2: the positive counts 1, the other pair's 1, two draws at 1/2 each 2: Z = 6."""
    case = zeros([1, 1, 2], log_q=torch.tensor([1.0, 1.0, 0.5]).log())
    assert softmax_over(*case[:5], correct_positive=False).item() == pytest.approx(2 * math.log(6))


def test_worked_by_hand_known_positives_are_hidden() -> None:
    """Query 0 also knows column 2: it has no negative but column 1."""
    hidden = Places(torch.tensor([0]), torch.tensor([2]))
    loss = softmax_over(*zeros([1, 1, 3], hidden=hidden)[:5])
    assert loss.item() == pytest.approx(math.log(1 + 1) + math.log(1 + 1 + 3))


def test_worked_by_hand_explicit_negatives_compete_with_their_query_alone() -> None:
    """Column 2 was not drawn; query 1 disliked it, given twice."""
    explicit = Places(torch.tensor([1, 1]), torch.tensor([2, 2]))
    loss = softmax_over(*zeros([1, 1, 0], explicit=explicit)[:5])
    assert loss.item() == pytest.approx(math.log(2) + math.log(4))


def test_worked_by_hand_bsl() -> None:
    """Positives score ln 9 and stay out of Z; negatives sum to 1 + 3 at score 0: exponent · ln 4 − ln 9."""
    case = zeros([1, 1, 3])
    case = case._replace(query=torch.tensor([[1.0], [0.0]]), candidate=torch.tensor([[math.log(9)], [0.0], [0.0]]))
    loss = softmax_over(*case[:5], negatives_only=True, exponent=0.5)
    assert loss.item() == pytest.approx((0.5 * math.log(4) - math.log(9)) + 0.5 * math.log(4))


def test_worked_by_hand_the_hardest() -> None:
    """Scores of query 0: ln 5, 0, ln 3, ln 2, its pair is column 0. The two hardest others are 3 and 2: Z = 5 + 3 + 2."""
    candidate = torch.tensor([5.0, 1.0, 3.0, 2.0]).log().unsqueeze(1)
    one = Columns(torch.ones(4))
    pairs = (torch.ones(1, 1), candidate, torch.tensor([0]), torch.tensor([0]))
    assert softmax_over(*pairs, one, hardest=2).item() == pytest.approx(math.log(10 / 5))
    assert softmax_over(*pairs, one, hardest=9).item() == pytest.approx(math.log(11 / 5))


def test_nothing_to_compete_with_is_nothing_to_learn() -> None:
    case = Case(torch.ones(1, 1), torch.ones(1, 1), torch.tensor([0]), torch.tensor([0]), Columns(torch.ones(1)))
    loss, d_query, d_candidate = plain.gradients(case, lambda leaf: softmax_over(*leaf.pairs, leaf.columns))
    assert (loss.item(), d_query.item(), d_candidate.item()) == (0, 0, 0)


def test_gradcheck() -> None:
    case = random_case(2, 6, 3, 4, corrected=True, weighted=True, hidden=True, explicit=True)

    def loss(query, candidate):
        return softmax_over(query, candidate, *case[2:5], weight=case.weight, block_elements=4)

    assert torch.autograd.gradcheck(loss, (case.query.requires_grad_(), case.candidate.requires_grad_()))


@pytest.mark.parametrize("logit", [400.0, 5000.0])
@pytest.mark.parametrize("on", [{}, {"negatives_only": True}, {"hardest": 2}], ids=str)
def test_logits_far_beyond_the_range_of_exp(logit, on) -> None:
    case = random_case(9, 20, 6, 9, corrected=True, logit=logit).single()
    got = plain.gradients(case, lambda leaf: softmax_over(*leaf.pairs, leaf.columns, **on))
    assert all(part.isfinite().all() for part in got)


def test_nan_comes_out_as_nan() -> None:
    case = random_case(1)
    case.query[0, 0] = math.nan
    assert softmax_over(*case.pairs, case.columns).isnan()


def test_autocast_lowers_the_products_alone() -> None:
    case = random_case(3, 300, 100, 80, corrected=True, explicit=True).single()
    exact = softmax_over(*case.pairs, case.columns)
    with torch.autocast("cpu", torch.bfloat16):
        low = softmax_over(*case.pairs, case.columns)
    assert low.dtype == torch.float32
    assert low != exact
    assert (low - exact).abs() < 0.02 * exact.abs()
