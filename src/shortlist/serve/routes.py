"""Every path, who may ask it, and the function that answers."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec

from shortlist.serve import answers, change_routes, lookups, page, predict
from shortlist.serve.http import Incoming, Reply
from shortlist.serve.openapi import document
from shortlist.serve.service import Service

__all__ = ["MODELS", "Route", "canonical", "routes_of"]

MODELS = "/v1/models/"
_ONE_OF = re.compile(r"^(/v1/models/[^/:]+)/(?:versions/\d{1,18}|labels/[\w.-]{1,64})(?=[:/]|$)")


class Route(NamedTuple):
    """A path and method.

    Attributes:
        handler: answers it.
        label: its name in metrics and logs.
        access: "open" to all, "read" or "write" by key.
    """

    handler: Callable[[Service, Incoming], Awaitable[Reply]]
    label: str
    access: Literal["open", "read", "write"] = "read"


async def _healthy(service: Service, incoming: Incoming) -> Reply:
    return Reply(b'{"status":"alive"}')


async def _ready(service: Service, incoming: Incoming) -> Reply:
    if not (service.ready and service.progress(time.monotonic()) and service.writes()):
        return Reply(b'{"status":"not ready"}', 503, headers=((b"retry-after", b"1"),))
    return Reply(b'{"status":"ready","bundle":"%s"}' % service.loaded.bundle.encode())


async def _metrics(service: Service, incoming: Incoming) -> Reply:
    return Reply(await service.scrapes.text(), kind="text/plain; version=0.0.4; charset=utf-8")


async def _document(service: Service, incoming: Incoming) -> Reply:
    loaded = service.loaded
    if loaded.document is None:
        loaded.document = msgspec.json.encode(await service.look_up(document, service))
    return Reply(loaded.document)


def canonical(path: str) -> str:
    """The path of a model without the version or label that it names: one bundle is all of them."""
    return _ONE_OF.sub(r"\1", path)


def routes_of(service: Service) -> dict[str, dict[str, Route]]:
    """The routes by path and method."""
    routes: dict[str, dict[str, Route]] = {}

    def add(method: str, path: str, handler: Any, access: Any = "read") -> None:
        routes.setdefault(path, {})[method] = Route(handler, path, access)

    add("GET", "/healthz", _healthy, "open")
    add("GET", "/readyz", _ready, "open")
    add("GET", "/metrics", _metrics)
    add("GET", "/openapi.json", _document)
    add("POST", "/v1/recommend", answers.recommend)
    add("POST", "/v1/similar", answers.similar)
    add("POST", "/v1/score", answers.score)
    add("POST", "/v1/embed", answers.embed)
    add("POST", "/v1/candidates", change_routes.change, "write")
    add("POST", "/v1/events", change_routes.events, "write")
    add("POST", "/v1/impressions", change_routes.impressions, "write")
    model = f"{MODELS}{service.loaded.name}"
    add("GET", model, predict.status)
    add("GET", f"{model}/metadata", predict.metadata)
    add("POST", f"{model}:predict", predict.predict)
    if service.settings.page:
        add("GET", "/v1/card", lookups.card)
        add("GET", "/v1/queries", lookups.queries)
        add("GET", "/v1/candidates", lookups.candidates)
        add("GET", "/v1/history", lookups.history)
        add("GET", "/v1/map", lookups.mapped)
        for path, answer in page.files(service.settings.items, service.settings.people).items():
            routes[path] = {"GET": Route(answer, "page", "open")}
    return routes
