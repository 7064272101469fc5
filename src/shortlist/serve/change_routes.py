"""The routes that change something: candidates, choices of queries, and lists that were shown."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from shortlist.serve.change_schema import ChangeReply, ChangeRequest, EventsRequest, ImpressionsRequest
from shortlist.serve.http import Incoming, Reply, decoded
from shortlist.serve.loaded import Loaded
from shortlist.serve.misfits import check_types
from shortlist.serve.problems import Problem
from shortlist.serve.reading import check_id, check_ids
from shortlist.serve.service import Service

__all__ = ["change", "events", "impressions"]

ROWS = 500  # that are checked between two pauses, in a quarter of a millisecond
PLACES = 500  # of lists that were shown, between two pauses, in half a millisecond; a list itself counts for ten
SHARE = 4  # shares of a place that count as another one


async def change(service: Service, incoming: Incoming) -> Reply:
    """Upsert, delete and expire candidates; answered when the change is on the disk and in the lists."""
    record = await service.read(len(incoming.body), _change, service, service.loaded, incoming.body)
    with service.turns.off_loop():
        upserted, deleted, size, _ = await service.change(record)
    return Reply(msgspec.json.encode(ChangeReply(upserted, deleted, size, service.loaded.bundle)))


def _change(service: Service, loaded: Loaded, body: bytes) -> dict[str, Any]:
    """The record of a change.

    Raises:
        Problem: when it does not fit.
    """
    request, most = (
        service.ids.read(
            decoded(ChangeRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits),
            loaded,
        ),
        service.settings.limits.ids,
    )
    count = len(request.upsert) + len(request.delete) + len(request.expire)
    if not 1 <= count <= most:
        raise Problem(422, f"{count} changes were given; 1 to {most} were expected.", "$")
    column, kind = loaded.about.columns[0], loaded.candidate_kind
    for number, row in enumerate(request.upsert):
        if number % ROWS == 0:
            service.turns.yield_to_loop()
        if column not in row:
            raise Problem(422, "the id's column is missing.", f"$.upsert[{number}]", hint=f"column: {column}")
        check_id(row[column], kind, f"$.upsert[{number}].{column}")
        if row[column] == "" and "" not in loaded.state.candidate_ids.row_of:
            raise Problem(
                422, "an empty id was given.", f"$.upsert[{number}].{column}", hint="an id has at least one character"
            )
    service.turns.yield_to_loop()
    if len({row[column] for row in request.upsert}) < len(request.upsert):
        raise Problem(422, "duplicate id; expected each id once.", "$.upsert")
    check_ids(request.delete, loaded.candidate_kind, "$.delete", most)
    expire = []
    for number, one in enumerate(request.expire):
        if number % ROWS == 0:
            service.turns.yield_to_loop()
        check_id(one.id, kind, f"$.expire[{number}].id")
        expire.append({"id": one.id, "at": one.at})
    if len({one.id for one in request.expire}) < len(request.expire):
        raise Problem(422, "duplicate id; expected each id once.", "$.expire")
    check_types(loaded.served, request.upsert, service.turns.yield_to_loop)
    return {"op": "change", "at": time.time(), "upsert": request.upsert, "delete": request.delete, "expire": expire}


async def events(service: Service, incoming: Incoming) -> Reply:
    """Record candidates that queries just chose."""
    record = await service.read(len(incoming.body), _chosen, service, service.loaded, incoming.body)
    with service.turns.off_loop():
        count = await service.change(record)
        if service.impressions.begun:  # the events that follow a list are part of its log
            try:
                await service.impressions.add([record])
            except Problem as problem:
                raise Problem(
                    503,
                    "the events were recorded, but could not be written to the impression log.",
                    retry_after=problem.retry_after,
                    reason=problem.reason,
                    hint=problem.hint,
                ) from None
    return Reply(msgspec.json.encode({"recorded": count}))


def _chosen(service: Service, loaded: Loaded, body: bytes) -> dict[str, Any]:
    """The record of choices.

    Raises:
        Problem: when it does not fit.
    """
    request, most = (
        service.ids.read(
            decoded(EventsRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits),
            loaded,
        ),
        service.settings.limits.ids,
    )
    if not 1 <= len(request.events) <= most:
        raise Problem(422, f"{len(request.events)} events were given; 1 to {most} were expected.", "$.events")
    now = time.time()
    chosen = []
    for number, one in enumerate(request.events):
        if number % ROWS == 0:
            service.turns.yield_to_loop()
        check_id(one.query, loaded.query_kind, f"$.events[{number}].query")
        check_id(one.candidate, loaded.candidate_kind, f"$.events[{number}].candidate")
        chosen.append({"query": one.query, "candidate": one.candidate, "at": now if one.at is None else one.at})
    return {"op": "events", "at": now, "events": chosen}


async def impressions(service: Service, incoming: Incoming) -> Reply:
    """Record lists as they were shown; answered when they are on the disk."""
    records = await service.read(len(incoming.body), _shown, service, service.loaded, incoming.body)
    with service.turns.off_loop():
        await service.impressions.add(records)
    service.metrics.changes.labels("impression").inc(len(records))
    return Reply(msgspec.json.encode({"recorded": len(records)}))


def _shown(service: Service, loaded: Loaded, body: bytes) -> list[dict[str, Any]]:
    """The records of lists that were shown.

    Raises:
        Problem: when they do not fit.
    """
    request, most = (
        service.ids.read(
            decoded(ImpressionsRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits),
            loaded,
        ),
        service.settings.limits.ids,
    )
    count = sum(len(one.items) for one in request.impressions)
    if not 1 <= count <= most:
        raise Problem(422, f"{count} places were given; 1 to {most} were expected.", "$.impressions")
    now, since = time.time(), PLACES
    records = []
    for number, one in enumerate(request.impressions):
        if since >= PLACES:
            service.turns.yield_to_loop()
            since = 0
        since += 10
        field = f"$.impressions[{number}]"
        check_id(one.query, loaded.query_kind, f"{field}.query")
        places = [at if item.place is None else item.place for at, item in enumerate(one.items, start=1)]
        if len(set(places)) < len(places):
            raise Problem(422, "two items have one place; expected a place each.", f"{field}.items")
        if len({item.candidate for item in one.items}) < len(one.items):
            raise Problem(422, "two items have one candidate; expected each candidate once.", f"{field}.items")
        items = []
        for at, (item, place) in enumerate(zip(one.items, places, strict=True)):
            if since >= PLACES:
                service.turns.yield_to_loop()
                since = 0
            since += 1 + len(item.shares or ()) // SHARE
            check_id(item.candidate, loaded.candidate_kind, f"{field}.items[{at}].candidate")
            items.append({**msgspec.to_builtins(item), "place": place})
        record = {"op": "shown", "at": now if one.at is None else one.at, "query": one.query, "items": items}
        record["bundle"] = loaded.bundle if one.bundle is None else one.bundle
        if one.request is not None:
            record["request"] = one.request
        records.append(record)
    return records
