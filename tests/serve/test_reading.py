"""What does not fit a request is named, and never repeated."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/recommend", {}, 422, "$"),
        ("/v1/recommend", {"queries": []}, 422, "$.queries"),
        ("/v1/recommend", {"queries": [{"id": 7}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": True}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": 1.5}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": "x" * 1025}]}, 422, "$.queries[0].id"),
        ("/v1/recommend", {"queries": [{"id": "ann", "canary": 1}]}, 422, "$.queries[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "canary": 1}, 422, "$"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 0}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": "3"}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 3.5}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 1001}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "k": 10**30}, 422, "$.k"),
        ("/v1/recommend", {"queries": [{"id": "ann"}] * 257}, 422, "$.queries"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "allow": [1]}, 422, "$.allow[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "deny": ["a"] * 10_001}, 422, "$.deny"),
        ("/v1/recommend", {"queries": [{"id": "ann", "exclude": ["a", 1]}]}, 422, "$.queries[0].exclude[1]"),
        ("/v1/recommend", {"queries": [{"id": "ann", "features": {"canary": 1}}]}, 422, "$.queries[0].features"),
        ("/v1/recommend", {"queries": [{"id": "ann", "history": [7]}]}, 422, "$.queries[0].history[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "columns": ["canary"]}, 422, "$.columns[0]"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "where": "canary = 1"}, 422, "$.where"),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "where": "stock ="}, 422, "$.where"),
        ("/v1/recommend", [], 422, "$"),
        ("/v1/similar", {"candidates": ["canary"]}, 404, "$.candidates[0]"),
        ("/v1/similar", {"candidates": []}, 422, "$.candidates"),
        ("/v1/embed", {}, 422, "$"),
        ("/v1/score", {"queries": [{"id": "ann"}], "candidates": [1]}, 422, "$.candidates[0]"),
        ("/v1/models/one:predict", {"instances": [{"canary": "x"}]}, 422, "$.instances[0]"),
        ("/v1/models/one:predict", {}, 422, "$"),
        ("/v1/models/one:predict", {"inputs": {"who": ["a"], "canary": []}}, 422, "$.inputs"),
    ],
)
def test_what_does_not_fit_is_named_and_never_repeated(
    client: Any, path: str, body: Any, status: int, field: str
) -> None:
    reply = client.post(path, body)
    assert reply.status_code == status, reply.text
    problem = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["field"] == field, problem
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert "canary" not in reply.text
