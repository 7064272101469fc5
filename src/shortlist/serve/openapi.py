"""The OpenAPI document, made from the types that decode and encode, with an example of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shortlist._public import __version__
from shortlist.serve import schema
from shortlist.serve.predict import PredictRequest
from shortlist.serve.problems import TYPE, ProblemBody

if TYPE_CHECKING:
    from shortlist.serve.service import Service

__all__ = ["document"]


class _Operation(NamedTuple):
    method: str
    path: str
    summary: str
    takes: Any = None
    gives: Any = dict
    access: str = "read"
    parameters: Sequence[str] = ()


_POSTS = (
    _Operation("post", "/v1/recommend", "The k best candidates of each query.", schema.RecommendRequest,
               schema.RecommendReply),
    _Operation("post", "/v1/similar", "The candidates nearest to each given one.", schema.SimilarRequest,
               schema.RecommendReply),
    _Operation("post", "/v1/score", "The score of each candidate for each query.", schema.ScoreRequest,
               schema.ScoreReply),
    _Operation("post", "/v1/embed", "Vectors of queries or of candidates.", schema.EmbedRequest, schema.EmbedReply),
)  # fmt: skip
_WRITES = (
    _Operation("post", "/v1/candidates", "Upsert, delete and expire candidates.", schema.ChangeRequest,
               schema.ChangeReply, "write"),
    _Operation("post", "/v1/events", "Record new choices of queries.", schema.EventsRequest, dict, "write"),
)  # fmt: skip
_LOOKUPS = (
    _Operation("get", "/v1/card", "A description of the bundle."),
    _Operation("get", "/v1/queries", "Queries whose id begins with a text.", parameters=("text", "limit")),
    _Operation("get", "/v1/candidates", "Candidates whose name contains a text.", parameters=("text", "limit")),
    _Operation("get", "/v1/history", "The choices of a query.", parameters=("query",)),
    _Operation("get", "/v1/map", "The catalogue in two dimensions.", parameters=("column",)),
)
_HEALTH = (
    _Operation("get", "/healthz", "Whether the process lives.", access="open"),
    _Operation("get", "/readyz", "Whether it answers, and by which bundle.", access="open"),
)
_STATUSES = {
    "400": "Not JSON in UTF-8, or an incomplete body.",
    "401": "A key is needed.",
    "403": "This server is read-only.",
    "404": "The bundle does not have it.",
    "413": "The body is too long.",
    "415": "An unknown content-encoding.",
    "422": "The request does not fit; the reply names the field.",
    "501": "This needs `shortlist export`.",
    "503": "The server is overloaded; wait for the seconds in Retry-After.",
}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "text": {"schema": {"type": "string", "maxLength": 200}},
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    "query": {"schema": {"type": "string", "minLength": 1}, "required": True},
    "column": {"schema": {"type": "string"}},
}


def document(service: Service) -> dict[str, Any]:
    """The document of this server: its bundle's ids in the examples, and only the routes that it has."""
    model = f"/v1/models/{service.loaded.name}"
    operations = [
        *_HEALTH,
        *_POSTS,
        *_WRITES,
        *(_LOOKUPS if service.settings.page else ()),
        _Operation("get", model, "The model's state, as TensorFlow Serving has it."),
        _Operation("get", f"{model}/metadata", "What is asked and answered, as TensorFlow Serving has it."),
        _Operation("post", f"{model}:predict", "The ten best, as TensorFlow Serving has it.", PredictRequest),
    ]
    types = [one for operation in operations for one in (operation.takes, operation.gives) if one not in (None, dict)]
    types = [*dict.fromkeys([*types, ProblemBody])]
    shapes, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    shape_of = dict(zip(types, shapes, strict=True))
    examples = _examples(service)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _described(operation, shape_of, examples.get(operation.path))
        paths.setdefault(operation.path, {})[operation.method] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": f"shortlist: {service.loaded.name}", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: _Operation, shape_of: dict[Any, Any], example: Any) -> dict[str, Any]:
    problem = {TYPE: {"schema": shape_of[ProblemBody]}}
    reply = {"type": "object"} if operation.gives is dict else shape_of[operation.gives]
    responses: dict[str, Any] = {
        "200": {"description": "The answer.", "content": {"application/json": {"schema": reply}}}
    }
    if operation.access == "open":
        responses["503"] = {
            "description": "Not ready.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    else:
        responses |= {code: {"description": text, "content": problem} for code, text in _STATUSES.items()}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": f"{operation.method} {operation.path}",
        "responses": responses,
    }
    if operation.access != "open":
        described["security"] = [{"key": []}] if operation.access == "write" else [{}, {"key": []}]
    if operation.parameters:
        described["parameters"] = [{"name": name, "in": "query", **_PARAMETERS[name]} for name in operation.parameters]
    if operation.takes is not None:
        content: dict[str, Any] = {"schema": shape_of[operation.takes]}
        if example is not None:
            content["example"] = example
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _examples(service: Service) -> dict[str, Any]:
    loaded = service.loaded
    query, ids = loaded.about.example_query, loaded.state.candidate_ids.ids
    candidate = ids[0] if len(ids) else None
    column = loaded.about.columns[0]
    return {
        "/v1/recommend": {"queries": [{"id": query}], "k": 10, "columns": list(loaded.about.columns[1:3])},
        "/v1/similar": {"candidates": [candidate], "k": 10},
        "/v1/score": {"queries": [{"id": query}], "candidates": [candidate]},
        "/v1/embed": {"queries": [{"id": query}]},
        "/v1/candidates": {"upsert": [{column: candidate}]},
        "/v1/events": {"events": [{"query": query, "candidate": candidate}]},
        f"/v1/models/{loaded.name}:predict": {"instances": [query]},
    }
