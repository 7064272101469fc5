"""Another bundle: it has workers of its own, which take over once all of them are ready."""

from __future__ import annotations

import time
from pathlib import Path

from shortlist.serve.logs import Log
from shortlist.serve.processes.children import Child, Children, Plan
from shortlist.serve.processes.messages import Ready, Swap
from shortlist.serve.processes.scraping import Scraping
from shortlist.serve.processes.sharing import shared_of
from shortlist.serve.processes.worker import Source
from shortlist.serve.swap import LOOK, nothing_at, signature

__all__ = ["Swapping"]


class Swapping:
    """Watches a path for another bundle, and lets it take over.

    1. One worker loads the bundle, compares every file, and its ids with those served so far, reads the log and warms
       up. If that fails, the bundle is refused.
    2. The others follow, and need not compare again.
    3. The writing process checks changes against the new bundle from then on, or refuses it. If the new bundle is given up
       after that, it takes the old one again.
    4. The new workers accept connections, and the old ones end when they have answered theirs.

    A bundle that was refused is looked at again when any of its files changes.
    Where a third one takes its place meanwhile, so that not all processes have the same, it begins again.

    Attributes:
        source: the bundle in use.
        ready: the report of its first worker.
    """

    def __init__(self, plan: Plan, children: Children, scraping: Scraping, log: Log) -> None:
        self._plan = plan
        self._children = children
        self._scraping = scraping
        self._log = log
        self._signature = signature(plan.bundle)
        self._next_check = 0.0
        self._next: Source | None = None
        self._started = 0.0
        self._asked: str | None = None  # the bundle that the writing process was asked to take
        self.source = _source(Path(plan.bundle).resolve(), plan.bundle.name.removesuffix(".shortlist"))
        self.ready: Ready | None = None

    def first(self, ready: Ready) -> None:
        """The bundle that the first worker has loaded is in use from now on."""
        self.ready = ready
        self.source = _verified(self.source)

    def check(self, now: float) -> None:
        """Begin if there is another bundle."""
        if self._next is not None or self.ready is None or now < self._next_check:
            return
        self._next_check = now + LOOK
        found = signature(self._plan.bundle)
        nothing = nothing_at(self._plan.bundle, self._signature) if found is None else None
        if nothing is not None:
            self._signature = nothing
            self._note_refusal("BundleError", f"there is no bundle at {nothing[0]!r}.")
        if found is None or found == self._signature:
            return
        self._signature = found
        self._next, self._started = _source(Path(found[0]), self.source.name, self.ready.ids), now
        self._start(self._next, 1)

    def recheck(self) -> None:
        """Take the bundle for another one at the next look, even if it was refused."""
        self._signature = None
        self._next_check = 0.0

    def is_ready(self, ready: Ready) -> None:
        """A worker of the new bundle has loaded it."""
        assert self.ready is not None
        assert self._next is not None
        starting, writer = self._children.starting, self._children.writer
        if ready.bundle == self.ready.bundle:
            self._give_up()
        elif any(one.ready is not None and one.ready.bundle != ready.bundle for one in starting):
            self._retry()
        elif len(starting) < self._plan.workers:
            self._start(_verified(self._next), self._plan.workers)
        elif any(one.ready is None for one in starting):
            return
        elif not self._children.logs:
            self.done()
        elif writer is None:
            self._retry()
        else:
            self._asked = ready.bundle
            writer.channel.send(Swap(str(self._next.path), ready.bundle))

    def _start(self, source: Source, count: int) -> None:
        try:
            while len(self._children.starting) < count:
                self._children.starting.append(self._children.start_worker(source))
        except OSError as error:  # no memory, or too many processes
            self.refuse("OSError", f"a worker could not be started: {error.strerror}.")

    def writer_swapped(self, bundle: str) -> None:
        """The writing process has taken a bundle; it may have been given up since."""
        if bundle == self._asked:
            self.done()

    def writer_refused(self, bundle: str, kind: str, reason: str) -> None:
        """The log does not fit a bundle; it may have been given up since."""
        if bundle == self._asked:
            self._asked = None
            self.refuse(kind, reason)

    def done(self) -> None:
        """The new workers take over."""
        if self._next is None:
            return
        children = self._children
        old, children.workers, children.starting = children.workers, children.starting, []
        self.source, self.ready = _verified(self._next), children.workers[0].ready
        assert self.ready is not None
        for one in children.workers:
            children.open(one)
        children.workers += old
        for one in old:
            if one.opened is None:
                children.kill(one, "bundle")
            else:
                children.retire(one)
        self._next = self._asked = None
        self._scraping.counts.swaps.labels("done").inc()
        self._log.event("swapped", bundle=self.ready.bundle, seconds=round(time.monotonic() - self._started, 3))

    def ended(self, child: Child) -> None:
        """A worker of the new bundle has ended before it could take over."""
        failed = child.failed
        if self._next is None:
            return
        if child.end_reason == "log" or (failed is not None and failed.kind == "EOFError"):
            self._retry()
        elif failed is not None:
            self.refuse(failed.kind, failed.message)
        else:
            self.refuse("RuntimeError", "a worker ended while it loaded the bundle.")

    def writer_ended(self) -> None:
        """The writing process has ended, whatever it was asked."""
        if self._asked is not None:
            self._retry()

    def refuse(self, kind: str, reason: str) -> None:
        """The bundle does not fit; the old one stays in use."""
        if self._next is None:
            return
        self._note_refusal(kind, reason)
        self._give_up()

    def _note_refusal(self, kind: str, reason: str) -> None:
        self._scraping.counts.swaps.labels("refused").inc()
        self._log.event("swap_refused", kind=kind, reason=reason)

    def _retry(self) -> None:
        """Begin again at the next look: nothing is wrong with the bundle."""
        self._signature = None
        self._give_up()

    def _give_up(self) -> None:
        writer = self._children.writer
        if self._asked is not None and writer is not None:  # it may have taken the bundle
            assert self.ready is not None
            writer.channel.send(Swap(str(self.source.path), self.ready.bundle))
        self._next = self._asked = None
        for one in self._children.starting:
            self._children.kill(one, "bundle")
        self._children.retiring += self._children.starting
        self._children.starting = []


def _source(path: Path, name: str, replaces: bytes = b"") -> Source:
    return Source(path, name, shared=shared_of(path), replaces=replaces)


def _verified(source: Source) -> Source:
    return Source(source.path, source.name, verified=True, shared=source.shared)
