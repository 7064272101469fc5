"""Heads of requests that are not answered: too long, not HTTP/1.1, or of a form that the server does not take."""

from __future__ import annotations

import re
import sys

import httptools

from shortlist.serve.problems import Problem

__all__ = [
    "LONGEST_HEAD",
    "LONGEST_URL",
    "MOST_LINES",
    "body_length",
    "long_head",
    "malformed",
    "name_host",
    "strange",
    "without_upgrade",
]

LONGEST_URL = 16_384  # bytes: an id of 1,024 characters of four bytes each, percent-encoded, has room
LONGEST_HEAD = (
    65_536  # bytes of all header lines; as many of what frames a body between two pieces of it, or follows it
)
MOST_LINES = 128  # header lines, trailers included

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_PARSER_ERRORS = (
    httptools.HttpParserError,
    httptools.HttpParserInvalidMethodError,
    httptools.HttpParserInvalidURLError,
)
_REQUEST_LINE = re.compile(rb"\r?\n?[A-Z]{1,32} /")


def strange(method: str, version: str, url: bytes, headers: list[tuple[bytes, bytes]]) -> Problem | None:
    """The problem of a head that the parser takes and the server does not answer."""
    if version not in ("1.0", "1.1"):
        return Problem(505, "HTTP/1.1 was expected.")
    if method == "CONNECT":
        return _unknown_method()
    if b"#" in url:
        return Problem(
            400, "the address has a fragment.", hint="leave out # and what follows; write # in values as %23"
        )
    encodings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if encodings and encodings != [b"chunked"]:
        return Problem(
            501, "chunked alone was expected as Transfer-Encoding.", hint="compress with Content-Encoding: gzip"
        )
    if encodings and version == "1.0":
        return Problem(400, "chunked bodies need HTTP/1.1.", hint="send a Content-Length")
    return None


def name_host(url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Puts the host of an absolute address in the place of the one Host header (RFC 9112, 3.2.2)."""
    if url.startswith(b"/"):
        return
    absolute = _ABSOLUTE.match(url)
    places = [place for place, (name, _) in enumerate(headers) if name == b"host"]
    if absolute is not None and len(places) == 1:
        headers[places[0]] = (b"host", absolute[1])


def body_length(headers: list[tuple[bytes, bytes]]) -> int:
    """The bytes of a body, by its head; 0 where there is none, or the head does not say."""
    lengths = [value for name, value in headers if name == b"content-length"]
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else 0


def without_upgrade(method: str, url: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A head as it was read, without the wish for another protocol."""
    lines = [b"%s %s HTTP/%s" % (method.encode(), url, version.encode())]
    lines += [name + b": " + value for name, value in headers if name != b"upgrade"]
    return b"\r\n".join((*lines, b"", b""))


def malformed(piece: bytes) -> Problem:
    """The problem of bytes that the parser has just refused, in its words, which repeat nothing of them."""
    error = sys.exc_info()[1]
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _REQUEST_LINE.match(piece):
        return _unknown_method()
    cause = f": {str(error).lower()}" if type(error) in _PARSER_ERRORS else ""
    return Problem(400, f"the request is not HTTP/1.1{cause}.", hint="RFC 9112 has its form")


def _unknown_method() -> Problem:
    return Problem(501, "the method is not known.", hint="GET, HEAD, POST or OPTIONS")


def long_head() -> Problem:
    """The problem of header lines that are too many or too long."""
    return Problem(
        431,
        f"the header lines are more than {MOST_LINES}, or longer than {LONGEST_HEAD:,} bytes.",
        hint="send fewer and shorter ones; cookies are not read here",
    )
