"""Problems: their bodies, and what msgspec says turned into words that repeat nothing of what came."""

from __future__ import annotations

import json

import msgspec
import pytest

from shortlist.serve.change_schema import EventsRequest
from shortlist.serve.problems import Problem, from_decoding
from shortlist.serve.schema import RecommendRequest


def test_a_body_leaves_out_what_is_not_known() -> None:
    body = json.loads(Problem(422, "at most 5 was expected.", "$.k", hint="ask for less").body("r-1"))
    assert body == {
        "title": "Unprocessable Entity" if body["title"].startswith("Unprocessable E") else "Unprocessable Content",
        "status": 422,
        "detail": "at most 5 was expected.",
        "field": "$.k",
        "hint": "ask for less",
        "request_id": "r-1",
    }
    assert json.loads(Problem(404, "gone.").body(None)) == {"title": "Not Found", "status": 404, "detail": "gone."}


def decoded(kind: type, body: bytes) -> Problem:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as error:
        msgspec.json.decode(body, type=kind)
    return from_decoding(error.value, "queries, k")


@pytest.mark.parametrize(
    ("body", "status", "field", "detail"),
    [
        (b"{", 400, "$", "the body is not JSON in UTF-8."),
        (b'{"queries":[{"id":"canary}]}', 400, "$", "the body is not JSON in UTF-8."),
        (b"[]", 422, "$", "expected `object`, got `array`."),
        (b"{}", 422, "$", "object missing required field `queries`."),
        (b'{"queries":"canary"}', 422, "$.queries", "expected `array`, got `str`."),
        (b'{"queries":[],"canary":1}', 422, "$", "unknown field."),
        (b'{"queries":[{"canary":1}]}', 422, "$.queries[0]", "unknown field."),
        (b'{"queries":[],"k":0}', 422, "$.k", "a whole number of at least 1 was expected."),
        (b'{"queries":[],"k":-7}', 422, "$.k", "a whole number of at least 1 was expected."),
        (b'{"queries":[],"k":1000000}', 422, "$.k", "a whole number of at most 100,000 was expected."),
        (b'{"queries":[{"features":{"canary":{}}}]}', 422, "$.queries[0].features[...]", None),
    ],
)
def test_a_body_that_does_not_fit_is_named_and_not_repeated(
    body: bytes, status: int, field: str, detail: str | None
) -> None:
    problem = decoded(RecommendRequest, body)
    assert (problem.status, problem.field) == (status, field)
    assert detail is None or problem.detail == detail
    assert b"canary" not in problem.body(None)


def test_an_unknown_field_is_told_the_known_ones() -> None:
    assert decoded(EventsRequest, b'{"events":[],"canary":1}').hint == "fields: queries, k"
