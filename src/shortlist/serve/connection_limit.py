"""How many connections are open at most: as many as the process may hold files, less what it needs itself."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Protocol

from shortlist.errors import ConfigError
from shortlist.serve.protocol import Connection

if TYPE_CHECKING:
    from shortlist.serve.app import App

__all__ = ["ConnectionLimit", "check_limit", "raise_limit"]

ENOUGH = 65_536  # files: the limit is raised to this if the system allows it
OWN = 64  # files that the server needs for bundles and logs; half of all where there are few
FEWEST = 64  # files with which it starts: two bundles while one replaces the other, a log, and some connections
OF_WORKER = (
    3  # more of them for each of several processes: its own, the one that replaces it, and the one that it has replaced
)
AT_ONCE = (
    32  # idle connections that are closed when there is no room, at least: to look at all takes as long as to open some
)
SHARE = 64  # of all connections that are looked at, one of so many is closed
YOUNG = 0.05  # seconds for which an idle connection stays open: its client may be about to ask
ASKED = 5.0  # seconds for which one whose client has asked before may be idle longer than one whose client never has
LATE = 1.0  # seconds after which a request that is still arriving makes room, where too few connections are idle
LOOK = 0.5  # seconds until the next look, where none made room
AGAIN = 0.02  # and where fewer did than are closed at a time
SPARE = 10  # times as long as a look took, at least, until the next one


class Idler(Protocol):
    """A connection that may be idle, or wait for the rest of a request."""

    idle_since: float
    waiting_since: float | None

    @property
    def has_asked(self) -> bool:
        """Whether its client has ever sent a request."""

    @property
    def idle(self) -> bool:
        """Whether it waits for no reply."""

    def buffered(self) -> int:
        """Bytes of replies in this process's memory."""

    def abort(self, reason: str) -> None:
        """End the connection at once."""


class ConnectionLimit:
    """Closes the connections that have been idle for longest when there is no room for others, and logs it once.

    Those whose clients have asked before may be idle ``ASKED`` seconds longer than others, and earlier they are closed only
    where all have, and none is slow: thousands of clients that connect and say nothing take the places of one another.
    Where too few are idle, those whose requests have been arriving for longest are closed too. Otherwise clients that send
    a byte now and then would hold all places until the time for a request is over, and then again.

    Args:
        app: whose service logs it.
        most: connections at a time; by default as many as the process may hold files for.
        clock: of the event loop, by which connections note their times.
    """

    def __init__(self, app: App, most: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._service = app.service
        files = limit()
        self.most = most if most is not None else files - min(OWN, files // 2)
        self._logged = False
        self._look_at = 0.0  # when to look for idle ones again

    def has_room(self, opening: int = 0) -> bool:
        """Whether another connection fits next to those that are open or opening."""
        return len(Connection.all_open) + opening < self.most

    def make_room(self) -> bool:
        """Close some connections; whether there were any to close."""
        return self._clock() >= self._look_at and self.close_some(Connection.all_open)

    def close_some(self, connections: Collection[Idler]) -> bool:
        """Close the connections that have been idle for longest, and if they are few those that send for longest.

        Returns:
            Whether there were any.
        """
        if not self._logged:
            self._logged = True
            self._service.log.event("connections_full", most=self.most)
        most = max(AT_ONCE, len(connections) // SHARE)
        begun, now, young, new = time.perf_counter(), self._clock(), False, False
        idle: list[tuple[float, int, Idler]] = []
        asked: list[tuple[float, int, Idler]] = []
        slow: list[tuple[float, int, Idler]] = []
        for number, one in enumerate(connections):
            if one.idle and not one.buffered():  # else its reply is still on its way
                since = one.idle_since
                if now - since < YOUNG:
                    young, new = True, new or not one.has_asked
                elif not one.has_asked:
                    idle.append((since, number, one))
                elif now - since >= ASKED:
                    idle.append((since + ASKED, number, one))
                else:
                    asked.append((since, number, one))
            elif one.waiting_since is not None and now - one.waiting_since >= LATE:
                slow.append((one.waiting_since, number, one))
        closed = heapq.nsmallest(most, idle if idle or new or slow else asked)
        for _, _, one in closed:
            one.abort("idle")
        late = heapq.nsmallest(most - len(closed), slow) if len(closed) < AT_ONCE else []
        for _, _, one in late:
            one.abort("slow")
        if not closed and not late:
            self._look_at = now + (YOUNG if young else LOOK)
        elif len(closed) + len(late) < most:
            self._look_at = now + AGAIN
        self._look_at = max(self._look_at, now + (1 + SPARE) * (time.perf_counter() - begun))
        return bool(closed or late)


def limit() -> int:
    """The number of files that the process may hold."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 < soft < ENOUGH:
            return soft
    return ENOUGH


def raise_limit() -> None:
    """Let the process hold as many files as the system allows it to, up to ``ENOUGH``."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check_limit(workers: int = 1) -> None:
    """Check that the process may hold enough files, at the start: later a swap, or the event loop, would fail for want of one.

    Args:
        workers: processes that answer.

    Raises:
        ConfigError: when it may not.
    """
    needed, allowed = FEWEST + (OF_WORKER * workers if workers > 1 else 0), limit()
    if allowed < needed:
        raise ConfigError(
            f"the server needs {needed} open files at least; the system allows this process {allowed}.",
            hint="allow it more: ulimit -n 1024, or LimitNOFILE= in systemd",
        )
