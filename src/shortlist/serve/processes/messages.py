"""The messages between the processes of one server."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

__all__ = [
    "Applied",
    "Asked",
    "Beat",
    "Change",
    "Failed",
    "Family",
    "Finish",
    "Follow",
    "Join",
    "Joined",
    "Merged",
    "Message",
    "NewFollower",
    "NewLog",
    "Open",
    "Outcome",
    "Publish",
    "Published",
    "Pulse",
    "Ready",
    "Records",
    "Refused",
    "Replace",
    "Retire",
    "Sample",
    "Scrape",
    "Snapshot",
    "StartOver",
    "Stop",
    "Swap",
    "Swapped",
]


class _Message(msgspec.Struct, tag=True, array_like=True):
    pass


class Sample(msgspec.Struct, array_like=True):
    """One number of a family of figures."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, array_like=True):
    """A metric as Prometheus knows it, and its numbers."""

    name: str
    text: str
    kind: str
    samples: list[Sample]


# From every process to the supervisor.


class Beat(_Message):
    """This process lives, and its event loop turns."""


class Ready(_Message):
    """Everything is loaded.

    Attributes:
        bundle: its id.
        description: for people.
        long_ids: which ids clients in JavaScript round, in words; None for none.
        ids: some of its ids, to compare another bundle with, as ``swap.Ids`` in MessagePack; from workers alone.
    """

    bundle: str
    description: str
    long_ids: str | None = None
    ids: bytes = b""


class Failed(_Message):
    """The bundle could not be loaded.

    Attributes:
        kind: the class of the error.
    """

    kind: str
    message: str
    hint: str | None


class Published(_Message):
    """The figures of this process."""

    number: int
    families: list[Family]


class Asked(_Message):
    """From a worker: the latest requests, as JSON, to warm another one with."""

    requests: list[bytes]


class Scrape(_Message):
    """From a worker: a scraper asks for the figures of all."""

    number: int


class Replace(_Message):
    """From a worker: it can no longer follow the log.

    Attributes:
        why: a word for metrics and logs.
    """

    why: str


class Swapped(_Message):
    """From the writing process: changes are checked against the other bundle from now on.

    Attributes:
        bundle: its id.
    """

    bundle: str


class Refused(_Message):
    """From the writing process: the log does not fit the other bundle.

    Attributes:
        bundle: its id.
    """

    kind: str
    message: str
    bundle: str


# From the supervisor.


class Open(_Message):
    """To a worker: accept connections."""


class Retire(_Message):
    """To a worker: accept no more connections, and end when those there are have been answered.

    Attributes:
        seconds: the most that it may take.
    """

    seconds: float


class Stop(_Message):
    """To a worker that was sent SIGTERM: answer the requests that have arrived, and end, without a drain."""


class Publish(_Message):
    """Publish your figures."""

    number: int


class Merged(_Message):
    """To a worker: the figures of all."""

    number: int
    families: list[Family]


class NewLog(_Message):
    """To a worker: the channel to another writing process. A descriptor is sent with it."""


class NewFollower(_Message):
    """To the writing process: the channel to a worker. A descriptor is sent with it.

    Attributes:
        slot: the worker's number.
    """

    slot: int


class Swap(_Message):
    """To the writing process: take the bundle at ``path``.

    Attributes:
        bundle: its id.
    """

    path: str
    bundle: str


class Finish(_Message):
    """To the writing process: no worker is left that could send a change."""


# From a worker to the writing process.


class Follow(_Message):
    """Send the contents of the log.

    Attributes:
        last: the name of the last change that this worker has; None if no change had a name by then.
        fresh: this worker has nothing of the log.
    """

    fresh: bool
    last: str | None = None


class Join(_Message):
    """Do not acknowledge a change from now on before this worker has it."""


class Applied(_Message):
    """This worker has all changes up to a position."""

    position: int


class Change(_Message):
    """Write a change, which has a name of its own."""

    record: dict[str, Any]


# From the writing process to a worker.


class Snapshot(_Message):
    """All changes until now, folded."""

    records: list[dict[str, Any]]


class Records(_Message):
    """The next changes, encoded or not; with them a worker is at ``position``."""

    position: int
    records: list[Any]


class Joined(_Message):
    """Changes that were acknowledged without this worker are before ``position``."""

    position: int


class Outcome(_Message):
    """The result of a change: its outcome, or a problem's parts, or neither for a bug."""

    name: str
    value: Any = None
    problem: tuple[int, str, str | None, str | None, int | None, str] | None = None


class Pulse(_Message):
    """The log is still being written."""


class StartOver(_Message):
    """The log cannot be sent from this worker's last change on."""


Message: TypeAlias = (
    Beat | Ready | Failed | Published | Asked | Scrape | Replace | Swapped | Refused
    | Open | Retire | Stop | Publish | Merged | NewLog | NewFollower | Swap | Finish
    | Follow | Join | Applied | Change | Snapshot | Records | Joined | Outcome | Pulse | StartOver
)  # fmt: skip
