"""What all indexes share: candidates built from and added since are one list, in one order; by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.index.built import ONE, built, column, ids_of

from shortlist.errors import SearchError
from shortlist.index import BruteForce
from shortlist.index.base import Change, Snapshot


def test_an_index_without_candidates_finds_nothing_and_takes_new_ones() -> None:
    index = built()
    index.delete(np.array([10, 50, 30]))
    assert (index.size, ids_of(index)) == (0, [])
    index.rebuild()
    index.upsert(np.array([3]), column(1))
    assert ids_of(index) == [3]


def test_settings_alone_answer_nothing() -> None:
    settings = BruteForce()
    assert not settings.built
    for call in (lambda: settings.search(ONE, 1), lambda: settings.size, lambda: settings.delete(np.array([1]))):
        with pytest.raises(SearchError, match="this BruteForce has settings only"):
            call()
    assert repr(settings) == "BruteForce(storage='float32')"
    assert repr(built()) == "BruteForce(storage='float32') of 3 × 1"


def test_nothing_to_build_from_is_refused_and_nothing_to_add_is_nothing() -> None:
    with pytest.raises(SearchError, match="vectors has no rows"):
        BruteForce().build(np.zeros((0, 1), np.float32))
    index = built()
    index.upsert(np.zeros(0, np.int64), np.zeros((0, 1), np.float32))
    assert index.churn == 0


def test_a_change_that_is_refused_changes_nothing() -> None:
    index = built()
    for ids, vectors in (([1], np.zeros((1, 2), np.float32)), ([1, 1], column(1, 2)), ([1], column(float("nan")))):
        with pytest.raises(SearchError):
            index.upsert(np.array(ids), vectors)
    assert ids_of(index) == [50, 30, 10]


class Busy(BruteForce):
    """Exact search during whose rebuild something else is done."""

    kind, meanwhile = "busy", staticmethod(lambda: None)

    def _renewed(self, now: Snapshot) -> Snapshot:
        renewed = super()._renewed(now)
        self.meanwhile()
        return renewed


def test_a_change_during_a_rebuild_is_that_of_its_call_whatever_becomes_of_the_arrays() -> None:
    """A caller may fill one array again and again; the index makes the change twice, before and after the rebuild."""
    index = Busy().build(column(1, 5, 3), np.array([10, 50, 30]))
    ids, vectors, gone = np.array([60]), column(9), np.array([10])

    def change() -> None:
        index.upsert(ids, vectors)
        index.delete(gone)
        ids[:], vectors[:], gone[:] = 70, 2, 50

    index.meanwhile = change  # type: ignore[method-assign]
    index.rebuild()
    assert ids_of(index) == [60, 50, 30]
    assert index.vectors_of(np.array([60, 50])).tolist() == [[9], [5]]


class Ending(BruteForce):
    """Exact search whose rebuild, in another thread, ends as soon as a change has seen that there is one."""

    kind, reads = "ending", 0
    noted: list[Change] | None = None

    @property  # type: ignore[override]
    def _missed(self) -> list[Change] | None:
        self.reads += 1
        return self.noted if self.reads == 1 else None

    @_missed.setter
    def _missed(self, changes: list[Change] | None) -> None:
        self.noted = changes

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        self.reads = 0
        return snapshot


def test_a_rebuild_that_ends_during_a_change_does_not_stop_it() -> None:
    index = Ending().build(column(1, 5, 3), np.array([10, 50, 30]))
    index._missed = []
    index.upsert(np.array([60]), column(9))
    assert index.delete(np.array([50])) == 1
    assert ids_of(index) == [60, 30, 10]
    assert len(index.noted or ()) == 2
