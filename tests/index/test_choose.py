"""Which index is chosen for so many candidates, and where it cannot run."""

from __future__ import annotations

import sys

import pytest

from shortlist.index import BruteForce, Faiss, Quantized, ScaNN, choose, choose_index

LACKS = {
    "quantized": "the package 'turbovec' is not installed",
    "scann": "this processor lacks avx2, which ScaNN needs",
    "faiss": "the package 'faiss-cpu' is not installed",
}


@pytest.fixture(autouse=True)
def all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LACKS:
        monkeypatch.setattr(choose, f"{name}_trouble", lambda: None)
    monkeypatch.setattr(sys, "platform", "linux")


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(choose, f"{name}_trouble", lambda name=name: LACKS[name])


def test_choice_is_exact_for_few_candidates() -> None:
    index, reason = choose_index(9_999, 32)
    assert (type(index), reason) == (BruteForce, "exact search: 9,999 candidates, few enough to score every one.")
    assert choose_index(1, 32)[1] == "exact search: 1 candidate, few enough to score every one."
    assert type(choose_index(12_000, 16)[0]) is BruteForce  # a twentieth of a millisecond a query


def test_choice_is_a_scan_of_codes_up_to_200_000_and_scann_above() -> None:
    index, reason = choose_index(40_000, 32)
    assert type(index) is Quantized
    assert reason.startswith("Quantized: 40,000 candidates")
    assert type(choose_index(199_999, 32)[0]) is Quantized
    index, reason = choose_index(200_000, 32)
    assert type(index) is ScaNN
    assert reason.startswith("ScaNN: 200,000 candidates")


def test_without_scann_codes_of_all_are_scanned_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "scann", "faiss")
    assert type(choose_index(5_000_000, 32)[0]) is Quantized


def test_without_turbovec_the_choice_is_scann(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "quantized")
    assert type(choose_index(40_000, 32)[0]) is ScaNN


@pytest.mark.parametrize(
    ("n", "platform", "lacking", "expected"),
    [
        (199_999, "linux", [], BruteForce),
        (200_000, "linux", [], Faiss),
        (200_000, "darwin", [], BruteForce),
        (200_000, "linux", ["faiss"], BruteForce),
    ],
)
def test_choice_without_both_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, n: int, platform: str, lacking: list[str], expected: type
) -> None:
    without(monkeypatch, "quantized", "scann", *lacking)
    monkeypatch.setattr(sys, "platform", platform)
    index, reason = choose_index(n, 32)
    assert type(index) is expected
    assert LACKS["quantized"] in reason
    assert expected is Faiss or 'pip install "shortlist[quantized]"' in reason
