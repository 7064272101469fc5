"""The figures of all processes, gathered when a scraper asks for them."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from shortlist.serve.processes import figures
from shortlist.serve.processes.children import Child, Children
from shortlist.serve.processes.messages import Family, Merged, Publish, Published

__all__ = ["Counts", "Scraping"]

LONGEST = 1.0  # seconds that processes have to publish their figures
REASONS = ("died", "hung", "memory", "log", "bug")


class Counts:
    """The supervisor's own counts. Every series is there from the start, at 0."""

    def __init__(self) -> None:
        of = self.registry = CollectorRegistry()
        self.workers = Gauge("shortlist_workers", "Workers that take connections.", registry=of)
        self.replaced = Counter(
            "shortlist_worker_replacements",
            "Workers that were replaced, or ended too early, by the reason.",
            ["reason"],
            registry=of,
        )
        self.writers = Counter("shortlist_writer_restarts", "Starts of another writing process.", registry=of)
        self.swaps = Counter("shortlist_swaps", "Bundles put in place, and refused.", ["outcome"], registry=of)
        for reason in REASONS:
            self.replaced.labels(reason)
        for outcome in ("done", "refused"):
            self.swaps.labels(outcome)


@dataclass(eq=False)
class _Question:
    """A request for figures.

    Attributes:
        asker: the process that asks.
        number: the asker's number of the request.
        mine: its number for the other processes.
        until: when it is answered at the latest.
        missing: processes that have not published yet.
    """

    asker: Child
    number: int
    mine: int
    until: float
    missing: set[Child]


class Scraping:
    """Asks all processes for their figures, and answers with the sum, counts of ended processes included."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self.counts = Counts()
        self._past: list[Family] = []
        self._questions: list[_Question] = []
        self._numbers = itertools.count(1)

    def ask(self, asker: Child, number: int) -> None:
        """Have all processes publish their figures, for one of them."""
        mine = next(self._numbers)
        asked = {one for one in self._children.running if one.ready is not None and one.end_reason != "hung"}
        self._questions.append(_Question(asker, number, mine, time.monotonic() + LONGEST, asked))
        for one in asked:
            one.channel.send(Publish(mine))

    def published(self, child: Child, message: Published) -> None:
        """A process has published its figures."""
        child.families = message.families
        for one in self._questions:
            if one.mine == message.number:
                one.missing.discard(child)
        self.answer(time.monotonic())

    def ended(self, child: Child) -> None:
        """A process has ended."""
        self._past = figures.merged([self._past, figures.kept(child.families)])
        for one in self._questions:
            one.missing.discard(child)

    def answer(self, now: float) -> None:
        """Answer the requests that can be answered; a process that is late counts with its last figures."""
        for one in [one for one in self._questions if not one.missing or now > one.until]:
            self._questions.remove(one)
            mine = figures.families_of(self.counts.registry)
            published = (child.families for child in self._children.running)
            one.asker.channel.send(Merged(one.number, figures.merged([self._past, mine, *published])))
