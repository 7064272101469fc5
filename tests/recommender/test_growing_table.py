"""A table whose rows are put in their places: as if written anew, whatever was put there before."""

from __future__ import annotations

import numpy as np
import polars as pl
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
