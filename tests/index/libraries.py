"""The compiled libraries of the indexes that this processor can run."""

from __future__ import annotations

import ctypes
from types import FrameType

import pytest

from shortlist.compiled import best_instructions
from shortlist.index.library import FOLDER

USABLE = {"x86-64-v4": ["x86-64-v4", "x86-64-v3"], "x86-64-v3": ["x86-64-v3"]}.get(best_instructions() or "", [])
BUILT = [name for name in USABLE if (FOLDER / f"kernel-{name}.so").exists()]

needs_library = pytest.mark.skipif(not BUILT, reason="no library was built for this processor (it needs a C compiler)")


def library(name: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(FOLDER / f"kernel-{name}.so"))


class Interrupt:
    """Raises KeyboardInterrupt before the given line of a file that is run, counted from 0; for ``sys.settrace``."""

    def __init__(self, line: int, file: str) -> None:
        self.left, self.file = line, file

    def __call__(self, frame: FrameType, event: str, _: object) -> Interrupt | None:
        if frame.f_code.co_filename != self.file:
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self
