"""Errors as RFC 9457 problems: they name the field, and never repeat the value."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import inspect

from shortlist.errors import nearest
from shortlist.serve.piecewise import check_range
from shortlist.serve.schema import Value

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
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"^Expected `[a-z0-9 |<>=.\-]+`(?:, got `[a-z]+`)?(?: of length [<>=]+ \d+)?$")
_BOUND = re.compile(r"^Expected `int` (>=|<=) (-?\d+)$")
_NUMBER = re.compile(r"^(?:Expected `float` [<>=]+ \S+|Number out of range|Integer value out of range)$")
_MISSING = re.compile(r"^Object missing required field `[a-z_]+`$")
_KEY = re.compile(r"\[[^\]\d.][^\]]*\]")
_STEPS = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_CAUSE = re.compile(r"^JSON is malformed: ([a-z0-9 ,'\-]+?)(?: \(byte (\d+)\))?$")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SHORT = 16_384  # bytes of a body up to which the byte of an error is that of the whole body


def from_decoding(error: Exception, kind: type, body: bytes, names: Collection[str] = ()) -> Problem:
    """The problem of a body that is not JSON (400), or does not fit the route (422).

    msgspec's own words are kept only when they have a form that holds nothing of the body.

    Args:
        error: from decoding.
        kind: the type of the body.
        body: what was decoded.
        names: columns that a path may contain.
    """
    if not isinstance(error, msgspec.ValidationError):
        return Problem(400, f"the body is not JSON in UTF-8{_cause(error, body)}.", "$", hint=f"{_DOCUMENT} the bodies")
    text = str(error)
    found = _WHERE.search(text)
    given = found["path"] if found else "$"
    path = _KEY.sub("[…]", _with_column(given, body, names))
    reason = _WHERE.sub("", text)
    if unknown := _UNKNOWN.match(reason):
        return Problem(422, "unknown field.", path, hint=_fields(types_at(kind, given), unknown[1]))
    if bound := _BOUND.match(reason):
        least = bound[1] == ">="
        return Problem(
            422, f"a whole number of {'at least' if least else 'at most'} {int(bound[2]):,} was expected.", path
        )
    if _NUMBER.match(reason):
        return Problem(422, _range(types_at(kind, given)), path)
    if _EXPECTED.match(reason) or _MISSING.match(reason):
        hint = _fields(types_at(kind, given), "") if "object" in reason.lower() else None
        return Problem(422, f"{reason[0].lower()}{reason[1:]}.", path, hint=hint)
    return Problem(422, "a value of another form was expected.", path, hint=f"{_DOCUMENT} the bodies")


_DOCUMENT = "GET /openapi.json describes"


def types_at(kind: type, path: str) -> list[inspect.Type]:
    """The types that a type takes at a path, such as ``$.queries[0].id``; none where it has no such path."""
    found = _info(kind)
    for name, number in _STEPS.findall(path):
        inner: list[inspect.Type] = []
        for one in found:
            if name and isinstance(one, inspect.StructType):
                inner += [field.type for field in one.fields if field.encode_name == name]
            elif number and isinstance(one, inspect.ListType):
                inner.append(one.item_type)
            elif not name and not number and isinstance(one, inspect.DictType):
                inner.append(one.value_type)
        found = [member for one in inner for member in _members(one)]
    return found


@cache
def _info(kind: type) -> list[inspect.Type]:
    """The types of a body, described once: that takes longer than an answer."""
    return _members(inspect.type_info(kind))


def _members(kind: inspect.Type) -> list[inspect.Type]:
    return [each for one in kind.types for each in _members(one)] if isinstance(kind, inspect.UnionType) else [kind]


def _fields(kinds: Sequence[inspect.Type], unknown: str) -> str | None:
    """A hint with the fields of an object, the nearest to an unknown one first."""
    known = [field.encode_name for one in kinds if isinstance(one, inspect.StructType) for field in one.fields]
    near = nearest(unknown[:100], known)
    listed = f"fields: {', '.join(known)}"
    return (f"did you mean {near!r}? {listed}" if near is not None else listed) if known else None


def _range(kinds: Sequence[inspect.Type]) -> str:
    """The numbers that are expected, as a sentence."""
    for kind in kinds:
        unit, one = "", kind
        if isinstance(kind, inspect.Metadata):
            unit, one = str((kind.extra or {}).get("unit", "")), kind.type
        if not isinstance(one, (inspect.IntType, inspect.FloatType)) or (
            isinstance(one, inspect.IntType) and _any(kinds)
        ):
            continue
        if one.le is None or (low := one.ge if one.gt is None else one.gt) is None:
            break
        noun = unit or ("a whole number" if isinstance(one, inspect.IntType) else "a number")
        return (
            f"{noun} {f'from {low:,} to' if one.gt is None else f'above {low:,} and at most'} {one.le:,} "
            f"{'were' if unit else 'was'} expected."
        ).replace(".0 ", " ")
    return "a number that fits into 64 bits was expected."


def _any(kinds: Sequence[inspect.Type]) -> bool:
    return any(isinstance(one, inspect.FloatType) for one in kinds)


def _cause(error: Exception, body: bytes) -> str:
    """Why a body is not JSON, and where, in words that hold nothing of it."""
    if not body.strip():
        return ": it is empty"
    if body.startswith(b"\xef\xbb\xbf"):
        return ": it begins with a byte order mark"
    if isinstance(error, UnicodeDecodeError):
        return ": a text is not UTF-8"
    if "truncated" in str(error):
        lone = body.rstrip()[-1:] in (b"}", b"]") and _SURROGATE.search(body)
        return ": a surrogate has no pair" if lone else ": it ends too early"
    found = _CAUSE.match(str(error))
    if found is None:
        return ""
    if found[2] is None or len(body) > _SHORT:
        return f": {found[1]}"
    at = int(found[2])
    number = re.match(rb"NaN|Inf", body[at : at + 4]) is not None
    return f": {'JSON has no NaN and no infinity' if number else found[1]} (byte {at:,})"


def _with_column(path: str, body: bytes, names: Collection[str]) -> str:
    """A path whose first key of a mapping is named, if it is a column."""
    before, mark, after = path.partition("[...]")
    if not mark or not names:
        return path
    try:
        part: Any = body
        for name, number in _STEPS.findall(before):
            part = (
                msgspec.json.decode(part, type=dict[str, msgspec.Raw])[name]
                if name
                else msgspec.json.decode(part, type=list[msgspec.Raw])[int(number)]
            )
        for name, value in msgspec.json.decode(part, type=dict[str, msgspec.Raw]).items():
            try:
                check_range(msgspec.json.decode(value, type=Value), "$")
            except msgspec.ValidationError:
                return f"{before}.{name}{after}" if name in names else path
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, RecursionError):
        pass
    return path


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
