"""What the routes take and give: strictly decoded, with bounds, and sent without what is not set."""

from __future__ import annotations

import msgspec
import pytest

from shortlist.serve import schema
from shortlist.serve.piecewise import decode


def decoded(kind: type, text: str) -> object:
    return decode(kind, text.encode(), frozenset(), lambda: None)


def test_a_request_has_its_defaults() -> None:
    request = decoded(schema.RecommendRequest, '{"queries":[{"id":7},{"id":"7"},{}]}')
    assert isinstance(request, schema.RecommendRequest)
    assert [query.id for query in request.queries] == [7, "7", None]  # never converted
    assert (request.k, request.exclude_seen, request.exact, request.allow, request.where) == (
        10,
        True,
        False,
        None,
        None,
    )
    assert request.queries[0].history is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (schema.RecommendRequest, "{}"),
        (schema.RecommendRequest, '{"queries":[],"k":0}'),
        (schema.RecommendRequest, '{"queries":[],"k":1.5}'),
        (schema.RecommendRequest, '{"queries":[],"rerank":{"at_most":[{"column":"a","most":100001}]}}'),
        (schema.RecommendRequest, '{"queries":[],"k":"5"}'),
        (schema.RecommendRequest, '{"queries":[],"where":""}'),
        (schema.RecommendRequest, '{"queries":[],"other":1}'),
        (schema.RecommendRequest, '{"queries":[{"id":1.5}]}'),
        (schema.RecommendRequest, '{"queries":[{"id":true}]}'),
        (schema.RecommendRequest, f'{{"queries":[{{"id":{2**64}}}]}}'),
        (schema.RecommendRequest, f'{{"queries":[{{"id":{-(2**63) - 1}}}]}}'),
        (schema.RecommendRequest, f'{{"queries":[{{"id":"{"x" * 1025}"}}]}}'),
        (schema.RecommendRequest, '{"queries":[{"features":{"a":{}}}]}'),
        (schema.SimilarRequest, "{}"),
        (schema.ScoreRequest, '{"queries":[]}'),
    ],
)
def test_what_does_not_fit_is_refused(kind: type, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decoded(kind, text)


def test_the_ends_of_the_bounds_fit() -> None:
    decoded(
        schema.RecommendRequest,
        f'{{"queries":[{{"id":{-(2**63)}}},{{"id":{2**64 - 1}}},{{"id":"{"x" * 1024}"}}],"k":100000}}',
    )


def test_an_item_leaves_out_what_goes_without_saying() -> None:
    assert msgspec.json.encode(schema.Item("a", 1.5)) == b'{"id":"a","score":1.5}'
    filled = schema.Item("a", 3.0, "popularity", {"title": None})
    assert msgspec.json.encode(filled) == b'{"id":"a","score":3.0,"source":"popularity","columns":{"title":null}}'
