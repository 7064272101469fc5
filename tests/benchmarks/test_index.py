"""The benchmark of the index works on small data, and docs/indexes.md holds what was measured."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.index import __main__ as bench
from benchmarks.index import data, ours, page

from benchmarks import environments, korean, report
from shortlist.index.quantized import quantized_trouble


def test_the_data_are_as_described(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data, "DATA", tmp_path)
    place = data.write(40_000, 4, 1_000)
    vectors = np.load(place / "vectors.npy")
    tuning, held = data.halves(place)
    assert (vectors.shape, tuning.shape, held.shape) == ((40_000, 4), (500, 4), (500, 4))
    # Coordinate j has variance (1 + 0.36) / (1 + j) times that of the lengths' factor, E exp(2 · 0.3 x) = exp(0.18).
    want = 1.36 * np.exp(0.18) / (1 + np.arange(4))
    assert np.allclose(vectors.var(axis=0), want, rtol=0.15)
    kth_tuning, _ = data.truth(place, 3)
    assert kth_tuning[0] == pytest.approx(np.sort(vectors @ tuning[0])[-3])
    assert np.array_equal(np.load(data.write(40_000, 4, 1_000) / "vectors.npy"), vectors)


def test_queries_outside_are_means_of_five_with_one_shift(monkeypatch, tmp_path: Path) -> None:
    """Their own mean is the vectors' mean and the shift, which is half as long as a vector is on average."""
    monkeypatch.setattr(data, "DATA", tmp_path)
    place = data.write(20_000, 4, 4_000)
    vectors = np.load(place / "vectors.npy")
    outside = np.concatenate(data.halves(place, "outside"))
    assert (outside.shape, outside.dtype) == ((4_000, 4), np.float32)
    shift = outside.mean(axis=0) - vectors.mean(axis=0)
    assert np.linalg.norm(shift) == pytest.approx(0.5 * np.linalg.norm(vectors, axis=1).mean(), rel=0.1)
    assert np.allclose(outside.var(axis=0), vectors.var(axis=0) / 5, rtol=0.2)
    kth, _ = data.truth(place, 3, "outside")
    assert kth[0] == pytest.approx(np.sort(vectors @ data.halves(place, "outside")[0][0])[-3])


def test_threads_that_end_while_they_are_listed_are_left(monkeypatch) -> None:
    """As with a pool whose threads end: what is listed is gone when it is its turn."""
    pinned = []

    def pin(task: int, cores: set[int]) -> None:
        if task == 2:
            raise ProcessLookupError
        pinned.append((task, cores))

    monkeypatch.setattr(ours.os, "listdir", lambda folder: ["1", "2", "3"])
    monkeypatch.setattr(ours.os, "sched_setaffinity", pin)
    ours.pin_threads({0})
    assert pinned == [(1, {0}), (3, {0})]


@pytest.mark.skipif(quantized_trouble() is not None, reason="turbovec is not installed")
@pytest.mark.slow
@pytest.mark.parametrize("queries", [[], ["--outside"]])
def test_a_quick_run(monkeypatch, tmp_path: Path, capsys, queries: list[str]) -> None:
    monkeypatch.setattr(environments, "ROOT", tmp_path / "peers")
    monkeypatch.setattr(bench, "SMALL", {"n": 3_000, "dim": 8, "k": 10, "recall": 0.95})
    monkeypatch.setattr(sys, "argv", ["benchmarks.index", *queries, "--quick", "--json", str(tmp_path / "result.json")])
    assert bench.main() == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["missing"]) == {"hnswlib", "usearch", "faiss", "svs", "scann", "turbovec"}
    rows = {(row["name"].split(": ")[1], row["peer_name"]): row for row in result["rows"]}
    run = result["sides"]["ours"]["runs"][0]
    found = 1 - run["missed"]
    assert found == pytest.approx(1 - rows["part of the top 10 missed", None]["ours"])
    assert found + (found - run["recall_lower"]) >= 0.95  # the promise lies within two standard errors of 200 queries
    assert rows["a query on one core", "exact search"]["ratio"] > 0
    assert rows["a query on one core", "hnswlib"]["holds"] is None
    assert len(result["curve"]) >= 1


@pytest.mark.parametrize("code", korean.CODES)
def test_the_page_is_what_the_results_say(code: str) -> None:
    """docs/indexes.md and its Korean twin are made by `python -m benchmarks.index.page`, never typed."""
    results = report.load_latest(report.RESULTS)
    assert korean.place(page.PAGE, code).read_text(encoding="utf-8") == page.page(results, code)


def test_the_results_have_their_korean() -> None:
    made = page.parts(report.load_latest(report.RESULTS))
    assert [phrase for part in made.values() for phrase in korean.missing(part)] == [], "benchmarks/ko.po"
