"""What an index accepts, and how it says where the trouble is."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.errors import ConfigError, SearchError
from shortlist.index.checks import check_counts, check_ids, check_k, check_promise, check_vectors

EYE = np.eye(3, dtype=np.float32)


def test_vectors_come_back_with_their_squared_norms_and_are_not_copied() -> None:
    array, norms = check_vectors(2 * EYE, "vectors")
    assert norms.tolist() == [4.0, 4.0, 4.0]
    assert check_vectors(array, "vectors")[0] is array
    turned, _ = check_vectors(np.asfortranarray(EYE), "vectors")
    assert turned.flags.c_contiguous


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        ([[1.0]], "vectors is a list; a numpy array"),
        (np.zeros(3, np.float32), r"shape \(3,\); \[rows, dim\] was expected"),
        (np.zeros((1, 1, 1), np.float32), r"shape \(1, 1, 1\)"),
        (np.zeros((2, 3)), "dtype float64; float32 was expected"),
        (np.zeros((2, 0), np.float32), "dim 0; 3 was expected"),
        (np.zeros((2, 4), np.float32), "dim 4; 3 was expected"),
        (np.array([[0, 0, 0], [0, np.nan, 0]], np.float32), r"vectors\[1, 1\] is nan"),
        (np.array([[0, 0, -np.inf]], np.float32), r"vectors\[0, 2\] is -inf"),
        (np.array([[1e19, 0, 0]], np.float32), r"vectors\[0\] is longer than 1e\+18"),
    ],
)
def test_vectors_that_cannot_be(vectors: object, says: str) -> None:
    with pytest.raises(SearchError, match=says):
        check_vectors(vectors, "vectors", 3)


def test_ids_count_from_zero_where_none_are_given() -> None:
    assert check_ids(None, 3).tolist() == [0, 1, 2]
    assert check_ids([7, -3, 5], 3).tolist() == [7, -3, 5]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([1, 2], "2 ids were given for 3 vectors"),
        ([4, 9, 4], r"id 4 occurs at ids\[0\] and ids\[2\]"),
        ([1.5, 2, 3], "ids"),
        (["a", "b", "c"], "ids"),
    ],
)
def test_ids_that_cannot_be(ids: object, says: str) -> None:
    with pytest.raises(SearchError, match=says):
        check_ids(ids, 3)


def test_k() -> None:
    assert check_k(5) == check_k(np.int32(5)) == 5
    for wrong in (0, -1, 2.0, True, "3", None):
        with pytest.raises(SearchError, match="an integer of at least 1 was expected"):
            check_k(wrong)


def test_counts_and_promises() -> None:
    check_counts("Faiss", {"links": 1, "lists": None})
    check_promise("Faiss", 1, 10)
    check_promise("Faiss", None, 10)
    for wrong in (0, 2.5, True, "4"):
        with pytest.raises(ConfigError, match="Faiss's links is"):
            check_counts("Faiss", {"links": wrong})
    for recall in (0, 1.01, -0.5, True, "0.9"):
        with pytest.raises(ConfigError, match="Faiss's recall is"):
            check_promise("Faiss", recall, 10)
    for k in (0, None, 1.5):
        with pytest.raises(ConfigError, match="Faiss's k is"):
            check_promise("Faiss", 0.9, k)
