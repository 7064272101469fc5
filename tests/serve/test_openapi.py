"""The OpenAPI document is what the server does: schemathesis asks by it, and the answers are judged by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from shortlist.serve import Settings, routes
from shortlist.serve.openapi import document
from shortlist.serve.settings import Limits

WRITE = "w" * 20


def _ask(client: Any, document: Any, described: Any, cases: Any, statuses: set[int]) -> None:
    """Send some of the cases to one route, and hold each reply to the document."""

    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        sent = requests.Request(**case.as_transport_kwargs(base_url="http://test")).prepare()
        headers = {"content-type": "application/json", "x-api-key": WRITE}
        reply = client.ask(sent.method, sent.url, content=sent.body or b"", headers=headers)
        statuses.add(reply.status_code)
        assert str(reply.status_code) in described["responses"], (sent.url, sent.body, reply.text)
        content = described["responses"][str(reply.status_code)]["content"]
        (kind,) = content
        assert reply.headers["content-type"] == kind
        whole = {**content[kind]["schema"], "components": document["components"]}
        assert jsonschema_rs.is_valid(whole, reply.json()), reply.text

    ask()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_answers_as_the_document_says(
    clients: Callable[..., Any], tmp_path: Path, mode: GenerationMode
) -> None:
    """What fits the document, and what does not, gets a status that it names, in the form that it gives; never a 500."""
    client = clients(Settings(write_keys=(WRITE,), state=tmp_path, limits=Limits(body=1 << 16)))
    document = client.get("/openapi.json").json()
    asked: dict[str, set[int]] = {}
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        described = document["paths"][operation.path][operation.method]
        brings = described.get("requestBody") or [
            one for one in described.get("parameters", ()) if one["in"] == "query"
        ]
        if mode is GenerationMode.NEGATIVE and not brings:
            continue
        statuses = asked.setdefault(operation.label, set())

        _ask(client, document, described, operation.as_strategy(generation_mode=mode), statuses)
    assert len(asked) >= 10
    assert any(200 in statuses for statuses in asked.values())
    assert any(statuses & {400, 422} for statuses in asked.values())


def test_its_examples_are_answered(client: Any) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    asked = 0
    for path, methods in paths.items():
        example = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in example and "key" not in methods["post"]["security"][0]:
            assert client.post(path.format(model="one"), example["example"]).status_code == 200, path
            asked += 1
    assert asked == 5


def test_it_names_every_route(client: Any) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    routes = {path for path, methods in client.app._routes.items() if "page" not in {m.label for m in methods.values()}}
    assert {path.replace("/one", "/{model}") for path in routes} - set(paths) == {"/metrics", "/openapi.json"}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(one)


def test_what_clients_are_made_from_is_typed_and_the_same_for_every_bundle(client: Any) -> None:
    """No object without a word on what it holds, no default that a generator would call required, no bundle's name."""
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for described in methods.values():
            schema = described["responses"]["200"]["content"]["application/json"]["schema"]
            assert schema.keys() == {"$ref"}, path
            assert described["operationId"].isidentifier()
            for one in described.get("requestBody", {}).get("content", {}).values():
                one.pop("example", None)
    for name, component in document["components"]["schemas"].items():
        for one in objects(component):
            assert one.get("type") != "object" or "properties" in one or "additionalProperties" in one, name
            assert "default" not in one
            assert set(one.get("required", ())) <= set(one.get("properties", one.get("required", ())))
    identifiers = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(set(identifiers)) == len(identifiers)
    item = document["components"]["schemas"]["Item"]
    assert item["required"] == ["id", "score"]
    source = 'model"; the fallback that filled the place, whose score is then a count; or "pinned" or "explored" by the rules.'
    assert item["properties"]["source"]["description"] == f'"{source} Default: "model".'
    assert item["description"] == "A candidate in a list."
    assert "Attributes:" not in json.dumps(document)
    text = json.dumps(document)
    assert client.app.service.loaded.bundle not in text
    assert '"one' not in text
    assert "/one" not in text


def test_the_document_is_made_once_for_a_bundle(client: Any, monkeypatch: Any) -> None:
    made = []
    monkeypatch.setattr(routes, "document", lambda service: made.append(1) or document(service))
    first, second = client.get("/openapi.json"), client.get("/openapi.json")
    assert first.content == second.content == msgspec.json.encode(document(client.app.service))
    assert made == [1]
