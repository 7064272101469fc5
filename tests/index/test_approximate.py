"""What approximate indexes share, over an index that looks where it is told: it widens, and never comes back short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from shortlist.errors import ConfigError
from shortlist.index import Lists, approximate
from shortlist.index.approximate import ApproximateIndex, Width

N = 400
VECTORS = np.linspace(1, 4, N, dtype=np.float32).reshape(-1, 1)  # the later, the better
ONE = np.array([[1.0]], np.float32)


@dataclass(frozen=True)
class _Settings:
    effort: int | None = None
    recall: float | None = None
    k: int = 100


class Told(ApproximateIndex):
    """Finds the best ``results`` of the candidates whose positions it was told of; re-ranks 8 of them."""

    kind: ClassVar[str] = "told"
    at_search: ClassVar[tuple[str, ...]] = ("effort",)
    known: ClassVar[np.ndarray] = np.arange(N)
    asked: ClassVar[list[tuple[int, Width]]] = []

    def __init__(self, effort: int | None = None, recall: float | None = None, k: int = 100) -> None:
        super().__init__(_Settings(effort, recall, k))

    def require(self) -> None:
        pass

    def _train(self, vectors: np.ndarray) -> np.ndarray:
        return vectors

    def _probe(self, native: np.ndarray, queries: np.ndarray, width: Width, open_: object = None) -> np.ndarray:
        Told.asked.append((len(queries), width))
        known = Told.known[Told.known < len(native)]
        best = known[np.argsort(-native[known, 0], kind="stable")][: width.results]
        return np.repeat(best[None, :], len(queries), axis=0)

    def _rerank(self, n: int, k: int) -> int:
        return min(n, max(k, 8))


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every candidate is known; a filter is never so narrow that exact search is cheaper."""
    monkeypatch.setattr(Told, "known", np.arange(N))
    monkeypatch.setattr(Told, "asked", [])
    monkeypatch.setattr(approximate, "_FEW", 0)
    monkeypatch.setattr(approximate, "_WORTH", 0)


def search(k: int = 3, queries: int = 1, **filters: Any) -> list[list[int]]:
    hits = Told().build(VECTORS).search(np.repeat(ONE, queries, axis=0), k, **filters)
    return [ids.tolist() for ids, _ in hits]


def test_what_the_native_index_offers_is_ranked_by_true_scores() -> None:
    assert search() == [[399, 398, 397]]
    assert Told.asked == [(1, Width(8, 1.0))]


def test_what_it_does_not_offer_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Told, "known", np.arange(0, N, 2))
    assert search() == [[398, 396, 394]]


def test_too_few_are_asked_for_again_wider_and_at_last_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are known and three are wanted: 8, 32 and 128 results, then all candidates."""
    monkeypatch.setattr(Told, "known", np.array([5, 6]))
    assert search(queries=2) == [[399, 398, 397]] * 2
    assert [(rows, width.results, width.effort) for rows, width in Told.asked] == [
        (2, 8, 1.0),
        (2, 32, 4.0),
        (2, 128, 16.0),
    ]


def test_only_those_left_short_are_asked_again() -> None:
    """The best 200 are excluded for the second query alone."""
    lists = search(queries=2, exclude=Lists.of([[], list(range(200, N))]))
    assert lists == [[399, 398, 397], [199, 198, 197]]
    assert Told.asked[0][0] == 2
    assert {rows for rows, _ in Told.asked[1:]} == {1}


def test_candidates_that_everybody_lacks_widen_the_first_question() -> None:
    """Half of the candidates are open: twice as many are asked for."""
    assert search(queries=2, deny=np.arange(200)) == [[399, 398, 397]] * 2
    assert Told.asked == [(2, Width(16, 2.0))]


def test_a_narrow_filter_is_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "_FEW", 50)
    monkeypatch.setattr(Told, "known", np.arange(0))
    assert search(allow=np.arange(30, 70)) == [[69, 68, 67]]
    assert Told.asked == []


def test_most_of_the_candidates_are_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Told, "known", np.arange(0))
    assert search(k=100)[0] == list(range(399, 299, -1))  # a quarter of them
    assert Told.asked == []


def test_a_list_of_each_query_is_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Told, "known", np.arange(0))
    assert search(queries=2, allow=Lists.of([[3, 9], [7]])) == [[9, 3], [7]]
    assert Told.asked == []


def test_results_lost_to_exclusions_are_looked_behind_once() -> None:
    """Eight are asked for, of which the query has seen five: it looks deeper, as far as that takes."""
    assert search(exclude=Lists.of([[399, 398, 397, 396, 395]])) == [[394, 393, 392]]
    first, second = (width for _, width in Told.asked)
    assert first == Width(8, 1.0)
    assert second.results == 8 + 2 * 5
    assert second.effort == pytest.approx(1 + 2.5 * (5 / 8) ** 0.5)


def test_settings_of_the_search_change_without_a_build() -> None:
    index = Told(effort=1).build(VECTORS)
    again = index.with_search(effort=9)
    assert again.settings()["effort"] == 9
    assert again.vectors is index.vectors
    assert index.settings()["effort"] == 1
    with pytest.raises(ConfigError, match="Told's k cannot be changed without a build"):
        index.with_search(k=5)
