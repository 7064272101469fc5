"""Replaces the bundle that answers: the new one is verified and warmed in the background."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from shortlist.data.id_map import IdMap
from shortlist.errors import ShortlistError
from shortlist.serve.loaded import Loaded
from shortlist.serve.throttle import Throttle, wait_for_turns

if TYPE_CHECKING:
    from shortlist.serve.service import Service

__all__ = ["Ids", "Swapper", "check_replaces", "nothing_at", "signature"]

SAMPLE = 10_000  # ids of the old bundle that are looked for in a new one
LEAST = 0.01  # of them, of queries or of candidates, that a bundle of the same data has
LARGEST = 2**63 - 1  # that a signed integer holds
LOOK = 0.5  # seconds between two looks at the folder

Signature = tuple[str, tuple[tuple[str, int, int], ...]]


class Swapper:
    """Watches the path of a bundle, a folder or a link to one, for another bundle.

    A bundle that is incomplete, altered, of another format, made from other data, or whose ids or candidates' columns
    do not fit the log of changes, is refused and logged, and the old one stays in use. It is looked at again when any
    of its files changes.

    Args:
        service: whose bundle is replaced.
        path: the folder or link.
        last: the ``signature`` of the bundle that the service has, taken before it was read.
    """

    def __init__(self, service: Service, path: Path, last: Signature | None) -> None:
        self._service = service
        self._path = path
        self._last = last
        self._no_pauses = threading.Event()
        self._thread = ThreadPoolExecutor(1, "loader", initializer=wait_for_turns)

    async def watch(self) -> None:
        """Look every half second, for good."""
        while True:
            await asyncio.sleep(LOOK)
            await self.check()

    def recheck(self) -> None:
        """Let the next look take any bundle that is not the one served, even one that was refused."""
        self._last = None

    async def check(self) -> bool:
        """Look for another bundle.

        Returns:
            Whether there was one, and it has been put in place.
        """
        now = signature(self._path)
        nothing = nothing_at(self._path, self._last) if now is None else None
        if nothing is not None:
            self._last = nothing
            self._refuse("BundleError", f"there is no bundle at {nothing[0]!r}.")
        if now is None or now == self._last:
            return False
        self._last = now
        return await self.swap()

    def _refuse(self, kind: str, reason: str) -> None:
        self._service.metrics.swaps.labels("refused").inc()
        self._service.log.event("swap_refused", kind=kind, reason=reason)

    async def swap(self) -> bool:
        """Put the bundle at the path in place.

        Returns:
            Whether that was possible.
        """
        service, started = self._service, time.perf_counter()
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self._thread, self._prepared)
            if loaded.bundle == service.loaded.bundle:
                return False
            await service.writer.swap(loaded)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # on any error the old one stays
            reason = error.message if isinstance(error, ShortlistError) else str(error)
            self._refuse(type(error).__name__, reason)
            return False
        service.metrics.swaps.labels("done").inc()
        service.log.event("swapped", bundle=loaded.bundle, seconds=round(time.perf_counter() - started, 3))
        return True

    def _prepared(self) -> Loaded:
        """The new bundle, verified and warmed; in small steps, since requests are answered meanwhile."""
        throttle = Throttle(lambda: self._service.last_asked, self._no_pauses)
        settings = self._service.settings
        loaded = Loaded.read(self._path, settings.trusted, throttle.pause, settings.cold_start, key=settings.signature)
        loaded.name = self._service.loaded.name
        check_replaces(Ids.of(self._service.loaded), loaded, settings.other_data)
        self._service.warm(loaded, throttle.pause)
        return loaded

    def close(self) -> None:
        """Load nothing more."""
        self._no_pauses.set()
        self._thread.shutdown(wait=False, cancel_futures=True)


class Ids(msgspec.Struct, frozen=True):
    """A sample of a bundle's ids, to compare another bundle with.

    Attributes:
        strings: whether query ids and candidate ids are strings.
        queries: some query ids, evenly spread.
        candidates: some candidate ids, evenly spread.
    """

    strings: tuple[bool, bool]
    queries: list[str | int]
    candidates: list[str | int]

    @classmethod
    def of(cls, loaded: Loaded) -> Ids:
        """Those of a bundle with its live changes."""
        strings = loaded.query_kind.strings, loaded.candidate_kind.strings
        return cls(strings, _spread(loaded.state.query_ids), _spread(loaded.state.candidate_ids))


def check_replaces(old: Ids, new: Loaded, other_data: bool = False) -> None:
    """Check that a bundle may take over.

    Args:
        old: the ids served so far.
        new: the bundle.
        other_data: whether it may be of other data.

    Raises:
        ShortlistError: when it may not.
    """
    if (new.query_kind.strings, new.candidate_kind.strings) != old.strings:
        raise ShortlistError(
            "the bundle's ids have another type than the ids served until now.",
            hint="train on ids of the same type, or start another server",
        )
    if not other_data:
        _check_same_data(old, new)


def _check_same_data(old: Ids, new: Loaded) -> None:
    """Check that a bundle has some of the ids served so far.

    New queries alone do not make it a bundle of other data (sessions have new ids each day), nor do new candidates (as
    in news).

    Raises:
        ShortlistError: for a bundle of other data: nearly none of the ids served so far are in it.
    """
    queries = share_of(old.queries, new.state.query_ids)
    candidates = share_of(old.candidates, new.state.candidate_ids)
    if max(queries, candidates) < LEAST:
        raise ShortlistError(
            f"the bundle has {queries:.1%} of the query ids and {candidates:.1%} of the candidate ids served until now: "
            "it was made from other data.",
            hint="put the right bundle in place; to serve this one, restart the server, or start it with --other-data",
        )


def share_of(old: list[str | int], new: IdMap) -> float:
    """The share of the old ids that are among the new; 1 for no ids."""
    if not old:
        return 1.0
    kind = pl.String if new.strings else pl.UInt64 if max(old) > LARGEST else pl.Int64  # type: ignore[operator]
    return float((new.find(pl.Series(old, dtype=kind)) >= 0).mean())


def _spread(ids: IdMap) -> list[Any]:
    """Evenly spread ids, at most ``SAMPLE``."""
    if len(ids) <= SAMPLE:
        return ids.ids.to_list()
    return ids.ids.gather(np.linspace(0, len(ids) - 1, SAMPLE).astype(np.int64)).to_list()


def signature(path: Path) -> Signature | None:
    """A value that changes whenever another bundle is put at ``path``; None while there is no whole one."""
    try:
        root = os.path.realpath(path)
        files = []
        for folder, _, names in os.walk(root):
            for name in names:
                found = os.stat(os.path.join(folder, name))
                files.append((os.path.join(folder, name), found.st_size, found.st_mtime_ns))
    except OSError:
        return None
    if not any(name == os.path.join(root, "manifest.json") for name, _, _ in files):
        return None
    return root, tuple(sorted(files))


def nothing_at(path: Path, last: Signature | None) -> Signature | None:
    """The signature of nothing, where a link leads to another place than last time and no bundle is there; else None.

    A folder at the same place that has no whole bundle now is being written.
    """
    root = os.path.realpath(path)
    return (root, ()) if last is not None and root != last[0] else None
