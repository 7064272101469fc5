"""Reads the files of a native library in a process of their own first: what they do to it, they do not do here.

A checksum tells that a file is as its writer left it, not that the writer meant well. Native libraries trust what they
read: a crafted file can end the process. `python -m shortlist.index.guard FOLDER` loads an index, searches it with some
of its own vectors, narrow and wide, and says `sound`; any other end is a reason to build the index from its vectors.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from shortlist.index.contract import Index
from shortlist.index.values import Lists

__all__ = ["searched", "trouble"]

_QUERIES = 64
_MEMORY = 16 << 30  # address space of the process, beside eight times what the folder has
_WORD = "sound"


def trouble(folder: Path, patience: float) -> str | None:
    """Why the index in ``folder`` should not be loaded here; None where a process of its own had no trouble with it.

    patience: seconds after which that process is ended.
    """
    command = [sys.executable, "-m", "shortlist.index.guard", str(folder.absolute())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return f"a process that read its files had not done so after {patience:g} s"
    if done.returncode < 0:
        return f"a process that read its files was ended by signal {-done.returncode}"
    if done.returncode or done.stdout.split()[-1:] != [_WORD]:
        said = done.stderr.strip().splitlines()
        return f"a process that read its files ended with: {said[-1] if said else f'status {done.returncode}'}"
    return None


def searched(index: Index) -> None:
    """Searches an index with some of its own vectors; ValueError where it finds what it does not hold."""
    vectors, ids = index.vectors, index.ids
    if not ids.size:
        return
    rows = np.linspace(0, ids.size - 1, min(_QUERIES, ids.size)).astype(np.int64)
    asked = np.ascontiguousarray(vectors[rows])
    barred = Lists.of([ids[: ids.size // 2]] * len(asked))
    for k, exclude in ((10, None), (min(200, ids.size), None), (10, barred)):
        hits = index.search(asked, k, exclude=exclude)
        left = ids.size - (0 if exclude is None else ids.size // 2)
        if not np.isin(hits.ids, ids).all() or (np.diff(hits.offsets) != min(k, left)).any():
            raise ValueError("its searches do not find what it holds")


def _main(folder: Path) -> None:
    from shortlist.index.registry import load_index

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        size = sum(path.stat().st_size for path in folder.iterdir())
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY + 8 * size, _MEMORY + 8 * size))
    searched(load_index(folder, verify=False))
    print(_WORD)  # noqa: T201 - the answer to the process that asks


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
