"""What makes exact ranks, compiled, against loops; what it takes and what it refuses."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.loss.libraries import BUILT, needs_kernel, of
from torch import Tensor

from shortlist.compiled import VARIABLE
from shortlist.errors import ConfigError
from shortlist.loss.counts import kernel_for_ranks, kernel_for_scores, ranked, reaching, thresholds

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


def by_loops(
    scores: np.ndarray, pairs: list[tuple[int, int]], hidden: set[tuple[int, int]], higher: bool, slack: np.ndarray
) -> list[int]:
    """1 + the other visible candidates that reach the own score less ``slack [pairs]``; the rank after the last where there is no own."""
    ranks = []
    for (row, own), less in zip(pairs, slack.tolist(), strict=True):
        if own < 0 or (row, own) in hidden:
            ranks.append(scores.shape[1] + 1)
            continue
        others = [scores[row, j] for j in range(scores.shape[1]) if j != own and (row, j) not in hidden]
        limit = scores[row, own] - less
        ranks.append(1 + sum(bool(one > limit if higher else one >= limit) for one in others))
    return ranks


@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    shape=st.tuples(
        st.sampled_from([1, 2, 13, 30]), st.sampled_from([1, 7, 31, 32, 33, 100]), st.sampled_from([1, 3, 16, 17, 40])
    ),
    pairs=st.sampled_from([0, 1, 4, 5, 90]),
    columns=st.sampled_from([1, 8, 32, 33, 4096]),
    share=st.sampled_from([None, 0.0, 0.3, 1.0]),
    margin=st.sampled_from([0.0, 0.25, -0.5]),
    higher=st.booleans(),
)
def test_ranks_are_those_of_loops(name, seed, shape, pairs, columns, share, margin, higher):
    """Small whole numbers tie often and have no rounding; tiles of every width; rows without a pair, and pairs in no order."""
    queries, candidates, dim = shape
    generator = np.random.default_rng(seed)
    query, candidate = (generator.integers(-2, 3, (rows, dim)).astype(np.float32) for rows in (queries, candidates))
    row, own = generator.integers(queries, size=pairs), generator.integers(-1, candidates, size=pairs)
    hidden = None if share is None else np.argwhere(generator.random((queries, candidates)) < share)
    slack = margin * np.abs(query[row] * candidate[own]).sum(1)
    there = set() if hidden is None else set(map(tuple, hidden.tolist()))
    wanted = by_loops(query @ candidate.T, list(zip(row.tolist(), own.tolist(), strict=True)), there, higher, slack)
    got = ranked(
        of(name),
        *map(torch.from_numpy, (query, candidate)),
        (torch.from_numpy(row), torch.from_numpy(own)),
        None if hidden is None else tuple(torch.from_numpy(hidden).T.contiguous()),
        margin,
        higher=higher,
        columns=columns,
    )
    assert got is not None
    assert got.unclear == 0
    assert got.rank.tolist() == wanted


@pytest.mark.parametrize("name", BUILT)
def test_ranks_of_many_pairs_are_the_same_for_any_number_of_threads(name: str) -> None:
    """Enough for two threads, and blocks of rows and of columns that do not come out even."""
    generator = torch.Generator().manual_seed(3)
    query, candidate = torch.randn(211, 24, generator=generator), torch.randn(4500, 24, generator=generator)
    pairs = tuple(torch.randint(most, (3000,), generator=generator) for most in (211, 4500))
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(ranked(of(name), query, candidate, pairs, None, 25 * torch.finfo(torch.float32).eps))
    finally:
        torch.set_num_threads(before)
    scores = query.double() @ candidate.double().T
    wanted = (scores[pairs[0]] >= scores[pairs].unsqueeze(1)).sum(1)
    assert all(one is not None and torch.equal(one.rank, made[0].rank) for one in made)
    assert (made[0].rank - wanted).abs().max() <= 1  # a score within rounding of a pair's own ties with it
    assert (made[0].rank == wanted).float().mean() > 0.98


def test_pairs_whose_score_is_not_finite_are_counted_and_have_no_rank() -> None:
    query, candidate = torch.tensor([[1e30, 1e30], [1.0, 1.0]]), torch.tensor([[1e30, 1e30], [0.0, 0.0]])
    made = ranked(of(BUILT[0]), query, candidate, (torch.tensor([0, 1, 0, 0]), torch.tensor([0, 0, 1, -1])), None, 0.0)
    assert made is not None
    assert made.unclear == 2  # one that is no candidate has the score of the first


@pytest.mark.parametrize(
    "wrong",
    [
        {"pairs": (torch.tensor([0, 3]), torch.tensor([0, 1]))},
        {"pairs": (torch.tensor([-1, 0]), torch.tensor([0, 1]))},
        {"pairs": (torch.tensor([0, 1]), torch.tensor([0, 4]))},
        {"pairs": (torch.tensor([0]), torch.tensor([0, 1]))},
        {"pairs": (torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0, 1]))},
        {"pairs": (torch.tensor([0.0, 1.0]), torch.tensor([0, 1]))},
        {"hidden": (torch.tensor([1, 0]), torch.tensor([0, 1]))},
        {"hidden": (torch.tensor([0, 3]), torch.tensor([0, 1]))},
        {"hidden": (torch.tensor([-1, 0]), torch.tensor([0, 1]))},
        {"hidden": (torch.tensor([0, 1]), torch.tensor([0, 4]))},
        {"hidden": (torch.tensor([0, 1]), torch.tensor([-1, 0]))},
        {"hidden": (torch.tensor([0, 1]), torch.tensor([0]))},
        {"hidden": (torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0, 1]))},
        {"candidate": torch.ones(4, 3)},
        {"candidate": torch.ones(4, 2, dtype=torch.float64)},
        {"candidate": torch.ones(2, 4).T},
        {"query": torch.ones(3, 2).to("meta")},
    ],
)
def test_pairs_and_hidden_places_that_do_not_fit_are_not_ranked(wrong: dict[str, Any]) -> None:
    """Hidden places are sorted by query."""
    given = {
        "query": torch.ones(3, 2),
        "candidate": torch.ones(4, 2),
        "pairs": (torch.arange(2), torch.arange(2)),
        "hidden": (torch.arange(2), torch.arange(2)),
    }
    with pytest.raises(ConfigError, match="do not fit the 3 queries and 4 candidates"):
        ranked(of(BUILT[0]), **given | wrong, margin=0.0)


def test_without_memory_there_are_no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def shortlist_ranks(self, asked: Any) -> int:
            assert isinstance(asked, type(ctypes.byref(ctypes.c_int())))
            return 1

    own = of(BUILT[0])
    monkeypatch.setattr(own, "library", Full())
    assert ranked(own, torch.ones(3, 2), torch.ones(4, 2), (torch.arange(2), torch.arange(2)), None, 0.0) is None


def test_vectors_that_are_not_ranked_here_are_left_to_torch() -> None:
    query, candidate = torch.zeros(3, 4), torch.zeros(5, 4)
    assert kernel_for_ranks(query, candidate) is not None
    for other in (
        query.double(),
        query.bfloat16(),
        torch.zeros(4, 3).T,
        query.to("meta"),
        torch.zeros(3, 2, 4),
        query[:, :3],
    ):
        assert kernel_for_ranks(other, candidate) is None
    assert kernel_for_ranks(query, candidate.double()) is None
