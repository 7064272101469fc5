"""What makes exact ranks, compiled, against loops; what it takes and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shortlist.compiled import VARIABLE
from shortlist.errors import ConfigError
from shortlist.loss.counts import kernel_for_scores, reaching, thresholds
from tests.loss.libraries import BUILT, needs_kernel, of

pytestmark = needs_kernel


@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    dim=st.sampled_from([1, 2, 15, 16, 17, 32, 40]),
    pairs=st.sampled_from([0, 1, 5, 20_000]),
    margin=st.sampled_from([0.0, 0.25, -0.5]),
)
def test_thresholds_are_products_less_a_share_of_their_sizes(name, seed, dim, pairs, margin):
    """Small whole numbers, so that sums are exact; many pairs take two threads."""
    generator = np.random.default_rng(seed)
    query, candidate = (generator.integers(-3, 4, (rows, dim)).astype(np.float32) for rows in (4, 6))
    row, column = generator.integers(4, size=pairs), generator.integers(6, size=pairs)
    products = query[row] * candidate[column]
    wanted = products.sum(1) - np.float32(margin) * np.abs(products).sum(1)
    got = thresholds(of(name), *map(torch.from_numpy, (query, candidate, row, column)), margin)
    assert got.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"row": torch.tensor([0, 3])},
        {"column": torch.tensor([0, 4])},
        {"column": torch.tensor([-1, 0])},
        {"row": torch.tensor([0])},
        {"row": torch.tensor([0, 1], dtype=torch.int32)},
        {"candidate": torch.ones(4, 3)},
        {"candidate": torch.ones(4, 2, dtype=torch.float64)},
        {"candidate": torch.ones(2, 4).T},
        {"query": torch.ones(3, 2).to("meta")},
        {"query": torch.ones(3, 2, dtype=torch.float64)},
    ],
)
def test_pairs_that_do_not_fit_their_vectors_are_refused(wrong: dict[str, Tensor]) -> None:
    given = {
        "query": torch.ones(3, 2),
        "candidate": torch.ones(4, 2),
        "row": torch.arange(2),
        "column": torch.arange(2),
    }
    with pytest.raises(ConfigError, match="do not fit the 3 queries and 4 candidates"):
        thresholds(of(BUILT[0]), **given | wrong, margin=0.0)


@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 5), st.sampled_from([1, 7, 8, 16, 17, 33, 4096, 9001])),
    pairs=st.sampled_from([0, 1, 3, 200]),
    higher=st.booleans(),
)
def test_scores_that_reach_their_pairs_are_counted_as_loops_count_them(name, seed, shape, pairs, higher):
    """Small whole numbers tie often; hidden scores are -inf; own columns lie inside and outside; large ones take two threads."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(-3, 4, shape).astype(np.float32)
    scores[generator.random(shape) < 0.1] = -np.inf
    row, own = generator.integers(shape[0], size=pairs), generator.integers(-2, shape[1] + 2, size=pairs)
    threshold = generator.integers(-3, 4, pairs).astype(np.float32)
    reached = scores[row] > threshold[:, None] if higher else scores[row] >= threshold[:, None]
    inside = (own >= 0) & (own < shape[1])
    reached[np.flatnonzero(inside), own[inside]] = False
    got = reaching(of(name), *map(torch.from_numpy, (scores, row, own, threshold)), higher=higher)
    assert got.tolist() == reached.sum(1).tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"row": torch.tensor([0, 2])},
        {"row": torch.tensor([-1, 1])},
        {"row": torch.tensor([1 << 40, 1])},
        {"row": torch.tensor([0.0, 1.0])},
        {"row": torch.tensor([[0, 1]])},
        {"own": torch.tensor([0])},
        {"own": torch.tensor([0, 1], dtype=torch.int32)},
        {"threshold": torch.zeros(3)},
        {"threshold": torch.zeros(2, dtype=torch.float64)},
        {"threshold": torch.zeros(2, device="meta")},
        {"scores": torch.zeros(2, 4, dtype=torch.float64)},
        {"scores": torch.zeros(4, 2).T},
        {"scores": torch.zeros(2)[:, None].expand(2, 4)},
    ],
)
def test_pairs_that_do_not_fit_their_scores_are_refused(wrong: dict[str, Tensor]) -> None:
    given = {"row": torch.tensor([0, 1]), "own": torch.tensor([0, 1]), "threshold": torch.zeros(2)}
    with pytest.raises(ConfigError, match="do not fit scores of 2 queries and 4 candidates"):
        reaching(of(BUILT[0]), **{"scores": torch.zeros(2, 4)} | given | wrong)


def test_scores_that_are_not_counted_here_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.zeros(2, 4)
    assert kernel_for_scores(scores) is not None
    for other in (scores.double(), scores.T, scores.to("meta"), scores[0]):
        assert kernel_for_scores(other) is None
    monkeypatch.setenv(VARIABLE, "0")
    assert kernel_for_scores(scores) is None
