"""What is on the disk for certain: digests of files, syncs, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["digest", "digests", "in_one_step", "sync"]

CHUNK = 1 << 24


def digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        buffer = memoryview(bytearray(min(CHUNK, path.stat().st_size + 1)))
        while count := file.readinto(buffer):
            found.update(buffer[:count])
    return found.hexdigest()


def digests(paths: Sequence[Path]) -> list[str]:
    """The sha256 of each file; several are read at a time, the longest first."""
    order = sorted(range(len(paths)), key=lambda number: -paths[number].stat().st_size)
    found = [""] * len(paths)
    if len(paths) < 2 or paths[order[0]].stat().st_size < CHUNK:
        return [digest(path) for path in paths]
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as pool:
        for number, one in zip(order, pool.map(lambda number: digest(paths[number]), order), strict=True):
            found[number] = one
    return found


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def in_one_step(path: Path) -> Iterator[Path]:
    """A free name next to ``path``; what is made there, a file or a link, takes ``path``'s place when the block ends.

    Whatever goes wrong leaves ``path`` as it was and nothing beside it; what a killed process left there goes with the
    next one. For one writer at a time. A file is to be synced within the block, the folder after it.
    """
    beside = path.with_name(f".{path.name}.writing")
    beside.unlink(missing_ok=True)
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
