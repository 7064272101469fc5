"""What the workers of a test run have in common: the first that needs it makes it, while the others wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def once(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder, there or not, that no other worker of this run makes at the same time."""
    base = factory.getbasetemp()
    if sys.platform == "win32":
        yield base / name
        return
    import fcntl

    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared / name
