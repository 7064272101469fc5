"""Bodies of the routes that change something: candidates, events, and lists that were shown."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from shortlist.serve.schema import Id, Ids, Label, Length, Share, Time, Value

__all__ = [
    "ChangeReply",
    "ChangeRequest",
    "Event",
    "EventsRequest",
    "Expiry",
    "Impression",
    "ImpressionsRequest",
    "ShownItem",
]


class Expiry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A candidate that is to be deleted at a time.

    Attributes:
        at: Unix seconds.
    """

    id: Id
    at: Time


class ChangeRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Changes of candidates, applied in the order upsert, delete, expire; all or nothing.

    Attributes:
        upsert: candidates by their columns, with the id's. Columns that are missing keep their stored value, or are
            null.
        delete: ids.
        expire: ids and times.
    """

    upsert: list[dict[str, Value]] = []
    delete: Ids = []
    expire: list[Expiry] = []


class ChangeReply(msgspec.Struct):
    """Sent when the change is on the disk and in the lists.

    Attributes:
        candidates: how many there are now.
    """

    upserted: int
    deleted: int
    candidates: int
    bundle: str


class Event(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A candidate that a query just chose.

    Attributes:
        at: Unix seconds, by default now.
    """

    query: Id
    candidate: Id
    at: Time | None = None


class EventsRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Choices: from now on left out of their query's lists, and in its history."""

    events: list[Event]


class ShownItem(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """A candidate as it was shown.

    Attributes:
        place: from 1; by default its place in the list given.
        bundle: which of two interleaved bundles it counts for.
        propensity: the chance that it was in this list at all.
        shares: of its score, by source.
    """

    candidate: Id
    place: Length | None = None
    bundle: Label | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    shares: Annotated[dict[Label, Share], Meta(max_length=32)] | None = None


class Impression(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A list as it was shown to a query.

    Attributes:
        bundle: which bundle answered, by default the one that answers now.
        request: an id chosen by the caller.
        at: Unix seconds, by default now.
    """

    query: Id
    items: list[ShownItem]
    bundle: Label | None = None
    request: Label | None = None
    at: Time | None = None


class ImpressionsRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Lists as they were shown; those that the query never chose from are negatives, with their places."""

    impressions: list[Impression]
