"""Times that are worked out: what a stopwatch says differs from run to run, and with it what is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from shortlist.index import BruteForce
from shortlist.tuning import tuner


def milliseconds(index: Any) -> float:
    """Exact search: a thousandth for each candidate; others: as much for each step of a setting at search."""
    if isinstance(index, BruteForce):
        return index.size / 1000
    settings = index.settings()
    return sum(settings[name] or 0 for name in index.at_search) / 1000


def worked_out(indexes: Sequence[Any], *_: Any) -> list[tuple[float, float]]:
    """In the place of ``latencies``."""
    return [(milliseconds(index), 2 * milliseconds(index)) for index in indexes]


@pytest.fixture(scope="module", autouse=True)
def no_stopwatch() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuner, "latencies", worked_out)
        yield
