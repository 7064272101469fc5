"""The page's look-ups: people, candidates, histories, the map, and the model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from shortlist.data.ids import integer_id
from shortlist.serve.first_rows import first_rows
from shortlist.serve.http import Incoming, Reply, limit_of, parameters
from shortlist.serve.loaded import MAPPED, IdKind, Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.reading import check_id
from shortlist.serve.reply_parts import ENCODER, ReplyParts
from shortlist.serve.service import Service

__all__ = ["candidates", "card", "history", "mapped", "queries"]

SHOWN = 200  # items of a history
ITEMS = 50  # that are looked up and written between two looks at the event loop
LABEL = 200  # characters of a name on the map
MAPS = 2  # replies with a map that are kept
LONGEST_TEXT = 256  # characters to search for: a search costs as many steps for each candidate


async def card(service: Service, incoming: Incoming) -> Reply:
    """A description of the bundle."""
    parameters(incoming)
    return await service.look_up(_card, service, service.loaded)


async def queries(service: Service, incoming: Incoming) -> Reply:
    """Queries whose id begins with a text, those first that chose most."""
    given = parameters(incoming, "text", "limit")
    limit = limit_of(given, 12, 100)
    return await service.look_up(_find_queries, service, service.loaded, _text(given), limit)


async def candidates(service: Service, incoming: Incoming) -> Reply:
    """Candidates whose id is, or whose name holds, a text."""
    given = parameters(incoming, "text", "limit")
    limit = limit_of(given, 12, 100)
    return await service.look_up(_find_candidates, service, service.loaded, _text(given), limit)


async def history(service: Service, incoming: Incoming) -> Reply:
    """The candidates that a query chose: events first, the latest at the top."""
    given = parameters(incoming, "query")
    if "query" not in given:
        raise Problem(422, "the parameter is missing.", "?query")
    query = _typed(given["query"], service.loaded.query_kind)
    return await service.look_up(_history, service, service.loaded, query)


async def mapped(service: Service, incoming: Incoming) -> Reply:
    """The catalogue in two dimensions, with the values of one column."""
    column = parameters(incoming, "column").get("column") or None
    return await service.look_up(_map, service, service.loaded, column)


def _text(given: Mapping[str, str]) -> str:
    text = given.get("text", "")
    if len(text) > LONGEST_TEXT:
        raise Problem(422, f"{len(text):,} characters were given; at most {LONGEST_TEXT} were expected.", "?text")
    return text


def _card(service: Service, loaded: Loaded) -> Reply:
    shown = {**loaded.card, "example_query": service.ids.shown(loaded.card["example_query"])}
    return Reply(ENCODER.encode(shown))


def _find_queries(service: Service, loaded: Loaded, text: str, limit: int) -> Reply:
    counts, texts, wanted = np.diff(loaded.state.seen.offsets), loaded.about.query_texts, text.lower()

    def look(some: slice) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        part = texts[some]
        at = np.flatnonzero(part.str.starts_with(wanted).to_numpy())
        rows = at + some.start
        return rows, (-counts[rows], (part.gather(at) != wanted).to_numpy())

    rows = first_rows(len(texts), limit, look, service.turns.yield_to_loop)
    ids = service.ids.all_shown(loaded.state.query_ids.ids.gather(rows).to_list())
    items = [{"id": one, "count": count} for one, count in zip(ids, counts[rows].tolist(), strict=True)]
    return Reply(ENCODER.encode({"items": items}))


def _find_candidates(service: Service, loaded: Loaded, text: str, limit: int) -> Reply:
    return Reply(
        ENCODER.encode({"items": _items(service, loaded, loaded.found(text, limit, service.turns.yield_to_loop))})
    )


def _history(service: Service, loaded: Loaded, query: Any) -> Reply:
    state = loaded.state
    chosen = [one for one in reversed(service.events.of(query)) if one in state.candidate_ids.row_of]
    row = state.query_ids.row_of.get(query, -1)
    if row >= 0:
        recent = set(chosen)
        chosen += [one for one in state.candidate_ids.take(state.seen.row(row)) if one not in recent]
    items = _items(service, loaded, chosen[:SHOWN])
    return Reply(ENCODER.encode({"items": items, "total": len(chosen)}))


def _items(service: Service, loaded: Loaded, ids: list[Any]) -> list[Any]:
    """Candidates with their columns, written within the bound of a reply."""
    names = loaded.about.columns[1:]
    there = loaded.state.candidate_ids.row_of
    kept = [one for one in ids if one in there]
    parts = ReplyParts(len(kept), service.reply_memory)
    for first in range(0, len(kept), ITEMS):
        service.turns.yield_to_loop()
        some = kept[first : first + ITEMS]
        for number, (one, values) in enumerate(zip(some, loaded.values_of(some, names), strict=True), start=first):
            parts.put(number, {"id": service.ids.shown(one), "columns": values})
    return parts.parts


def _map(service: Service, loaded: Loaded, column: str | None) -> Reply:
    if column is not None and column not in loaded.colour_columns:
        raise Problem(
            422,
            "the map cannot be coloured by this column.",
            "?column",
            hint=f"columns: {', '.join(loaded.colour_columns)}",
        )
    if column not in loaded.maps:
        made = _map_made(service, loaded, column)
        if len(loaded.maps) >= MAPS:
            loaded.maps.clear()
        loaded.maps[column] = made
    return Reply(loaded.maps[column])


def _map_made(service: Service, loaded: Loaded, column: str | None) -> bytes:
    rows, x, y, shown = loaded.positions
    state = loaded.state
    ids = state.candidates[loaded.about.columns[0]].gather(rows).to_list()
    title = loaded.about.title_column
    some = len(rows) < state.size - len(state.dead)
    note = _note(shown, (len(rows), loaded.served.index.size) if some else None)
    labels = [str(one)[:LABEL] for one in (state.candidates[title].gather(rows).to_list() if title else ids)]
    parts = ReplyParts(1, service.reply_memory)
    if column is not None:
        parts.put_each(0, state.candidates[column].gather(rows).to_list(), b"[", b"]")
    drawn = {"x": x.round(4).tolist(), "y": y.round(4).tolist(), "ids": service.ids.all_shown(ids), "labels": labels}
    return ENCODER.encode(
        {
            **{name: msgspec.Raw(ENCODER.encode(values)) for name, values in drawn.items()},  # in pieces
            "values": parts.parts[0],
            "column": column,
            "columns": list(loaded.colour_columns),
            "note": note,
        }
    )


def _note(shown: float | None, part: tuple[int, int] | None) -> str:
    """The meaning of the map's places.

    Args:
        shown: the share of the differences that the map shows; None for places by a table of neighbours.
        part: how many candidates are on the map, of how many; None where all are.
    """
    if shown is None:
        if part is None:
            return "Candidates that are chosen together are near each other, by the model's table of neighbours."
        return (
            "Candidates that are chosen together are near each other, by the model's table of neighbours. "
            f"{part[0]:,} candidates of {part[1]:,}, at most {MAPPED:,}."
        )
    if part is None:
        return (
            f"The two directions in which the vectors differ most; they show {shown:.0%} of the differences, so that "
            "distances between far groups mean little."
        )
    return (
        f"The two directions in which the vectors differ most; they show {shown:.0%} of the differences, so that "
        f"distances between far groups mean little. {part[0]:,} candidates of {part[1]:,}, at most {MAPPED:,}."
    )


def _typed(text: str, kind: IdKind) -> Any:
    if kind.strings:
        check_id(text, kind, "?query")
        return text
    number = integer_id(text)
    if number is None or not kind.has(number):
        raise Problem(422, "ids of this model are integers.", "?query", hint=kind.digits)
    return number
