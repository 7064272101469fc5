"""A table whose rows are put in their places: as if written anew, whatever was put there before."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.recommender.growing_table import PIECES, spliced


@given(st.lists(st.sets(st.integers(0, 6), min_size=1), max_size=2 * PIECES))
def test_a_spliced_table_has_the_new_rows_in_their_places(changes: list[set[int]]) -> None:
    table = pl.DataFrame({"id": list(range(7)), "text": list("abcdefg")})
    expected = table.rows()
    for number, change in enumerate(changes):
        at = list(change)[::-1]
        new = pl.DataFrame({"id": [100 * number + row for row in at], "text": [f"n{row}" for row in at]})
        table = spliced(table, np.array(at, np.int64), new)
        for row, value in zip(at, new.rows(), strict=True):
            expected[row] = value
        assert table.rows() == expected
        assert table.n_chunks() <= PIECES + 1


@pytest.mark.parametrize(("first", "chunks"), [(960, [960, 40]), (0, [1000])])
def test_rows_before_the_first_new_one_are_not_copied(first: int, chunks: list[int]) -> None:
    """Those of candidates that were added last are at the end. Before, all rows were copied, twice."""
    table = pl.DataFrame({"id": np.arange(1000)})
    rows = first + np.arange(40)
    found = spliced(table, rows, pl.DataFrame({"id": -rows}))
    assert [length for length in found["id"].chunk_lengths() if length] == chunks
    assert found["id"].to_list() == [-one if first <= one < first + 40 else one for one in range(1000)]
