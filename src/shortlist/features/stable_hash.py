"""64-bit hashes of strings and integers that depend on the value alone: not on process, platform or any library.

A string is read as 8-byte little-endian words w_0, w_1, … of its UTF-8 bytes, the last one filled with zeros:

    hash = mix(length + Σ_i mix(w_i + (i + 1) · GOLDEN))        mod 2^64

where ``mix`` is the finaliser of SplitMix64 (Steele et al. 2014), whose increment GOLDEN is. An integer hashes as
``mix(mix(value))``. Bundles rely on these values: they must never change. Not meant to withstand an adversary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["column_bytes", "hash_integers", "hash_strings"]

Hashes = NDArray[np.uint64]

WIDE = ("Int128", "UInt128")  # types of integers that NumPy lacks
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
BYTES_AT_A_TIME = 16_000_000
STRINGS_AT_A_TIME = 500_000
KEPT = np.array([2**64 - 1] + [256**size - 1 for size in range(1, 8)], dtype=np.uint64)  # by bytes in the last word


def hash_integers(values: NDArray[np.uint64]) -> Hashes:
    """Hashes ``[values]`` of integers modulo 2^64."""
    return _mix(_mix(values.copy()))


def hash_strings(values: pl.Series) -> Hashes:
    """Hashes ``[values]`` of a String series without nulls."""
    hashes = np.empty(len(values), dtype=np.uint64)
    lengths = values.str.len_bytes().to_numpy().astype(np.int64)
    for start, stop in _parts(lengths):
        hashes[start:stop] = _hash_part(values[start:stop], lengths[start:stop])
    return hashes


def column_bytes(values: pl.Series) -> bytes:
    """Bytes that differ where a column's values do, whatever its type: nulls, then numbers as they are, or hashes of texts."""
    nulls = values.is_null().to_numpy().tobytes()
    if isinstance(values.dtype, pl.Duration):
        values = values.to_physical()
    if values.dtype.is_numeric() and not values.dtype.is_decimal() and str(values.dtype) not in WIDE:
        return nulls + np.ascontiguousarray(values.fill_null(0).to_numpy()).tobytes()
    if isinstance(values.dtype, (pl.List, pl.Array)):
        text = pl.Series([str(None if one is None else list(one)) for one in values.to_list()], dtype=pl.String)
    elif values.dtype == pl.Binary:
        text = values.bin.encode("hex")
    elif isinstance(values.dtype, pl.Struct) or values.dtype == pl.Object or str(values.dtype) in WIDE:
        text = pl.Series([None if one is None else str(one) for one in values.to_list()], dtype=pl.String)
    else:
        text = values.cast(pl.String)
    return nulls + np.ascontiguousarray(hash_strings(text.fill_null(""))).tobytes()


def _parts(lengths: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Slices of a bounded number of strings and, but for single long strings, of bytes."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = int(ends[start - 1]) if start else 0
        fits = int(np.searchsorted(ends, before + BYTES_AT_A_TIME, side="right"))
        stop = min(max(fits, start + 1), start + STRINGS_AT_A_TIME)
        yield start, stop
        start = stop


def _hash_part(values: pl.Series, lengths: NDArray[np.int64]) -> Hashes:
    joined = values.str.join("").item() or ""
    data = np.frombuffer(joined.encode() + bytes(8), dtype=np.uint8)
    at_byte = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))  # the word from each byte on
    words = (lengths + 7) // 8  # [strings]
    first = np.cumsum(words) - words  # [strings], the place of each string's first word
    index = np.arange(int(words.sum())) - first.repeat(words)  # [words], within the string
    word = at_byte[(np.cumsum(lengths) - lengths).repeat(words) + index * 8].astype(np.uint64)
    filled = words > 0
    word[(first + words - 1)[filled]] &= KEPT[lengths[filled] % 8]
    mixed = _mix(word + (index + 1).astype(np.uint64) * GOLDEN)
    hashes = lengths.astype(np.uint64)
    if filled.any():
        hashes[filled] += np.add.reduceat(mixed, first[filled])
    return _mix(hashes)


def _mix(x: Hashes) -> Hashes:
    """SplitMix64's finaliser, in place."""
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x
