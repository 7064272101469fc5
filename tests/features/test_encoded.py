"""Encoded columns: lengths, unknown values, padded windows, and what an exported tower reads; by hand."""

from __future__ import annotations

import numpy as np
import pytest

import shortlist as sl
from shortlist.features.encoded import Bags, Codes, Floats, Repeated, Sequences, onnx_inputs

CODES = Codes(np.array([3, 0, 1], np.int32), 4)
BAGS = Bags(np.array([0, 2, 2, 3]), np.array([5, 6, 7], np.int32), 8)
FLOATS = Floats(np.array([[1.0, 2.0]] * 3, np.float32))
WINDOWS = Sequences(
    np.array([1, 2, 3, 4, 5], np.int32),
    start=np.array([0, 0, 2, 5]),
    stop=np.array([1, 5, 4, 5]),
    left_out=None,
    cardinality=6,
    length=3,
)


def test_every_column_has_an_entry_a_row() -> None:
    assert [len(column) for column in (CODES, BAGS, FLOATS, WINDOWS, Repeated(CODES, np.array([0, 0])))] == [
        3,
        3,
        3,
        4,
        2,
    ]
    assert CODES.unknown == 1
    assert FLOATS.width == 2


def test_windows_are_padded_with_zeros_after_their_latest() -> None:
    codes, count = WINDOWS.padded()
    assert count.tolist() == [1, 3, 2, 0]
    assert codes.tolist() == [[1, 0, 0], [3, 4, 5], [3, 4, 0], [0, 0, 0]]


def test_what_an_exported_tower_reads() -> None:
    inputs = onnx_inputs({"c": CODES, "b": BAGS, "f": FLOATS, "w": WINDOWS})
    assert list(inputs) == ["c", "b.offsets", "b.codes", "f", "w.codes", "w.count"]
    assert {name: str(values.dtype) for name, values in inputs.items()} == {
        "c": "int64", "b.offsets": "int64", "b.codes": "int64", "f": "float32", "w.codes": "int64", "w.count": "int64",
    }  # fmt: skip
    assert inputs["b.codes"].tolist() == [5, 6, 7]


def test_columns_of_training_interactions_are_read_by_no_exported_tower() -> None:
    with pytest.raises(sl.ConfigError, match="'device' is a column of the interactions"):
        onnx_inputs({"device": Repeated(CODES, np.array([0]))})
