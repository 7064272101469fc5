"""The OpenAPI document, made from the types that decode and encode, with an example of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shortlist._docstrings import described
from shortlist._public import __version__
from shortlist.serve import change_schema, schema, shapes
from shortlist.serve.predict import PredictRequest
from shortlist.serve.problems import TYPE, ProblemBody

if TYPE_CHECKING:
    from shortlist.serve.service import Service

__all__ = ["document"]


class _Operation(NamedTuple):
    """A route in the document.

    Attributes:
        name: its name in generated clients.
        access: "open" to all, "read" or "write" by key.
    """

    method: str
    path: str
    name: str
    summary: str
    gives: Any
    takes: Any = None
    access: str = "read"
    parameters: Sequence[str] = ()


_HEALTH = (
    _Operation("get", "/healthz", "alive", "Whether the process lives.", shapes.Alive, access="open"),
    _Operation("get", "/readyz", "ready", "Whether it answers, and by which bundle.", shapes.Ready, access="open"),
)
_POSTS = (
    _Operation("post", "/v1/recommend", "recommend", "The k best candidates of each query.", schema.RecommendReply,
               schema.RecommendRequest),
    _Operation("post", "/v1/similar", "similar", "The candidates nearest to each given one.", schema.RecommendReply,
               schema.SimilarRequest),
    _Operation("post", "/v1/score", "score", "The score of each candidate for each query.", schema.ScoreReply,
               schema.ScoreRequest),
    _Operation("post", "/v1/embed", "embed", "Vectors of queries or of candidates.", schema.EmbedReply,
               schema.EmbedRequest),
)  # fmt: skip
_WRITES = (
    _Operation("post", "/v1/candidates", "change_candidates", "Upsert, delete and expire candidates.",
               change_schema.ChangeReply, change_schema.ChangeRequest, "write"),
    _Operation("post", "/v1/events", "record_events", "Record new choices of queries.", shapes.EventsReply,
               change_schema.EventsRequest, "write"),
    _Operation("post", "/v1/impressions", "record_impressions", "Record lists as they were shown.",
               shapes.ImpressionsReply, change_schema.ImpressionsRequest, "write"),
)  # fmt: skip
_LOOKUPS = (
    _Operation("get", "/v1/card", "card", "A description of the bundle.", shapes.Card),
    _Operation("get", "/v1/queries", "find_queries", "Queries whose id begins with a text.", shapes.QueriesReply,
               parameters=("text", "limit")),
    _Operation("get", "/v1/candidates", "find_candidates", "Candidates whose name contains a text.",
               shapes.CandidatesReply, parameters=("text", "limit")),
    _Operation("get", "/v1/history", "history", "The choices of a query.", shapes.HistoryReply, parameters=("query",)),
    _Operation("get", "/v1/map", "map", "The catalogue in two dimensions.", shapes.MapReply, parameters=("column",)),
)  # fmt: skip
_MODEL = (
    _Operation("get", "/v1/models/{model}", "model_status", "The model's state, as TensorFlow Serving has it.",
               shapes.ModelStatus, parameters=("model",)),
    _Operation("get", "/v1/models/{model}/metadata", "model_metadata",
               "The model's inputs and outputs, as TensorFlow Serving has them.", shapes.ModelMetadata, parameters=("model",)),
    _Operation("post", "/v1/models/{model}:predict", "predict", "The ten best, as TensorFlow Serving has it.",
               shapes.PredictReply, PredictRequest, parameters=("model",)),
)  # fmt: skip
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
    "model": {"in": "path", "schema": {"type": "string"}, "required": True},
}


def document(service: Service) -> dict[str, Any]:
    """The document of this server: its bundle's ids in the examples, and only the routes that it has.

    The part that clients are generated from is the same for every bundle.
    """
    operations = [
        *_HEALTH,
        *_POSTS,
        *_WRITES,
        *(_LOOKUPS if service.settings.page else ()),
        *_MODEL,
    ]
    types = [one for operation in operations for one in (operation.takes, operation.gives) if one is not None]
    types = [*dict.fromkeys([*types, ProblemBody])]
    found, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    shape_of = dict(zip(types, found, strict=True))
    for component in components.values():
        _describe_properties(component)
        for shape in component.get("properties", {}).values():
            _say_default(shape)
    for kind in (schema.RecommendRequest, schema.SimilarRequest):
        components[kind.__name__]["properties"]["k"]["maximum"] = service.settings.limits.k
    examples = _examples(service)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _described(operation, shape_of, examples.get(operation.path))
        paths.setdefault(operation.path, {})[operation.method] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "shortlist", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: _Operation, shape_of: dict[Any, Any], example: Any) -> dict[str, Any]:
    problem = {TYPE: {"schema": shape_of[ProblemBody]}}
    reply = shape_of[operation.gives]
    responses: dict[str, Any] = {
        "200": {"description": "The answer.", "content": {"application/json": {"schema": reply}}}
    }
    if operation.access == "open":
        responses["503"] = {
            "description": "Not ready.",
            "content": {"application/json": {"schema": reply}},
        }
    else:
        responses |= {code: {"description": text, "content": problem} for code, text in _STATUSES.items()}
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.name,
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


def _describe_properties(component: dict[str, Any]) -> None:
    """Move descriptions of attributes from a type's docstring to its properties."""
    text, attributes = described(component.get("description"))
    for name, words in attributes.items():
        component["properties"][name]["description"] = words
    if attributes:
        component["description"] = text


def _say_default(shape: dict[str, Any]) -> None:
    """Put a default into words: a property with one is optional, but generators of clients would call it required."""
    if "default" in shape:
        text = f"Default: {msgspec.json.encode(shape.pop('default')).decode()}."
        shape["description"] = f"{shape['description']} {text}" if "description" in shape else text


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
        "/v1/impressions": {"impressions": [{"query": query, "items": [{"candidate": candidate}]}]},
        "/v1/models/{model}:predict": {"instances": [query]},
    }
