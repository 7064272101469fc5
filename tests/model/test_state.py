"""A model goes through plain values and comes back bit for bit; code is never stored."""

import numpy as np
import pytest
import torch
from tests.model.films import Average, data, featured

import shortlist as sl
from shortlist.model import model_from_state, query_table, state_of


@pytest.mark.parametrize("module", [None, Average()])
def test_a_model_goes_through_plain_values_bit_identically(module: torch.nn.Module | None) -> None:
    model, dataset = featured(module), data()
    sl.fit(model, dataset, epochs=2, batch_size=4)
    modules = None if module is None else {"query": Average()}
    again = model_from_state(state_of(model), model.catalogue, modules)
    queries, _ = query_table(model.query, dataset)
    np.testing.assert_array_equal(again.query_vectors(queries), model.query_vectors(queries))
    np.testing.assert_array_equal(
        again.candidate_vectors(dataset.candidates), model.candidate_vectors(dataset.candidates)
    )


def test_code_is_never_stored() -> None:
    model = featured(Average())
    sl.fit(model, data(), epochs=1, batch_size=4)
    with pytest.raises(sl.BundleError, match=r'modules=\{"query"'):
        model_from_state(state_of(model), model.catalogue)
