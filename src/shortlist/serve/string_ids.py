"""Integer ids as strings, for clients that cannot hold 64 bits: only on a server that was started so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from shortlist.data.ids import integer_id
from shortlist.serve import change_schema, schema
from shortlist.serve.loaded import IdKind, Loaded

__all__ = ["StringIds"]

T = TypeVar("T", bound=msgspec.Struct)


class StringIds:
    """Ids as a server's clients write them.

    Args:
        on: whether integers are strings there; else ids stay as they are.
    """

    def __init__(self, on: bool) -> None:
        self.on = on

    def shown(self, one: Any) -> Any:
        """An id for a reply."""
        return str(one) if self.on and type(one) is int else one

    def all_shown(self, ids: Sequence[Any]) -> Sequence[Any]:
        """Ids for a reply."""
        return [self.shown(one) for one in ids] if self.on else ids

    def read(self, request: T, loaded: Loaded) -> T:
        """A request with integers where its model has integers and it has strings of digits; other strings stay."""
        if not self.on or (loaded.query_kind.strings and loaded.candidate_kind.strings):
            return request
        query, candidate = _reader(loaded.query_kind), _reader(loaded.candidate_kind)
        changes: dict[str, Any] = {}
        for name in ("allow", "deny", "candidates", "delete"):
            given = getattr(request, name, None)
            if given is not None:
                changes[name] = [candidate(one) for one in given]
        rules = getattr(request, "rerank", None)
        if rules is not None:
            pins = [msgspec.structs.replace(one, id=candidate(one.id)) for one in rules.pin]
            changes["rerank"] = msgspec.structs.replace(rules, pin=pins)
        queries = getattr(request, "queries", None)
        if queries is not None:
            changes["queries"] = [_query(one, query, candidate) for one in queries]
        if isinstance(request, change_schema.EventsRequest):
            changes["events"] = [
                msgspec.structs.replace(one, query=query(one.query), candidate=candidate(one.candidate))
                for one in request.events
            ]
        if isinstance(request, change_schema.ImpressionsRequest):
            changes["impressions"] = [_shown(one, query, candidate) for one in request.impressions]
        if isinstance(request, change_schema.ChangeRequest):
            column = loaded.about.columns[0]
            changes["upsert"] = [
                {name: candidate(value) if name == column else value for name, value in row.items()}
                for row in request.upsert
            ]
            changes["expire"] = [msgspec.structs.replace(one, id=candidate(one.id)) for one in request.expire]
        return msgspec.structs.replace(request, **changes)


def _query(one: schema.Query, query: Any, candidate: Any) -> schema.Query:
    history = None if one.history is None else [candidate(each) for each in one.history]
    return schema.Query(query(one.id), one.features, history, [candidate(each) for each in one.exclude])


def _shown(one: change_schema.Impression, query: Any, candidate: Any) -> change_schema.Impression:
    items = [msgspec.structs.replace(item, candidate=candidate(item.candidate)) for item in one.items]
    return msgspec.structs.replace(one, query=query(one.query), items=items)


def _reader(kind: IdKind) -> Callable[[Any], Any]:
    """A function that makes ids of this kind; values that are none stay as they are, and are refused later."""
    return _as_is if kind.strings else partial(_integer, kind)


def _as_is(one: Any) -> Any:
    return one


def _integer(kind: IdKind, one: Any) -> Any:
    found = integer_id(one) if isinstance(one, str) else None
    return one if found is None or not kind.has(found) else found
