"""Counts and times of every request: plain numbers while it is answered, put into Prometheus' form when they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

__all__ = ["Count", "Histograms", "Observations", "Replies"]

MANY = 4096  # values that are held before they are counted


class Count:
    """A number that only rises; for the event loop alone.

    Args:
        name: of the metric.
        text: says what it counts.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self.value = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric."""
        yield CounterMetricFamily(self._name, self._text, value=self.value)


class Replies:
    """Replies by route and status; for the event loop alone.

    Args:
        name: of the metric.
        text: says what it counts.
    """

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._of: dict[tuple[str, int], int] = {}

    def add(self, route: str, status: int, count: int = 1) -> None:
        """Count replies."""
        key = route, status
        self._of[key] = self._of.get(key, 0) + count

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric."""
        family = CounterMetricFamily(self._name, self._text, labels=["route", "status"])
        for (route, status), count in self._of.items():
            family.add_metric([route, str(status)], count)
        yield family


class Observations:
    """Values, counted by the buckets of a histogram; any thread may observe one.

    Args:
        bounds: the highest value of each bucket, rising; one more bucket takes what is above.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = np.array(bounds, np.float64)
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum = 0.0
        self._new: list[float] = []
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count a value."""
        self._new.append(value)
        if len(self._new) >= MANY:
            self._count()

    def _count(self) -> None:
        """Put the values that are held into their buckets."""
        with self._lock:
            values = self._new[:]
            del self._new[: len(values)]  # others may have come
            places = np.searchsorted(self._bounds, values)
            self._counts += np.bincount(places, minlength=len(self._counts))
            self._sum += sum(values)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """How many values are at most each bound, by its text; and their sum."""
        self._count()
        return list(zip(self._names, np.cumsum(self._counts).astype(float).tolist(), strict=True)), self._sum


class Histograms:
    """A metric of one histogram, or of several by a label.

    Args:
        name: of the metric.
        text: says what was observed.
        several: the histograms by the value of their label; "" for a single one without.
        label: its name.
    """

    def __init__(self, name: str, text: str, several: Mapping[str, Observations], label: str | None = None) -> None:
        self._name, self._text, self._several, self._label = name, text, several, label

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric."""
        family = HistogramMetricFamily(self._name, self._text, labels=[] if self._label is None else [self._label])
        for value, one in self._several.items():
            buckets, total = one.buckets()
            family.add_metric([] if self._label is None else [value], buckets, total)
        yield family
