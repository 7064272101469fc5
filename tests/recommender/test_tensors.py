"""Tensor files are those of the safetensors library, and nothing else is read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from shortlist.errors import BundleError
from shortlist.recommender.tensors import BFLOAT16, described, halved, read_tensors, widened, write_tensors

DTYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_])
ARRAYS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda name: name != "__metadata__"),
    DTYPES.flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0, max_side=3))),
    min_size=1,
    max_size=4,
)


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype
        and first[name].shape == second[name].shape
        and first[name].tobytes() == second[name].tobytes()
        for name in first
    )


@given(arrays=ARRAYS)
def test_both_ways_with_the_library(arrays: dict[str, Any], tmp_path: Path) -> None:
    write_tensors(tmp_path / "ours", arrays)
    assert same(load_file(tmp_path / "ours"), arrays)
    assert same(read_tensors(tmp_path / "ours", described(arrays)), arrays)
    save_file(arrays, tmp_path / "theirs")
    assert same(read_tensors(tmp_path / "theirs", described(arrays)), arrays)


def test_views_cannot_be_written_to(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3, dtype=np.float32)}
    write_tensors(tmp_path / "t", arrays)
    view = read_tensors(tmp_path / "t", described(arrays))["a"]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1


def test_a_dtype_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="complex"):
        write_tensors(tmp_path / "t", {"a": np.zeros(1, np.complex64)})


GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (GOOD, 7),
        (GOOD, 9),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, 12),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1 << 60]}}, 8),
        ({"a": {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 8]}}, 8),
        ({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, -8]}}, 8),
        ({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, 8),
        ({"b": GOOD["a"]}, 8),
        ([], 8),
        ({"a": 1}, 8),
    ],
)
def test_crafted_headers_are_refused(tmp_path: Path, header: Any, length: int) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "t").write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * length)
    with pytest.raises(BundleError):
        read_tensors(tmp_path / "t", described({"a": np.zeros(2, np.float32)}))


@pytest.mark.parametrize("content", [b"\0" * 8, b"\xff" * 8, b"\x05" + b"\0" * 7 + b"{", b"abc"])
def test_what_is_no_tensor_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(BundleError):
        read_tensors(tmp_path / "t", described({"a": np.zeros(2, np.float32)}))


def test_bfloat16_is_half_as_large_and_the_same_for_torch(tmp_path: Path) -> None:
    """1.5 is 0x3FC00000, so its upper half 0x3FC0; 1 + 2^-20 has something in its lower half."""
    import torch
    from safetensors.torch import load_file as load_torch

    exact, odd = np.array([[1.5, -0.0], [np.inf, 3.0]], np.float32), np.array([1 + 2**-20], np.float32)
    assert halved(exact)["upper"][0, 0] == 0x3FC0
    assert halved(odd) is odd
    assert widened(odd) is odd
    arrays = {"exact": halved(exact), "odd": halved(odd), "none": halved(np.zeros((0, 2), np.float32))}
    write_tensors(tmp_path / "t", arrays)
    assert described(arrays)["exact"].dtype == "BF16"
    read = read_tensors(tmp_path / "t", described(arrays))
    assert read["exact"].dtype == BFLOAT16
    assert read["exact"].nbytes == 8
    assert widened(read["exact"]).tobytes() == exact.tobytes()
    assert widened(read["none"]).shape == (0, 2)
    theirs = load_torch(tmp_path / "t")["exact"]
    assert theirs.dtype == torch.bfloat16
    assert theirs.float().numpy().tobytes() == exact.tobytes()
