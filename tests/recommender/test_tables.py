"""Tables whose rows are vectors: taken apart and put together again, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import shortlist as sl
from shortlist.errors import BundleError
from shortlist.recommender.tables import WholeTables, divided

QUERY, CANDIDATE = "query.tables.who:StringLookup.weight", "candidate.tables.what:StringLookup.weight"


def test_rows_that_are_vectors_are_left_out(recommender: sl.Recommender) -> None:
    served = recommender.served
    stored, tables = divided(served.state, served.vectors, served.embedder.features)
    assert tables == [QUERY, CANDIDATE]
    assert (stored[QUERY].shape, stored[CANDIDATE].shape) == ((0, 2), (0, 2))
    whole = WholeTables(stored, tables, served.state, served.vectors)
    assert list(whole) == list(served.state.model.tensors)
    for name, table in served.state.model.tensors.items():
        assert whole[name].tolist() == table.tolist()


def test_one_row_that_differs_in_a_bit_is_enough_to_store_all(recommender: sl.Recommender) -> None:
    served = recommender.served
    vectors = served.vectors.copy()
    vectors[0, 1] = -0.0  # of a, (4, 0)
    stored, tables = divided(served.state, vectors, served.embedder.features)
    assert tables == [QUERY]
    assert stored[CANDIDATE].shape == (4, 2)


def test_another_number_of_rows_is_refused(recommender: sl.Recommender) -> None:
    served = recommender.served
    stored, tables = divided(served.state, served.vectors, served.embedder.features)
    fewer = WholeTables(stored, tables, served.state, served.vectors[:, :1])
    with pytest.raises(BundleError, match="does not hold the rows"):
        fewer[CANDIDATE]
    known = np.array([False, False, True, False])  # then the rows of ann and bob are nobody's
    other = WholeTables(stored, tables, replace(served.state, known=known), served.vectors)
    with pytest.raises(BundleError, match="another number of rows"):
        other[QUERY]
