"""Errors as RFC 9457 problems: they name the field, and never repeat the value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec

__all__ = ["Problem", "ProblemBody", "drop_traceback", "from_decoding"]

TYPE = "application/problem+json"


class ProblemBody(msgspec.Struct, omit_defaults=True):
    """The body of a reply that is an error.

    Attributes:
        field: where in the request, as a path.
        hint: what to do.
        fields: all places where the same is wrong, if there are several; ``field`` is the first.
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    field: str | None = None
    hint: str | None = None
    request_id: str | None = None
    fields: list[str] | None = None


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """A reply that is an error. Neither ``detail`` nor ``field`` may hold anything that a request brought.

    Args:
        status: of HTTP.
        detail: what is wrong, as a sentence.
        field: where in the request, as a path.
        hint: what to do.
        retry_after: seconds after which to send the request again.
        close: whether the connection ends with this reply.
        fields: all places where the same is wrong, if there are several.
        reason: of a 503, one of ``shortlist.serve.metrics.REASONS``.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        field: str | None = None,
        hint: str | None = None,
        retry_after: int | None = None,
        close: bool = False,
        fields: Sequence[str] = (),
        reason: str = "wait",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.hint = hint
        self.retry_after = retry_after
        self.close = close
        self.fields = fields
        self.reason = reason

    def body(self, request_id: str | None) -> bytes:
        """The reply's body."""
        return msgspec.json.encode(
            ProblemBody(
                HTTPStatus(self.status).phrase, self.status, self.detail, field=self.field, hint=self.hint,
                request_id=request_id, fields=list(self.fields) or None,
            )
        )  # fmt: skip


_WHERE = re.compile(r" - at `(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field")
_EXPECTED = re.compile(r"^Expected `[a-z0-9 |<>=.\-]+`(?:, got `[a-z]+`)?(?: of length [<>=]+ \d+)?$")
_BOUND = re.compile(r"^Expected `int` (>=|<=) (-?\d+)$")
_MISSING = re.compile(r"^Object missing required field `[a-z_]+`$")
_KEY = re.compile(r"\[[^\]\d.][^\]]*\]")


def from_decoding(error: Exception, known: str) -> Problem:
    """The problem of a body that is not JSON (400), or does not fit the route (422).

    msgspec's own words are kept only when they have a form that holds nothing of the body.

    Args:
        error: from decoding.
        known: the route's fields, for the hint about an unknown one.
    """
    if not isinstance(error, msgspec.ValidationError):
        return Problem(400, "the body is not JSON in UTF-8.", "$", hint="GET /openapi.json describes the bodies")
    text = str(error)
    found = _WHERE.search(text)
    path = _KEY.sub("[…]", found["path"]) if found else "$"
    reason = _WHERE.sub("", text)
    if _UNKNOWN.match(reason):
        return Problem(422, "unknown field.", path, hint=f"fields: {known}")
    if bound := _BOUND.match(reason):
        side = "at least" if bound[1] == ">=" else "at most"
        return Problem(422, f"a whole number of {side} {int(bound[2]):,} was expected.", path)
    if _EXPECTED.match(reason) or _MISSING.match(reason):
        return Problem(422, f"{reason[0].lower()}{reason[1:]}.", path)
    return Problem(422, "a value of another form was expected.", path)


def drop_traceback(error: BaseException) -> None:
    """Drop the traceback of an error that has been handled, and those of the errors behind it.

    The frames of a traceback hold the request, and often the error itself, through a future. Such cycles are freed when
    Python's collector runs, which a few large requests do not make it do.
    """
    one: BaseException | None = error
    while one is not None:
        before = one.__context__
        one.__traceback__ = one.__context__ = one.__cause__ = None
        one = before
