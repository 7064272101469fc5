"""Towers and their tables: values by hand, modules of one's own, context, and the way through plain values."""

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.features import Bags, Codes, Floats
from shortlist.model import EmbeddingTable, TowerInputs, model_from_state, query_table, state_of


def test_a_training_read_touches_distinct_rows_only() -> None:
    table = EmbeddingTable(10, 3)
    rows = table(torch.tensor([4, 2, 4]))
    rows.sum().backward()
    ((codes, leaf, _),) = table.touched
    assert codes.tolist() == [2, 4]
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [[1.0] * 3, [2.0] * 3]
    assert torch.equal(rows.detach(), table.weight[[4, 2, 4]])


def test_reads_outside_training_leave_no_trace() -> None:
    table = EmbeddingTable(10, 3).eval()
    assert torch.equal(table(torch.tensor([7])), table.weight[[7]])
    assert table.touched == []


def test_rows_are_taken_from_codes_bags_and_floats() -> None:
    inputs = TowerInputs.of(
        {
            "code": Codes(np.array([1, 2, 3], np.int32), 4),
            "bag": Bags(np.array([0, 2, 2, 3]), np.array([5, 6, 7], np.int32), 8),
            "number": Floats(np.array([[0.5], [1.5], [2.5]], np.float32)),
        }
    ).take(torch.tensor([2, 0, 1]))
    assert inputs.columns["code"].codes.tolist() == [3, 1, 2]
    assert inputs.columns["bag"].offsets.tolist() == [0, 1, 3, 3]
    assert inputs.columns["bag"].codes.tolist() == [7, 5, 6]
    assert inputs.columns["number"].values.tolist() == [[2.5], [0.5], [1.5]]


def data() -> sl.Dataset:
    films = {"film": ["a", "b", "c"], "genres": [["x", "y"], ["x"], []], "length": [90.0, 120.0, 150.0]}
    rows = {"user": [1, 1, 2, 3], "film": ["a", "b", "b", "c"], "device": ["tv", "phone", "tv", "tv"]}
    return sl.Dataset(rows, "user", "film", candidates=films)


class Average(torch.nn.Module):
    """The mean of the embedded features."""

    def forward(self, embedded: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(embedded.values())).mean(0)


def featured(module: torch.nn.Module | None = None) -> sl.TwoTower:
    query = sl.Tower(sl.IntegerLookup("user"), sl.Category("device"), dim=4, module=module)
    candidate = sl.Tower(
        sl.StringLookup("film"), sl.MultiCategory("genres"), sl.Normalization("length"), dim=4, hidden=(8,)
    )
    return sl.TwoTower(query, candidate)


def test_a_bag_is_the_mean_of_its_rows_and_an_empty_one_is_zero() -> None:
    films = {"film": ["a", "b", "c"], "genres": [["x", "y"], ["x"], []]}
    dataset = sl.Dataset({"user": [1, 1, 1], "film": ["a", "b", "c"]}, "user", "film", candidates=films)
    tower = sl.Tower(sl.MultiCategory("genres"), dim=2, module=Average())
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), tower)
    model.prepare(dataset)
    ((_, table),) = tower.tables.items()
    feature = next(iter(tower.features.values()))
    code = {genre: int(feature.encode(pl.Series("genres", [[genre]])).values[0]) for genre in ("x", "y")}
    x, y = (table.weight[code[genre]].numpy() for genre in ("x", "y"))
    vectors = model.candidate_vectors(dataset.candidates)
    np.testing.assert_allclose(vectors, [(x + y) / 2, x, [0, 0]], rtol=1e-6)


def test_context_makes_a_row_per_pair_of_query_and_context() -> None:
    table, rows = query_table(featured().query, data())
    assert table.select("user", "device").rows() == [(1, "tv"), (1, "phone"), (2, "tv"), (3, "tv")]
    assert rows.tolist() == [0, 1, 2, 3]


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


def test_normalized_vectors_have_length_one() -> None:
    query = sl.Tower(sl.IntegerLookup("user"), dim=4, normalize=True)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("film"), dim=4))
    sl.fit(model, data(), epochs=1, batch_size=4)
    np.testing.assert_allclose(np.linalg.norm(model.query_vectors(data().queries), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: sl.Tower(dim=4), "no features"),
        (lambda: sl.Tower(sl.StringLookup("a"), dim=0), "at least 1"),
        (lambda: sl.Tower(sl.StringLookup("a"), dropout=1.0), r"\[0, 1\)"),
        (lambda: sl.Tower(sl.StringLookup("a"), sl.StringLookup("a")), "twice"),
        (lambda: sl.Tower(sl.StringLookup("a"), hidden=(4,), module=Average()), "give one of them"),
        (lambda: sl.TwoTower(sl.Tower(sl.StringLookup("a"), dim=4), sl.Tower(sl.StringLookup("b"), dim=8)), "dim=8"),
        (lambda: sl.TwoTower("a", sl.Tower(sl.StringLookup("b"))), "a Tower was expected"),
    ],
)
def test_towers_that_cannot_work_are_refused(build: object, says: str) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        build()  # type: ignore[operator]


def test_a_missing_column_names_the_nearest() -> None:
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("usr"), dim=4), sl.Tower(sl.StringLookup("film"), dim=4))
    with pytest.raises(sl.DataError, match="did you mean 'user'"):
        sl.fit(model, data())


def test_one_feature_of_another_width_passes_a_layer() -> None:
    data = sl.Dataset({"user": ["a", "b"], "film": ["x", "y"]}, "user", "film")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user", dim=3), dim=5), sl.Tower(sl.StringLookup("film"), dim=5))
    sl.fit(model, data, epochs=1)
    rows = model.query.tables["user:StringLookup"].weight[1:]
    (linear,) = (part for part in model.query.layers.modules() if isinstance(part, torch.nn.Linear))
    expected = rows @ linear.weight.T + linear.bias
    found = model.query_vectors(pl.DataFrame({"user": model.query.features["user:StringLookup"].vocabulary.ids}))
    assert np.allclose(found, expected.detach().numpy(), atol=1e-6)
