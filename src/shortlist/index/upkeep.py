"""An index's promise while candidates are added and deleted: checked now and then, and the index rebuilt if it is broken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shortlist.errors import ConfigError
from shortlist.index.base import LiveIndex
from shortlist.index.brute_force import BruteForce
from shortlist.index.checks import check_k, check_vectors
from shortlist.index.recall import Recall, query_recalls, recall_of, true_scores
from shortlist.index.values import Floats

__all__ = ["Checkup", "Schedule", "Upkeep", "checkup"]

_MOST_ADDED = 20_000  # added candidates from which on most of a search is spent on them


@dataclass(frozen=True)
class Checkup:
    """The result of a measurement of an index.

    Attributes:
        churn: changes since it was built, as a fraction of the candidates built from.
        recall: on the sample, over the candidates there are now; None for an exact index, and where fewer than k are
            left: nothing can be missed there.
        promised: what the mean recall should be at least.
        added: candidates added since, which every search scores one by one; 0 for an exact index, which has all in
            one array.
    """

    churn: float
    recall: Recall | None
    promised: float
    added: int = 0

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return self.recall is None or self.recall.mean >= self.promised

    @property
    def due(self) -> bool:
        """Whether a rebuild is due: the promise is broken, or the candidates added since take longer to search than the index."""
        return not self.kept or self.added > _MOST_ADDED

    def __str__(self) -> str:
        if self.recall is None:
            return f"churn {self.churn:.0%}; nothing is missed"
        found = f"recall@{self.recall.k} {self.recall.mean:.3f} of {self.promised:g} promised"
        return f"churn {self.churn:.0%}; {found}{': rebuild' if self.due else ''}"


def checkup(index: LiveIndex, queries: Floats, k: int = 10, recall: float = 0.95) -> Checkup:
    """How much of the true top k an index finds of the candidates there are now.

    Args:
        index: any; its searches and changes continue.
        queries: float32 ``[queries, dim]``, some hundred real ones.
        k: the promise is a mean recall over the top k.
        recall: that mean recall.
    """
    asked, _ = check_vectors(queries, "queries", index.dim)
    if not len(asked):
        raise ConfigError("a checkup needs queries; none were given.")
    number, still = check_k(k), index._like(index._now())  # one state of the index throughout, whatever changes
    if index.exact or still.size <= number:
        return Checkup(still.churn, None, recall)
    added = still._now().extra.alive
    truth = BruteForce().build(still.vectors, still.ids).search(asked, number)
    found = recall_of(query_recalls(still, asked, true_scores(truth, number), number), number)
    return Checkup(still.churn, found, recall, added)


class Schedule:
    """When an index that changes is measured: after each further ``churn`` of its candidates, one thread at a time.

    Raises:
        ConfigError: for numbers out of range.
    """

    def __init__(self, recall: float, churn: float) -> None:
        for name, value in (("recall", recall), ("churn", churn)):
            if not 0 < value <= 1:
                raise ConfigError(f"Upkeep's {name} is {value!r}; a number above 0, at most 1, was expected.")
        self.step = self._next = churn
        self._thread: threading.Thread | None = None
        self.looking = threading.Lock()

    def is_due(self, churn: float) -> bool:
        """Whether to measure at this churn; the next measurement is then a step later. Called under ``looking``."""
        if churn < self._next - self.step:  # the index was rebuilt meanwhile
            self.restart()
        if churn < self._next or self.busy:
            return False
        self._next = churn + self.step
        return True

    def restart(self) -> None:
        """Count from a new index."""
        self._next = self.step

    def start(self, work: Callable[[], None]) -> None:
        """Do ``work`` in a thread of its own."""
        self._thread = threading.Thread(target=work, name="shortlist-upkeep", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Return when the thread is not running."""
        if self._thread is not None:
            self._thread.join()


class Upkeep:
    """Looks after an index that changes: call ``look`` after changes, as often as you like.

    Each time that another ``churn`` of the candidates has changed, the recall is measured on a sample of queries; if
    it has fallen below the promise, or many candidates were added, the index is rebuilt in a thread of its own, while
    searches and changes continue, and measured again.

    Args:
        index: built, and changed by its owner.
        queries: float32 ``[queries, dim]``, some hundred real ones, kept.
        k: the promise is a mean recall over the top k.
        recall: that mean recall.
        churn: the share of the candidates after whose change to measure.
        rebuild: False only advises: see ``last``.

    Example:
        >>> import numpy as np
        >>> from shortlist.index import BruteForce
        >>> index = BruteForce().build(np.eye(4, dtype=np.float32))
        >>> upkeep = Upkeep(index, queries=np.eye(4, dtype=np.float32), k=1)
        >>> index.upsert(np.array([7]), np.ones((1, 4), np.float32))
        >>> print(upkeep.look())
        churn 25%; nothing is missed
    """

    def __init__(
        self,
        index: LiveIndex,
        queries: Floats,
        k: int = 10,
        recall: float = 0.95,
        *,
        churn: float = 0.1,
        rebuild: bool = True,
    ) -> None:
        self._schedule = Schedule(recall, churn)
        self.index, self.queries, self.k, self.recall = index, np.array(queries), check_k(k), recall
        self.last: Checkup | None = None
        self._rebuild = rebuild

    def look(self) -> Checkup | None:
        """A checkup if one is due, else None; starts a rebuild if the promise is broken and none is running."""
        with self._schedule.looking:
            if not self._schedule.is_due(self.index.churn):
                return None
            found = self.last = checkup(self.index, self.queries, self.k, self.recall)
            if self._rebuild and found.due:
                self._schedule.start(self._renew)
            return found

    @property
    def rebuilding(self) -> bool:
        """Whether a rebuild is running."""
        return self._schedule.busy

    def wait(self) -> None:
        """Returns when no rebuild is running."""
        self._schedule.wait()

    def _renew(self) -> None:
        self.index.rebuild()
        self._schedule.restart()
        self.last = checkup(self.index, self.queries, self.k, self.recall)
