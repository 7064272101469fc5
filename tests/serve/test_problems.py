"""Problems: their bodies, and what msgspec says turned into words that repeat nothing of what came."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated

import msgspec
import pytest

from shortlist.serve import problems
from shortlist.serve.change_schema import ChangeRequest, EventsRequest, ImpressionsRequest
from shortlist.serve.http import decoded
from shortlist.serve.problems import Problem
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


def problem_of(kind: type, body: bytes, names: Collection[str] = ()) -> Problem:
    with pytest.raises(Problem) as error:
        decoded(kind, body, lambda: None, names)
    return error.value


@pytest.mark.parametrize(
    ("body", "status", "field", "detail"),
    [
        (b"{", 400, "$", "the body is not JSON in UTF-8: it ends too early."),
        (b'{"queries":[{"id":"canary}]}', 400, "$", "the body is not JSON in UTF-8: it ends too early."),
        (b"[]", 422, "$", "expected `object`, got `array`."),
        (b"{}", 422, "$", "object missing required field `queries`."),
        (b'{"queries":"canary"}', 422, "$.queries", "expected `array`, got `str`."),
        (b'{"queries":[],"canary":1}', 422, "$", "unknown field."),
        (b'{"queries":[{"canary":1}]}', 422, "$.queries[0]", "unknown field."),
        (b'{"queries":[],"k":0}', 422, "$.k", "a whole number of at least 1 was expected."),
        (b'{"queries":[],"k":-7}', 422, "$.k", "a whole number of at least 1 was expected."),
        (
            b'{"queries":[],"rerank":{"at_most":[{"column":"canary","most":1000000}]}}',
            422,
            "$.rerank.at_most[0].most",
            "a whole number of at most 100,000 was expected.",
        ),
        (b'{"queries":[{"features":{"canary":{}}}]}', 422, "$.queries[0].features[...]", None),
    ],
)
def test_a_body_that_does_not_fit_is_named_and_not_repeated(
    body: bytes, status: int, field: str, detail: str | None
) -> None:
    problem = problem_of(RecommendRequest, body)
    assert (problem.status, problem.field) == (status, field)
    assert detail is None or problem.detail == detail
    assert b"canary" not in problem.body(None)


@pytest.mark.parametrize(
    ("kind", "body", "hint"),
    [
        (EventsRequest, b'{"events":[],"canary":1}', "fields: events"),
        (EventsRequest, b"{}", "fields: events"),
        (EventsRequest, b"[]", "fields: events"),
        (EventsRequest, b'{"events":"canary"}', None),
        (RecommendRequest, b'{"queries":["canary"]}', "fields: id, features, history, exclude"),
        (EventsRequest, b'{"events":[{"canary":1}]}', "fields: query, candidate, at"),
        (RecommendRequest, b'{"queries":[{"id":1,"k":5}]}', "fields: id, features, history, exclude"),
        (
            RecommendRequest,
            b'{"queries":[{"exclud":[1]}]}',
            "did you mean 'exclude'? fields: id, features, history, exclude",
        ),
        (RecommendRequest, b'{"queries":[],"rerank":{"pin":[{"canary":1}]}}', "fields: place, id"),
        (ImpressionsRequest, b'{"impressions":[{"canary":1}]}', "fields: query, items, bundle, request, at"),
        (ChangeRequest, b'{"expire":[{"canary":1}]}', "fields: id, at"),
    ],
)
def test_an_unknown_field_is_told_those_of_its_object(kind: type, body: bytes, hint: str) -> None:
    assert problem_of(kind, body).hint == hint


RANGES = {  # by the type of a number: what is said of one that is out of range
    "rerank.diversify": "a number from 0 to 1 was expected.",
    "rerank.explore": "a number from 0 to 1 was expected.",
    "rerank.boost[0].factor": "a number from -100 to 100 was expected.",
    "expire[0].at": "Unix seconds from 0 to 100,000,000,000 were expected.",
    "events[0].at": "Unix seconds from 0 to 100,000,000,000 were expected.",
    "impressions[0].at": "Unix seconds from 0 to 100,000,000,000 were expected.",
    "impressions[0].items[0].propensity": "a number above 0 and at most 1 was expected.",
    "queries[0].features.age": "a number that fits into 64 bits was expected.",
    "upsert[0].year": "a number that fits into 64 bits was expected.",
}
BODIES: dict[str, tuple[type, str]] = {
    "rerank.diversify": (RecommendRequest, '{"queries":[],"rerank":{"diversify":%s}}'),
    "rerank.explore": (RecommendRequest, '{"queries":[],"rerank":{"explore":%s}}'),
    "rerank.boost[0].factor": (RecommendRequest, '{"queries":[],"rerank":{"boost":[{"where":"a","factor":%s}]}}'),
    "expire[0].at": (ChangeRequest, '{"expire":[{"id":1,"at":%s}]}'),
    "events[0].at": (EventsRequest, '{"events":[{"query":1,"candidate":1,"at":%s}]}'),
    "impressions[0].at": (ImpressionsRequest, '{"impressions":[{"query":1,"items":[],"at":%s}]}'),
    "impressions[0].items[0].propensity": (
        ImpressionsRequest, '{"impressions":[{"query":1,"items":[{"candidate":1,"propensity":%s}]}]}'
    ),
    "queries[0].features.age": (RecommendRequest, '{"queries":[{"features":{"other":1,"age":%s}}]}'),
    "upsert[0].year": (ChangeRequest, '{"upsert":[{"film":1,"year":%s}]}'),
}  # fmt: skip


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e308", "1700000000000", "-1000"])
@pytest.mark.parametrize("field", RANGES)
def test_a_number_out_of_range_is_told_the_range(field: str, number: str) -> None:
    kind, body = BODIES[field]
    if "." in field and field.rpartition(".")[2] in ("age", "year") and "400" not in number:
        return  # any number of 64 bits
    problem = problem_of(kind, (body % number).encode(), frozenset({"age", "year"}))
    assert (problem.status, problem.field, problem.detail) == (422, f"$.{field}", RANGES[field])


def test_a_column_is_named_and_another_key_is_not() -> None:
    body = b'{"upsert":[{"film":1},{"film":1,"%s":18446744073709551616}]}'
    assert problem_of(ChangeRequest, body % b"year", frozenset({"year"})).field == "$.upsert[1].year"
    assert problem_of(ChangeRequest, body % b"canary", frozenset({"year"})).field == "$.upsert[1][...]"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", ": it is empty."),
        (b'{"queries":[],}', ": trailing comma in object (byte 14)."),
        (b'{"queries":[1e]}', ": invalid number (byte 14)."),
        (b'{"queries":[],"k":NaN}', ": JSON has no NaN and no infinity (byte 18)."),
        (b'{"queries":[],"k":-Infinity}', ": JSON has no NaN and no infinity (byte 19)."),
        (b'\xef\xbb\xbf{"queries":[]}', ": it begins with a byte order mark."),
        (b'{"queries":[{"id":"\\ud800"}]}', ": a surrogate has no pair."),
        (b'{"queries":[{"id":"\xff"}]}', ": a text is not UTF-8."),
    ],
)
def test_what_is_no_json_is_told_why_and_where(body: bytes, cause: str) -> None:
    problem = problem_of(RecommendRequest, body)
    assert (problem.status, problem.detail) == (400, f"the body is not JSON in UTF-8{cause}")


def test_of_a_long_body_no_place_is_named_that_is_one_of_a_piece() -> None:
    body = b'{"queries":[%s{"id":1,}]}' % (b'{"id":"%s"},' % (b"x" * 200) * 200)
    assert problem_of(RecommendRequest, body).detail == "the body is not JSON in UTF-8: trailing comma in object."


def test_an_error_describes_the_types_of_a_body_once_and_not_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """To describe them takes as long as some answers, and anybody may send a body with an unknown field again and again."""
    described: list[type] = []
    whole = problems.inspect.type_info
    monkeypatch.setattr(problems.inspect, "type_info", lambda kind: (described.append(kind), whole(kind))[1])

    class Fresh(msgspec.Struct, forbid_unknown_fields=True):
        k: Annotated[int, msgspec.Meta(ge=0, le=9)]
        inner: list[int]

    found = [problem_of(Fresh, body) for body in (b'{"x":1}', b'{"inn":1}', b'{"k":11,"inner":[]}', b"[]")]
    assert [one.status for one in found] == [422] * 4
    assert found[1].hint is not None
    assert "did you mean 'inner'?" in found[1].hint
    assert described == [Fresh]
