"""A recommender's index while candidates are added and deleted: measured each time a tenth of the candidates has changed, and rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np

from shortlist.errors import ConfigError
from shortlist.index import Checkup, Index, caught_up, checkup, copied, rebuilt
from shortlist.index.base import LiveIndex
from shortlist.index.checks import check_k
from shortlist.index.upkeep import Schedule
from shortlist.index.values import Floats
from shortlist.recommender.served import Served

__all__ = ["Renewal", "Swap", "Upkeep", "renewal"]

Swap: TypeAlias = "Callable[[Callable[[Served], Served]], object]"


@dataclass(frozen=True)
class Renewal:
    """A new index of what a recommender served, to replace the one that it serves now."""

    before: Index
    fresh: Index
    others: tuple[Renewal, ...] = ()

    def onto(self, now: Served) -> Served:
        """``now`` with the new index, on which the changes made since the copy are repeated; quick. ``now`` is not modified."""
        others = tuple(one.onto(other) for one, other in zip(self.others, now.others, strict=True))
        return replace(now, index=caught_up(self.fresh, self.before, now.index), others=others)


def renewal(served: Served) -> Renewal:
    """The index, built again: as slow as a build; searches and changes continue."""
    before = copied(served.index)
    return Renewal(before, rebuilt(before), tuple(map(renewal, served.others)))


class Upkeep:
    """Looks after the index of a recommender that changes: call ``look`` after changes, as often as you like.

    Each time that another ``churn`` of the candidates has changed, a thread of its own measures the recall on the
    recommender's own queries. Where it is below the promise, or where so many candidates were added to the index that
    searching them exactly is slow, the index is rebuilt and replaced.

    Args:
        current: gives the value that is served now.
        swap: applies a quick function to the value that is served, between two changes, and serves its result.
        k: the promise is a mean recall over the top k; by default the index's own, else 10.
        recall: that mean recall; by default the index's own, else 0.95.
        churn: the share of the candidates after whose change to measure.
        sample: queries to measure on, of the known ones, evenly spread.
        rebuild: False only advises: see ``last``.

    Raises:
        ConfigError: for numbers out of range, and where the query tower reads columns that only a request has, so that
            there are no queries to measure on.
    """

    def __init__(
        self,
        current: Callable[[], Served],
        swap: Swap,
        *,
        k: int | None = None,
        recall: float | None = None,
        churn: float = 0.1,
        sample: int = 200,
        rebuild: bool = True,
    ) -> None:
        promised: dict[str, Any] = current().index.settings()
        self.recall = recall if recall is not None else promised.get("recall") or 0.95
        self.k = check_k(k if k is not None else promised.get("k", 10) if promised.get("recall") else 10)
        self._schedule = Schedule(self.recall, churn)
        self.last: Checkup | None = None
        self.trouble: Exception | None = None
        self._current, self._swap, self._rebuild = current, swap, rebuild
        self._queries = _sample(current(), check_k(sample))

    @property
    def settings(self) -> dict[str, Any]:
        """The options of ``keep_up`` that make another like this one."""
        return {"k": self.k, "recall": self.recall, "churn": self._schedule.step, "rebuild": self._rebuild}

    def look(self) -> bool:
        """Whether a measurement was due; it is made in a thread of its own, which may rebuild."""
        with self._schedule.looking:
            due = self._schedule.is_due(self._current().index.churn)
            if due:
                self._schedule.start(self._work)
            return due

    @property
    def busy(self) -> bool:
        """Whether a measurement or a rebuild is running."""
        return self._schedule.busy

    def wait(self) -> None:
        """Wait for a measurement or a rebuild that is running."""
        self._schedule.wait()

    def _work(self) -> None:
        try:
            served = self._current()
            self.last = self._checkup(served)
            if self._rebuild and self.last.due:
                self._swap(renewal(served).onto)
                self._schedule.restart()
                self.last = self._checkup(self._current())
        except Exception as error:  # a thread has nobody to raise to; searches continue with the current index
            self.trouble = error

    def _checkup(self, served: Served) -> Checkup:
        return checkup(cast(LiveIndex, served.index), self._queries, self.k, self.recall)


def _sample(served: Served, count: int) -> Floats:
    """Some known queries' vectors, ``[queries, dim]``; each head of a query counts as one."""
    state = served.state
    if state.query_vectors is None:
        raise ConfigError(
            "the query tower reads columns that only a request has, so there are no queries to measure on.",
            hint="rebuild its index when there is little load instead: recommender.index.rebuild()",
        )
    rows = np.flatnonzero(state.known)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))]
    return np.ascontiguousarray(state.query_vectors[rows].reshape(-1, state.dim))
