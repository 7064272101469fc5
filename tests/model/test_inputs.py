"""What a tower's inputs promise about repeated codes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import shortlist as sl
from shortlist.features import Bags, Codes, Floats
from shortlist.model import TowerInputs, embedding
from shortlist.model.inputs import BagTensor, CodeTensor


def column(*codes: int) -> CodeTensor:
    inputs = TowerInputs.of({"id": Codes(np.array(codes, np.int32), cardinality=9)})
    taken = inputs.columns["id"]
    assert isinstance(taken, CodeTensor)
    return taken


def distinct(codes: CodeTensor, *rows: int) -> bool:
    return codes.take(torch.tensor(rows)).distinct


def test_unknown_ids_count_only_where_they_are_taken() -> None:
    some = column(3, 0, 1, 0, 2)
    assert not some.distinct
    assert distinct(some, 0, 2, 4)
    assert distinct(some, 0, 1, 2)
    assert not distinct(some, 1, 3)
    assert not distinct(some.take(torch.tensor([1, 3, 4])), 0, 1)
    assert distinct(some.take(torch.tensor([1, 3, 4])), 0, 2)


def test_other_codes_that_repeat_are_found_over_all_rows() -> None:
    assert column(3, 1, 2).distinct
    assert not distinct(column(3, 3, 1), 0, 2)


def test_a_batch_of_occurring_rows_needs_no_search_for_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of five candidates are in the table alone; a batch takes none of them, while the whole catalogue does."""
    table = {"who": ["a", "b", "a"], "what": ["x", "y", "y"]}
    candidates = pl.DataFrame({"what": ["x", "y", *"stuv"]})
    calls: list[int] = []
    search = embedding.distinct_codes
    monkeypatch.setattr(embedding, "distinct_codes", lambda *args: calls.append(1) or search(*args))
    for task, searched in ((sl.Retrieval(), False), (sl.Retrieval(negatives=sl.WholeCatalogue()), True)):
        train = sl.Dataset(table, "who", "what", candidates=candidates)
        model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
        calls.clear()
        sl.fit(model, train, task=task, epochs=1, batch_size=3)
        assert bool(calls) == searched


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


@given(st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=8), st.data())
def test_bags_are_those_of_the_rows(bags: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(bags) - 1), max_size=8))
    offsets = torch.tensor([0, *np.cumsum([len(bag) for bag in bags]).tolist()])
    whole = BagTensor(offsets, torch.tensor([code for bag in bags for code in bag], dtype=torch.long))
    taken = whole.take(torch.tensor(rows, dtype=torch.long))
    lengths = taken.offsets.diff().tolist()
    assert [part.tolist() for part in taken.codes.split(lengths)] == [bags[row] for row in rows]
