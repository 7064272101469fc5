"""What every test shares: one thread each (the suite runs in parallel), and examples that repeat."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LC_ALL"] = "C.UTF-8"  # commands speak the language of the locale

import gc
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("search", parent=settings.get_profile("suite"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

gc.disable()  # until every module is read


def not_awaited(file: Any) -> None:
    """In place of ``os.fsync``: tests kill processes, and never the machine. Nearly half of the time to test shards went into waits
    for the disk."""
    os.fstat(file if isinstance(file, int) else file.fileno())


os.fsync = not_awaited


def pytest_collection_finish() -> None:
    """Libraries and tests stay to the end: a third of the time to read them went into looks for circles among them."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The trees of the source that programs of docs/ and tests keep go with the folder of the tests that need them: millions of
    objects would slow down every later look for circles."""
    if nextitem is not None and nextitem.path.parent == item.path.parent:
        return
    for name in ("docs.messages", "docs.modules", "tests.docs.docstrings", "tests.docs.source"):
        for value in vars(sys.modules[name]).values() if name in sys.modules else ():
            if hasattr(value, "cache_clear"):
                value.cache_clear()
