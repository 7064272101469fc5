"""Bodies decoded in pieces, against the same decoded at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.serve import piecewise
from shortlist.serve.change_schema import ChangeRequest, EventsRequest, ImpressionsRequest
from shortlist.serve.duplicates import duplicate_key
from shortlist.serve.http import NAMES
from shortlist.serve.piecewise import DuplicateKeyError, decode
from shortlist.serve.predict import PredictRequest
from shortlist.serve.schema import RecommendRequest, ScoreRequest
from shortlist.serve.settings import Limits

SHOWN = '{"impressions":[{"query":1,"items":[{"candidate":2,"shares":{'
KINDS = (RecommendRequest, ScoreRequest, ChangeRequest, EventsRequest, ImpressionsRequest, PredictRequest)
TEXTS = st.text(st.sampled_from('ab"\\[]{},:é\n '), max_size=12)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-1, 1), TEXTS)
IDS = st.lists(st.one_of(TEXTS, st.integers()), max_size=6)
QUERIES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.one_of(st.none(), TEXTS, st.integers()),
            "features": st.dictionaries(TEXTS, st.one_of(SCALARS, st.lists(SCALARS, max_size=4)), max_size=4),
            "history": st.one_of(st.none(), IDS),
            "exclude": IDS,
        },
    ),
    max_size=4,
)
RULES = st.fixed_dictionaries(
    {"boost": st.lists(st.fixed_dictionaries({"where": st.just("a = ','"), "factor": st.floats(-2, 2)}), max_size=5)}
)
ROWS = st.lists(st.dictionaries(TEXTS, SCALARS, max_size=4), max_size=4)
REQUESTS = st.one_of(
    st.fixed_dictionaries({"queries": QUERIES}, optional={"allow": IDS, "rerank": RULES, "columns": st.lists(TEXTS, max_size=4)}),
    st.fixed_dictionaries({"queries": QUERIES, "candidates": IDS}),
    st.fixed_dictionaries({}, optional={"upsert": ROWS, "delete": IDS, "other": IDS}),
    st.fixed_dictionaries({}, optional={"instances": st.one_of(IDS, ROWS)}),
    st.fixed_dictionaries({}, optional={"inputs": st.dictionaries(TEXTS, IDS, max_size=3)}),
)  # fmt: skip


def of_64_bits(text: str) -> int:
    if not -(2**63) <= int(text) < 2**64:
        raise ValueError("beyond 64 bits")
    return int(text)


def whole(kind: Any, body: bytes) -> Any:
    value, twice = msgspec.json.decode(body, type=kind), duplicate_key(body.decode(), NAMES)
    json.loads(body, parse_int=of_64_bits)
    if twice is not None:
        raise DuplicateKeyError(twice)
    return value


def outcome(read: Any, kind: Any, body: bytes) -> Any:
    """The value as text (true is not 1 there), or the kind of error."""
    try:
        return repr(read(kind, body))
    except DuplicateKeyError:
        return "twice"
    except (msgspec.DecodeError, ValueError):
        return "error"


@given(st.sampled_from(KINDS), REQUESTS, st.integers(1, 40), st.booleans())
def test_the_value_is_the_same(kind: Any, request_: Any, piece: int, spaced: bool) -> None:
    body = json.dumps(request_, separators=None if spaced else (",", ":"), indent=2 if spaced else None).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecewise, "PIECE", piece)
        patch.setattr(piecewise, "BLOCK", 1 + piece % 7)
        assert outcome(lambda *given: decode(*given, NAMES, lambda: None), kind, body) == outcome(whole, kind, body)


@given(st.sampled_from(KINDS), REQUESTS, st.integers(1, 40), st.data())
def test_a_text_is_valid_only_if_the_whole_is(kind: Any, request_: Any, piece: int, data: Any) -> None:
    """A character more, less or other, anywhere."""
    body = json.dumps(request_, separators=(",", ":")).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.sampled_from([b"", *(bytes([one]) for one in b'[]{},:"\\ 1x\xc3')]))
    body = body[:at] + other + body[at + data.draw(st.integers(0, 1)) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecewise, "PIECE", piece)
        patch.setattr(piecewise, "BLOCK", 1 + piece % 7)
        found, expected = (
            outcome(lambda *given: decode(*given, NAMES, lambda: None), kind, body),
            outcome(whole, kind, body),
        )
    assert found == expected or {found, expected} == {"twice", "error"}  # where it is wrong in two ways


@pytest.mark.parametrize(
    ("kind", "text", "path"),
    [
        (RecommendRequest, '{"queries":[{"id":1},{"id":2},{"id":[]}]}', "$.queries[2].id"),
        (RecommendRequest, '{"queries":[{"id":1},{"id":2,"exclude":["a","b",null]}]}', "$.queries[1].exclude[2]"),
        (RecommendRequest, '{"queries":[{"features":{"a":1,"b":{}}}]}', "$.queries[0].features[...]"),
        (RecommendRequest, '{"queries":[{"id":1}],"k":"x"}', "$.k"),
        (
            RecommendRequest,
            '{"queries":[{"id":1},{"exclude":["a",7,18446744073709551616]}]}',
            "$.queries[1].exclude[2]",
        ),
        (
            RecommendRequest,
            '{"queries":[{"features":{"a":1,"b":[18446744073709551616]}}]}',
            "$.queries[0].features[...][0]",
        ),
        (ChangeRequest, '{"upsert":[{"a":18446744073709551615},{"a":-18446744073709551616}]}', "$.upsert[1][...]"),
        (EventsRequest, '{"events":[{"query":1,"candidate":99999999999999999999}]}', "$.events[0].candidate"),
        (ChangeRequest, '{"upsert":[{"a":1},{"a":[1,2,3,{}]}]}', "$.upsert[1][...][3]"),
        (EventsRequest, '{"events":[{"query":1,"candidate":2},{"query":1}]}', "$.events[1]"),
        (
            ImpressionsRequest,
            SHOWN + ",".join(f'"s{one}":1' for one in range(33)) + "}}]}]}",
            "$.impressions[0].items[0].shares",
        ),
        (
            ImpressionsRequest,
            SHOWN + '"a":1,"b":"c"}}]}]}',
            "$.impressions[0].items[0].shares[...]",
        ),
        (
            ImpressionsRequest,
            SHOWN + '"a":1,"":2}}]}]}',
            "key` in `$.impressions[0].items[0].shares",
        ),
    ],
)
def test_an_error_has_its_path_from_the_root(monkeypatch: pytest.MonkeyPatch, kind: Any, text: str, path: str) -> None:
    for piece in (4, 12, 24, 1000):
        monkeypatch.setattr(piecewise, "PIECE", piece)
        with pytest.raises(msgspec.ValidationError, match=re.escape(f" - at `{path}`") + "$"):
            decode(kind, text.encode(), NAMES, lambda: None)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"queries":[{"id":1},{"id":2,"id":3}]}', "$.queries[1].id"),
        ('{"queries":[{"features":{"a":1,"b":2,"a":3}}]}', "$.queries[0].features[…]"),
        ('{"queries":[],"k":1,"k":2}', "$.k"),
    ],
)
def test_a_duplicate_key_has_its_path_from_the_root(monkeypatch: pytest.MonkeyPatch, text: str, path: str) -> None:
    for piece in (4, 12, 24, 1000):
        monkeypatch.setattr(piecewise, "PIECE", piece)
        with pytest.raises(DuplicateKeyError) as caught:
            decode(RecommendRequest, text.encode(), NAMES, lambda: None)
        assert caught.value.path == path


def outside_texts(body: bytes) -> list[int]:
    """Where brackets, commas and colons outside texts are, character by character."""
    found, within, escaped = [], False, False
    for place, character in enumerate(body.decode("latin-1")):
        quote = character == '"' and not escaped
        escaped = character == "\\" and not escaped
        within ^= quote
        if not within and character in "[]{},:":
            found.append(place)
    return found


@given(st.text(st.sampled_from('ab"\\[]{},:'), max_size=40), st.integers(1, 8))
def test_the_structure_is_the_same_however_it_is_cut(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piecewise, "BLOCK", block)
        found = [int(one) for part in piecewise._structure(text.encode(), lambda: None) for one in part]
    assert found == outside_texts(text.encode())


def test_no_piece_is_longer_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """900 kB of ids, features and columns: the longest text that one call reads is a piece and two brackets."""
    query = {
        "id": "1",
        "exclude": [str(one) for one in range(9000)],
        "features": {f"f{one}": one for one in range(9000)},
    }
    body = json.dumps({"queries": [query] * 4, "columns": ["title"] * 9000, "other": 1}).encode()
    lengths, pauses, steps = [], [], []
    plain, cut = piecewise._one, piecewise._Body._steps

    def noted(kind: Any, text: bytes, known: frozenset[str], keys: int = -1) -> Any:
        lengths.append(len(text))
        return plain(kind, text, known)

    def seen(of: Any, first: int, last: int) -> Iterator[slice]:
        for one in cut(of, first, last):
            steps.append(one.stop - one.start)
            yield one

    monkeypatch.setattr(piecewise, "_one", noted)
    monkeypatch.setattr(piecewise._Body, "_steps", seen)
    with pytest.raises(msgspec.ValidationError, match="unknown field `other`"):
        decode(RecommendRequest, body, NAMES, lambda: pauses.append(1))
    with pytest.raises(msgspec.ValidationError, match=r"Expected `array` of length <= 100 - at `\$.columns`"):
        decode(RecommendRequest, body.replace(b', "other": 1', b""), NAMES, lambda: pauses.append(1))
    blocks = -(-len(body) // piecewise.BLOCK)
    found = 2 * 2 * blocks  # two bodies, each looked at twice for brackets, commas and colons, and how deep they are
    assert len(pauses) == len(lengths) + found + len(steps)
    assert len(lengths) > 50
    assert max(lengths) <= piecewise.PIECE + 2
    assert max(steps) <= piecewise.PLACES
    assert len(steps) < 4 * len(lengths)


def test_of_more_values_than_a_list_takes_no_more_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found, plain = [], piecewise._Body._commas

    def commas(*given: Any) -> Any:
        found.append(len(plain(*given)))
        return plain(*given)

    monkeypatch.setattr(piecewise._Body, "_commas", commas)
    body = b'{"queries":[' + b",".join([b'{"id":"1"}'] * 84_000) + b"]}"
    with pytest.raises(msgspec.ValidationError, match=r"of length <= 256 - at `\$.queries`"):
        decode(RecommendRequest, body, NAMES, lambda: None, lambda field: 256)
    assert 256 <= max(found) <= piecewise.PLACES


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"queries": [{"id": "1"}], "columns": ["title"] * 84_000}, "$.columns"),
        ({"queries": [{}] * 84_000}, "$.queries"),
        ({"queries": [{"id": "1"}], "allow": ["1"] * 84_000}, "$.allow"),
        ({"queries": [{"id": "1", "exclude": ["1"] * 84_000}]}, "$.queries[0].exclude"),
        ({"queries": [{"id": "1", "features": {"a": [1] * 84_000}}]}, "$.queries[0].features[...]"),
    ],
)
def test_too_many_values_are_counted_and_none_is_made(monkeypatch: pytest.MonkeyPatch, body: Any, path: str) -> None:
    """Up to five calls of the decoder: the heads of the objects around the array, and none for what is in it."""
    lengths = []
    plain = piecewise._one

    def noted(kind: Any, text: bytes, known: frozenset[str], keys: int = -1) -> Any:
        lengths.append(len(text))
        return plain(kind, text, known)

    monkeypatch.setattr(piecewise, "_one", noted)
    with pytest.raises(msgspec.ValidationError, match=re.escape(path) + "`$"):
        decode(RecommendRequest, json.dumps(body).encode(), NAMES, lambda: None, Limits().array)
    assert len(lengths) <= 5
    assert sum(lengths) < 200


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"queries": 3' + b" " * 100_000, b"no JSON" * 20_000])
def test_a_body_that_is_wrong_from_the_start_is_looked_at_no_further(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Its error costs one piece; the structure of the rest is not searched for."""
    monkeypatch.setattr(piecewise, "_Body", None)
    with pytest.raises(msgspec.DecodeError):
        decode(RecommendRequest, body, NAMES, lambda: None)


@pytest.mark.parametrize(
    ("kind", "text", "reads"),
    [
        (
            ScoreRequest,
            '{"queries":[{"id":1}],"candidates":[' + ",".join(map(str, range(20_000))) + "]}",
            1,
        ),  # the rest
        (ChangeRequest, '{"upsert":[' + ",".join(f'{{"item":{one},"stock":3}}' for one in range(4000)) + "]}", 1),
        (ChangeRequest, '{"upsert":[' + ",".join(['{"item":1,"item":3}'] * 4000) + "]}", 2),  # and the first piece
        (ChangeRequest, '{"upsert":[{"item":"' + "x" * 60_000 + '"}]}', 1),
    ],
)
def test_only_a_piece_that_may_have_a_duplicate_key_is_read_twice(
    monkeypatch: pytest.MonkeyPatch, kind: Any, text: str, reads: int
) -> None:
    """Ids and texts have no keys, and rows that have as many members as keys have none twice."""
    read: list[str] = []
    monkeypatch.setattr(piecewise, "duplicate_key", lambda text, known: read.append(text) or duplicate_key(text, known))
    if reads == 2:
        with pytest.raises(DuplicateKeyError):
            decode(kind, text.encode(), NAMES, lambda: None)
    else:
        decode(kind, text.encode(), NAMES, lambda: None)
    assert len(read) == reads
