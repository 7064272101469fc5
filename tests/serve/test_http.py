"""Bodies as they come: torn, compressed, in another encoding; each gets one clear refusal."""

from __future__ import annotations

import asyncio
import gzip
import types
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from shortlist.serve import Settings, http
from shortlist.serve.http import NAMES, Decompression, read_body
from shortlist.serve.problems import Problem
from shortlist.serve.settings import Limits

GOOD = b'{"queries":[{"id":"ann"}]}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b'{"queries":[{"id":"\xc3\x28"}]}',
        b'{"queries":[{"id":"\\ud800"}]}',
        b'{"queries":[{"id":NaN}]}',
        b'{"queries":[{"id":Infinity}]}',
        b'{"queries":[{"id":1e999}]}',
        b'{"queries":[{"id":"ann"}],"k":1' + b"0" * 400 + b"}",
        b'{"queries":[{"id":123456789012345678901234567890}]}',
        b'{"queries":[{"id":"ann","features":{"x":1e400}}]}',
        b"[" * 100_000,
        b'{"queries":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"queries":[{"id":"ann","features":{"x":' + b"[" * 3_000 + b"]" * 3_000 + b"}}]}",
        GOOD + b"x",
        GOOD + b"\x00",
        b'{"queries":"ann"}',
    ],
    ids=range(18),
)
def test_bad_bodies_are_clear_refusals(client: Any, body: bytes) -> None:
    reply = client.ask("POST", "/v1/recommend", content=body)
    assert reply.status_code in (400, 422), reply.text
    assert reply.json()["detail"]
    assert reply.headers["content-type"] == "application/problem+json"


def test_compressed_bodies_are_read_and_bounded(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(body=10_000)))

    def send(content: bytes, coding: str) -> Any:
        return client.ask("POST", "/v1/recommend", content=content, headers={"content-encoding": coding})

    assert send(gzip.compress(GOOD), "gzip").status_code == 200
    assert send(zlib.compress(GOOD), "deflate").status_code == 200
    assert send(GOOD, "identity").status_code == 200
    assert send(gzip.compress(b" " * 5_000_000), "gzip").status_code == 413
    assert send(gzip.compress(GOOD)[:-4], "gzip").status_code == 400
    assert send(gzip.compress(GOOD) * 2, "gzip").status_code == 400
    assert send(GOOD, "gzip").status_code == 400
    assert send(GOOD, "br").status_code == 415


def test_a_long_body_is_decompressed_in_steps() -> None:
    """A megabyte: 4 KB at once, then eight steps of 128 KB, between which others have their turn."""
    pauses: list[int] = []
    begun = Decompression(gzip.compress(b" " * (1 << 20)), b"gzip", 4096, 1 << 20)
    assert not begun.whole
    assert begun.finish(lambda: pauses.append(1)) == b" " * (1 << 20)
    assert 8 <= len(pauses) <= 9


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(GOOD, mtime=0)[:10], gzip.compress(GOOD * 10_000, mtime=0)[:-20]]
)
def test_a_compressed_body_that_ends_early_is_told_so(content: bytes) -> None:
    with pytest.raises(Problem, match="incomplete"):
        Decompression(content, b"gzip", 8, 1 << 20).finish(lambda: None)


def test_errors_may_name_every_field_of_a_request() -> None:
    assert {"queries", "k", "history", "exclude", "where", "upsert", "expire", "at", "candidate"} <= NAMES
    assert "took_ms" not in NAMES


@pytest.mark.parametrize(("most", "status"), [(4, None), (3, 413)])
def test_a_body_that_has_arrived_is_not_received(most: int, status: int | None) -> None:
    async def receive() -> Mapping[str, Any]:
        raise AssertionError("nothing is left to receive")

    async def read() -> bytes:
        return await read_body(receive, {b"content-length": b"4"}, most, bytearray(b"body"))

    if status is None:
        assert asyncio.run(read()) == b"body"
    else:
        with pytest.raises(Problem) as refused:
            asyncio.run(read())
        assert refused.value.status == status


def test_a_compressed_body_of_nothing_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of blocks that are empty, and the body at its end: no call is given more than a step."""
    given: list[int] = []

    def watched(wbits: int) -> Any:
        reader = zlib.decompressobj(wbits)

        class Watched:
            def decompress(self, content: Any, most: int) -> bytes:
                given.append(len(content))
                return reader.decompress(content, most)

            def __getattr__(self, name: str) -> Any:
                return getattr(reader, name)

        return Watched()

    monkeypatch.setattr(http, "zlib", types.SimpleNamespace(decompressobj=watched, error=zlib.error))
    size = len(GOOD).to_bytes(2, "little")
    last = b"\x01" + size + bytes(255 - one for one in size) + GOOD + zlib.adler32(GOOD).to_bytes(4, "big")
    content = b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * 200_000 + last
    begun = Decompression(content, b"deflate", 4096, 1 << 20)
    assert (begun.content, begun.whole) == (b"", False)
    assert given == [4096]
    pauses: list[int] = []
    assert begun.finish(lambda: pauses.append(1)) == GOOD
    assert max(given) <= 16_384
    assert sum(given) == len(content)
    assert len(pauses) == len(given) - 1
    with pytest.raises(Problem, match="more bytes follow"):
        Decompression(content + b"x", b"deflate", 4096, 1 << 20).finish(lambda: None)
