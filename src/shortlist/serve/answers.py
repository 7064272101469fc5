"""The routes that answer from the model: recommend, similar, score, embed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.index import score_heads
from shortlist.recommender import Reason, Recommendation
from shortlist.serve.http import Incoming, Reply, decoded
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.reading import Ask, Group, check_columns, check_ids, check_known, check_request, read_queries
from shortlist.serve.reply_parts import ENCODER, VALUES, ReplyParts
from shortlist.serve.rules import check_explained, rules_of, unknown_pins
from shortlist.serve.schema import (
    Cause,
    EmbedReply,
    EmbedRequest,
    Found,
    Item,
    Part,
    Passed,
    Query,
    RecommendReply,
    RecommendRequest,
    ScoreReply,
    ScoreRequest,
    SimilarRequest,
)
from shortlist.serve.schema import Reason as ReasonReply
from shortlist.serve.service import Asked, Service, milliseconds
from shortlist.serve.string_ids import StringIds

__all__ = ["embed", "recommend", "score", "similar"]

SCORES = 100_000  # queries times candidates of one request
COPIED = 1 << 18  # bytes of a reply that are put together on the event loop
TEXT = 16  # bytes of a text that count as one value
REASON = 10  # values of one source's part of a score, at most


async def recommend(service: Service, incoming: Incoming) -> Reply:
    """The k best candidates of each query."""
    started = time.perf_counter()
    loaded, body, size = service.loaded, incoming.body, service.size_of(incoming.body)
    read = partial(_asked, service, loaded, body, service.light(len(body)))
    asked = read() if service.light(size) else await service.read(size, read)
    request = asked.request
    parts = ReplyParts(len(asked.asks), service.reply_memory)
    take = partial(_put_list, service.ids, parts, loaded, request.columns)
    await service.recommend(asked, take, _values(loaded, request.k, request.columns, request.explain))
    return await _lists(service, loaded, parts, started, unknown_pins(request, loaded))


def _asked(service: Service, loaded: Loaded, body: bytes, light: bool) -> Asked:
    """The request in a body, checked against the bundle.

    Raises:
        Problem: when it does not fit.
    """
    request = decoded(RecommendRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits)
    request = service.ids.read(request, loaded) if service.ids.on else request
    limits = service.settings.limits
    check_request(request, loaded, limits)
    check_explained(request, loaded, limits)
    rules = rules_of(request, loaded, limits)
    asks = read_queries(loaded, service.events, request.queries, request.exclude_seen, service.turns.yield_to_loop)
    check_known(loaded, asks)
    return Asked(request, loaded, asks, light, rules, len(body))


async def similar(service: Service, incoming: Incoming) -> Reply:
    """The candidates nearest to each given one."""
    started = time.perf_counter()
    loaded, size = service.loaded, len(incoming.body)
    request = await service.read(size, _similar_request, service, loaded, incoming.body)
    open_ = await service.filtering.open(loaded, None, None, request.where)
    parts = ReplyParts(len(request.candidates), service.reply_memory)
    take = partial(_put_list, service.ids, parts, loaded, request.columns)
    asks = [Ask(one) for one in request.candidates]
    values = _values(loaded, request.k, request.columns)
    await service.ask(lambda *_: Group(loaded, "similar", request.k, open=open_), asks, True, take, values)
    return await _lists(service, loaded, parts, started)


def _similar_request(service: Service, loaded: Loaded, body: bytes) -> SimilarRequest:
    request, limits = (
        service.ids.read(
            decoded(SimilarRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits),
            loaded,
        ),
        service.settings.limits,
    )
    if not 1 <= len(request.candidates) <= limits.queries:
        count = len(request.candidates)
        raise Problem(422, f"{count} candidates were given; 1 to {limits.queries} were expected.", "$.candidates")
    if request.k > limits.k:
        raise Problem(422, f"at most {limits.k} was expected.", "$.k")
    check_ids(request.candidates, loaded.candidate_kind, "$.candidates", limits.queries)
    check_columns(request.columns, loaded, len(request.candidates), request.k, limits.cells)
    row_of = loaded.state.candidate_ids.row_of
    for number, one in enumerate(request.candidates):
        if one not in row_of:
            raise Problem(
                404,
                "the catalogue does not have this candidate.",
                f"$.candidates[{number}]",
                hint="GET /v1/candidates?text=… finds ids",
            )
    return request


async def score(service: Service, incoming: Incoming) -> Reply:
    """The score of every given candidate for every query."""
    loaded, body, light = service.loaded, incoming.body, service.light(len(incoming.body))
    request, rows, asks = await service.read(service.size_of(body), _score_request, service, loaded, body)
    places, count = np.flatnonzero(rows >= 0).tolist(), len(rows)
    parts = ReplyParts(len(asks), service.reply_memory)
    make, vectors = _vectors(loaded), None
    if loaded.state.near is not None:
        make = lambda features, chosen: Group(  # noqa: E731
            loaded, "scores", count, request.exclude_seen, features=features, chosen=chosen, rows=rows[rows >= 0]
        )

    def take(number: int, answer: tuple[Any, bool]) -> None:
        nonlocal vectors
        found, known = answer
        if loaded.state.near is None:
            if vectors is None:  # where the scores are made, perhaps in the thread
                vectors = loaded.served.vectors_of(rows[rows >= 0])  # [there, dim]
            found = score_heads(found[None], vectors).astype(np.float32)[0]
        scores: Sequence[float | None] = found.tolist()
        if len(places) < count:
            some: list[float | None] = [None] * count
            for place, one in zip(places, scores, strict=True):
                some[place] = one
            scores = some
        query = ENCODER.encode(service.ids.shown(asks[number].id))
        before = b'{"id":%s,"known":%s,"scores":[' % (query, ENCODER.encode(known))
        parts.put_numbers(number, scores, before, b"]}")

    await service.ask(make, asks, light, take, count)
    return await _reply(service, parts, lambda results: ScoreReply(results, loaded.bundle))


def _score_request(service: Service, loaded: Loaded, body: bytes) -> tuple[ScoreRequest, NDArray[np.int64], list[Ask]]:
    """The request, the rows of its candidates (-1 for one that the catalogue lacks), and its queries.

    Raises:
        Problem: when it does not fit.
    """
    request, limits = (
        service.ids.read(
            decoded(ScoreRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits),
            loaded,
        ),
        service.settings.limits,
    )
    check_ids(request.candidates, loaded.candidate_kind, "$.candidates", limits.ids)
    asks = _asks(service, loaded, request.queries, request.exclude_seen)
    if len(asks) * len(request.candidates) > SCORES:
        raise Problem(
            422,
            f"queries times candidates is more than {SCORES:,}.",
            "$.candidates",
            hint="ask for fewer queries or fewer candidates at a time",
        )
    return request, np.array(loaded.state.candidate_ids.rows(request.candidates), np.int64), asks


async def embed(service: Service, incoming: Incoming) -> Reply:
    """The vectors of queries, or of candidates."""
    loaded, body, light = service.loaded, incoming.body, service.light(len(incoming.body))
    candidates, asks = await service.read(service.size_of(body), _embed_request, service, loaded, body)
    state, parts = loaded.state, ReplyParts(len(candidates or asks), service.reply_memory)
    if candidates is None:
        width = state.dim if state.query_vectors is None else state.query_vectors.shape[1]
        take = lambda number, answer: parts.put(number, answer[0].tolist())  # noqa: E731
        await service.ask(_vectors(loaded), asks, light, take, width)
    else:
        rows = np.array(state.candidate_ids.rows(candidates), np.int64)
        await service.read(4 * state.dim * len(rows), _put_candidates, parts, loaded, rows)
    return await _reply(service, parts, lambda results: EmbedReply(results, state.dim, loaded.bundle))


def _embed_request(service: Service, loaded: Loaded, body: bytes) -> tuple[Sequence[Any] | None, list[Ask]]:
    request: EmbedRequest = service.ids.read(
        decoded(EmbedRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits), loaded
    )
    if (request.queries is None) == (request.candidates is None):
        raise Problem(422, "either queries or candidates were expected.", "$")
    if request.queries is not None:
        return None, _asks(service, loaded, request.queries)
    check_ids(request.candidates, loaded.candidate_kind, "$.candidates", service.settings.limits.queries)
    return request.candidates, []


def _put_candidates(parts: ReplyParts, loaded: Loaded, rows: np.ndarray[Any, Any]) -> None:
    """Vectors of candidates; null for one that the catalogue lacks."""
    there = iter(loaded.served.vectors_of(rows[rows >= 0]).tolist())
    for number, row in enumerate(rows.tolist()):
        parts.put(number, None if row < 0 else next(there))


def _put_list(
    shown: StringIds, parts: ReplyParts, loaded: Loaded, columns: Sequence[str], number: int, found: Recommendation
) -> None:
    """Writes a list, with columns of the candidates and reasons."""
    if not columns and not shown.on and found.reasons is None:
        items = [Item(item[0], item[1], item[2]) for item in found.items]
        parts.put(number, Found(found.query, found.known, items))
        return
    before = b'{"id":%s,"known":%s,"items":[' % (ENCODER.encode(shown.shown(found.query)), ENCODER.encode(found.known))
    values: Iterable[Any] = _cells(loaded, found.ids, columns) if columns else [None] * len(found)
    column = loaded.about.columns[0]
    if column in columns:
        values = ({**cells, column: shown.shown(cells[column])} for cells in values)
    reasons = [None] * len(found) if found.reasons is None else [_reason(shown, one) for one in found.reasons]
    each = (
        Item(shown.shown(item[0]), item[1], item[2], cells, reason)
        for item, cells, reason in zip(found.items, values, reasons, strict=True)
    )
    parts.put_each(number, each, before, b"]}")


def _cells(loaded: Loaded, ids: Sequence[Any], columns: Sequence[str]) -> Iterator[Any]:
    """The columns of candidates, some at a time."""
    for first in range(0, len(ids), VALUES):
        yield from loaded.values_of(ids[first : first + VALUES], columns)


def _reason(shown: StringIds, reason: Reason) -> ReasonReply:
    """A reason as it is sent."""
    parts = [
        Part(
            part.source, part.score, part.share, part.found,
            [Cause(shown.shown(one.id), one.share) for one in part.because],
        )
        for part in reason.parts
    ]  # fmt: skip
    return ReasonReply([shown.shown(one) for one in reason.because], parts)


def _values(loaded: Loaded, k: int, columns: Sequence[str], explain: bool = False) -> int:
    """How many values a list is to write; long texts count as several."""
    if not columns and not explain:
        return k
    sources = 1 if loaded.state.near is None else len(loaded.state.near.names)
    of_item = 1 + sum(1 + loaded.width(name) // TEXT for name in columns) + explain * sources * REASON
    return min(k, loaded.state.size) * of_item


def _vectors(loaded: Loaded) -> Callable[[tuple[str, ...], bool], Group]:
    """Groups of queries whose vectors are wanted."""
    return lambda features, chosen: Group(loaded, "vectors", features=features, chosen=chosen)


def _asks(service: Service, loaded: Loaded, queries: Sequence[Query], exclude_seen: bool = False) -> list[Ask]:
    most = service.settings.limits.queries
    if not 1 <= len(queries) <= most:
        raise Problem(422, f"{len(queries)} queries were given; 1 to {most} were expected.", "$.queries")
    return read_queries(loaded, service.events, queries, exclude_seen, service.turns.yield_to_loop)


async def _lists(
    service: Service, loaded: Loaded, parts: ReplyParts, started: float, warnings: Sequence[Passed] = ()
) -> Reply:
    def make(results: list[Any]) -> RecommendReply:
        return RecommendReply(results, loaded.bundle, milliseconds(started), list(warnings))

    return await _reply(service, parts, make)


async def _reply(service: Service, parts: ReplyParts, make: Callable[[list[Any]], Any]) -> Reply:
    """The reply around the parts that are written."""
    if parts.size <= COPIED:
        return Reply(parts.whole(make))
    return Reply(await service.read(parts.size, parts.whole, make))
