"""A key that comes twice in one object is refused by its path."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/recommend", b'{"queries":[{"id":"ann"}],"k":1,"k":2}', "$.k"),
        ("/v1/recommend", b'{"queries":[{"id":"ann"},{"id":"bob","id":"bob"}]}', "$.queries[1].id"),
        ("/v1/recommend", b'{"queries":[{"id":"ann"}],"k":1,"\\u006b":2}', "$.k"),
        ("/v1/recommend", b'{"queries":[{"features":{"canary":1,"canary":2}}]}', "$.queries[0].features[…]"),
        ("/v1/similar", b'{"candidates":["a"],"candidates":["b"]}', "$.candidates"),
        ("/v1/models/one:predict", b'{"instances":["ann"],"instances":["bob"]}', "$.instances"),
    ],
)
def test_a_key_that_comes_twice_is_refused(client: Any, path: str, body: bytes, field: str) -> None:
    reply = client.ask("POST", path, content=body)
    assert reply.status_code == 422, reply.text
    assert reply.json()["detail"] == "duplicate key in a JSON object."
    assert reply.json()["field"] == field
    assert "canary" not in reply.text


def test_the_same_key_in_two_objects_is_fine(client: Any) -> None:
    assert client.ask("POST", "/v1/recommend", content=b'{"queries":[{"id":"ann"},{"id":"ann"}]}').status_code == 200
