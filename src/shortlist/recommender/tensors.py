"""Named arrays in a safetensors file: written as a stream, read as views of the mapped file.

The format (https://github.com/huggingface/safetensors): eight bytes that give the length of a JSON header, the header
(name -> dtype, shape, first and last byte), then the numbers. Files are exchangeable with the safetensors library.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shortlist.errors import BundleError
from shortlist.index import Halves

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BFLOAT16",
    "TensorEntry",
    "as_held",
    "as_stored",
    "described",
    "halved",
    "numbers_of",
    "read_tensors",
    "widened",
    "write_tensors",
]

BFLOAT16 = np.dtype([("upper", "<u2")])  # the upper halves of float32 numbers: numpy has no type for them
_DTYPES: dict[str, Any] = {
    "BF16": BFLOAT16,
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "|b1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_ALIGNMENT = 64
_AT_A_TIME = 1 << 20  # numbers checked at a time


class TensorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dtype (as safetensors names it) and shape of one array."""

    dtype: str
    shape: list[int]


class _Placed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def described(arrays: Mapping[str, NDArray[Any]]) -> dict[str, TensorEntry]:
    """A manifest's description of each array.

    Raises:
        BundleError: for a dtype that cannot be stored.
    """
    entries = {}
    for name, array in arrays.items():
        if array.dtype not in _NAMES:
            raise BundleError(
                f"tensor {name!r} is of type {array.dtype}, which bundles do not support.",
                hint="keep the weights of a module= in float32",
            )
        entries[name] = TensorEntry(_NAMES[array.dtype], list(array.shape))
    return entries


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write ``arrays`` as one safetensors file."""
    placed, end = {}, 0
    for name, entry in described(arrays).items():
        start, end = end, end + math.prod(entry.shape) * np.dtype(_DTYPES[entry.dtype]).itemsize
        placed[name] = _Placed(entry.dtype, entry.shape, (start, end))
    header = msgspec.json.encode(placed)
    header += b" " * (-(8 + len(header)) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for array in arrays.values():
            if array.nbytes:
                file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def read_tensors(path: Path, expected: Mapping[str, TensorEntry]) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, read-only views of the mapped file.

    Raises:
        BundleError: unless the file holds exactly the ``expected`` arrays, one after the other to its last byte.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise BundleError(f"{path.name!r} is not a safetensors file: its header is longer than the file.")
    try:
        header = msgspec.json.decode(content[8 : 8 + length], type=dict[str, _Placed])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path.name!r} is not a safetensors file: {error}.") from None
    found = {name: TensorEntry(placed.dtype, placed.shape) for name, placed in header.items()}
    if found != dict(expected):
        raise BundleError(f"{path.name!r} has other tensors than the manifest names.")
    end = 0
    for name, placed in sorted(header.items(), key=lambda item: item[1].data_offsets):
        if placed.dtype not in _DTYPES or any(size < 0 for size in placed.shape):
            raise BundleError(f"{path.name!r} holds {name!r} of dtype {placed.dtype!r} and shape {placed.shape}.")
        size = math.prod(placed.shape) * np.dtype(_DTYPES[placed.dtype]).itemsize
        if placed.data_offsets != (end, end + size):
            raise BundleError(f"{path.name!r} has wrong offsets for {name!r}.")
        end += size
    if end != len(content) - 8 - length:
        raise BundleError(f"{path.name!r} is longer or shorter than its tensors.")
    return {name: _view(content, 8 + length, placed) for name, placed in header.items()}


def _view(content: mmap.mmap, start: int, placed: _Placed) -> NDArray[Any]:
    dtype, count = np.dtype(_DTYPES[placed.dtype]), math.prod(placed.shape)
    flat = np.frombuffer(content, dtype, count, start + placed.data_offsets[0]) if count else np.zeros(0, dtype)
    return flat.reshape(placed.shape)


def numbers_of(tensor: Tensor) -> NDArray[Any]:
    """A torch tensor as numpy, on the processor without a copy; bfloat16, which numpy lacks, as ``BFLOAT16``."""
    import torch

    tensor = tensor.detach().cpu().contiguous()
    return tensor.view(torch.int16).numpy().view(BFLOAT16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def halved(array: NDArray[Any]) -> NDArray[Any]:
    """float32 numbers that bfloat16 holds exactly as ``BFLOAT16``; any other array as it is."""
    if array.dtype != np.float32:
        return array
    bits = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
    if any((bits[low : low + _AT_A_TIME] & 0xFFFF).any() for low in range(0, len(bits), _AT_A_TIME)):
        return array
    return (bits >> 16).astype("<u2").view(BFLOAT16).reshape(array.shape)


def as_stored(vectors: NDArray[np.float32] | Halves) -> NDArray[Any]:
    """Vectors as a bundle stores them: halves as ``BFLOAT16``."""
    return vectors.upper.view(BFLOAT16) if isinstance(vectors, Halves) else vectors


def as_held(vectors: NDArray[Any]) -> NDArray[np.float32] | Halves:
    """The way back from ``as_stored``."""
    return Halves(vectors.view(np.uint16)) if vectors.dtype == BFLOAT16 else vectors


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """``BFLOAT16`` as float32; any other array as it is."""
    if array.dtype != BFLOAT16:
        return array
    return (array["upper"].astype(np.uint32) << 16).view(np.float32)
