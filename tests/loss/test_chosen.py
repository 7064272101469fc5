"""Who chose what in compressed rows: worked by hand, in pieces, and its two products next to dense ones."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shortlist.loss import Chosen, Pairs
from shortlist.loss import chosen as room

ROWS, COLUMNS, WEIGHTS = np.array([2, 0, 2, 0, 2]), np.array([1, 3, 0, 3, 1]), np.array([1, 2, 3, 4, 5], np.float32)


def plain(chosen: Chosen) -> tuple[list[int], list[int], list[float]]:
    return chosen.offsets.tolist(), chosen.columns.tolist(), chosen.weights.tolist()


def test_repeats_are_one_pair_and_columns_turn_into_rows() -> None:
    # row 0: column 3, 2 + 4; row 1: nothing; row 2: column 0, 3, and column 1, 1 + 5
    chosen = Chosen.of(ROWS, COLUMNS, WEIGHTS, (3, 4))
    assert plain(chosen) == ([0, 1, 1, 3], [3, 0, 1], [6, 3, 6])
    assert (len(chosen), chosen.width, chosen.totals.tolist()) == (3, 4, [6, 0, 9])
    turned = chosen.turned()
    assert plain(turned) == ([0, 1, 2, 2, 3], [2, 2, 0], [3, 6, 6])
    assert (len(turned), turned.width) == (4, 3)
    assert plain(turned.turned()) == plain(chosen)


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 4)), min_size=1, max_size=30)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(1, 4)), max_size=30))
def test_few_pairs_are_sorted_by_numpy_as_scipy_does(given_pairs) -> None:
    table = np.array(given_pairs, np.int64).reshape(-1, 3)
    parts = table[:, 0], table[:, 1], table[:, 2].astype(np.float32), (6, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "scipy.sparse", None)
        few = Chosen.of(*parts)
        turned = few.turned()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "FEW", -1)
        many = Chosen.of(*parts)
        assert plain(few) == plain(many)
        assert plain(turned) == plain(many.turned())
        assert few.columns.dtype == many.columns.dtype
    assert plain(turned.turned()) == plain(few)


def test_rows_beyond_16_bits_are_not_sorted_as_if_they_fitted() -> None:
    chosen = Chosen.of(np.array([65536, 0, 65536]), np.array([1, 0, 0]), np.array([1, 2, 3], np.float32), (65537, 2))
    assert chosen.offsets[[0, 1, 65536, 65537]].tolist() == [0, 1, 1, 3]
    assert chosen.columns.tolist() == [0, 0, 1]
    assert chosen.weights.tolist() == [2, 3, 1]


@given(pairs, st.lists(st.integers(0, 30), max_size=4))
def test_pieces_are_as_all_at_once(given_pairs, cuts) -> None:
    table = np.array(given_pairs)
    whole = Chosen.of(table[:, 0], table[:, 1], table[:, 2].astype(np.float32), (6, 7))
    pieces = [Pairs(part[:, 0], part[:, 1], part[:, 2].astype(np.float32)) for part in np.split(table, sorted(cuts))]
    assert plain(Chosen.of_pieces(lambda: iter(pieces), (6, 7))) == plain(whole)


@given(pairs, st.integers(1, 4), st.integers(1, 9))
def test_products_in_blocks_are_those_of_whole_matrices(given_pairs, rows, most) -> None:
    table = np.array(given_pairs)
    chosen = Chosen.of(table[:, 0], table[:, 1], table[:, 2].astype(np.float32), (6, 7))
    generator = torch.Generator().manual_seed(0)
    vectors, other = torch.randn(6, 5, generator=generator), torch.randn(7, 5, generator=generator)
    weights = torch.zeros(6, 7).index_put_(
        (torch.from_numpy(table[:, 0]), torch.from_numpy(table[:, 1])),
        torch.from_numpy(table[:, 2]).float(),
        accumulate=True,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "ROWS", rows)
        patch.setattr(room, "PAIRS", most)
        patch.setattr(room, "ELEMENTS", 11)
        blocks = chosen.blocks
        assert sum(len(block.weights) for block in blocks) == len(chosen.weights)
        assert all(len(block.weights) <= most or len(block.offsets) == 2 for block in blocks)
        dots = [block.dots(vectors[block.rows], other) for block in blocks]
        gathered = [block._gathered(vectors[block.rows], other) for block in blocks]
    sums = torch.cat([block.sums(block.weights, other) for block in blocks])
    torch.testing.assert_close(torch.cat(dots), (vectors @ other.T)[weights > 0])
    torch.testing.assert_close(torch.cat(gathered), torch.cat(dots))
    torch.testing.assert_close(sums, weights @ other)
