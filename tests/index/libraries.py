"""The compiled libraries of the indexes that this processor can run."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, ModuleType

import pytest

from shortlist.compiled import best_instructions
from shortlist.index import workspace
from shortlist.index.library import FOLDER

USABLE = {"x86-64-v4": ["x86-64-v4", "x86-64-v3"], "x86-64-v3": ["x86-64-v3"]}.get(best_instructions() or "", [])
BUILT = [name for name in USABLE if (FOLDER / f"kernel-{name}.so").exists()]

needs_library = pytest.mark.skipif(not BUILT, reason="no library was built for this processor (it needs a C compiler)")


def library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(FOLDER / f"kernel-{name}.so"))


class Interrupt:
    """Raises KeyboardInterrupt before the given line of some files that is run, counted from 0; for ``sys.settrace``."""

    def __init__(self, line: int, *files: str) -> None:
        self.left, self.files = line, files

    def __call__(self, frame: FrameType, event: str, _: object) -> Interrupt | None:
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


def interrupted(line: int, room: ModuleType, call: Callable[[], object]) -> bool:
    """Whether a call runs so many lines of a module, or of the memory that it keeps; an interrupt comes before that line."""
    before = sys.gettrace()
    try:
        sys.settrace(Interrupt(line, str(room.__file__), workspace.__file__))
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def in_threads(calls: Sequence[Callable[[], bool]]) -> bool:
    """Whether each call is true again and again while the others are made in other threads."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return all(pool.map(lambda call: all(call() for _ in range(40)), calls))
