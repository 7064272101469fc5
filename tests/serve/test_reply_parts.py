"""Parts of a reply, and its bound, which counts the bytes that are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from tests.serve.paces import on_loop

from shortlist.serve import Settings
from shortlist.serve.problems import Problem
from shortlist.serve.reply_parts import STEP, ReplyMemory, ReplyParts
from shortlist.serve.settings import Limits


def test_parts_are_in_their_places() -> None:
    written = ReplyParts(3, ReplyMemory(100))
    written.put_each(2, ["é", 1], b'{"x":[', b"]}")
    written.put(0, {"a": None})
    written.put(1, [0.5])
    assert msgspec.json.encode(written.parts) == '[{"a":null},[0.5],{"x":["é",1]}]'.encode()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("size", [1, STEP])
def test_the_whole_reply_is_one_piece_of_memory(order: tuple[int, ...], size: int) -> None:
    """Parts in their order are not copied: the reply is a view of what was written."""
    written = ReplyParts(3, ReplyMemory(10 * STEP))
    for place in order:
        written.put(place, str(place) * size)
    whole = written.whole(lambda parts: {"results": parts, "bundle": "[]"})
    expected = {"results": [str(place) * size for place in range(3)], "bundle": "[]"}
    assert msgspec.json.decode(whole) == expected
    assert isinstance(whole, memoryview) is (size == STEP and order == (0, 1, 2))
    assert bytes(whole) == msgspec.json.encode(expected)


def test_long_replies_share_half_of_the_room_and_one_alone_has_all() -> None:
    """Of eight steps: one reply takes seven. Next to one of three, another has one, and its second is refused."""
    room = ReplyMemory(8 * STEP)
    first = ReplyParts(2, room)
    first.put(0, "x" * (3 * STEP))
    second = ReplyParts(2, room)
    second.put(0, "x" * (2 * STEP - 2))
    with pytest.raises(Problem) as refused:
        second.put(1, "x" * STEP)
    assert (refused.value.status, refused.value.reason, refused.value.retry_after) == (503, "room", 1)
    del second, refused
    first.put(1, "x" * (4 * STEP))
    assert room.total == 7 * STEP
    del first
    assert room.total == 0
    short = ReplyParts(1, room)
    short.put(0, "x" * (STEP - 2))
    assert room.total == 0


def test_the_bound_counts_bytes() -> None:
    """Five letters of two bytes, and two quotes, are twelve."""
    written = ReplyParts(1, ReplyMemory(12))
    written.put(0, "é" * 5)
    with pytest.raises(Problem, match="at most 12 are sent"):
        written.put(0, "")


def test_what_is_beyond_the_bound_is_not_made() -> None:
    made = []

    def values() -> Iterator[str]:
        for number in range(1000):
            made.append(number)
            yield "x" * 8  # ten bytes and a comma

    with pytest.raises(Problem):
        ReplyParts(1, ReplyMemory(35)).put_each(0, values(), b"[", b"]")
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("path", "body", "few"),
    [
        ("recommend", {"k": 4, "exclude_seen": False}, 60),
        ("recommend", {"k": 4, "exclude_seen": False, "columns": ["full_name"]}, 200),
        ("score", {"candidates": ["a", "b", "c", "d"]}, 20),
        ("embed", {}, 8),
        ("models/one:predict", {}, 16),
    ],
)
def test_every_reply_has_the_bound(clients: Callable[..., Any], path: str, body: dict[str, Any], few: int) -> None:
    """``few`` bytes are less than one query's part; a server with the usual bound answers."""
    asked = {"instances": ["ann"]} if "predict" in path else {"queries": [{"id": "ann"}], **body}
    assert clients().post(f"/v1/{path}", asked).status_code == 200
    small = clients(Settings(limits=Limits(unsent=few, wait_seconds=100.0)))
    reply = small.post(f"/v1/{path}", asked)
    assert reply.status_code == 422
    assert f"at most {few} are sent" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("score", {"queries": [{"id": "ann"}] * 100, "candidates": ["a"] * 1_000}),
        ("embed", {"queries": [{"id": "ann"}] * 256}),
        ("embed", {"candidates": ["a"] * 256}),
        ("recommend", {"queries": [{"id": "ann"}] * 256, "k": 4, "columns": ["kind", "stock", "what", "full_name"]}),
        ("similar", {"candidates": ["a"] * 256, "k": 3, "columns": ["kind", "stock", "what", "full_name"]}),
    ],
)
def test_long_replies_are_not_written_on_the_event_loop(
    client: Any, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    """The first is of 100,000 values; where a part is short, that a few hundred of them are put together counts."""
    monkeypatch.setattr("shortlist.serve.batching.WRITTEN", 100)
    monkeypatch.setattr("shortlist.serve.service.LIGHT", 100)
    seen: list[bool] = []
    for name in ("put", "put_each", "put_numbers"):
        real = getattr(ReplyParts, name)
        monkeypatch.setattr(
            ReplyParts, name, lambda self, *arguments, real=real: (seen.append(on_loop()), real(self, *arguments))[1]
        )
    assert client.post(f"/v1/{path}", body).status_code == 200
    assert seen
    assert not any(seen)


def test_others_have_turns_while_a_long_part_is_written() -> None:
    """1,000 values one by one: after each 200; 5,000 numbers: before all but the first 2,000. The text is the same."""
    pauses: list[int] = []
    parts = ReplyParts(2, ReplyMemory(1 << 20, lambda: pauses.append(1)))
    parts.put_each(0, [{"a": one} for one in range(1000)], b"[", b"]")
    assert len(pauses) == 5
    numbers = [None, *(one / 8 for one in range(4999))]
    parts.put_numbers(1, numbers, b'{"scores":[', b"]}")
    assert len(pauses) == 7
    assert [msgspec.json.decode(part) for part in parts.parts] == [
        [{"a": one} for one in range(1000)],
        {"scores": numbers},
    ]
    assert parts.size == sum(len(bytes(part)) for part in parts.parts) + 2  # a comma too many in each


def test_numbers_beyond_the_bound_are_not_written() -> None:
    parts = ReplyParts(1, ReplyMemory(70_000))
    with pytest.raises(Problem, match="70,000"):
        parts.put_numbers(0, list(range(1_000_000, 1_020_000)), b"[", b"]")
    assert len(parts._content) <= 70_000 + 64
    empty = ReplyParts(1, ReplyMemory(70_000))
    empty.put_numbers(0, [], b"[", b"]")
    assert [bytes(part) for part in empty.parts] == [b"[]"]
