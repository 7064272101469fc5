"""The routes that change something: candidates, and what queries chose."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from shortlist.serve.http import Incoming, Reply, decoded
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.reading import check_id, check_ids
from shortlist.serve.schema import ChangeReply, ChangeRequest, EventsRequest
from shortlist.serve.service import Service

__all__ = ["change", "events"]

_CHANGE = msgspec.json.Decoder(ChangeRequest)
_EVENTS = msgspec.json.Decoder(EventsRequest)


async def change(service: Service, incoming: Incoming) -> Reply:
    """Upsert, delete and expire candidates; answered when the change is on the disk and in the lists."""
    record = await service.read(len(incoming.body), _change, service, service.loaded, incoming.body)
    upserted, deleted, size, _ = await service.change(record)
    return Reply(msgspec.json.encode(ChangeReply(upserted, deleted, size, service.loaded.bundle)))


def _change(service: Service, loaded: Loaded, body: bytes) -> dict[str, Any]:
    """The record of a change. Raises Problem."""
    request, most = service.ids.read(decoded(_CHANGE, body), loaded), service.settings.limits.ids
    count = len(request.upsert) + len(request.delete) + len(request.expire)
    if not 1 <= count <= most:
        raise Problem(422, f"{count} changes were given; 1 to {most} were expected.", "$")
    column = loaded.about.columns[0]
    for number, row in enumerate(request.upsert):
        if column not in row:
            raise Problem(422, "the id's column is missing.", f"$.upsert[{number}]", hint=f"column: {column}")
        check_id(row[column], loaded.candidate_strings, f"$.upsert[{number}].{column}")
    if len({row[column] for row in request.upsert}) < len(request.upsert):
        raise Problem(422, "duplicate id; expected each id once.", "$.upsert")
    check_ids(request.delete, loaded.candidate_strings, "$.delete", most)
    check_ids([one.id for one in request.expire], loaded.candidate_strings, "$.expire", most)
    return {"op": "change", "at": time.time(), **msgspec.to_builtins(request)}


async def events(service: Service, incoming: Incoming) -> Reply:
    """Record what queries just chose."""
    record = await service.read(len(incoming.body), _chosen, service, service.loaded, incoming.body)
    count = await service.change(record)
    return Reply(msgspec.json.encode({"recorded": count}))


def _chosen(service: Service, loaded: Loaded, body: bytes) -> dict[str, Any]:
    """The record of choices. Raises Problem."""
    request, most = service.ids.read(decoded(_EVENTS, body), loaded), service.settings.limits.ids
    if not 1 <= len(request.events) <= most:
        raise Problem(422, f"{len(request.events)} events were given; 1 to {most} were expected.", "$.events")
    now = time.time()
    chosen = []
    for number, one in enumerate(request.events):
        check_id(one.query, loaded.query_strings, f"$.events[{number}].query")
        check_id(one.candidate, loaded.candidate_strings, f"$.events[{number}].candidate")
        chosen.append({"query": one.query, "candidate": one.candidate, "at": now if one.at is None else one.at})
    return {"op": "events", "at": now, "events": chosen}
