"""Framing: at most one reply to two framings, and who never finishes a request is cut off."""

from __future__ import annotations

import httpx
import pytest
from tests.serve.running import Running


@pytest.mark.parametrize(
    "content",
    [
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\nGET /x",
        b'POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{"a":}',
    ],
)
def test_at_most_one_reply_to_two_framings(server: Running, content: bytes) -> None:
    came = server.raw(content)
    assert came.count(b"HTTP/1.1 ") <= 1
    assert b"200 OK" not in came
    assert httpx.get(f"{server.url}/healthz").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"POST /v1/recommend HT",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-length: 30\r\n\r\n{",
        b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_who_never_finishes_a_request_is_cut_off(server: Running, content: bytes) -> None:
    try:
        came = server.raw(content)
    except ConnectionResetError:
        came = b""
    assert b"200" not in came
