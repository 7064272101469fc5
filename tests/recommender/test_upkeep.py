"""A recommender that looks after its index: in a thread of its own, with every change kept."""

from __future__ import annotations

import threading
from typing import Any

import polars as pl
import pytest
from tests.recommender.test_live import ids, priced

import shortlist as sl
from shortlist.errors import ConfigError, SearchError
from shortlist.index import BruteForce, upkeep
from shortlist.index.snapshot import Snapshot
from shortlist.recommender.upkeep import renewal

__all__ = ["priced"]  # a fixture


class Waiting(BruteForce):
    """Exact search that says it is not, and whose trainings after the first wait for a word."""

    kind, exact = "waiting", False

    def __init__(self) -> None:
        super().__init__()
        self.word, self.started = threading.Event(), threading.Event()

    def _like(self, snapshot: Snapshot) -> Any:
        built = super()._like(snapshot)
        built.word, built.started = self.word, self.started
        return built

    def _train(self, vectors: Any) -> None:
        self.started.set()
        assert self.word.wait(timeout=60)

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        return snapshot


def upsert(recommender: sl.Recommender, **prices: float) -> None:
    recommender.upsert(pl.DataFrame({"what": list(prices), "price": list(prices.values())}))


@pytest.fixture
def waiting(priced: sl.Recommender, monkeypatch: pytest.MonkeyPatch) -> sl.Recommender:
    monkeypatch.setattr(upkeep, "_MOST_ADDED", 0)  # whatever came since is too much
    index = Waiting()
    index.word.set()
    priced.index = index.build(priced.served.vectors)
    index.word.clear()
    index.started.clear()
    return priced


def test_changes_made_during_a_rebuild_are_found_at_once_and_stay(waiting: sl.Recommender) -> None:
    index: Any = waiting.index
    kept = waiting.keep_up(k=1)
    upsert(waiting, z=9.0)  # a third of the candidates
    assert index.started.wait(timeout=60)
    assert kept.busy
    assert ids(waiting) == ["z", "c", "b", "a"]
    upsert(waiting, y=8.0, z=1.5)
    assert waiting.delete(["c", "none"]) == 1
    assert ids(waiting) == ["y", "b", "z", "a"]
    assert waiting.index.churn > 0.5
    index.word.set()
    kept.wait()
    assert kept.trouble is None
    assert ids(waiting) == ["y", "b", "z", "a"]
    # built of a, b, c, z; then y came, c went, and z went and came: four of four
    assert waiting.index.churn == 1.0
    assert str(kept.last).startswith("churn 100%; recall@1 1.000 of 0.95 promised")


def test_advice_alone(waiting: sl.Recommender) -> None:
    kept = waiting.keep_up(k=1, rebuild=False)
    upsert(waiting, z=9.0)
    kept.wait()
    assert kept.last is not None
    assert kept.last.due
    assert str(kept.last).endswith(": rebuild")
    assert waiting.index.churn == pytest.approx(1 / 3)


def test_small_changes_are_no_reason_to_look(waiting: sl.Recommender) -> None:
    kept = waiting.keep_up(k=1, churn=0.5)
    upsert(waiting, z=9.0)
    assert not kept.busy
    assert kept.last is None


def test_a_rebuild_that_fails_leaves_what_is_there(waiting: sl.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise SearchError("no memory")

    kept = waiting.keep_up(k=1)
    monkeypatch.setattr(Waiting, "_train", broken)
    upsert(waiting, z=9.0)
    kept.wait()
    assert isinstance(kept.trouble, SearchError)
    assert ids(waiting) == ["z", "c", "b", "a"]


def test_for_whoever_holds_recommenders_that_never_change(waiting: sl.Recommender) -> None:
    """The server's way: a renewal made aside, laid on the recommender that is there by then."""
    waiting.index.word.set()  # type: ignore[attr-defined]
    upsert(waiting, z=9.0)
    aside = renewal(waiting.served)
    waiting.delete(["a"])
    after = sl.Recommender(aside.onto(waiting.served))
    assert ids(after) == ids(waiting) == ["z", "c", "b"]
    assert (after.index.churn, waiting.index.churn > 0.5) == (0.25, True)


def test_an_exact_index_misses_nothing(priced: sl.Recommender) -> None:
    kept = priced.keep_up()
    upsert(priced, z=9.0)
    kept.wait()
    assert str(kept.last) == "churn 33%; nothing is missed"


@pytest.mark.parametrize("options", [{"recall": 0.0}, {"recall": 1.5}, {"churn": 0.0}])
def test_options_out_of_range(priced: sl.Recommender, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        priced.keep_up(**options)  # type: ignore[arg-type]
