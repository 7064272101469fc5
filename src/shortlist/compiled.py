"""Libraries of C that come with the package (``*/native/*.c``, built by ``hatch_build.py``): how one is found and loaded.

The build makes one for each instruction set of x86-64 that pays, on Linux with a C compiler; wheels for that platform contain
them. Where there is none for a processor, its caller computes the same without it.
"""

from __future__ import annotations

import ctypes
import os
import re
from functools import lru_cache
from pathlib import Path

__all__ = ["VARIABLE", "best_instructions", "library_for", "turned_off"]

VARIABLE = "SHORTLIST_KERNEL"
_LEVELS = {  # gcc's name of an instruction set, the best first: flags of Linux that mean it
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "x86-64-v3": (),
}
_AVX2 = ("avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe")
_FLAGS = re.compile(r"^flags\s*:(.*)$", re.MULTILINE)


def turned_off() -> str | None:
    """Why no library is wanted; None where they are."""
    return f"{VARIABLE}=0 is set" if os.environ.get(VARIABLE, "1") == "0" else None


@lru_cache
def best_instructions() -> str | None:
    """The best instruction set of this processor that libraries are built for; None where it has none, or not on Linux."""
    try:
        found = _FLAGS.search(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    flags = set(found.group(1).split()) if found else set()
    return next((name for name, more in _LEVELS.items() if flags.issuperset((*_AVX2, *more))), None)


def library_for(folder: Path, instructions: str, abi: int) -> ctypes.CDLL | str:
    """The library in ``folder`` for an instruction set, or why there is none.

    Args:
        abi: the number that the library must give as its version.
    """
    path = folder / f"kernel-{instructions}.so"
    if not path.exists():
        return "it was not built: that takes Linux and a C compiler at installation"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    if not hasattr(library, "shortlist_abi") or library.shortlist_abi() != abi:
        return "it was built from another version of its source; install the package again"
    return library
