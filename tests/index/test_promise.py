"""Figures of a promise: the curve of a backend, and what a report of them holds; by hand."""

from __future__ import annotations

import json

import numpy as np

from shortlist.index import BruteForce
from shortlist.index.promise import Point, Tuned, Tuning
from shortlist.index.recall import Recall


def recall(mean: float, k: int = 10) -> Recall:
    return Recall(k, 120, mean, mean - 0.01, mean, mean, mean)


def point(backend: str, build: int, mean: float, milliseconds: float) -> Point:
    return Point(backend, build, {"kind": backend}, recall(mean), milliseconds, mean >= 0.9)


POINTS = (
    point("scann", 1, 0.80, 0.1),
    point("scann", 1, 0.95, 0.4),
    point("scann", 2, 0.90, 0.5),  # beaten: the one above finds more in less time
    point("scann", 2, 0.85, 0.2),
    point("scann", 3, 0.95, 0.6),  # as much, and slower
    point("hnsw", 1, 0.99, 2.0),
)
TUNING = Tuning(
    BruteForce().build(np.eye(4, dtype=np.float32)),
    recall=0.9,
    k=10,
    candidates=4,
    dim=4,
    tune_queries=120,
    held_out_queries=120,
    chosen=Tuned("scann", {"kind": "scann"}, {10: recall(0.95), 4: recall(0.97, 4)}, 0.4, 0.7, 3.0, 1.5, 64),
    reason="ScaNN: the fastest",
    points=POINTS,
    missing={"ivfpq": "not installed"},
)


def test_a_curve_has_what_nothing_else_beats_by_rising_recall() -> None:
    assert [(one.recall.mean, one.milliseconds) for one in TUNING.curve("scann")] == [
        (0.8, 0.1),
        (0.85, 0.2),
        (0.95, 0.4),
    ]
    assert TUNING.curve("hnsw") == [POINTS[-1]]
    assert TUNING.curve("ivfpq") == []


def test_the_report_is_json_without_the_index() -> None:
    plain = json.loads(json.dumps(TUNING.to_dict()))
    assert "index" not in plain
    assert [one["k"] for one in plain["chosen"]["recalls"]] == [10, 4]
    assert [len(plain["curves"][name]) for name in ("scann", "hnsw")] == [3, 1]
    assert len(plain["points"]) == 6
    assert plain["missing"] == {"ivfpq": "not installed"}
    assert "index=" not in repr(TUNING)
