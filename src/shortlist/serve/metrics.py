"""Metrics for a scraper. Labels are routes, statuses and stages: never anything that a request brought."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, ProcessCollector, generate_latest

from shortlist.serve.tally import Count, Histograms, Observations, Replies

__all__ = ["Figures", "Metrics"]

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
STAGES = ("queue", "wait", "answer", "total")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CUT = (
    "slow",
    "unread",
    "room",
    "idle",
)  # sends slowly; does not read its reply, or that has no room; has long asked nothing

REASONS = (
    "queue",
    "wait",
    "room",
    "disk",
    "changes",
    "late",
)  # too many wait; it would wait too long; no memory for its body or reply; no disk or no room for its change; took too long
STATUSES = {"": (200, 422, 500, 503), "none": (400, 401, 404, 414, 431, 503)}  # that an alert may ask for, by route


class Metrics:
    """The server's own registry, so that two servers in one process do not share one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self._replies = Replies("shortlist_requests", "Replies by route and status.")
        stages = {stage: Observations(SECONDS) for stage in STAGES}
        self.queue, self.wait, self.answer, self.total = stages.values()
        self.batch = Observations(SIZES)
        self.queries = Count("shortlist_queries", "Queries asked.")
        self.unknown = Count("shortlist_unknown_queries", "Queries that training had no interaction of.")
        for one in (
            self._replies,
            Histograms("shortlist_stage_seconds", "Time by stage: queue, wait, answer, total.", stages, "stage"),
            Histograms("shortlist_batch_queries", "Queries answered together.", {"": self.batch}),
            self.queries,
            self.unknown,
        ):
            of.register(one)
        self.under_way = Gauge("shortlist_requests_under_way", "Requests at this moment.", registry=of)
        self.unsent = Gauge("shortlist_unsent_bytes", "Bytes of replies that wait for their readers.", registry=of)
        self.cut = Counter("shortlist_connections_cut", "Connections cut off, by reason.", ["reason"], registry=of)
        for reason in CUT:
            self.cut.labels(reason)
        self.candidates = Gauge("shortlist_candidates", "Candidates that can be found.", registry=of)
        self.exact_items = Counter("shortlist_recall_exact_items", "Items of sampled exact lists.", registry=of)
        self.found_items = Counter(
            "shortlist_recall_found_items", "Those of them that the index found too.", registry=of
        )
        self.swaps = Counter("shortlist_swaps", "Bundles put in place, and refused.", ["outcome"], registry=of)
        for outcome in ("done", "refused"):
            self.swaps.labels(outcome)
        self.changes = Counter("shortlist_changes", "Changes acknowledged.", ["kind"], registry=of)
        for kind in ("upsert", "delete", "event", "impression"):
            self.changes.labels(kind)
        self.log_bytes = Gauge("shortlist_log_bytes", "Bytes of the log of changes.", registry=of)
        self.changes_kept = Gauge("shortlist_changes_kept_bytes", "Bytes that are kept of changes.", registry=of)
        self.changes_limit = Gauge("shortlist_changes_limit_bytes", "The most of them.", registry=of)
        self.log_failures = Counter(
            "shortlist_log_failures", "Times that the log of changes could not be written.", registry=of
        )
        self.bundle = Gauge("shortlist_bundle", "1 for the bundle that answers.", ["id"], registry=of)
        self.refused = Counter("shortlist_refused", "Requests refused by 503, by reason.", ["reason"], registry=of)
        for reason in REASONS:
            self.refused.labels(reason)
        self.model_time = Gauge(
            "shortlist_model_timestamp_seconds", "When the bundle was written, in Unix time.", registry=of
        )
        self.data_time = Gauge(
            "shortlist_data_timestamp_seconds",
            "The latest time in the data that it was trained on, in Unix time; NaN where it has none.",
            registry=of,
        )
        ProcessCollector(registry=of)

    def expect(self, routes: Iterable[str]) -> None:
        """Start the counts of replies at 0, so that the first one is an increase."""
        for route in (*routes, "none"):
            for status in STATUSES["none" if route == "none" else ""]:
                self.replied(route, status, 0)

    def replied(self, route: str, status: int, count: int = 1) -> None:
        """Count replies."""
        self._replies.add(route, status, count)

    def text(self) -> bytes:
        """All metrics in Prometheus' text form."""
        return generate_latest(Figures(self.registry))


class Figures:
    """A registry's figures, without the times at which each began, which nobody asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """The figures."""
        for metric in self._registry.collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric
