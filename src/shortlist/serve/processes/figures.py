"""Figures of several processes as one: counters and histograms are added up, others as the table here says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from shortlist.serve.metrics import Figures
from shortlist.serve.processes.messages import Family, Sample

__all__ = ["families_of", "kept", "merged", "text"]

LARGEST = frozenset(
    {
        "process_max_fds",
        "process_open_fds",
        "shortlist_bundle",
        "shortlist_candidates",
        "shortlist_data_timestamp_seconds",
        "shortlist_model_timestamp_seconds",
    }
)  # the same in every process, or of the one that has most: a limit on files is that of each process
EARLIEST = frozenset({"process_start_time_seconds"})


def families_of(registry: CollectorRegistry) -> list[Family]:
    """All figures in a registry."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [Sample(one.name, dict(one.labels), one.value) for one in metric.samples],
        )
        for metric in Figures(registry).collect()
    ]


def kept(families: Iterable[Family]) -> list[Family]:
    """The figures that are kept of a process that has ended: its counts."""
    return [one for one in families if one.kind in ("counter", "histogram", "summary")]


def merged(several: Iterable[Sequence[Family]]) -> list[Family]:
    """The figures of several processes, added up."""
    found: dict[str, tuple[Family, dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = {}
    for families in several:
        for family in families:
            _, values = found.setdefault(family.name, (family, {}))
            for one in family.samples:
                key = one.name, tuple(one.labels.items())
                before = values.get(key)
                values[key] = one.value if before is None else _both(family.name, before, one.value)
    return [
        Family(
            family.name,
            family.text,
            family.kind,
            [Sample(name, dict(labels), value) for (name, labels), value in values.items()],
        )
        for family, values in found.values()
    ]


def _both(family: str, first: float, second: float) -> float:
    if family in LARGEST:
        return second if math.isnan(first) else max(first, second)
    if family in EARLIEST:
        return min(first, second)
    return first + second


def text(families: Iterable[Family]) -> bytes:
    """The figures in Prometheus' text form."""
    registry = CollectorRegistry()
    registry.register(_Once(families))
    return generate_latest(registry)


class _Once:
    """Families as a registry collects them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """The families."""
        for family in self._families:
            metric = Metric(family.name, family.text, family.kind)
            for one in family.samples:
                metric.add_sample(one.name, one.labels, one.value)
            yield metric
