"""Requests and replies as the routes see them, and the reading of bodies within their limits."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec

from shortlist.serve import change_schema, schema
from shortlist.serve.duplicates import duplicate_key
from shortlist.serve.problems import Problem, from_decoding

__all__ = ["JSON", "NAMES", "Incoming", "Receive", "Reply", "decoded", "limit_of", "parameters", "read_body"]

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


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body as the route's type; nothing is converted, and no key occurs twice.

    Raises:
        Problem: for anything else.
    """
    fields: Any = getattr(decoder.type, "__struct_fields__", ())
    try:
        found, duplicate = decoder.decode(body), duplicate_key(body.decode(), NAMES.union(fields))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError) as error:
        raise from_decoding(error, ", ".join(fields)) from None
    if duplicate is not None:
        raise Problem(422, "duplicate key in a JSON object.", duplicate, hint="give each key once")
    return found


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
        raise Problem(422, "unknown or repeated parameter.", "?", hint=f"parameters: {', '.join(known)}")
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


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """The whole body, decompressed.

    Raises:
        Problem: for one that is longer than ``most``, before or after, or incomplete.
    """
    length = headers.get(b"content-length", b"0")
    if len(length) > 18 or (length.isdigit() and int(length) > most):
        raise _too_long(most)
    message = await receive()
    body = message.get("body", b"")
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
    coding = headers.get(b"content-encoding")
    return body if coding is None else _decompressed(body, coding, most)


def _decompressed(body: bytes, coding: bytes, most: int) -> bytes:
    if coding.lower() in (b"identity", b""):
        return body
    if coding.lower() not in (b"gzip", b"deflate"):
        raise Problem(415, "the body's content-encoding is not supported.", hint="gzip, deflate or none")
    reader = zlib.decompressobj(wbits=47 if coding.lower() == b"gzip" else 15)
    try:
        content = reader.decompress(body, most + 1)
    except zlib.error:
        raise Problem(
            400,
            "the body is not compressed as its content-encoding says.",
            hint="leave content-encoding out for a plain body",
        ) from None
    if len(content) > most:
        raise _too_long(most)
    if not reader.eof or reader.unused_data:
        raise Problem(
            400, "the compressed body is incomplete, or more bytes follow it.", hint="send one whole compressed stream"
        )
    return content


def _too_long(most: int) -> Problem:
    return Problem(
        413,
        f"the body is longer than {most:,} bytes.",
        "$",
        close=True,
        hint="send less at a time, or start the server with a larger --max-body",
    )
