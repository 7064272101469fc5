"""Which index is chosen for so many candidates, and where it cannot run."""

from __future__ import annotations

import sys

import pytest

from shortlist.index import BruteForce, Faiss, ScaNN, choose, choose_index


def test_choice_is_exact_for_few_candidates():
    index, reason = choose_index(9_999, 32)
    assert (type(index), reason) == (BruteForce, "exact search: 9,999 candidates are few enough to score every one.")


def test_choice_is_scann_where_it_runs(monkeypatch):
    monkeypatch.setattr(choose, "scann_trouble", lambda: None)
    index, reason = choose_index(40_000, 32)
    assert type(index) is ScaNN
    assert reason.startswith("ScaNN: 40,000 candidates")
    assert type(choose_index(12_000, 16)[0]) is BruteForce  # a twentieth of a millisecond a query


@pytest.mark.parametrize(
    ("n", "platform", "faiss", "expected"),
    [
        (199_999, "linux", None, BruteForce),
        (200_000, "linux", None, Faiss),
        (200_000, "darwin", None, BruteForce),
        (200_000, "linux", "the package 'faiss-cpu' is not installed", BruteForce),
    ],
)
def test_choice_without_scann(monkeypatch, n, platform, faiss, expected):
    monkeypatch.setattr(choose, "scann_trouble", lambda: "this processor lacks avx2, which ScaNN needs")
    monkeypatch.setattr(choose, "faiss_trouble", lambda: faiss)
    monkeypatch.setattr(sys, "platform", platform)
    index, reason = choose_index(n, 32)
    assert type(index) is expected
    assert "this processor lacks avx2" in reason
    assert faiss is None or faiss in reason
