"""Which cores a server, its honest clients and an attacker have, and who goes first on a core that they share.

An attacker and an honest client have machines of their own. On one machine they take processor time from the server and from each other, and what
they take is the machine's, not the server's. So the server has all cores but one to itself. On that one the honest clients go first: an attacker has all of it that they leave.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

POLICIES = {
    getattr(os, f"SCHED_{name.upper()}"): name
    for name in ("other", "batch", "idle", "fifo", "rr")
    if hasattr(os, f"SCHED_{name.upper()}")
}
AUTOGROUP = Path("/proc/self/autogroup")


class Place(NamedTuple):
    """What is wished for a thread, and all threads and processes that it starts.

    Attributes:
        shared: whether it is on the core that the server does not have.
        priority: of real time; 0 for none.
        nice: without real time, or where that is not permitted.
    """

    shared: bool
    priority: int
    nice: int


CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
PLACES = {"server": Place(False, 0, -10), "honest": Place(True, 1, -20), "attacker": Place(True, 0, 0)}


@contextlib.contextmanager
def placed(name: str) -> Iterator[None]:
    """Put this thread, and what it starts meanwhile, at one of ``PLACES``; as far as the system permits."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores, policy, parameters = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    _take(PLACES[name])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)


@contextlib.contextmanager
def ahead_of_other_sessions() -> Iterator[None]:
    """Let all that this session runs go before other sessions, where Linux shares processors between sessions first (sched_autogroup)."""
    _set_autogroup("-19")
    try:
        yield
    finally:
        _set_autogroup("0")


def _set_autogroup(nice: str) -> None:
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(nice)


def _take(place: Place) -> None:
    if len(CORES) > 1:
        os.sched_setaffinity(0, CORES[-1:] if place.shared else CORES[:-1])
    policy = os.SCHED_RR if place.priority else os.SCHED_OTHER
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(place.priority))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, place.nice)


def place_of(thread: int) -> dict[str, Any]:
    """What the system has given to a process or thread: its cores, its policy, its priority or else how nice it is."""
    if not hasattr(os, "sched_getaffinity"):
        return {}
    given = {"cores": sorted(os.sched_getaffinity(thread)), "policy": POLICIES.get(os.sched_getscheduler(thread), "?")}
    priority = os.sched_getparam(thread).sched_priority
    return given | ({"priority": priority} if priority else {"nice": os.getpriority(os.PRIO_PROCESS, thread)})
