"""When two answers to a golden request count as the same."""

from typing import Any

import pytest

from shortlist.recommender.golden import same
from shortlist.recommender.manifest import Golden


def golden(rows: list[int], scores: list[float], sources: list[str] | None = None) -> Golden:
    return Golden(query=0, rows=rows, scores=scores, sources=sources or ["model"] * len(rows))


SAVED = golden([5, 3, 8], [2.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (golden([5, 3, 8], [2.0, 1.0, 1.0]), True),
        (golden([5, 3, 8], [2.0 + 1e-6, 1.0, 1.0]), True),  # rounding of another processor
        (golden([5, 8, 3], [2.0, 1.0, 1.0]), True),  # equal scores the other way round
        (golden([5, 3, 9], [2.0, 1.0, 1.0]), True),  # as good as the last
        (golden([3, 5, 8], [2.0, 1.0, 1.0]), False),
        (golden([6, 3, 8], [2.0, 1.0, 1.0]), False),
        (golden([5, 3, 8], [2.1, 1.0, 1.0]), False),
        (golden([5, 3], [2.0, 1.0]), False),
        (golden([5, 3, 8], [2.0, 1.0, 1.0], ["model", "model", "popularity"]), False),
        (golden([], []), False),
    ],
)
def test_same(now: Any, expected: bool) -> None:
    assert same(SAVED, now) is expected
    assert same(now, SAVED) is expected


def test_two_empty_answers_are_the_same() -> None:
    assert same(golden([], []), golden([], []))
