"""A promise while candidates come and go; rebuilding while searches and changes go on."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from shortlist.errors import ConfigError, SearchError
from shortlist.index import BruteForce, Upkeep, checkup
from shortlist.index.exact import Matches, best

N, DIM = 200, 4
VECTORS = np.random.default_rng(1).standard_normal((N, DIM)).astype(np.float32)
QUERIES = np.random.default_rng(2).standard_normal((30, DIM)).astype(np.float32)


class Blocked(BruteForce):
    """Exact search that says it is not, whose second training waits until it is told to go on."""

    kind, exact = "blocked", False
    trainings, started, go_on = 0, threading.Event(), threading.Event()

    def _train(self, vectors):
        Blocked.trainings += 1
        if Blocked.trainings > 1:
            self.started.set()
            assert self.go_on.wait(timeout=60)

    def _settle(self, snapshot):
        return snapshot


class Forgetful(Blocked):
    """Finds every other one of the candidates that it was built from; all of them once it has been rebuilt."""

    kind = "forgetful"

    def _plain(self, queries, k, exclude):
        return None

    def _search_base(self, snapshot, request, filters):
        found = super()._search_base(snapshot, replace(request, k=N), filters)
        keep = found.positions % (2 if Blocked.trainings < 2 else 1) == 0
        kept = Matches(found.rows[keep], found.positions[keep], found.scores[keep])
        return best(kept, len(request.queries), request.k)


@pytest.fixture(autouse=True)
def _fresh():
    Blocked.trainings = 0
    Blocked.started.clear()
    Blocked.go_on.clear()


def test_changes_during_a_rebuild_are_searchable_at_once_and_not_lost() -> None:
    index = Blocked().build(VECTORS)
    index.delete(np.arange(30))
    thread = threading.Thread(target=index.rebuild)
    thread.start()
    assert Blocked.started.wait(timeout=60)
    loud = 10 * QUERIES[:1]
    index.upsert(np.array([900]), loud)
    assert index.delete(np.array([40, 41])) == 2
    index.upsert(np.array([41, 50]), VECTORS[:2])
    assert index.delete(np.array([900, 901])) == 1
    index.upsert(np.array([902]), loud)
    during = index.search(QUERIES, 20)
    assert index.search(QUERIES[:1], 1).ids.tolist() == [902]
    assert (index.size, index.churn) == (N - 30 - 2 + 1 + 1, (30 + 3 + 3) / N)
    before = index.ids.copy(), index.vectors.copy()
    Blocked.go_on.set()
    thread.join()
    assert np.array_equal(index.ids, before[0])
    assert np.array_equal(index.vectors, before[1])
    after = index.search(QUERIES, 20)
    assert np.array_equal(after.ids, during.ids)
    assert np.array_equal(after.scores, during.scores)
    assert index.churn == (3 + 3) / (N - 30)


def test_a_rebuild_that_fails_leaves_everything_and_the_next_may_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    index = BruteForce().build(VECTORS)
    index.delete(np.arange(30))

    def failing(self, vectors):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(BruteForce, "_train", failing)
        with pytest.raises(MemoryError):
            index.rebuild()
    assert (index.size, index.churn) == (N - 30, 30 / N)
    index.upsert(np.array([3]), VECTORS[3:4])
    index.rebuild()
    assert (index.size, index.churn) == (N - 29, 0.0)


def test_searches_during_rebuilds_and_changes_see_whole_states() -> None:
    index = BruteForce().build(VECTORS)
    pair, loud, torn, stop = np.array([700, 701]), 10 * QUERIES[[0, 0]], [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen = np.isin(pair, index.search(QUERIES[:1], 5).ids).sum()
            if seen == 1:
                torn.append(seen)

    def renew() -> None:
        while not stop.is_set():
            index.rebuild()

    threads = [threading.Thread(target=work) for work in (look, look, renew)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            index.upsert(pair, loud)
            assert index.delete(pair) == 2
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert torn == []
    assert index.size == N


def test_a_broken_promise_starts_a_rebuild_and_only_after_churn() -> None:
    index = Forgetful().build(VECTORS)
    upkeep = Upkeep(index, QUERIES, k=5, recall=0.9)
    assert upkeep.look() is None
    index.delete(np.arange(19))
    assert upkeep.look() is None  # 9.5% have changed
    index.delete(np.arange(20))
    found = upkeep.look()
    assert found is not None
    assert not found.kept
    assert found.churn == 0.1
    assert found.recall is not None
    assert found.recall.mean < 0.9
    assert str(found) == f"churn 10%; recall@5 {found.recall.mean:.3f} of 0.9 promised: rebuild"
    assert Blocked.started.wait(timeout=60)
    assert upkeep.rebuilding
    index.delete(np.arange(60))
    assert upkeep.look() is None  # one is running
    Blocked.go_on.set()
    upkeep.wait()
    assert not upkeep.rebuilding
    assert upkeep.last is not None
    assert upkeep.last.kept
    assert upkeep.last.recall is not None
    assert upkeep.last.recall.mean == 1.0
    found = upkeep.look()  # 40 of 180 have changed since the rebuild began
    assert found is not None
    assert found.kept
    assert str(found) == "churn 22%; recall@5 1.000 of 0.9 promised"
    assert upkeep.look() is None


def test_advice_alone() -> None:
    index = Forgetful().build(VECTORS)
    upkeep = Upkeep(index, QUERIES, k=5, recall=0.9, rebuild=False)
    index.delete(np.arange(40))
    found = upkeep.look()
    assert found is not None
    assert not found.kept
    assert not upkeep.rebuilding
    assert Blocked.trainings == 1
    upkeep.wait()


def test_exact_search_misses_nothing() -> None:
    assert checkup(BruteForce().build(VECTORS), QUERIES).recall is None
    few = Blocked().build(VECTORS[:5])
    assert checkup(few, QUERIES, k=5).kept


@pytest.mark.parametrize("options", [{"churn": 0}, {"churn": 1.5}, {"recall": 0.0}, {"recall": 2}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Upkeep(BruteForce().build(VECTORS), QUERIES, **options)


def test_a_checkup_needs_queries_that_fit() -> None:
    with pytest.raises(ConfigError, match="none were given"):
        checkup(BruteForce().build(VECTORS), QUERIES[:0])
    with pytest.raises(SearchError, match="dim 3"):
        checkup(BruteForce().build(VECTORS), QUERIES[:, :3])
