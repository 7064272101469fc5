"""Heads that clients send again and again, byte for byte: the fields of such a head are kept, so that it is not parsed each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shortlist.serve.admission import is_plain

__all__ = ["HEAD_END", "Head", "KnownHeads"]

HEAD_END = b"\r\n\r\n"
LONGEST = 1024  # bytes of a head that is kept
MOST = 512  # heads that are kept: one for each length of a body, of each kind of client
ONCE = 4096  # heads of which it is known that they occurred: most of those that never occur again have an id of the request
READ = ("method", "path", "raw_path", "query_string")  # of a request's scope


class Head(NamedTuple):
    """The fields of a head.

    Attributes:
        size: its bytes, with the empty line.
        whole: its bytes, and those of its body.
        url: as it was sent.
        headers: names in small letters.
        scope: the keys of a request's scope that it settles.
    """

    size: int
    whole: int
    url: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    scope: Mapping[str, Any]


class KnownHeads:
    """The heads of requests in the most common form (``is_plain``) that have occurred twice, on any connection."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._once: set[int] = set()

    def of(self, data: bytes) -> Head | None:
        """The head of ``data``; None unless it is known, and ``data`` is the whole request."""
        head = self._known.get(data[: data.find(HEAD_END, 0, LONGEST) + len(HEAD_END)])
        return head if head is not None and head.whole == len(data) else None

    def keep(self, data: bytes, url: bytes, scope: Mapping[str, Any]) -> None:
        """Keep the head with which ``data`` begins, if it has occurred before.

        Args:
            data: bytes of a connection, few enough to be parsed in one piece.
            url: of the request.
            scope: of the request.
        """
        end = data.find(HEAD_END, 0, LONGEST)
        if end < 0:
            return
        head = data[: end + len(HEAD_END)]
        number = hash(head)
        if number not in self._once:
            if len(self._once) >= ONCE:
                self._once.clear()
            self._once.add(number)
        elif is_plain(data):
            if len(self._known) >= MOST:
                self._known.clear()
            read = {name: scope[name] for name in READ}
            self._known[head] = Head(len(head), len(data), url, tuple(scope["headers"]), read)
