"""The compiled library of the indexes (``native/*.c``), where the package has it for this processor."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from shortlist.compiled import best_instructions, library_for, turned_off

__all__ = ["OUTSIDE", "TOO_FEW", "addresses", "index_library", "library_trouble"]

ABI = 3  # that of rank.c
FOLDER = Path(__file__).parent / "native"
TOO_FEW, OUTSIDE = 1, 2  # of scores.h


@lru_cache
def index_library() -> ctypes.CDLL | None:
    """The library; None where numpy and ScaNN do what it does. The variable counts when it is first asked for."""
    found = None if turned_off() else _opened(best_instructions())
    return found if isinstance(found, ctypes.CDLL) else None


def library_trouble() -> str | None:
    """Why there is no library on this machine; None where there is."""
    found = turned_off() or _opened(best_instructions())
    return found if isinstance(found, str) else None


def addresses(*arrays: npt.NDArray[Any]) -> tuple[int, ...]:
    """Where the numbers of contiguous arrays are."""
    return tuple(array.__array_interface__["data"][0] for array in arrays)


@lru_cache
def _opened(instructions: str | None) -> ctypes.CDLL | str:
    if instructions is None:
        return "it needs Linux and x86-64 with AVX2"
    return library_for(FOLDER, instructions, ABI)
