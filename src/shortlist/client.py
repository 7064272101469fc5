"""A client of ``shortlist serve`` for Python programs: typed lists in, errors as exceptions, refusals asked again.

It needs nothing but the base: no torch, no model, no HTTP library.
"""

from __future__ import annotations

import datetime
import http.client
import math
import operator
import ssl
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from shortlist._public import __version__
from shortlist.errors import ConfigError, ShortlistError, checked_list

__all__ = ["Client", "Item", "ServerError", "ServerList"]

Id = int | str
T = TypeVar("T")


class ServerError(ShortlistError):
    """A reply of the server that is an error, or no reply.

    Args:
        message: what the server said.
        hint: what to do.
        status: of HTTP; 0 where there was no reply.
        field: where in the request, as a path.
    """

    def __init__(self, message: str, hint: str | None = None, *, status: int = 0, field: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.field = field


class Item(msgspec.Struct, frozen=True):
    """A candidate in a list.

    Attributes:
        source: "model", the fallback that filled the place, or "pinned" or "explored" by rules.
        columns: those that were asked for.
        reason: why it is there, as the server has it, where it was asked for.
    """

    id: Id
    score: float
    source: str = "model"
    columns: dict[str, Any] | None = None
    reason: dict[str, Any] | None = None


class ServerList(msgspec.Struct, frozen=True):
    """The list of one query, best first.

    Attributes:
        id: of the query.
        known: whether training had any interaction of the query.
    """

    id: Id | None
    known: bool
    items: tuple[Item, ...]

    @property
    def ids(self) -> list[Id]:
        """The candidates' ids, best first."""
        return [item.id for item in self.items]

    @property
    def scores(self) -> list[float]:
        """The candidates' scores, in the same order."""
        return [item.score for item in self.items]


class _Lists(msgspec.Struct):
    results: list[ServerList]


class _Scores(msgspec.Struct):
    results: list[_ScoreRow]


class _ScoreRow(msgspec.Struct):
    scores: list[float | None]


class _Recorded(msgspec.Struct):
    recorded: int


class _Size(msgspec.Struct):
    candidates: int


class _Problem(msgspec.Struct):
    detail: str = ""
    hint: str | None = None
    field: str | None = None


class Client:
    """A server at an address. Any number of threads may use one client; each has a connection of its own.

    Args:
        url: of the server, such as "http://127.0.0.1:8080".
        key: an API key, where the server wants one.
        timeout: seconds until a reply must have begun.
        wait: seconds, at most, in which a request that the server refuses because it is overloaded is sent again.

    Raises:
        ConfigError: for anything but a URL of HTTP, a key of printable ASCII characters, and numbers of seconds. Every
            method raises it for arguments that no request can hold: a text in place of a list, NaN, bytes.

    Example:
        from shortlist.client import Client

        with Client("http://127.0.0.1:8080") as server:
            print(server.recommend(["42"], k=10)[0].ids)
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 10.0, wait: float = 5.0) -> None:
        self._parts = _address(url)
        if key is not None and not (isinstance(key, str) and _printable(key)):
            raise ConfigError(
                "Client got a key that no header can hold.", hint="printable ASCII characters, no line breaks"
            )
        for name, seconds in (("timeout", timeout), ("wait", wait)):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not math.isfinite(seconds):
                raise ConfigError(f"Client got {name}={seconds!r:.80}; a number of seconds was expected.")
        if timeout <= 0:
            raise ConfigError(f"Client got timeout={timeout!r}; a number above 0 was expected.")
        self._key = key
        self.timeout = timeout
        self.wait = wait
        self._own = threading.local()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._parts.geturl()!r})"

    def close(self) -> None:
        """Close this thread's connection; the next request opens another."""
        connection = getattr(self._own, "connection", None)
        if connection is not None:
            connection.close()

    def recommend(
        self,
        queries: Iterable[Id | Mapping[str, Any]],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        where: str | None = None,
        columns: Sequence[str] = (),
        rerank: Mapping[str, Any] | None = None,
        explain: bool = False,
    ) -> list[ServerList]:
        """The k best candidates of each query, best first; of no queries no lists, without asking.

        Args:
            queries: ids; or queries as the server has them: ``{"id": …, "features": …, "history": …, "exclude": …}``.
            k: the length of the lists.
            exclude_seen: leave out what each query chose before.
            where: a condition on the candidates' columns, in SQL.
            columns: of the candidates' table, to return with each item.
            rerank: rules for whole lists, as the server has them.
            explain: give a reason with each item.

        Raises:
            ServerError: for a request that the server refuses.
        """
        body = {
            "queries": [
                dict(one) if isinstance(one, Mapping) else {"id": _id(one, f"queries[{number}]")}
                for number, one in enumerate(checked_list(queries, "recommend(queries)", "ids or of queries"))
            ],
            "k": k,
            "exclude_seen": exclude_seen,
            "columns": checked_list(columns, "recommend(columns=)", "names"),
            "explain": explain,
        }
        if not body["queries"]:
            return []
        return self._read("/v1/recommend", body | _given(where=where, rerank=rerank), _Lists).results

    def similar(
        self, candidates: Iterable[Id], k: int = 10, *, where: str | None = None, columns: Sequence[str] = ()
    ) -> list[ServerList]:
        """The k most similar candidates of each candidate; arguments and errors as in ``recommend``."""
        names = checked_list(columns, "similar(columns=)", "names")
        body = {"candidates": _ids(candidates, "similar(candidates)"), "k": k, "columns": names}
        if not body["candidates"]:
            return []
        return self._read("/v1/similar", body | _given(where=where), _Lists).results

    def score(self, queries: Iterable[Id], candidates: Iterable[Id]) -> list[list[float | None]]:
        """The scores of the candidates for each query; None for one that the catalogue lacks."""
        asked = [{"id": one} for one in _ids(queries, "score(queries)")]
        body = {"queries": asked, "candidates": _ids(candidates, "score(candidates)")}
        if not asked:
            return []
        return [row.scores for row in self._read("/v1/score", body, _Scores).results]

    def record(self, events: Iterable[tuple[Id, Id]]) -> int:
        """Record choices, pairs of query and candidate; return how many are on the server's disk.

        A lost connection is not tried again, since the choices may have arrived.
        """
        pairs = [_pair(one, number) for number, one in enumerate(checked_list(events, "record(events)", "pairs"))]
        body = {"events": [{"query": query, "candidate": candidate} for query, candidate in pairs]}
        return self._read("/v1/events", body, _Recorded, again=False).recorded if pairs else 0

    def upsert(self, candidates: Iterable[Mapping[str, Any]]) -> int:
        """Add candidates, or change them, by their columns; return how many the catalogue has now."""
        rows = checked_list(candidates, "upsert(candidates)", "mappings by column", Mapping)
        return self._changed({"upsert": rows})

    def delete(self, candidates: Iterable[Id]) -> int:
        """Delete candidates; return how many the catalogue has now."""
        return self._changed({"delete": _ids(candidates, "delete(candidates)")})

    def about(self) -> dict[str, Any]:
        """A description of the server's bundle: its columns, sizes, figures."""
        return dict(self._read("/v1/card", None, dict))

    def ready(self) -> bool:
        """Whether the server answers requests now; False also where nothing can be reached."""
        try:
            return self._ask("GET", "/readyz", None)[0] == 200
        except _LOST:
            return False

    def _changed(self, change: dict[str, list[Any]]) -> int:
        """How many candidates there are after a change; nothing is sent to be changed where it is empty."""
        if not any(change.values()):
            return int(self.about()["candidates"])
        return self._read("/v1/candidates", change, _Size).candidates

    def _read(self, path: str, body: Any, shape: type[T], again: bool = True) -> T:
        """The decoded reply. Overload is waited for; a connection that was lost is tried once more where ``again``."""
        until = time.monotonic() + self.wait
        content = None if body is None else msgspec.json.encode(_plain(body, ""))
        lost = not again
        while True:
            try:
                status, pause, reply = self._ask("GET" if body is None else "POST", path, content)
            except _LOST as error:
                if not lost and not isinstance(error, TimeoutError):
                    lost = True
                    continue
                raise ServerError(f"no reply from {self._parts.geturl()}: {error or type(error).__name__}.") from error
            if status == 200:
                return self._decoded(reply, shape)
            if status not in (429, 503) or time.monotonic() + pause > until:
                raise _error_of(status, reply)
            time.sleep(pause)

    def _decoded(self, reply: bytes, shape: type[T]) -> T:
        try:
            return msgspec.json.decode(reply, type=shape)
        except msgspec.DecodeError as error:  # ValidationError is one
            raise ServerError(
                f"the reply of {self._parts.geturl()} is not one of shortlist: {error}.",
                hint="the address of `shortlist serve`, not of another server",
                status=200,
            ) from None

    def _ask(self, method: str, path: str, content: bytes | None) -> tuple[int, float, bytes]:
        """Status, seconds to wait before the next try, and body of one exchange."""
        connection = self._connection()
        headers = {"User-Agent": f"shortlist/{__version__}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, content, headers)
            reply = connection.getresponse()
            body = reply.read()
        except BaseException:
            connection.close()
            raise
        pause = reply.headers.get("Retry-After", "")
        return reply.status, float(pause) if pause.isascii() and pause.isdigit() else 0.1, body

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            host, port = str(self._parts.hostname), self._parts.port
            if self._parts.scheme == "https":
                context = ssl.create_default_context()
                connection = http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)
            else:
                connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
            self._own.connection = connection
        return connection


_LOST = (OSError, http.client.HTTPException, UnicodeError)  # the last for host names that cannot be looked up


def _address(url: object) -> SplitResult:
    """The parts of a server's address.

    Raises:
        ConfigError: for anything else.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) and _printable(url) and " " not in url else None
        fits = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port, and of brackets
        parts, fits = None, False
    if parts is None or not fits or parts.query or parts.fragment:
        raise ConfigError(f"{url!r:.200} is not the address of a server.", hint='such as "http://127.0.0.1:8080"')
    return parts


def _printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _ids(values: object, where: str) -> list[Id]:
    """A list of ids.

    Raises:
        ConfigError: for anything else.
    """
    return [_id(one, f"{where}[{number}]") for number, one in enumerate(checked_list(values, where, "ids"))]


def _id(value: Any, where: str) -> Id:
    if isinstance(value, str):
        return str(_plain(value, where))
    if not isinstance(value, bool) and hasattr(value, "__index__") and not hasattr(value, "__len__"):
        try:
            return operator.index(value)  # NumPy's integers too
        except TypeError:
            pass
    raise ConfigError(f"{where} is {value!r:.80}; an id was expected.", hint="a text or a whole number, as in training")


def _pair(value: Any, number: int) -> tuple[Id, Id]:
    where = f"record(events)[{number}]"
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ConfigError(
            f"{where} is {value!r:.80}; a pair of query and candidate was expected.", hint='[("42", "7")]'
        )
    return _id(value[0], f"{where}[0]"), _id(value[1], f"{where}[1]")


def _plain(value: Any, where: str) -> Any:
    """The value as JSON can hold it, NumPy's scalars and arrays as Python's.

    Raises:
        ConfigError: for one that would arrive as another, such as NaN and bytes.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(one, f"{where}.{name}" if where else str(name)) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, f"{where}[{number}]") for number, one in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} is {value}; JSON has no such number.", hint="None where a value is missing")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"{where} is a number beyond 64 bits; -2^63 to 2^64 - 1 was expected.")
    if isinstance(value, str):
        if not _encodes(value):
            raise ConfigError(f"{where} is {value!r:.80}, which is not valid Unicode.", hint="text without surrogates")
        return str(value)
    if value is None or isinstance(value, (bool, int, float, datetime.date, datetime.time)):
        return value
    raise ConfigError(
        f"{where} is {value!r:.80} ({type(value).__name__}); a text, a number, True, False, None, a date, or a list "
        "or mapping of such was expected."
    )


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _given(**options: Any) -> dict[str, Any]:
    """The options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def _error_of(status: int, reply: bytes) -> ServerError:
    """A problem of the server, or the first words of another body."""
    try:
        problem = msgspec.json.decode(reply, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(reply[:200].decode("utf-8", "replace").strip())
    place = f"{problem.field}: " if problem.field else ""
    return ServerError(
        f"the server answered {status}: {place}{problem.detail}", problem.hint, status=status, field=problem.field
    )
