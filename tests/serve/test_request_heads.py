"""The host of an absolute address, and heads of a form that the server does not take."""

from __future__ import annotations

import pytest

from shortlist.serve.request_heads import body_length, name_host, strange, without_upgrade

HOST = (b"host", b"localhost")


@pytest.mark.parametrize(
    ("url", "headers", "hosts"),
    [
        (b"/v1/queries", [HOST], [b"localhost"]),
        (b"http://evil.example/v1", [HOST], [b"evil.example"]),
        (b"HTTPS://evil.example:8000?a=1", [(b"accept", b"a"), HOST], [b"evil.example:8000"]),
        (b"http://evil.example/v1", [], []),
        (b"http://evil.example/v1", [HOST, HOST], [b"localhost", b"localhost"]),
        (b"/v1/recommend?next=http://evil.example/", [HOST], [b"localhost"]),
    ],
)
def test_an_absolute_address_names_the_host(url: bytes, headers: list[tuple[bytes, bytes]], hosts: list[bytes]) -> None:
    name_host(url, headers)
    assert [value for name, value in headers if name == b"host"] == hosts


@pytest.mark.parametrize(
    ("version", "url", "encodings", "status"),
    [
        ("1.1", b"/", [], None),
        ("1.0", b"/", [], None),
        ("1.1", b"/", [b" Chunked "], None),
        ("2.0", b"/", [], 505),
        ("1.1", b"/a#b", [], 400),
        ("1.1", b"/", [b"gzip, chunked"], 501),
        ("1.1", b"/", [b"gzip", b"chunked"], 501),
        ("1.0", b"/", [b"chunked"], 400),
    ],
)
def test_what_the_parser_takes_and_the_server_does_not(
    version: str, url: bytes, encodings: list[bytes], status: int | None
) -> None:
    problem = strange("POST", version, url, [(b"transfer-encoding", one) for one in encodings])
    assert (None if problem is None else problem.status) == status


@pytest.mark.parametrize(
    ("values", "length"), [([], 0), ([b"0"], 0), ([b"12"], 12), ([b"1", b"1"], 0), ([b"x"], 0), ([b"-1"], 0)]
)
def test_the_length_of_a_body_by_its_head(values: list[bytes], length: int) -> None:
    assert body_length([HOST, *((b"content-length", value) for value in values)]) == length


def test_a_head_without_its_wish_for_another_protocol() -> None:
    headers = [HOST, (b"upgrade", b"h2c"), (b"connection", b"Upgrade"), (b"upgrade", b"x")]
    head = without_upgrade("POST", b"/a?b=c", "1.0", headers)
    assert head == b"POST /a?b=c HTTP/1.0\r\nhost: localhost\r\nconnection: Upgrade\r\n\r\n"


def test_connect_is_no_method_of_this_server() -> None:
    problem = strange("CONNECT", "1.1", b"localhost:80", [HOST])
    assert problem is not None
    assert problem.status == 501
