"""Large arrays in files mapped into memory: the system keeps the pages in use and leaves the rest on the disk."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LARGE", "mapped_zeros", "reserve", "roomy_zeros"]

LARGE = 16 << 20  # bytes from which an array that is read in parts is kept in a file


def mapped_zeros(shape: tuple[int, ...], dtype: npt.DTypeLike, folder: str | None = None) -> npt.NDArray[Any]:
    """Zeros in a file without a name, which ends with the array; the space is reserved now.

    Args:
        shape: of the array.
        dtype: of the array.
        folder: where to put the file, by default the system's folder of temporary files (TMPDIR).

    Raises:
        OSError: where the disk has no room.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if not size:
        return np.zeros(shape, kind)
    handle, name = tempfile.mkstemp(prefix=".table-", dir=folder)
    try:
        reserve(handle, size)
        content = mmap.mmap(handle, size)
    finally:
        os.close(handle)
        os.unlink(name)
    return np.frombuffer(content, kind).reshape(shape)


def roomy_zeros(
    shape: tuple[int, ...], dtype: npt.DTypeLike, folder: str | None = None, large: int = LARGE
) -> npt.NDArray[Any]:
    """Zeros in memory, or as ``mapped_zeros`` where they have ``large`` bytes and the disk has room for them."""
    kind = np.dtype(dtype)
    if int(np.prod(shape, dtype=np.int64)) * kind.itemsize >= large:
        try:
            return mapped_zeros(shape, kind, folder)
        except OSError:
            pass
    return np.zeros(shape, kind)


def reserve(handle: int, size: int) -> None:
    """Reserve the space on the disk now, or at least look for it: a mapped file without space later would end the process.

    Args:
        handle: of an open file.
        size: bytes of the file.

    Raises:
        OSError: where the disk has no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        room = os.fstatvfs(handle)
        if room.f_bavail * room.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(handle, size)
