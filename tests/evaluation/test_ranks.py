"""Exact ranks against a plain count; ties, hidden candidates, tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.errors import TrainingError
from shortlist.evaluation import Hidden, Pairs, ranks
from shortlist.evaluation.ranks import Released, check_finite, top_lists
from shortlist.loss import counts

pytestmark = pytest.mark.usefixtures("counted_by")

TILES = ("TILE_ELEMENTS", "COLUMNS", "PAIRS", "PRODUCTS")


@pytest.fixture
def tiles(monkeypatch):
    """Makes the tiles as small as asked, so that small inputs cross their borders."""
    import sys

    module = sys.modules["shortlist.evaluation.ranks"]

    def make(elements: int, columns: int, pairs: int, products: int) -> None:
        for name, value in zip(TILES, (elements, columns, pairs, products), strict=True):
            monkeypatch.setattr(module, name, value)

    return make


def plain(query, candidate, pair_query, pair_candidate, hidden=()):
    """1 + the other visible candidates with at least the own score; last + 1 where the own one cannot be shown."""
    scores = query.astype(np.int64) @ candidate.astype(np.int64).T  # [queries, candidates]
    hidden = set(hidden)
    result = []
    for q, own in zip(pair_query.tolist(), pair_candidate.tolist(), strict=True):
        if own < 0 or (q, own) in hidden:
            result.append(len(candidate) + 1)
            continue
        others = [j for j in range(len(candidate)) if j != own and (q, j) not in hidden]
        result.append(1 + sum(scores[q, j] >= scores[q, own] for j in others))
    return result


@st.composite
def problems(draw):
    """Small whole numbers, so that many scores tie and all are exact; more pairs than queries, or one pair each."""
    queries, candidates, dim = draw(st.integers(1, 9)), draw(st.integers(1, 14)), draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    query = generator.integers(-2, 3, (queries, dim))
    candidate = generator.integers(-2, 3, (candidates, dim))
    candidate[generator.integers(candidates, size=candidates // 3)] = candidate[0]  # planted duplicates
    if draw(st.booleans()):
        pair_query = np.arange(queries)
    else:
        pair_query = generator.integers(queries, size=draw(st.integers(1, 25)))
    pair_candidate = generator.integers(-1 if draw(st.booleans()) else 0, candidates, size=len(pair_query))
    hidden = None
    if draw(st.booleans()):
        share = draw(st.sampled_from([0.0, 0.3, 1.0]))
        hidden = np.argwhere(generator.random((queries, candidates)) < share)
    tiles = [draw(st.integers(1, 40)), draw(st.integers(1, 16)), draw(st.integers(1, 6)), draw(st.integers(1, 6))]
    return query, candidate, pair_query, pair_candidate, hidden, tiles


@given(problem=problems())
def test_equals_a_plain_count(tiles, problem):
    query, candidate, pair_query, pair_candidate, hidden, sizes = problem
    tiles(*sizes)
    got = ranks(
        torch.from_numpy(query).float(),
        torch.from_numpy(candidate).float(),
        Pairs(
            torch.from_numpy(pair_query),
            torch.from_numpy(pair_candidate),
            None if hidden is None else Hidden(*torch.from_numpy(hidden).T.contiguous()),
        ),
    )
    wanted = plain(query, candidate, pair_query, pair_candidate, () if hidden is None else map(tuple, hidden.tolist()))
    assert got.dtype == torch.long
    assert got.tolist() == wanted


def test_worked_by_hand():
    """Scores 3 1 3 2: ranks 2 (ties with the other 3), 4, 2, 3."""
    query, candidate = torch.tensor([[1.0]]), torch.tensor([[3.0], [1.0], [3.0], [2.0]])
    own = torch.arange(4)
    assert ranks(query, candidate, Pairs(torch.zeros(4, dtype=torch.long), own)).tolist() == [2, 4, 2, 3]
    hidden = Hidden(torch.tensor([0, 0]), torch.tensor([0, 3]))  # leaves 1 and 3
    assert ranks(query, candidate, Pairs(torch.zeros(4, dtype=torch.long), own, hidden)).tolist() == [5, 2, 1, 5]


@pytest.mark.parametrize("dim", [1, 2, 3, 7, 32, 33, 64])
@pytest.mark.parametrize("candidates", [1, 2, 5, 4096, 4097, 5000])
@pytest.mark.parametrize(("queries", "pairs"), [(1, 1), (3, 3), (3, 40), (300, 300), (300, 700)])
def test_a_model_that_scores_everything_alike_gets_no_credit(dim, candidates, queries, pairs):
    """Equal vectors tie whatever tile they fall in, though their scores may differ in the last bits."""
    generator = torch.Generator().manual_seed(dim)
    candidate = torch.randn(1, dim, generator=generator).repeat(candidates, 1)
    query = torch.randn(queries, dim, generator=generator)
    pair_query = torch.arange(pairs) if pairs == queries else torch.randint(queries, (pairs,), generator=generator)
    own = torch.randint(candidates, (pairs,), generator=generator)
    assert (ranks(query, candidate, Pairs(pair_query, own)) == candidates).all()


def test_copies_of_one_vector_tie_with_each_other_in_a_large_catalogue():
    generator = torch.Generator().manual_seed(0)
    candidate = torch.randn(9001, 32, generator=generator)
    copies = torch.tensor([0, 1, 4095, 4096, 8191, 8192, 9000])
    candidate[copies] = candidate[0].clone()
    query = torch.randn(20, 32, generator=generator)
    pair_query = torch.arange(20).repeat_interleave(len(copies))
    got = ranks(query, candidate, Pairs(pair_query, copies.repeat(20))).view(20, -1)
    assert (got == got[:, :1]).all()
    assert (got >= len(copies)).all()


def test_scores_that_differ_are_told_apart():
    """The allowance for rounding is small: a score 1e-4 higher is higher."""
    query = torch.ones(1, 32)
    candidate = torch.full((1000, 32), 1.0)
    candidate[:, 0] += torch.arange(1000) * 32e-4
    got = ranks(query, candidate, Pairs(torch.zeros(1000, dtype=torch.long), torch.arange(1000)))
    assert got.tolist() == list(range(1000, 0, -1))


def test_whole_counts_of_one_dimension_have_no_rounding():
    """Popularity: counts as large as float32 counts exactly."""
    top = 2**24
    candidate = torch.tensor([[top], [top - 1], [top - 2]], dtype=torch.float32)
    assert ranks(torch.ones(1, 1), candidate, Pairs(torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]))).tolist() == [
        1,
        2,
        3,
    ]


def test_the_order_and_company_of_pairs_do_not_matter():
    generator = torch.Generator().manual_seed(1)
    query, candidate = torch.randn(50, 16, generator=generator), torch.randn(4500, 16, generator=generator)
    pair_query = torch.randint(50, (400,), generator=generator)
    own = torch.randint(4500, (400,), generator=generator)
    together = ranks(query, candidate, Pairs(pair_query, own))
    order = torch.randperm(400, generator=generator)
    assert torch.equal(ranks(query, candidate, Pairs(pair_query[order], own[order])), together[order])
    for pair in range(0, 400, 40):
        row = pair_query[pair]
        alone = ranks(query[row : row + 1], candidate, Pairs(torch.tensor([0]), own[pair : pair + 1]))
        assert alone.item() == together[pair].item()


def test_no_pairs_of_some_queries():
    query, candidate = torch.eye(3), torch.eye(3)
    assert ranks(query, candidate, Pairs(torch.tensor([2]), torch.tensor([2]))).tolist() == [1]


@pytest.mark.parametrize("side", ["query", "candidate"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vectors_must_be_finite(side, bad):
    vectors = {"query": torch.ones(4, 2), "candidate": torch.ones(5, 2)}
    vectors[side][2, 1] = bad
    with pytest.raises(TrainingError, match=f"1 of . {side} vectors are NaN or infinite .first: row 2.") as error:
        ranks(**vectors, pairs=Pairs(torch.tensor([0]), torch.tensor([0])))
    assert "learning rate" in error.value.hint


def test_scores_that_overflow_are_an_error_not_a_rank():
    query, candidate = torch.full((1, 2), 1e30), torch.full((3, 2), 1e30)
    with pytest.raises(TrainingError, match="too large"):
        ranks(query, candidate, Pairs(torch.tensor([0]), torch.tensor([1])))


@given(seed=st.integers(0, 2**32), heads=st.integers(1, 4), hide=st.booleans())
def test_queries_of_several_heads_are_ranked_by_the_best_of_them(seed, heads, hide) -> None:
    """Small integers, so that scores are exact: the rank among the maxima over heads, by counting."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randint(-3, 4, (5, heads, 3), generator=generator).float()
    candidate = torch.randint(-3, 4, (9, 3), generator=generator).float()
    pair_query, own = (torch.randint(0, bound, (12,), generator=generator) for bound in (5, 9))
    scores = torch.stack([query[:, head] @ candidate.T for head in range(heads)]).amax(0)
    hidden = None
    if hide:
        scores[2, 4] = scores[0, 1] = -torch.inf
        hidden = Hidden(torch.tensor([0, 2]), torch.tensor([1, 4]))
    wanted = []
    for row, column in zip(pair_query.tolist(), own.tolist(), strict=True):
        others = [scores[row, other] for other in range(9) if other != column]
        seen = scores[row, column] == -torch.inf
        wanted.append(10 if seen else 1 + sum(bool(other >= scores[row, column]) for other in others))
    assert ranks(query, candidate, Pairs(pair_query, own, hidden)).tolist() == wanted
    for k in (1, 2, 4, 9):
        best = top_lists(query, candidate, k, hidden)
        for row in range(5):
            order = sorted(range(9), key=lambda column: (-float(scores[row, column]), column))
            visible = [column for column in order if scores[row, column] > -torch.inf]
            assert best[row].tolist() == (visible + [-1] * (9 - len(visible)))[:k]


def test_of_equal_scores_the_first_rows_are_listed() -> None:
    """More tie for the last place than fit: torch's topk keeps any of them."""
    query = torch.tensor([[1.0], [-1.0], [0.0]])
    candidate = torch.tensor([1.0] * 40 + [2.0] + [1.0] * 400)[:, None]
    assert top_lists(query, candidate, 3).tolist() == [[40, 0, 1], [0, 1, 2], [0, 1, 2]]


def test_finite_vectors_whose_sum_is_not_are_no_error() -> None:
    check_finite("query", torch.full((4, 2), 3e38))
    with pytest.raises(TrainingError, match="first: row 1"):
        check_finite("query", torch.tensor([[1.0], [-torch.inf], [torch.inf]]))


def test_more_queries_than_sixteen_bits_can_number() -> None:
    """Query 65,537 would be query 1 in 16 bits; each query's vector is its own number, so its score for candidate 1 is above that for 0."""
    query = torch.arange(65_538.0).unsqueeze(1)
    pairs = Pairs(torch.tensor([65_537, 1, 0]), torch.tensor([0, 1, 1]))
    assert ranks(query, torch.tensor([[1.0], [2.0]]), pairs).tolist() == [2, 1, 2]  # all tie for query 0


@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("favourable", [False, True])
def test_one_call_ranks_all_pairs(tiles, monkeypatch, hide, favourable) -> None:
    """However many tiles there are; without the kernel there is none."""
    calls = []
    ranked = counts.ranked
    monkeypatch.setattr(
        counts, "ranked", lambda *given, **named: calls.append(len(given[3][0])) or ranked(*given, **named)
    )
    for name in ("reaching", "thresholds"):
        monkeypatch.setattr(counts, name, lambda *_, name=name, **__: calls.append(name))
    tiles(64, 2, 3, 3)
    generator = torch.Generator().manual_seed(5)
    query, candidate = (torch.randint(-2, 3, (rows, 3), generator=generator).float() for rows in (40, 70))
    pair_query, own = (torch.randint(most, (90,), generator=generator) for most in (40, 70))
    hidden = Hidden(torch.tensor([0, 3]), torch.tensor([1, 4])) if hide else None
    asked = Pairs(pair_query, own, hidden, favourable=favourable)
    kernel = counts.kernel_for_ranks(query, candidate)
    ranks(query, candidate, asked)
    assert calls == ([] if kernel is None else [90])


def test_without_memory_for_one_call_pairs_are_ranked_by_tiles(monkeypatch) -> None:
    query, candidate = torch.tensor([[1.0]]), torch.tensor([[3.0], [1.0], [3.0], [2.0]])
    monkeypatch.setattr(counts, "ranked", lambda *_, **__: None)
    assert ranks(query, candidate, Pairs(torch.zeros(4, dtype=torch.long), torch.arange(4))).tolist() == [2, 4, 2, 3]


@given(seed=st.integers(0, 2**32), hide=st.booleans(), favourable=st.booleans())
def test_one_call_and_tiles_agree(seed, hide, favourable) -> None:
    """Small whole numbers, so that both are exact."""
    generator = torch.Generator().manual_seed(seed)
    query, candidate = (torch.randint(-3, 4, (rows, 5), generator=generator).float() for rows in (30, 50))
    pair_query, own = (torch.randint(least, most, (60,), generator=generator) for least, most in ((0, 30), (-1, 50)))
    hidden = None
    if hide:
        hidden = Hidden(*torch.nonzero(torch.rand(30, 50, generator=generator) < 0.2).T.contiguous())
    asked = Pairs(pair_query, own, hidden, favourable=favourable)
    released = Released(torch.zeros(50), torch.zeros(60))  # all exist: ranked by tiles
    assert (
        ranks(query, candidate, asked).tolist() == ranks(query, candidate, asked._replace(released=released)).tolist()
    )
