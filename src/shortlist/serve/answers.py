"""The routes that answer from the model: recommend, similar, score, embed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from shortlist.errors import DataError, ShortlistError
from shortlist.index import score_heads
from shortlist.recommender import Recommendation, asking
from shortlist.serve.http import Incoming, Reply, decoded
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.reading import Ask, check_columns, check_ids, check_request, misfit, read_query
from shortlist.serve.schema import (
    EmbedReply,
    EmbedRequest,
    Found,
    Item,
    Query,
    RecommendReply,
    RecommendRequest,
    ScoreReply,
    ScoreRequest,
    ScoreResult,
    SimilarRequest,
)
from shortlist.serve.service import Service, milliseconds

__all__ = ["embed", "lists_of", "recommend", "score", "similar"]

_RECOMMEND = msgspec.json.Decoder(RecommendRequest)
_SIMILAR = msgspec.json.Decoder(SimilarRequest)
_SCORE = msgspec.json.Decoder(ScoreRequest)
_EMBED = msgspec.json.Decoder(EmbedRequest)
_ENCODER = msgspec.json.Encoder()
INLINE = 4096  # items and values of columns that are written on the event loop, in about a millisecond


async def recommend(service: Service, incoming: Incoming) -> Reply:
    """The k best candidates of each query."""
    started = time.perf_counter()
    request, loaded = decoded(_RECOMMEND, incoming.body), service.loaded
    check_request(request, loaded, service.settings.limits)
    lists = await service.recommend(loaded, request)
    return await _written(service, loaded, lists, request.columns, started)


async def similar(service: Service, incoming: Incoming) -> Reply:
    """The candidates nearest to each given one."""
    started = time.perf_counter()
    request, loaded, limits = decoded(_SIMILAR, incoming.body), service.loaded, service.settings.limits
    if not 1 <= len(request.candidates) <= limits.queries:
        count = len(request.candidates)
        raise Problem(422, f"{count} candidates were given; 1 to {limits.queries} were expected.", "$.candidates")
    if request.k > limits.k:
        raise Problem(422, f"at most {limits.k} was expected.", "$.k")
    check_ids(request.candidates, loaded.candidate_strings, "$.candidates", limits.queries)
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
    try:
        lists = list(
            await service.run(
                lambda: asking.similar(loaded.served, list(request.candidates), request.k, where=request.where)
            )
        )
    except ShortlistError as error:
        raise misfit(loaded, error, (), request.where) from None
    return await _written(service, loaded, lists, request.columns, started)


async def score(service: Service, incoming: Incoming) -> Reply:
    """The score of every given candidate for every query."""
    request, loaded, limits = decoded(_SCORE, incoming.body), service.loaded, service.settings.limits
    check_ids(request.candidates, loaded.candidate_strings, "$.candidates", limits.ids)
    asks = _asks(service, loaded, request.queries)
    if len(asks) * len(request.candidates) > 100_000:
        raise Problem(
            422,
            "queries times candidates is more than 100,000.",
            "$.candidates",
            hint="ask for fewer queries or fewer candidates at a time",
        )
    vectors, known = await _query_vectors(service, loaded, asks)
    state = loaded.state
    rows = np.array(state.candidate_ids.rows(request.candidates), np.int64)
    there = rows >= 0
    scores = score_heads(vectors, loaded.served.vectors_of(rows[there]))  # [queries, there]
    places = np.cumsum(there) - 1
    results = [
        ScoreResult(
            ask.id,
            familiar,
            [line[place] if here else None for place, here in zip(places.tolist(), there.tolist(), strict=True)],
        )
        for ask, familiar, line in zip(asks, known, scores.astype(np.float32).tolist(), strict=True)
    ]
    return Reply(_ENCODER.encode(ScoreReply(results, loaded.bundle)))


async def embed(service: Service, incoming: Incoming) -> Reply:
    """The vectors of queries, or of candidates."""
    request, loaded, limits = decoded(_EMBED, incoming.body), service.loaded, service.settings.limits
    if (request.queries is None) == (request.candidates is None):
        raise Problem(422, "either queries or candidates were expected.", "$")
    state = loaded.state
    vectors: list[list[float] | None]
    if request.queries is not None:
        asks = _asks(service, loaded, request.queries)
        found, _ = await _query_vectors(service, loaded, asks)
        vectors = found.tolist()
    else:
        assert request.candidates is not None
        check_ids(request.candidates, loaded.candidate_strings, "$.candidates", limits.queries)
        rows = np.array(state.candidate_ids.rows(request.candidates), np.int64)
        of_those_there = iter(loaded.served.vectors_of(rows[rows >= 0]).tolist())
        vectors = [None if row < 0 else next(of_those_there) for row in rows.tolist()]
    return Reply(_ENCODER.encode(EmbedReply(vectors, state.dim, loaded.bundle)))


async def _written(
    service: Service, loaded: Loaded, lists: Sequence[Recommendation], columns: Sequence[str], started: float
) -> Reply:
    """The reply with these lists; a long one is made in a thread, so that others do not wait for it."""

    def make() -> bytes:
        results = lists_of(loaded, lists, columns)
        return _ENCODER.encode(RecommendReply(results, loaded.bundle, milliseconds(started)))

    values = sum(len(one.items) for one in lists) * (1 + len(columns))
    return Reply(make() if values <= INLINE else await service.run(make))


def lists_of(loaded: Loaded, lists: Sequence[Recommendation], columns: Sequence[str]) -> list[Found]:
    """Lists as they go into a reply, with columns of the candidates."""
    if not columns:
        return [Found(one.query, one.known, [Item(item[0], item[1], item[2]) for item in one.items]) for one in lists]
    return [
        Found(
            one.query,
            one.known,
            [
                Item(item.id, item.score, item.source, values)
                for item, values in zip(one.items, loaded.values_of(one.ids, columns), strict=True)
            ],
        )
        for one in lists
    ]


def _asks(service: Service, loaded: Loaded, queries: Sequence[Query]) -> list[Ask]:
    most = service.settings.limits.queries
    if not 1 <= len(queries) <= most:
        raise Problem(422, f"{len(queries)} queries were given; 1 to {most} were expected.", "$.queries")
    return [read_query(loaded, service.events, query, number, False) for number, query in enumerate(queries)]


async def _query_vectors(service: Service, loaded: Loaded, asks: Sequence[Ask]) -> tuple[Any, list[bool]]:
    """Vectors ``[queries, dim]`` and whether training had each query."""
    records = [{loaded.state.query: ask.id, **ask.features} for ask in asks]
    try:
        chosen = [ask.chosen for ask in asks] if any(ask.chosen for ask in asks) else None
        return await service.run(asking.query_vectors, loaded.served, records, chosen)  # type: ignore[no-any-return]
    except DataError as error:
        raise misfit(loaded, error, asks, None) from None
    except ShortlistError as error:
        raise misfit(loaded, error, (), None) from None
