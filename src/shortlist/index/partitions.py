"""The partitions and codes that ScaNN learned, scanned by a compiled library (``native/scan.c``).

ScaNN's own reader takes half a microsecond for each candidate, on one core. Here all cores read its files, in an eighth of the
processor time, and a scan takes less time too. Recall stays: partitions, codes and centres are the same.
The files stay ScaNN's, byte for byte, so that a machine without the library reads them by ScaNN.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.index.library import addresses, index_library
from shortlist.index.pruning import threads_here
from shortlist.index.values import Floats, Ints
from shortlist.store import reserve

__all__ = ["Partitions", "partitions_of"]

_BLOCK, _VALUES, _LANE, _GROUP, _WIDEST = 32, 16, 16, 4, 256  # of scan.c
_COUNTED = 1 << 22  # candidates counted at a time
_MOST = 1 << 32  # candidates that scan.c can count
_BATCH = 16  # queries from which several threads search
_CONFIG, _BOOK, _TREE = "scann_config.pb", "ah_codebook.pb", "serialized_partitioner.pb"
_LEAVES, _CODES = "datapoint_to_token.npy", "hashed_dataset.npy"


class _Lists(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "places", "leaves", "width")),
        *((name, ctypes.c_void_p) for name in ("first", "count", "candidates", "codes")),
    )


class _Scan(ctypes.Structure):
    _fields_ = (
        ("lists", _Lists),
        *((name, ctypes.c_int64) for name in ("dim", "per_place", "chosen", "wanted")),
        *((name, ctypes.c_void_p) for name in ("centres", "book", "query", "found")),
        ("size", ctypes.c_int64),
    )


class _Packing(ctypes.Structure):
    _fields_ = (
        ("lists", _Lists),
        *((name, ctypes.c_int64) for name in ("low", "high")),
        *((name, ctypes.c_void_p) for name in ("leaf", "values", "done")),
    )


@dataclass(frozen=True)
class _Learned:
    """Centres and codes, as ScaNN learned them.

    Attributes:
        centres: float32 ``[leaves, dim]``.
        book: float32 ``[dim, 16]``, the values that a code gives each coordinate.
        per_place: coordinates of a code.
        files: the small files as they are, by name.
    """

    centres: Floats
    book: Floats
    per_place: int
    files: dict[str, bytes]


class Partitions:
    """Candidates by partition, with their codes, in memory.

    Args:
        library: the compiled library.
        leaf: int32 ``[n]``, each candidate's partition.
        values: uint8 ``[n, codes]``, numbers below 16.
        heads: what is before the numbers in the files of the two.

    Raises:
        ValueError: for a partition or a code that there is not.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        learned: _Learned,
        leaf: npt.NDArray[np.int32],
        values: npt.NDArray[np.uint8],
        heads: dict[str, bytes],
    ) -> None:
        self._library, self._learned, self._heads = library, learned, heads
        (n, width), leaves = values.shape, len(learned.centres)
        self._count = np.zeros(leaves, np.int64)
        for low in range(0, n, _COUNTED):
            found = np.bincount(leaf[low : low + _COUNTED], minlength=leaves)
            if len(found) > leaves:
                raise ValueError(f"a candidate has partition {len(found) - 1}; there are {leaves}")
            self._count += found
        self._first = np.zeros(leaves + 1, np.int64)
        np.cumsum(-(-self._count // _BLOCK), out=self._first[1:])
        blocks, places = int(self._first[-1]), -(-width // _GROUP) * _GROUP
        self._candidates = np.zeros((blocks, _BLOCK), np.uint32)
        self._codes = np.zeros((blocks, places, _LANE), np.uint8)
        held = (self._first, self._count, self._candidates, self._codes)
        self._lists = _Lists(n, places, leaves, width, *addresses(*held))
        self._pack(leaf, values)

    def _pack(self, leaf: npt.NDArray[np.int32], values: npt.NDArray[np.uint8]) -> None:
        done, threads = np.zeros(len(self._count), np.int64), os.cpu_count() or 1
        bounds = np.searchsorted(self._first, np.linspace(0, self._first[-1], threads + 1)).tolist()
        bounds[0], bounds[-1] = 0, len(self._count)

        def pack(low: int, high: int) -> int:
            given = _Packing(self._lists, low, high, *addresses(leaf, values, done))
            status: int = self._library.shortlist_pack(ctypes.byref(given))
            return status

        with ThreadPoolExecutor(threads) as pool:
            if any(pool.map(pack, bounds[:-1], bounds[1:])):
                raise ValueError(f"a code is not one of {_VALUES}")

    def size(self) -> int:
        """Candidates."""
        return int(self._lists.n)

    def dim(self) -> int:
        """Numbers of a vector."""
        return len(self._learned.book)

    def search(self, query: Floats, results: int, leaves: int) -> Ints:
        """Positions of the best by their codes, int64 ``[results]`` or fewer, in no order.

        Args:
            query: float32 ``[dim]``, contiguous.
            results: at least 1.
            leaves: partitions to scan; all where it is below 1.
        """
        learned, wanted = self._learned, max(1, min(results, self.size()))
        leaves = leaves if leaves > 0 else len(learned.centres)
        found = np.empty(wanted, np.int64)
        given = _Scan(
            self._lists, len(learned.book), learned.per_place, min(leaves, len(learned.centres)), wanted,
            *addresses(learned.centres, learned.book, query, found),
        )  # fmt: skip
        if self._library.shortlist_scan(ctypes.byref(given)):
            raise MemoryError("there is no memory for a scan")
        return found if given.size == wanted else found[: given.size]

    def search_batched(self, queries: Floats, results: int, leaves: int) -> Ints:
        """``search`` of each query, int64 ``[queries, results]``; −1 for none."""
        positions = np.full((len(queries), min(results, self.size())), -1, np.int64)

        def fill(row: int) -> None:
            found = self.search(queries[row], results, leaves)
            positions[row, : found.size] = found

        threads = threads_here() if len(queries) >= _BATCH else 1
        if threads == 1:
            for row in range(len(queries)):
                fill(row)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, range(len(queries))))
        return positions

    def write(self, folder: Path) -> None:
        """Writes ScaNN's files into ``folder``, as they were read."""
        for name, content in self._learned.files.items():
            (folder / name).write_bytes(content)
        shapes = {_LEAVES: (np.int32, (self._lists.n,)), _CODES: (np.uint8, (self._lists.n, self._lists.width))}
        arrays = []
        for name, (dtype, shape) in shapes.items():
            head = self._heads[name]
            with (folder / name).open(
                "wb"
            ) as file:  # a full disk is an error here; in a mapped file it would end the process
                file.write(head)
                file.flush()
                reserve(file.fileno(), len(head) + math.prod(shape) * np.dtype(dtype).itemsize)
            arrays.append(np.memmap(folder / name, dtype, "r+", len(head), shape))
        self._library.shortlist_unpack(ctypes.byref(self._lists), *map(ctypes.c_void_p, addresses(*arrays)))


def partitions_of(paths: Mapping[str, Path]) -> Partitions | None:
    """The partitions of ScaNN's files; None where ScaNN must read them: without the library, without partitions, or where candidates are
    listed twice.

    Raises:
        ValueError: for files that do not hold what ScaNN writes.
        OSError: for files that cannot be read.
    """
    library = index_library()
    if library is None or set(paths) != {_CONFIG, _BOOK, _TREE, _LEAVES, _CODES}:
        return None
    try:
        learned = _learned({name: paths[name].read_bytes() for name in (_CONFIG, _BOOK, _TREE)})
    except (LookupError, TypeError) as error:
        raise ValueError(f"{paths[_TREE]} or {paths[_BOOK]} cannot be read: {error!r}") from None
    leaf, values = _array(paths[_LEAVES]), _array(paths[_CODES])
    n, width = len(leaf), -(-len(learned.book) // learned.per_place)
    if (leaf.dtype, values.dtype, leaf.shape, values.shape) != (np.int32, np.uint8, (n,), (n, width)):
        raise ValueError(f"{paths[_CODES]} holds {values.dtype} {values.shape}; {width} codes of {n} were expected")
    if not 0 < n < _MOST or width > _WIDEST:
        return None
    heads = {name: _head(paths[name], array.offset) for name, array in ((_LEAVES, leaf), (_CODES, values))}
    return Partitions(library, learned, leaf, values, heads)


def _learned(files: dict[str, bytes]) -> _Learned:
    """The messages of ScaNN's ``centers.proto`` and ``partitioner.proto``, as far as they are needed."""
    books = [
        np.stack([np.frombuffer(dict(_fields(value))[4], np.float32) for _, value in _fields(code)], axis=1)
        for name, code in _fields(files[_BOOK])
        if name == 1
    ]  # [coordinates of a code, 16] each
    node = list(_fields(dict(_fields(dict(_fields(dict(_fields(files[_TREE]))[2]))[1]))[1]))
    centres = [np.frombuffer(dict(_fields(value))[1], np.float64) for name, value in node if name == 1]
    leaves = [dict(_fields(value))[5] for name, value in node if name == 3]
    book, lengths = np.concatenate(books), [len(one) for one in books]
    if leaves != list(range(len(centres))) or {len(one) for one in centres} != {len(book)} or book.shape[1] != _VALUES:
        raise ValueError("ScaNN's partitions are not as expected")
    if lengths[:-1] != lengths[:1] * (len(lengths) - 1) or lengths[-1] > lengths[0]:
        raise ValueError("ScaNN's codes are not of equally many coordinates")
    return _Learned(np.stack(centres).astype(np.float32), book, lengths[0], files)


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Numbers and contents of a protobuf message's fields: bytes, or a whole number."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte: int = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = number()
        if tag & 7 == 0:
            yield tag >> 3, number()
            continue
        size = {1: 8, 2: -1, 5: 4}[tag & 7]
        size = number() if size < 0 else size
        if at + size > len(message):
            raise LookupError(f"field {tag >> 3} is cut off")
        yield tag >> 3, message[at : at + size]
        at += size


def _array(path: Path) -> np.memmap[Any, Any]:
    try:
        found: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy's reader passes on any error of its parser of headers
        raise ValueError(f"{path} is not an array: {error}") from None
    return found


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)
