"""The first rows of a table, part by part, are those of the whole table in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.serve import first_rows as module
from shortlist.serve.first_rows import PART, first_rows


@given(st.integers(0, 300), st.integers(1, 40), st.integers(0, 2**32), st.integers(1, 60))
def test_they_are_those_of_the_whole_table(size: int, limit: int, seed: int, part: int) -> None:
    rng = np.random.default_rng(seed)
    first, second, there = rng.integers(0, 4, size), rng.random(size) < 0.5, rng.random(size) < 0.7

    def look(some: slice):  # type: ignore[no-untyped-def]
        rows = np.flatnonzero(there[some]) + some.start
        return rows, (first[rows], second[rows])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "PART", part)
        found = first_rows(size, limit, look, lambda: None)
    rows = np.flatnonzero(there)
    assert found.tolist() == rows[np.lexsort((rows, first[rows], second[rows]))][:limit].tolist()


def test_no_part_is_long_and_each_is_looked_at_once_after_a_pause() -> None:
    said: list[object] = []

    def look(some: slice):  # type: ignore[no-untyped-def]
        said.append((some.start, some.stop))
        return np.arange(some.start, some.stop), ()

    size = 3 * PART + 5
    assert first_rows(size, 2, look, lambda: said.append("pause")).tolist() == [0, 1]
    assert said[::2] == ["pause"] * 4
    assert said[1::2] == [(low, min(low + PART, size)) for low in range(0, size, PART)]
