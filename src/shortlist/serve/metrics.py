"""What a scraper sees. Labels are routes, statuses and stages: never anything that a request brought."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CUT = ("slow", "unread", "room")  # who sends slowly; who does not read its reply; whose reply has no room


class Metrics:
    """The server's own registry, so that two servers in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self.requests = Counter("shortlist_requests", "Replies by route and status.", ["route", "status"], registry=of)
        self.latency = Histogram(
            "shortlist_stage_seconds", "Time by stage: wait, answer, total.", ["stage"], buckets=SECONDS, registry=of
        )
        self.batch = Histogram("shortlist_batch_queries", "Queries answered together.", buckets=SIZES, registry=of)
        self.queries = Counter("shortlist_queries", "Queries asked.", registry=of)
        self.unknown = Counter("shortlist_unknown_queries", "Queries that training had no interaction of.", registry=of)
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
        self.changes = Counter("shortlist_changes", "Changes acknowledged.", ["kind"], registry=of)
        self.bundle = Gauge("shortlist_bundle", "1 for the bundle that answers.", ["id"], registry=of)
        self.wait, self.answer, self.total = (self.latency.labels(stage) for stage in ("wait", "answer", "total"))
        self._replies: dict[tuple[str, int], Counter] = {}

    def replied(self, route: str, status: int, count: int = 1) -> None:
        """Count replies."""
        key = route, status
        if key not in self._replies:
            self._replies[key] = self.requests.labels(route, str(status))
        self._replies[key].inc(count)

    def text(self) -> bytes:
        """All of it in Prometheus' text form."""
        return generate_latest(self.registry)
