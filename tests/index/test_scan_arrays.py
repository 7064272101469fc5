"""Smaller copies of vectors are as near as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import scan_arrays


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e6]), zeros=st.booleans())
@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
def test_a_copy_is_as_near_as_it_says(storage, seed, scale, zeros):
    rng = np.random.default_rng(seed)
    vectors = (scale * rng.standard_normal((600, 5)) * np.exp(3 * rng.standard_normal((600, 1)))).astype(np.float32)
    if zeros:
        vectors[rng.integers(0, 600, 50)] = 0
    copy = scan_arrays.packed(vectors, storage)
    assert copy.arrays()["codes"].nbytes == vectors.nbytes // {"bfloat16": 2, "int8": 4}[storage]
    for low, high in ((0, 600), (0, 256), (256, 512), (300, 301), (599, 600)):
        read = copy.block(low, high, np.empty((high - low, 5), np.float32))
        assert np.array_equal(read, copy.take(np.arange(low, high)))
        misses = np.linalg.norm(vectors[low:high].astype(np.float64) - read, axis=1)
        assert misses.max() <= copy.error(low, high)
        lengths = np.linalg.norm(vectors[low:high].astype(np.float64), axis=1)
        assert (misses <= {"bfloat16": 2**-8, "int8": 5**0.5 / 254 + 1e-6}[storage] * lengths + 1e-30).all()
