"""Settings of glibc's allocator, so that memory that was used goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_back", "keep_together", "trim"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt
_KEPT = 1 << 20  # bytes


def keep_together() -> None:
    """Let all threads of this process take memory from one place, since each keeps some that it does not use."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def give_back(kept: int = _KEPT) -> None:
    """Return unused memory to the system now, and from now on arrays of more than ``kept`` bytes as soon as they end."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # TypeError: Windows has no library of the process
        libc = ctypes.CDLL(None)
        for setting in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            libc.mallopt(setting, kept)
    trim()


def trim() -> None:
    """Return memory that is not used now to the system, once."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
