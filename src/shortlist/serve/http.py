"""Requests and replies as the routes see them, and the reading of bodies within their limits."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import msgspec

from shortlist.serve import change_schema, schema
from shortlist.serve.piecewise import DuplicateKeyError, decode
from shortlist.serve.problems import Problem, from_decoding
from shortlist.serve.settings import Limits

__all__ = [
    "CLOSE",
    "FIRST",
    "JSON",
    "NAMES",
    "Answer",
    "Decompression",
    "Headers",
    "Incoming",
    "Receive",
    "Reply",
    "Write",
    "decoded",
    "limit_of",
    "parameters",
    "plain_body",
    "read_body",
    "reply_head",
]

JSON = "application/json"
NAMES: frozenset[str] = frozenset().union(
    *(
        kind.__struct_fields__
        for kind in [*vars(schema).values(), *vars(change_schema).values()]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.forbid_unknown_fields
    )
)
"""The names of all that a request may hold; errors name no others."""

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Headers: TypeAlias = "Sequence[tuple[bytes, bytes]]"
Write: TypeAlias = "Callable[[int, Headers, bytes | memoryview], object]"
Answer: TypeAlias = "Callable[[Mapping[str, Any], Receive, Write], Coroutine[Any, Any, None]]"
LIMITS = Limits()
DECOMPRESSED = 131_072  # bytes that one step decompresses
COMPRESSED = 16_384  # bytes that it is given: a megabyte of empty blocks takes a tenth of a second and gives none
FIRST = b"HTTP/1.1 "  # every reply begins with it
CLOSE = (b"connection", b"close")  # the header of a connection's last reply
T = TypeVar("T")


class Incoming(NamedTuple):
    """A request whose body has arrived.

    Attributes:
        headers: names in small letters.
    """

    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


class Reply(NamedTuple):
    """A reply."""

    body: bytes | memoryview
    status: int = 200
    kind: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def decoded(
    kind: type[T],
    body: bytes,
    pause: Callable[[], object],
    names: Collection[str] = (),
    limits: Limits = LIMITS,
) -> T:
    """The body as a route's type; nothing is converted, and no key occurs twice.

    Args:
        kind: the type.
        body: JSON.
        pause: called between the pieces of a long body.
        names: columns that errors may name.
        limits: of a request.

    Raises:
        Problem: for anything else.
    """
    try:
        return decode(kind, body, _names(kind), pause, limits.array)  # type: ignore[arg-type]
    except DuplicateKeyError as error:
        raise Problem(422, "duplicate key in a JSON object.", error.path, hint="give each key once") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
        raise from_decoding(error, kind, body, names) from None


@cache
def _names(kind: type) -> frozenset[str]:
    """Names that an error about a body may hold."""
    return NAMES.union(getattr(kind, "__struct_fields__", ()))


def parameters(incoming: Incoming, *known: str) -> dict[str, str]:
    """The query string's parameters, each at most once.

    Raises:
        Problem: for others.
    """
    try:
        pairs = parse_qsl(incoming.query.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError:  # UnicodeError is one
        raise Problem(
            400, "the query string cannot be read.", "?", hint="percent-encoded UTF-8, name=value, joined by &"
        ) from None
    found = dict(pairs)
    if len(found) < len(pairs) or not set(found) <= set(known):
        raise Problem(422, "unknown or repeated parameter.", "?", hint=f"parameters: {', '.join(known) or 'none'}")
    return found


def limit_of(given: Mapping[str, str], standard: int, most: int) -> int:
    """The parameter ``limit``.

    Raises:
        Problem: unless it is a whole number in range.
    """
    text = given.get("limit", str(standard))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise Problem(422, f"a whole number from 1 to {most} was expected.", "?limit")
    return int(text)


def reply_head(status: int, headers: Headers, keep_alive: bool) -> bytes:
    """The head of a reply; ``CLOSE`` is added where the connection is not kept."""
    lines = [_status_line(status)]
    for one in headers:
        if one != CLOSE:
            lines += (one[0], b": ", one[1], b"\r\n")
    lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    return b"".join(lines)


@cache
def _status_line(status: int) -> bytes:
    return FIRST + f"{status} {HTTPStatus(status).phrase}\r\n".encode()


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], most: int, arrived: bytearray | None = None
) -> bytes:
    """The whole body, as it was sent.

    Args:
        receive: of ASGI.
        headers: of the request.
        most: bytes that it may have.
        arrived: the body, where nothing is left to be received.

    Raises:
        Problem: for one that is longer than ``most``, or incomplete.
    """
    length = headers.get(b"content-length", b"0")
    if len(length) > 18 or (length.isdigit() and int(length) > most):
        raise _too_long(most)
    if arrived is not None and len(arrived) <= most:
        return bytes(arrived)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise _too_long(most)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise Problem(
            400,
            "the connection was closed before the end of the body.",
            close=True,
            hint="send the number of bytes in content-length",
        )
    if len(body) > most:
        raise _too_long(most)
    return body


def plain_body(incoming: Incoming, first: int, most: int) -> bytes | Decompression:
    """The body of a request, decompressed; a ``Decompression`` of one that is longer than ``first`` bytes.

    Raises:
        Problem: for one that is longer than ``most``, incomplete, or compressed in another way.
    """
    coding = incoming.headers.get(b"content-encoding", b"").lower()
    if coding in (b"", b"identity"):
        return incoming.body
    begun = Decompression(incoming.body, coding, min(first, most), most)
    return begun.content if begun.whole else begun


class Decompression:
    """A compressed body: its first bytes at once, all of it where the caller can wait.

    Args:
        body: compressed.
        coding: the header content-encoding, in small letters.
        first: bytes that are decompressed at once, from as many.
        most: bytes that it may have.

    Attributes:
        content: its bytes so far.
        whole: whether that is all.

    Raises:
        Problem: for a body that is compressed in another way.
    """

    def __init__(self, body: bytes, coding: bytes, first: int, most: int) -> None:
        if coding not in (b"gzip", b"deflate"):
            raise Problem(415, "the body's content-encoding is not supported.", hint="gzip, deflate or none")
        self._reader = zlib.decompressobj(wbits=47 if coding == b"gzip" else 15)
        self._most = most
        self._left = memoryview(body)  # what the reader has not been given
        self.content = self._read(first, first)
        self.whole = self._ended and len(self.content) <= most

    def finish(self, pause: Callable[[], object]) -> bytes:
        """The whole body.

        Args:
            pause: called between its pieces.

        Raises:
            Problem: for one that is longer than it may be, incomplete, or compressed in another way.
        """
        parts, size = [self.content], len(self.content)
        while not self._reader.eof and size <= self._most and (parts[-1] or self._reader.unconsumed_tail or self._left):
            pause()
            parts.append(self._read(min(DECOMPRESSED, self._most + 1 - size), COMPRESSED))
            size += len(parts[-1])
        self.content = b"".join(parts)
        if len(self.content) > self._most:
            raise _too_long(self._most)
        if not self._ended:
            hint = "send one whole compressed stream"
            raise Problem(400, "the compressed body is incomplete, or more bytes follow it.", hint=hint)
        return self.content

    @property
    def _ended(self) -> bool:
        """Whether the compressed stream is over, and nothing follows it."""
        return self._reader.eof and not (self._reader.unused_data or self._left)

    def _read(self, most: int, given: int) -> bytes:
        """The next bytes, at most so many, from at most ``given``; none at the end of what was sent, or of these."""
        some: bytes | memoryview = self._reader.unconsumed_tail
        if not some:
            some, self._left = self._left[:given], self._left[given:]
        try:
            return self._reader.decompress(some, most)
        except zlib.error:
            raise Problem(
                400,
                "the body is not compressed as its content-encoding says.",
                hint="leave content-encoding out for a plain body",
            ) from None


def _too_long(most: int) -> Problem:
    return Problem(
        413,
        f"the body is longer than {most:,} bytes.",
        "$",
        close=True,
        hint="send less at a time, or start the server with a larger --max-body",
    )
