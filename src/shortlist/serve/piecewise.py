"""Long JSON bodies, decoded in pieces of about a tenth of a millisecond: between two of them other threads have a turn.

A decoder that is called once for a body of a megabyte keeps the interpreter for ten milliseconds, in which the event loop
answers nobody.
"""

from __future__ import annotations

import math
import re
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from shortlist.serve.duplicates import duplicate_key
from shortlist.serve.schema import LARGEST

__all__ = ["PIECE", "DuplicateKeyError", "check_range", "decode"]

PIECE = 16_384  # bytes that one call decodes; a single text may be longer
BLOCK = 65_536  # bytes whose structure one step finds, in half a millisecond
PLACES = 16_384  # brackets, commas and colons that one step looks at, in some hundredths of a millisecond

T = TypeVar("T")
_WHERE = re.compile(r"`\$([^`]*)`$")  # at the end of an error's text
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * len(str(LARGEST))  # digits that a larger integer has at least
_STRUCTURE = np.zeros(256, np.uint8)  # by character: whether it separates values
_STRUCTURE[list(b"[]{},:")] = 1
_STEP = np.zeros(256, np.int8)  # by character: how much deeper what follows it is
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


class DuplicateKeyError(ValueError):
    """A key that occurs twice in an object. ``path`` leads to it."""

    def __init__(self, path: str) -> None:
        super().__init__("duplicate key")
        self.path = path


def decode(
    kind: type[T],
    body: bytes,
    known: frozenset[str],
    pause: Callable[[], object],
    longest: Callable[[str], int] = lambda field: sys.maxsize,
) -> T:
    """The value of a body, as ``msgspec.json.decode`` has it; no key occurs twice in an object.

    1. The beginning is decoded by itself, so that a body that is wrong from there on costs no more than that.
    2. Brackets, commas and colons outside texts are found, by NumPy, which lets other threads run meanwhile.
    3. Arrays and objects longer than ``PIECE`` are cut at their commas, and each piece is decoded by itself. However the
       text is cut, all pieces are valid only if the whole is. One with too many values is refused before its first is
       decoded: what is not made need not be freed.

    Args:
        kind: the type.
        body: JSON.
        known: names that the path of a duplicate key may contain.
        pause: called between pieces.
        longest: values that a long array of a field may have; where the type says less, that holds.

    Raises:
        msgspec.DecodeError: for another text; a ValidationError has the path from the root.
        DuplicateKeyError: for a duplicate key.
        UnicodeDecodeError: for another encoding than UTF-8.
    """
    if len(body) <= PIECE:
        return _one(kind, body, known)  # type: ignore[no-any-return]
    _check_start(kind, body)
    return _Body(body, known, pause, longest).value(kind, 0, len(body), "$")  # type: ignore[no-any-return]


def _check_start(kind: type, body: bytes) -> None:
    """Raise the error of a body whose first piece has one; the piece does not end within a number or a word."""
    start = body[: max(body.rfind(one, 0, PIECE) for one in (b",", b"[", b"{", b" ", b"\n")) + 1]
    try:
        _decoder(kind).decode(start)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        if start and "truncated" not in str(error):
            raise


class _Container(NamedTuple):
    """How a type takes an array or an object.

    Attributes:
        origin: list, dict, or a struct's class.
        key: the type of a dict's keys.
        item: the type of values; None for a struct.
        longest: values at most, None for any number.
        empty: JSON that stands for it while its values are decoded elsewhere.
    """

    origin: type
    key: Any
    item: Any
    longest: int | None
    empty: bytes


class _Body:
    """A body with its structure.

    Args:
        body: JSON.
        known: names that paths may contain.
        pause: called between pieces.
        longest: values that a long array of a field may have.
    """

    def __init__(
        self, body: bytes, known: frozenset[str], pause: Callable[[], object], longest: Callable[[str], int]
    ) -> None:
        self._body, self._known, self._pause, self._longest = body, known, pause, longest
        characters, depth, at = np.frombuffer(body, np.uint8), 0, 0
        blocks = list(_structure(body, pause))
        count = sum(map(len, blocks))
        self._places, self._marks = np.empty(count, np.int64), np.empty(count, np.uint8)
        self._depths = np.empty(count, np.int32)  # of brackets the depth around them
        for places in blocks:
            pause()
            some = slice(at, at + len(places))
            self._places[some], self._marks[some] = places, characters[places]
            steps = _STEP[self._marks[some]]
            after = np.cumsum(steps, dtype=np.int32) + np.int32(depth)
            self._depths[some] = after - (steps > 0)
            depth, at = int(after[-1]) if len(after) else depth, some.stop

    def value(self, kind: Any, start: int, stop: int, path: str, field: str = "") -> Any:
        """The value of a part of the body; of a field of an object, with its name."""
        opening = self._opening(start, stop)
        if stop - start <= PIECE or opening is None:
            return self._one(kind, self._body[start:stop], path)
        first = self._places[opening]
        mark = self._body[first : first + 1]
        container, closing = _container(kind, mark), self._closing(opening, stop)
        if container is None or closing is None or not self._body[first + 1 : self._places[closing]].strip():
            return self._one(kind, self._body[start:stop], path)
        if self._body[self._places[closing] + 1 : stop].strip():
            raise msgspec.DecodeError("JSON is malformed: something follows a value")
        if container.origin is list:
            longest = self._longest(field)
            if container.longest is None or longest < container.longest:
                container = container._replace(longest=longest)
            return self._list(container, opening, closing, path)
        if container.origin is dict:
            return self._dict(container, opening, closing, path)
        return self._struct(container.origin, opening, closing, path)

    def _opening(self, start: int, stop: int) -> int | None:
        """The number of the bracket that a part begins with; None if it begins with something else."""
        number = int(np.searchsorted(self._places, start))
        if number == len(self._places) or self._places[number] >= stop or self._marks[number] not in b"[{":
            return None
        return None if self._body[start : self._places[number]].strip() else number

    def _closing(self, opening: int, stop: int) -> int | None:
        """The number of the bracket that closes another one before ``stop``; None if there is none."""
        depth = self._depths[opening]
        for inner in self._steps(opening + 1, int(np.searchsorted(self._places, stop))):
            same = (self._depths[inner] == depth) & (_STEP[self._marks[inner]] < 0)
            if same.any():
                first: int = inner.start
                return first + int(np.argmax(same))
        return None

    def _commas(self, opening: int, closing: int, most: float = math.inf) -> NDArray[np.int64]:
        """Where the values between two brackets are separated; no more than a few from ``most`` on are looked for."""
        found, count, depth = [np.empty(0, np.int64)], 0, self._depths[opening] + 1
        for inner in self._steps(opening + 1, closing):
            found.append(self._places[inner][(self._depths[inner] == depth) & (self._marks[inner] == ord(","))])
            count += len(found[-1])
            if count >= most:
                break
        return np.concatenate(found)

    def _steps(self, first: int, last: int) -> Iterator[slice]:
        """The numbers from ``first`` to ``last`` of brackets, commas and colons, some at a time, with a pause before each."""
        for start in range(first, last, PLACES):
            self._pause()
            yield slice(start, min(start + PLACES, last))

    def _groups(
        self, what: str, container: _Container, opening: int, closing: int, path: str
    ) -> Iterator[tuple[int, int, int, int]]:
        """Parts between two brackets that are no longer than a piece, or one value: its ends, the number of its first
        value, and how many values it has.

        Raises:
            msgspec.ValidationError: for more values than the type takes.
        """
        longest = math.inf if container.longest is None else container.longest
        commas = np.append(self._commas(opening, closing, longest), self._places[closing])
        if len(commas) > longest:
            raise msgspec.ValidationError(f"Expected `{what}` of length <= {container.longest} - at `{path}`")
        start, done = int(self._places[opening]) + 1, 0
        while done < len(commas):
            last = max(done, int(np.searchsorted(commas, start + PIECE, "right")) - 1)
            yield start, int(commas[last]), done, last + 1 - done
            start, done = int(commas[last]) + 1, last + 1

    def _list(self, container: _Container, opening: int, closing: int, path: str) -> list[Any]:
        found: list[Any] = []
        for start, stop, number, count in self._groups("array", container, opening, closing, path):
            if count == 1:
                found.append(self.value(container.item, start, stop, f"{path}[{number}]"))
                continue
            some = list[container.item]  # type: ignore[name-defined]
            found += self._one(some, b"[" + self._body[start:stop] + b"]", path, number, self._keys(start, stop))
        return found

    def _dict(self, container: _Container, opening: int, closing: int, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for start, stop, number, count in self._groups("object", container, opening, closing, path):
            if count == 1 and stop - start > PIECE:
                key, colon = self._key(container.key, start, stop, path)
                part = {key: self.value(container.item, colon + 1, stop, f"{path}[...]")}
            else:
                some = dict[container.key, container.item]  # type: ignore[name-defined]
                part = self._one(some, b"{" + self._body[start:stop] + b"}", path, keys=self._keys(start, stop))
            if len(part) < count:
                raise msgspec.DecodeError("JSON is malformed: a member is missing")
            found |= part
            if len(found) != number + count:
                raise DuplicateKeyError(f"{path}[…]")
        return found

    def _struct(self, kind: type, opening: int, closing: int, path: str) -> Any:
        """A struct: first without its long arrays and objects, then these."""
        hints, long, texts = _hints(kind), [], []
        commas = self._commas(opening, closing, len(hints) + 1)[
            : len(hints) + 1
        ]  # with more, one is unknown or occurs twice
        start = int(self._places[opening]) + 1
        ends = [*commas.tolist(), int(self._places[closing])][: len(hints) + 1]
        for stop in ends:
            text = self._body[start:stop]
            if len(text) > PIECE:
                key, colon = self._key(str, start, stop, path)
                inner = self._opening(colon + 1, stop)
                mark = b"" if inner is None else self._body[self._places[inner] : self._places[inner] + 1]
                container = _container(hints[key], mark) if key in hints else None
                if container is not None and container.empty:
                    long.append((key, colon + 1, stop))
                    text = self._body[start : colon + 1] + container.empty
            texts.append(text)
            start = stop + 1
        found = self._one(kind, b"{" + b",".join(texts) + b"}", path)
        for key, begin, stop in long:
            value = self.value(hints[key], begin, stop, f"{path}.{key}", key)
            msgspec.structs.force_setattr(found, key, value)
        return found

    def _key(self, kind: Any, start: int, stop: int, path: str) -> tuple[str, int]:
        """The key of a member of an object, and where its colon is."""
        number = int(np.searchsorted(self._places, start))
        colon = int(self._places[number]) if number < len(self._places) else stop
        if colon >= stop or self._marks[number] != ord(":"):
            raise msgspec.DecodeError("JSON is malformed: expected ':'")
        return self._one(kind, self._body[start:colon], path), colon

    def _keys(self, start: int, stop: int) -> int:
        """How many keys a part of the body has, however deep."""
        first, last = np.searchsorted(self._places, [start, stop])
        return int(np.count_nonzero(self._marks[first:last] == ord(":")))

    def _one(self, kind: Any, text: bytes, path: str, number: int = 0, keys: int = -1) -> Any:
        """The value of a text in one call.

        Args:
            kind: its type.
            text: JSON.
            path: where it is in the body.
            number: of an array's part, the number of its first value.
            keys: how many the text has; -1 where they were not counted.
        """
        self._pause()
        try:
            return _one(kind, text, self._known, keys)
        except msgspec.ValidationError as error:
            found = _WHERE.search(said := str(error))
            said = (
                f"{said} - at `{path}`"
                if found is None
                else f"{said[: found.start()]}`{_placed(path, found[1], number)}`"
            )
            raise msgspec.ValidationError(said) from None
        except DuplicateKeyError as error:
            raise DuplicateKeyError(_placed(path, error.path[1:], number)) from None


def _placed(path: str, rest: str, number: int) -> str:
    """A path within a part, as one within the body."""
    if number and rest.startswith("["):
        first, _, after = rest[1:].partition("]")
        return f"{path}[{int(first) + number}]{after}"
    return path + rest


def _one(kind: Any, text: bytes, known: frozenset[str], keys: int = -1) -> Any:
    """The value of a text. Reading it again for duplicate keys takes several times as long: only where there may be one.

    Args:
        keys: how many the text has, however deep; -1 where they were not counted.
    """
    value = _decoder(kind).decode(text)
    if _LONG in text.translate(_AS_ZEROS):
        check_range(value, "$")
    if b"{" not in text or _keys_of(value) == keys:
        return value
    twice = duplicate_key(text.decode(), known)
    if twice is not None:
        raise DuplicateKeyError(twice)
    return value


def check_range(value: Any, path: str) -> None:
    """Check that no integer of a decoded value is beyond 64 bits.

    Raises:
        msgspec.ValidationError: with the place of the first that is, in the words that msgspec has for its own bound.
    """
    if type(value) is int:
        if not -(2**63) <= value <= LARGEST:
            raise msgspec.ValidationError(f"Integer value out of range - at `{path}`")
    elif type(value) is list:
        for number, one in enumerate(value):
            check_range(one, f"{path}[{number}]")
    elif type(value) is dict:
        for one in value.values():
            check_range(one, f"{path}[...]")
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if name != "k":  # whose bound is a setting: the routes check it
                check_range(getattr(value, name), f"{path}.{name}")


def _keys_of(value: Any) -> int:
    """The keys of an object, or of the objects of an array; not of those within them."""
    if type(value) is dict:
        return len(value)
    return sum(len(one) for one in value if type(one) is dict) if type(value) is list else -2


def _structure(body: bytes, pause: Callable[[], object]) -> Iterator[NDArray[np.int64]]:
    """Where brackets, commas and colons outside texts are, by block."""
    inside = escaped = 0  # whether a block begins within a text, and with an escaped character
    for start in range(0, len(body), BLOCK):
        pause()
        characters = np.frombuffer(body, np.uint8, min(BLOCK, len(body) - start), start)
        quotes = characters == _QUOTE
        if escaped or body.find(b"\\", start, start + BLOCK) >= 0:
            after = _escaped(characters, escaped)
            quotes[after[after < len(characters)]] = False
            escaped = int(len(characters) in after[-1:])
        within = np.cumsum(quotes, dtype=np.uint8) + np.uint8(inside) & 1
        inside = int(within[-1])
        yield np.flatnonzero((_STRUCTURE[characters] != 0) & (within == 0)) + start


def _escaped(characters: NDArray[np.uint8], first: int) -> NDArray[np.int64]:
    """Where the characters are that follow a backslash which is none itself escaped; the last may be behind the end.

    Args:
        characters: of a part of a text.
        first: 1 if the first is escaped, else 0.
    """
    places = np.flatnonzero(characters == _BACKSLASH)
    if first:
        places = np.concatenate([[-1], places])  # the backslash before the part
    begun = np.maximum.accumulate(np.where(np.diff(places, prepend=-3) != 1, places, -1))
    after: NDArray[np.int64] = places[(places - begun) % 2 == 0] + 1
    return after


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _container(kind: Any, mark: bytes) -> _Container | None:
    """How a type takes what begins with a bracket; None where it does not."""
    members = _members(kind)
    for member in members:
        longest = None
        if get_origin(member) is Annotated:
            longest = next((one.max_length for one in get_args(member)[1:] if isinstance(one, Meta)), None)
            member = get_args(member)[0]
        origin = get_origin(member) or member
        if mark == b"[" and origin is list:
            return _Container(list, None, get_args(member)[0], longest, b"[]")
        if mark == b"{" and origin is dict:
            key, item = get_args(member)
            return _Container(dict, key, item, longest, b"{}")
        if mark == b"{" and isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            return _Container(origin, None, None, None, b"null" if type(None) in members else b"")
    return None


def _members(kind: Any) -> list[Any]:
    """The members of a union, and of those within it."""
    if get_origin(kind) in (Union, types.UnionType):
        return [inner for member in get_args(kind) for inner in _members(member)]
    return [kind]
