"""A server's settings and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from shortlist.errors import ConfigError

__all__ = ["OWN", "Limits", "Settings"]

OWN = 10_000  # ids that a query may leave out or have chosen, whatever ``Limits.ids`` is


@dataclass(frozen=True)
class Limits:
    """The limits of one request, and of all of them together.

    Args:
        body: bytes, before and after decompression.
        queries: in one request.
        k: items of a list.
        ids: in one list of a request.
        cells: values of columns in one reply.
        ruled_k: items of a list that has rules (``rerank``).
        pool: candidates that the rules of one request choose among.
        reasons: items times sources that one request wants explained.
        filter: the cost of a condition, rows times operators, in comparisons of numbers.
        under_way: requests at a time; further ones get a 503.
        receive_seconds: from a request's first byte to its last.
        wait_seconds: the longest that a request may wait for its turn, estimated from the pace of the last ones;
            further ones get a 503.
        batch: queries answered together.
        unsent: bytes of one reply, and of all replies together that wait for their readers; beyond it the slowest
            readers are cut off.
        send_seconds: in which a reader has to take some of its reply.
        answer_seconds: from a request's last byte to its answer; beyond it a 503.

    Raises:
        ConfigError: for a limit that is not a finite number above 0.
    """

    body: int = 1 << 20
    queries: int = 256
    k: int = 1000
    ids: int = 10_000
    cells: int = 262_144
    ruled_k: int = 200
    pool: int = 262_144
    reasons: int = 65_536
    filter: int = 1 << 29
    under_way: int = 4096
    receive_seconds: float = 10.0
    wait_seconds: float = 0.1
    batch: int = 256
    unsent: int = 32 << 20
    send_seconds: float = 10.0
    answer_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ConfigError(f"the limit {name} is {value}; a finite number above 0 was expected.")

    def array(self, field: str) -> int:
        """Values that a long array of a request's field may have; beyond, none of them is decoded."""
        return self.queries if field in ("queries", "instances") else max(self.ids, OWN)


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Args:
        keys: API keys that may read; without any, everyone may.
        write_keys: keys that may change candidates and record events; without any, nobody may.
        state: the folder of the log of changes; needed to write.
        seen_seconds: how long an event keeps its candidate out of its query's lists; None for always.
        page: whether the page and the look-ups that it needs are served.
        items: the page's word for candidates, such as "films"; by default "items".
        people: the page's word for queries, such as "users"; by default "people".
        sample: the share of requests that are also answered exactly, in the background, where the index is approximate.
        trusted: False for bundles that someone else made: their indexes are built from the vectors, and no native file
            is read.
        cold_start: how queries that training never saw are answered, in place of the bundle's own setting.
        signature: the key of the signature that every bundle must have; None for none.
        hosts: names under which clients reach the server, without a port; None for any. Another site whose name was
            pointed at this machine asks under its own name, and is refused.
        other_data: whether a bundle that has nearly none of the ids served so far may take over.
        string_ids: whether integer ids are strings in replies, and may be in requests.
        traces: whether a span of each request is sent by OpenTelemetry.
        impression_bytes: the most that the log of impressions may take on the disk.
        change_bytes: the most that changes of candidates may take in memory; further ones are refused.
        drain_seconds: from SIGTERM until no more connections are accepted; the server is not ready meanwhile.
        limits: of requests.

    Raises:
        ConfigError: for a value that cannot work.
    """

    keys: tuple[str, ...] = field(default=(), repr=False)
    write_keys: tuple[str, ...] = field(default=(), repr=False)
    state: Path | None = None
    seen_seconds: float | None = None
    page: bool = True
    items: str | None = None
    people: str | None = None
    sample: float = 0.01
    trusted: bool = True
    cold_start: str | None = None
    signature: bytes | None = field(default=None, repr=False)
    hosts: tuple[str, ...] | None = None
    other_data: bool = False
    string_ids: bool = False
    traces: bool = False
    impression_bytes: int = 1 << 30
    change_bytes: int = 1 << 30
    drain_seconds: float = 0.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for key in (*self.keys, *self.write_keys):
            if len(key) < 16 or not key.isascii():
                raise ConfigError(
                    "an API key is shorter than 16 characters, or not ASCII.",
                    hint="python -c 'import secrets; print(secrets.token_urlsafe())' makes one",
                )
        for name in ("items", "people"):
            word = getattr(self, name)
            if word is not None and not word.strip():
                raise ConfigError(f"{name} is {word!r}; a word was expected.", hint=f"leave --{name} out for {name!r}")
        if set(self.keys) & set(self.write_keys):
            raise ConfigError("a key is both a read key and a write key.", hint="use different keys for writing")
        if self.seen_seconds is not None and not 0 <= self.seen_seconds < math.inf:
            raise ConfigError(
                f"events were to count for {self.seen_seconds / 86_400} days; a finite number, 0 or above, was expected.",
                hint="leave --seen-days out for always",
            )
        for name in ("impression_bytes", "change_bytes"):
            value = getattr(self, name)
            if value < 1 << 20:
                raise ConfigError(f"{name} is {value:,}; at least 1,048,576 was expected.", hint="1 << 30")
        if not 0 <= self.drain_seconds < math.inf:
            raise ConfigError(f"drain_seconds is {self.drain_seconds}; a finite number, 0 or above, was expected.")
        if not 0 <= self.sample <= 1:
            raise ConfigError(f"sample is {self.sample}; a share from 0 to 1 was expected.")
        if self.write_keys and self.state is None:
            raise ConfigError("changes need a folder for their log.", hint="--state DIR")

    @property
    def writable(self) -> bool:
        """Whether candidates and events may be written."""
        return bool(self.write_keys)
