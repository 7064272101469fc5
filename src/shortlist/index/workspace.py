"""A thread's memory for the input and output of the compiled library, so that a call needs no addresses but those it has."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.index.library import addresses

__all__ = ["Workspace"]


def _none() -> None:
    """In place of a reference."""


class Workspace(threading.local):
    """Arrays of a thread, and the structure with their addresses that a function of the library takes.

    An interrupt may come between any two lines. So before addresses change, the thread forgets what said that they are good, and
    notes it again after the last of them: memory that is gone is never read or written.

    Args:
        structure: of the function.
        numbers: of its fields that never change.

    Attributes:
        owner: a reference to what ``borrow`` was given last; to nothing where that is gone.
    """

    def __init__(self, structure: type[ctypes.Structure], **numbers: int) -> None:
        self.given: Any = structure(**numbers)
        self.reference = ctypes.byref(self.given)
        self.owner: Callable[[], object] = _none

    def put(self, **arrays: npt.NDArray[Any]) -> None:
        """Keeps arrays, each as the attribute of its name; the size of the last says whether there is room in all."""
        for name in reversed(arrays):
            setattr(self, name, np.empty(0, arrays[name].dtype))
        self._note(arrays)
        for name, array in arrays.items():
            setattr(self, name, array)

    def borrow(self, owner: object, arrays: dict[str, npt.NDArray[Any]], **numbers: float) -> None:
        """Notes the addresses of arrays that live as long as ``owner``, and the numbers that go with them."""
        self.owner = _none
        self._note(arrays)
        for name, number in numbers.items():
            setattr(self.given, name, number)
        self.owner = weakref.ref(owner)

    def _note(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        for name, address in zip(arrays, addresses(*arrays.values()), strict=True):
            setattr(self.given, name, address)
