"""Queries of several vectors: the head is the one that scores the pair best, and the loss is that of its row."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.loss import Columns, Places, Retrieval, best_heads

from . import plain
from .plain import random_case
from .test_columns import cases


def test_worked_by_hand() -> None:
    """One query with the heads (1, 0) and (0, 1), candidates (ln 2, 0), (0, ln 3) and (0, 0), pairs with the first two.

    Pair 0 is learned with head 0, whose scores are ln 2, 0 and 0: ln (4 / 2). Pair 1 with head 1, scores 0, ln 3 and 0:
    ln (5 / 3).
    """
    query = torch.eye(2).unsqueeze(0)
    candidate = torch.tensor([[math.log(2), 0.0], [0.0, math.log(3)], [0.0, 0.0]])
    pairs = (torch.tensor([0, 0]), torch.tensor([0, 1]))
    chosen = best_heads(query, candidate, *pairs)
    assert chosen.pair_query.tolist() == [0, 1]
    assert chosen.query.tolist() == [[1, 0], [0, 1]]
    loss = Retrieval()(query, candidate, *pairs, columns=Columns(torch.ones(3)))
    assert loss.item() == pytest.approx(math.log(4 / 2) + math.log(5 / 3))


def test_equal_heads_are_the_first_and_rows_are_shared() -> None:
    query = torch.ones(2, 3, 4)
    chosen = best_heads(query, torch.ones(2, 4), torch.tensor([1, 0, 1]), torch.tensor([0, 1, 1]))
    assert chosen.query.shape == (2, 4)
    assert chosen.pair_query.tolist() == [1, 0, 1]


def test_places_of_a_query_are_those_of_each_of_its_rows() -> None:
    """Query 0 uses both heads, query 1 only its second: rows 0 and 1 are of query 0, row 2 of query 1."""
    query = torch.tensor([[[1.0], [-1.0]], [[0.5], [2.0]]])
    hidden = Places(torch.tensor([0, 1]), torch.tensor([1, 0]))
    columns = Columns(torch.ones(2), hidden=hidden, explicit=Places(torch.tensor([1]), torch.tensor([1])))
    candidate = torch.tensor([[1.0], [-1.0]])
    chosen = best_heads(query, candidate, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), columns)
    assert chosen.pair_query.tolist() == [0, 1, 2]
    assert list(zip(*(each.tolist() for each in chosen.columns.hidden), strict=True)) == [(0, 1), (1, 1), (2, 0)]
    assert list(zip(*(each.tolist() for each in chosen.columns.explicit), strict=True)) == [(2, 1)]


@given(
    case=cases,
    heads=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from(["softmax", "bsl", "bpr", "ccl"]),
)
def test_equals_one_pair_at_a_time(case, heads, seed, loss) -> None:
    """Each pair alone, its query replaced by its best head: the sum of their losses and gradients."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(len(case.query), heads, 3, generator=generator, dtype=torch.float64)
    if loss == "bsl":  # its query's pairs are never negatives, whichever head they are learned with
        case = case._replace(columns=case.columns._replace(hidden=Places(case.pair_query, case.pair_candidate)))
    task = Retrieval(loss=loss)
    i, j = case.pair_query, case.pair_candidate

    def alone(leaf) -> torch.Tensor:
        total = leaf.query.sum() * 0
        for pair in range(len(i)):
            scores = leaf.query[i[pair]] @ leaf.candidate[j[pair]]
            own = leaf.query[i[pair], int(scores.argmax())].unsqueeze(0)
            columns = leaf.columns
            parts = {
                kind: None if places is None else Places(torch.zeros_like(row[row == i[pair]]), column[row == i[pair]])
                for kind in ("hidden", "explicit")
                for places in [getattr(columns, kind)]
                for row, column in [places or (i[:0], i[:0])]
            }
            weight = None if leaf.weight is None else leaf.weight[pair : pair + 1]
            zero = torch.zeros(1, dtype=torch.long)
            total = total + task(
                own, leaf.candidate, zero, j[pair : pair + 1], columns=columns._replace(**parts), weight=weight
            )
        return total

    case = case._replace(query=query)
    got = plain.gradients(case, lambda leaf: task(*leaf.pairs, columns=leaf.columns, weight=leaf.weight))
    plain.assert_close(got, plain.gradients(case, alone), 1e-7)


def test_one_head_is_a_plain_query() -> None:
    case = random_case(3)
    one = Retrieval()(case.query.unsqueeze(1), *case.pairs[1:], columns=case.columns)
    torch.testing.assert_close(one, Retrieval()(*case.pairs, columns=case.columns))
