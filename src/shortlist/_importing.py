"""Importing torch in a thread while others run: its libraries are read without holding the interpreter."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
from pathlib import Path

__all__ = ["load_torch_libraries"]

LIBRARIES = (("libtorch_global_deps", "RTLD_GLOBAL"), ("libtorch_python", "RTLD_LOCAL"))  # in the order of the import


def load_torch_libraries() -> None:
    """Load torch's shared libraries, as importing it would, but let other Python threads run meanwhile.

    ``import torch`` links them in one call that holds the interpreter, for most of a second on a busy machine. It finds
    them loaded afterwards. Nothing happens where torch is imported or missing, or where its libraries cannot be loaded:
    then the import says why.
    """
    if "torch" in sys.modules or os.name != "posix":
        return
    with contextlib.suppress(ImportError, ValueError, OSError, AttributeError):
        found = importlib.util.find_spec("torch")
        if found is None or found.origin is None:
            return
        folder = Path(found.origin).parent / "lib"
        load = ctypes.CDLL(None).dlopen  # called through ctypes, it does not hold the interpreter, as ctypes.CDLL does
        load.argtypes, load.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
        for name, mode in LIBRARIES:
            for path in folder.glob(f"{name}.*"):
                load(os.fsencode(path), os.RTLD_NOW | getattr(os, mode))
