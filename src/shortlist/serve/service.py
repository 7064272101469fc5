"""The service behind the routes: the bundle that answers now, its batches, and the checks of requests against it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from shortlist.errors import ShortlistError
from shortlist.recommender import Recommendation, Rerank, pipeline
from shortlist.recommender.eligible import Open, opened
from shortlist.recommender.query_vectors import warm_towers
from shortlist.recommender.served import Served
from shortlist.serve.batching import Batcher
from shortlist.serve.events import Events
from shortlist.serve.filtering import Filtering
from shortlist.serve.impressions import ImpressionLog
from shortlist.serve.loaded import Loaded
from shortlist.serve.logs import Log
from shortlist.serve.metrics import Metrics
from shortlist.serve.problems import Problem, drop_traceback
from shortlist.serve.reading import Ask, Group, Ruled, grouped, read_queries
from shortlist.serve.reply_parts import ReplyMemory
from shortlist.serve.rules import conditions_of, rules_of
from shortlist.serve.schema import RecommendRequest
from shortlist.serve.scrapes import Scrapes
from shortlist.serve.settings import Settings
from shortlist.serve.string_ids import StringIds
from shortlist.serve.turns import Lane, Turns
from shortlist.serve.writer import ChangeWriter

__all__ = ["Asked", "Service", "milliseconds"]

REMEMBERED = 64  # requests, to warm the next bundle with
ALIKE = 4  # of them that differ in their queries alone: further ones use nothing that these have not computed
LONGEST = 16_384  # bytes of the body of one of them: in memory the ids of a body take ten times its size, and more
WARMED = 32  # queries of one request, to warm with
LOOKUPS = 16  # for the page that are done or wait: each takes a place among the requests that are answered
LEAVE = 1.0  # seconds that the log's reader has at the end, each time that it is behind
COMPARING = 0.05  # of the time, for exact answers that approximate ones are compared with
LIGHT = 4096  # bytes of a body that is read on the event loop, in about a tenth of a millisecond
LIVE = 400  # bytes that a query counts for where choices were recorded: it may have hundreds, which are read with it

T = TypeVar("T")


class Asked(NamedTuple):
    """A request that was read against a bundle.

    Attributes:
        request: as it was sent.
        loaded: the bundle.
        asks: its queries.
        light: whether it was short.
        rules: for its lists as a whole.
        size: bytes of its body.
    """

    request: RecommendRequest
    loaded: Loaded
    asks: Sequence[Ask]
    light: bool = True
    rules: Rerank | None = None
    size: int = 0


class Service:
    """Answers requests from the current bundle, ``loaded``; a request keeps the bundle that it began with.

    The work of a request is done in three places, so that none holds up the others: the event loop, for work of a
    millisecond or two; ``turns``, one thread in which long bodies are read and written, requests answered, and
    conditions computed, in turns of a hundredth of a second that small requests interrupt; ``background``, for the page and for work that no request waits
    for. With more threads the event loop would wait for the interpreter more often.

    Args:
        loaded: the bundle to begin with.
        settings: limits, keys, what is served.
        log: of the server.
        follows: the changes that another process has logged so far; then this service has no log of its own, and
            ``change`` has to be replaced by a function that asks that process.

    Attributes:
        preparing: the thread that prepares the folding in of histories.
        scrapes: gathers all metrics.
        change: writes one change, and returns when it is acknowledged; raises Problem.
        writes: whether changes are still being written.
        closing: called first when it closes.
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
        self.last_asked = -1e9  # when the last request arrived
        self.turns = Turns()
        self.background = ThreadPoolExecutor(1, "background", initializer=self.turns.add_thread)
        self._background_calls = self._lookups = 0
        self._comparing, self._compare_after = False, 0.0  # whether one is being made, and when the next may be
        self.preparing = ThreadPoolExecutor(1, "folding", initializer=self.turns.add_thread)
        self._held: dict[asyncio.Task[Any] | None, list[Any]] = {}  # what long requests brought, by task
        self.ids = StringIds(self.settings.string_ids)
        self.loaded = loaded
        self.scrapes = Scrapes(self._metrics_text)
        limits = self.settings.limits
        self.batcher = Batcher(self._answer, limits, self.metrics, self.turns, self._others_work, self._prepare)
        self.reply_memory = ReplyMemory(limits.unsent, self.turns.yield_to_loop)
        self.filtering = Filtering(limits, self.turns)
        self.asked: deque[RecommendRequest] = deque(maxlen=REMEMBERED)
        folder = self.settings.state if follows is None else None
        self.writer = ChangeWriter(self, folder, self.settings.change_bytes)
        self.change: Callable[[dict[str, Any]], Awaitable[Any]] = self.writer.change
        self.writes: Callable[[], bool] = lambda: True
        self.closing: Callable[[], None] = lambda: None
        self.impressions = ImpressionLog(self.settings.state, self.settings.impression_bytes, self.log, self.turns)
        self.activate(self.writer.replay(follows))

    def activate(self, loaded: Loaded) -> None:
        """Let ``loaded`` answer from now on."""
        if loaded.bundle != self.loaded.bundle:
            self.metrics.bundle.remove(self.loaded.bundle)
        self.loaded = loaded
        self.metrics.bundle.labels(loaded.bundle).set(1)
        self.metrics.candidates.set(loaded.served.index.size)
        self.metrics.model_time.set(unix_time(loaded.served.origin.get("created")))
        self.metrics.data_time.set(unix_time(_until(loaded.served.metadata)))

    async def recommend(self, asked: Asked, take: Callable[[int, Recommendation], None], values: int = 1) -> None:
        """Answer one request.

        Args:
            asked: the request.
            take: gets each list with its query's number, perhaps in a thread.
            values: how many values ``take`` writes for one list.

        Raises:
            Problem: when it does not fit, or would wait too long.
        """
        request, loaded, asks, light, rules, size = asked
        open_ = ruled = None
        if not (request.allow is None and request.deny is None and request.where is None):
            open_ = await self.filtering.open(loaded, request.allow, request.deny, request.where)
        if rules is not None:
            conditions = conditions_of(request.rerank)
            met = {where: await self.filtering.met(loaded, where, field) for where, field in conditions}
            ruled = Ruled(rules, met)
        unknown, first = 0, None

        def keep(numbers: Sequence[int], at: int, found: list[Recommendation]) -> None:
            nonlocal unknown, first
            for number, one in zip(numbers[at:], found, strict=False):
                unknown += not one.known
                first = one if number == 0 else first
                take(number, one)

        for group, numbers in _groups(asked, open_, ruled):
            await self.batcher.ask(
                group, [asks[number] for number in numbers], partial(keep, numbers), values=values, light=light
            )
        if size <= LONGEST:
            self.asked.append(request)
        self.last_asked = time.perf_counter()
        self.metrics.queries.value += len(asks)
        self.metrics.unknown.value += unknown
        approximate = not request.exact and not loaded.served.index.exact
        if rules is None and approximate and random.random() < self.settings.sample:
            self._sample_recall(asked, open_, first)

    async def ask(
        self,
        group: Callable[[tuple[str, ...], bool], Group],
        asks: Sequence[Ask],
        light: bool,
        take: Callable[[int, Any], None],
        values: int,
    ) -> None:
        """Answer queries that want something else than lists, joined where they can be.

        Args:
            group: the group of queries with these features, that have choices of their own or not.
            asks: the queries.
            light: whether the request was short.
            take: as for the Batcher, with the queries' numbers.
            values: how many values ``take`` writes for one answer.
        """
        for one, numbers in grouped(asks, group):

            def keep(at: int, found: list[Any], numbers: list[int] = numbers) -> None:
                for number, answer in zip(numbers[at:], found, strict=False):
                    take(number, answer)

            await self.batcher.ask(one, [asks[number] for number in numbers], keep, values=values, light=light)

    def _others_work(self) -> bool:
        """Whether other Python threads work than the loop and the one that has the turns."""
        return self._background_calls > 0 or self.writer.working

    async def _prepare(self, served: Served) -> None:
        """Compute what folding in needs first, in a thread of its own: it takes many turns, and has no pauses."""
        with self.turns.off_loop():
            await asyncio.get_running_loop().run_in_executor(self.preparing, served.prepare_fold_in)

    def _answer(self, group: Group, asks: Sequence[Ask]) -> list[Any]:
        """One batch: a list for each query, or its vector or its scores and whether training had it; may run in another thread."""
        served = group.loaded.exact if group.exact else group.loaded.served
        queries: Any = [ask.id for ask in asks]
        if group.wants == "similar":
            return list(pipeline.similar(served, queries, group.k, open_=group.open))
        if group.features:
            name = served.state.query
            queries = {name: queries} | {one: [ask.features[one] for ask in asks] for one in group.features}
        chosen = [ask.chosen for ask in asks] if group.chosen else None
        if group.wants == "vectors":
            vectors, known = pipeline.query_vectors(served, queries, chosen)
            return list(zip(vectors, known, strict=True))
        exclude = [ask.exclude for ask in asks] if any(ask.exclude for ask in asks) else None
        if group.rows is not None:
            scores, known = pipeline.score(
                served, queries, group.rows, exclude_seen=group.exclude_seen, history=chosen, exclude=exclude
            )
            return list(zip(scores, known, strict=True))
        return list(
            pipeline.recommend(
                served,
                queries,
                group.k,
                exclude_seen=group.exclude_seen,
                history=chosen,
                exclude=exclude,
                rerank=None if group.ruled is None else group.ruled.rules,
                explain=group.explain,
                open_=group.open,
                met=None if group.ruled is None else group.ruled.met,
                pause=self.turns.yield_to_loop,
            )
        )

    def _sample_recall(self, asked: Asked, open_: Open | None, found: Recommendation | None) -> None:
        """Compare an approximate list, that of the first query, with the exact one, in the background; one at a time."""
        if found is None or self._comparing or time.perf_counter() < self._compare_after:
            return
        self._comparing = True
        exact = msgspec.structs.replace(asked.request, exact=True, explain=False)
        ((group, _),) = _groups(asked._replace(request=exact, asks=asked.asks[:1]), open_)
        asyncio.get_running_loop().run_in_executor(self.background, self._compare, group, asked.asks[0], found)

    def _compare(self, group: Group, ask: Ask, found: Recommendation) -> None:
        begun = time.perf_counter()
        try:
            (exact,) = self._answer(group, [ask])
        except ShortlistError:
            return
        finally:
            now = time.perf_counter()
            self._compare_after, self._comparing = now + (now - begun) * (1 / COMPARING - 1), False
        wanted = {item.id for item in exact if item.source == "model"}
        self.metrics.exact_items.inc(len(wanted))
        self.metrics.found_items.inc(len(wanted & set(found.ids)))

    def warm(self, loaded: Loaded, pause: Callable[[], None]) -> None:
        """Let a bundle that is about to answer have its towers ready, and answer the last requests: its first ones are fast.

        Every group of a request is answered as it will be: fold-in, features and plain queries alike. Of requests of one
        kind, ``ALIKE`` are.
        """
        with contextlib.suppress(ShortlistError):  # without torch, requests that need a tower are refused
            warm_towers(loaded.served, pause)
        kinds: Counter[Any] = Counter()
        for request in list(self.asked):
            pause()
            try:
                asks = read_queries(loaded, self.events, request.queries, request.exclude_seen)
                kind = _kind(request, asks)
                kinds[kind] += 1
                if kinds[kind] > ALIKE:
                    continue
                rules = rules_of(request, loaded, self.settings.limits)
                open_ = opened(loaded.state, request.allow, request.deny, request.where)
            except (Problem, ShortlistError, LookupError):
                continue  # it asks for what the new bundle does not have
            filtered = (request.allow, request.deny, request.where) != (None, None, None)
            ruled = None if rules is None else Ruled(rules)
            for group, numbers in _groups(Asked(request, loaded, asks), open_ if filtered else None, ruled):
                pause()
                try:
                    self._answer(group, [asks[number] for number in numbers[:WARMED]])
                except (ShortlistError, LookupError):
                    continue

    async def _metrics_text(self) -> bytes:
        return self.metrics.text()

    @staticmethod
    def light(size: int) -> bool:
        """Whether a body of so many bytes is short."""
        return size <= LIGHT

    def size_of(self, body: bytes, query: bytes = b"{") -> int:
        """Bytes of a body that is to be read, by what its queries may bring from elsewhere.

        Args:
            body: of the request.
            query: occurs in it at least as often as there are queries.
        """
        return len(body) + (LIVE * body.count(query) if self.events else 0)

    async def read(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """A call that reads or writes about so many bytes: on the loop where they are few, else in a turn of the thread."""
        if size <= LIGHT:
            return function(*arguments)
        value = await self.turns.take(Lane.LARGE, partial(_read, function, *arguments))
        self._held.setdefault(asyncio.current_task(), []).append(value)
        return value

    def free(self, task: asyncio.Task[Any]) -> None:
        """Free in the thread what the long request of a task brought; all that else holds it is gone."""
        held = self._held.pop(task, None)
        if held is not None:
            self.turns.free(held)

    async def look_up(self, function: Callable[..., T], *arguments: Any) -> T:
        """A slow call for the page, in a thread.

        Raises:
            Problem: when many wait.
        """
        if self._lookups >= LOOKUPS:
            raise Problem(503, "the server is overloaded.", retry_after=1, hint="wait for the seconds in Retry-After")
        self._lookups += 1
        try:
            return await self.run(function, *arguments)
        finally:
            self._lookups -= 1

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """A slow call, in a thread."""
        self._background_calls += 1
        try:
            with self.turns.off_loop():
                work = partial(self._after_loop, function, *arguments)
                return await asyncio.get_running_loop().run_in_executor(self.background, work)
        finally:
            self._background_calls -= 1

    def _after_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """The value of a call for the page, which lets the event loop go first."""
        self.turns.yield_to_loop()
        try:
            return function(*arguments)
        finally:
            self.turns.long_work_done()

    def close(self) -> None:
        """Stop answering."""
        self.ready = False
        self.closing()
        self.writer.close()
        self.impressions.close()
        self.turns.close()
        self.background.shutdown(wait=False)
        self.preparing.shutdown(wait=False)
        self.log.flush(LEAVE)


def _read(function: Callable[..., T], *arguments: Any) -> T:
    """The value of a function; after an error all that it made is freed here, and not on the event loop."""
    try:
        return function(*arguments)
    except Problem as problem:
        drop_traceback(problem)
        raise


def _groups(asked: Asked, open_: Open | None, ruled: Ruled | None = None) -> list[tuple[Group, list[int]]]:
    """The queries of a request that can be answered together, by number."""
    request, loaded = asked.request, asked.loaded
    return grouped(
        asked.asks,
        lambda features, chosen: Group(
            loaded,
            "lists",
            request.k,
            request.exclude_seen,
            request.exact,
            features,
            chosen,
            open_,
            ruled,
            request.explain,
        ),
    )


def _kind(request: RecommendRequest, asks: Sequence[Ask]) -> Any:
    """Equal for requests whose answers are computed the same way, from the same filters and rules.

    Args:
        request: as it was sent.
        asks: its queries.
    """
    rest = msgspec.json.encode(msgspec.structs.replace(request, queries=[]))
    groups = frozenset((tuple(sorted(ask.features)), bool(ask.chosen)) for ask in asks)
    return rest, groups, len(asks) > 1


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
