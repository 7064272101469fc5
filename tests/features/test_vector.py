"""Vector: values worked by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shortlist import ConfigError, DataError, Vector


def test_lists_and_arrays_come_through_as_they_are():
    expected = [[0.5, -1.0], [0.0, 0.0], [3.0, 4.0]]
    for dtype in (pl.List(pl.Float64), pl.List(pl.Float32), pl.Array(pl.Float64, 2)):
        encoded = Vector("v", 2).encode(pl.Series([[0.5, -1.0], None, [3.0, 4.0]], dtype=dtype))
        assert encoded.values.tolist() == expected
        assert (encoded.width, encoded.values.dtype) == (2, np.float32)
    assert Vector("v", 2).encode(pl.Series([[1, 2]])).values.tolist() == [[1.0, 2.0]]


def test_the_width_comes_from_the_training_rows():
    feature = Vector("v")
    feature.fit(pl.Series([None, [1.0, 2.0, 3.0]]))
    assert feature.width == 3


def test_a_numpy_matrix_as_a_column():
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert Vector("v", 2).encode(pl.Series(matrix)).values.tolist() == matrix.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]],
            r"2 vectors of another width, such as 1, the first in row 1 \(counted from 0\); 2 numbers were expected",
        ),
        ([[1.0, 2.0], []], "1 vector of another width, such as 0"),
        ([None, [1.0, 2.0], [None, 1.0]], r"1 vector with a null.* the first in row 2 \("),
        ([[1.0, 2.0], [None, 1.0]], "1 vector with a null, a NaN or a number too large"),
        ([[float("nan"), 2.0], [float("inf"), 1.0]], "2 vectors with a null, a NaN or a number too large"),
        ([[1e39, 2.0]], "too large for float32"),
        (["1,2"], "type String; it takes lists or arrays of numbers"),
        ([[True, False]], r"type List\(Boolean\)"),
        ([[[1.0, 2.0]]], r"type List\(List\(Float64\)\)"),
    ],
)
def test_what_is_no_vector(values: list[object], message: str):
    for use in (Vector("v", 2).fit, Vector("v", 2).encode):
        with pytest.raises(DataError, match=message) as error:
            use(pl.Series("v", values))
        assert "'v'" in error.value.message
        assert error.value.hint


def test_training_rows_must_agree():
    with pytest.raises(
        DataError, match=r"1 vector of another width, such as 1, the first in row . \(counted from 0\); 2 numbers"
    ):
        Vector("v").fit(pl.Series([[1.0, 2.0], [1.0]]))
    with pytest.raises(DataError, match="at least one number"):
        Vector("v").fit(pl.Series([[]], dtype=pl.List(pl.Float32)))


@pytest.mark.parametrize("width", [0, -1, 2.0, True])
def test_width_must_be_a_positive_whole_number(width: object):
    with pytest.raises(ConfigError, match=f"width={width}"):
        Vector("v", width)
