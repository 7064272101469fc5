"""What answers: the bundle of the moment, its batches, and the reading of requests against it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from shortlist.errors import ShortlistError
from shortlist.recommender import Recommendation
from shortlist.recommender.asking import recommend
from shortlist.serve.batching import Batcher
from shortlist.serve.events import Events
from shortlist.serve.impressions import ImpressionLog
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.metrics import Metrics
from shortlist.serve.problems import Problem
from shortlist.serve.reading import Ask, Group, read_query
from shortlist.serve.schema import RecommendRequest
from shortlist.serve.settings import Settings
from shortlist.serve.writer import ChangeWriter

__all__ = ["Service", "milliseconds"]

REMEMBERED = 64  # requests, to warm the next bundle with


class Service:
    """Answers requests by the bundle of the moment, ``loaded``; a request keeps the one that it began with.

    settings: limits, keys, what is served. loaded: the bundle to begin with. follows: the changes that another process has
    logged so far; then this service has no log of its own, and ``change`` has to be set to what asks that process.

    change: writes one change, and returns when it is acknowledged; raises Problem. writes: whether changes get on.
    """

    def __init__(
        self,
        loaded: Loaded,
        settings: Settings | None = None,
        log: Log | None = None,
        follows: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.log = log or Log(requests=False)
        self.metrics = Metrics()
        self.events = Events(self.settings.seen_seconds)
        self.ready = True
        self.progress: Callable[[float], bool] = lambda now: True  # whether requests are answered
        self.last_asked = -1e9  # when the last request came
        self.pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="answer")
        self.loaded = loaded
        self.batcher = Batcher(self._answer, self.settings.limits, self.metrics, self.pool)
        self.asked: deque[RecommendRequest] = deque(maxlen=REMEMBERED)
        self.writer = ChangeWriter(self, self.settings.state if follows is None else None)
        self.change: Callable[[dict[str, Any]], Awaitable[Any]] = self.writer.change
        self.writes: Callable[[], bool] = lambda: True
        self.impressions = ImpressionLog(self.settings.state, self.settings.impression_bytes, self.log)
        self.put(self.writer.replay(follows))

    def put(self, loaded: Loaded) -> None:
        """Let ``loaded`` answer from now on."""
        if loaded.bundle != self.loaded.bundle:
            self.metrics.bundle.remove(self.loaded.bundle)
        self.loaded = loaded
        self.metrics.bundle.labels(loaded.bundle).set(1)
        self.metrics.candidates.set(loaded.served.index.size)
        self.metrics.model_time.set(unix_time(loaded.served.origin.get("created")))
        self.metrics.data_time.set(unix_time(_until(loaded.served.metadata)))

    async def recommend(self, loaded: Loaded, request: RecommendRequest) -> list[Recommendation]:
        """The lists of one request, in its order. Raises Problem."""
        asks = [
            read_query(loaded, self.events, query, number, request.exclude_seen)
            for number, query in enumerate(request.queries)
        ]
        shared = (request.allow, request.deny, request.where) != (None, None, None)
        filters = (request.allow, request.deny, request.where) if shared else None
        parts: dict[tuple[tuple[str, ...], bool], list[int]] = {}
        for number, ask in enumerate(asks):
            parts.setdefault((tuple(ask.features), bool(ask.chosen)), []).append(number)
        lists: list[Recommendation | None] = [None] * len(asks)
        for (features, chosen), numbers in parts.items():
            group = Group(loaded, request.k, request.exclude_seen, request.exact, features, filters, chosen)
            found = await self.batcher.ask(group, [asks[number] for number in numbers])
            for number, one in zip(numbers, found, strict=True):
                lists[number] = one
        self.asked.append(request)
        self.last_asked = time.perf_counter()
        self._watch(loaded, request, asks, lists)
        return lists  # type: ignore[return-value]

    def _answer(self, group: Group, asks: Sequence[Ask]) -> list[Recommendation]:
        """One batch; may run in another thread."""
        served = group.loaded.exact if group.exact else group.loaded.served
        queries: Any = [ask.id for ask in asks]
        if group.features:
            name = served.state.query
            queries = {name: queries} | {one: [ask.features[one] for ask in asks] for one in group.features}
        allow, deny, where = group.filters or (None, None, None)
        exclude = [ask.exclude for ask in asks] if any(ask.exclude for ask in asks) else None
        chosen = [ask.chosen for ask in asks] if group.chosen else None
        return list(
            recommend(
                served,
                queries,
                group.k,
                exclude_seen=group.exclude_seen,
                history=chosen,
                exclude=exclude,
                allow=allow,
                deny=deny,
                where=where,
            )
        )

    def _watch(
        self, loaded: Loaded, request: RecommendRequest, asks: Sequence[Ask], lists: Sequence[Recommendation | None]
    ) -> None:
        """Count, and now and then compare an approximate list with the exact one, in the background."""
        self.metrics.queries.inc(len(asks))
        unknown = sum(one is not None and not one.known for one in lists)
        if unknown:
            self.metrics.unknown.inc(unknown)
        if request.exact or loaded.served.index.exact or random.random() >= self.settings.sample:
            return
        filters = (request.allow, request.deny, request.where)
        chosen = bool(asks[0].chosen)
        group = Group(loaded, request.k, request.exclude_seen, True, tuple(asks[0].features), filters, chosen)
        asyncio.get_running_loop().run_in_executor(self.pool, self._compare, group, asks[0], lists[0])

    def _compare(self, group: Group, ask: Ask, found: Recommendation | None) -> None:
        assert found is not None
        try:
            (exact,) = self._answer(group, [ask])
        except ShortlistError:
            return
        wanted = {item.id for item in exact if item.source == "model"}
        self.metrics.exact_items.inc(len(wanted))
        self.metrics.found_items.inc(len(wanted & set(found.ids)))

    def warm(self, loaded: Loaded, rest: Callable[[], None]) -> None:
        """Let a bundle that is to come answer the last requests, so that its first ones find everything in place."""
        for request in list(self.asked):
            rest()
            try:
                asks = [read_query(loaded, self.events, query, 0, request.exclude_seen) for query in request.queries]
                filters = (request.allow, request.deny, request.where)
                self._answer(
                    Group(loaded, request.k, request.exclude_seen, request.exact, tuple(asks[0].features), filters),
                    asks,
                )
            except (Problem, ShortlistError, LookupError):
                continue  # it asks for what the new bundle does not have

    async def metrics_text(self) -> bytes:
        """All figures, for a scraper."""
        return self.metrics.text()

    async def run(self, function: Any, *arguments: Any) -> Any:
        """A slow call, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    def close(self) -> None:
        """No more answers."""
        self.ready = False
        self.writer.close()
        self.impressions.close()
        self.pool.shutdown(wait=False)
        self.log.flush()


def unix_time(value: Any) -> float:
    """A time as a bundle holds it, in seconds or ISO 8601, as Unix time; NaN for none."""
    try:
        if isinstance(value, str):
            given = datetime.fromisoformat(value)
            return (given if given.tzinfo else given.replace(tzinfo=timezone.utc)).timestamp()
        return float(value) / (1000.0 if abs(float(value)) >= 1e11 else 1.0)  # milliseconds
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _until(metadata: Any) -> Any:
    """The latest time in the data of a training, as its bundle's metadata have it; None where they do not."""
    for name in ("run", "data", "until"):
        metadata = metadata.get(name) if isinstance(metadata, dict) else None
    return metadata


def milliseconds(started: float) -> float:
    """Milliseconds since ``started`` (of ``time.perf_counter``)."""
    return round((time.perf_counter() - started) * 1e3, 3)
