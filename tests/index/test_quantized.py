"""Quantized: options, what is stored, vectors and queries of any length, filters inside the scan, and codes that are renewed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shortlist.errors import BundleError, ConfigError, MissingExtraError
from shortlist.index import BruteForce, Index, Lists, Quantized, load_index
from shortlist.index import quantized as room
from shortlist.index.quantized import quantized_trouble

needs_turbovec = pytest.mark.skipif(quantized_trouble() is not None, reason="turbovec is not installed")

RNG = np.random.default_rng(8)
VECTORS = (RNG.standard_normal((3000, 10)) * np.exp(0.5 * RNG.standard_normal((3000, 1)))).astype(np.float32)
QUERIES = RNG.standard_normal((30, 10)).astype(np.float32)


def recall(index: Index, **filters: object) -> float:
    true = BruteForce().build(index.vectors, index.ids).search(QUERIES, 10, **filters)
    found = index.search(QUERIES, 10, **filters)
    return float(np.mean([np.isin(a[0], b[0]).mean() for a, b in zip(true, found, strict=True)]))


@pytest.mark.parametrize("options", [{"bits": 3}, {"bits": True}, {"reorder": 0}, {"recall": 2.0}, {"k": 0}])
def test_options_out_of_range(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="Quantized"):
        Quantized(**options)


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "quantized_trouble", lambda: "the package 'turbovec' is not installed")
    for make in (Quantized().require, lambda: Quantized().build(VECTORS)):
        with pytest.raises(MissingExtraError, match=r"shortlist\[quantized\]"):
            make()


@needs_turbovec
@pytest.mark.parametrize("bits", [4, 2])
def test_what_is_stored_is_the_vectors_and_codes_of_a_few_bits(tmp_path: Path, bits: int) -> None:
    index = Quantized(bits=bits, reorder=60).build(VECTORS)
    index.save(tmp_path)
    files = json.loads((tmp_path / "index.json").read_text())["files"]
    assert set(files) == {"vectors", "turbovec/codes.tv"}
    codes = 3000 * 16 * bits // 8  # 10 numbers, and zeros up to 16
    assert codes <= files["turbovec/codes.tv"]["bytes"] < VECTORS.nbytes
    again = load_index(tmp_path)
    assert np.array_equal(again.search(QUERIES, 10).ids, index.search(QUERIES, 10).ids)
    assert recall(again) >= 0.95


@needs_turbovec
def test_few_candidates_are_searched_exactly(tmp_path: Path) -> None:
    index = Quantized().build(VECTORS[:255])
    index.save(tmp_path)
    exact = BruteForce().build(VECTORS[:255]).search(QUERIES, 7)
    for one in (index, load_index(tmp_path)):
        assert np.array_equal(one.search(QUERIES, 7).ids, exact.ids)


@needs_turbovec
def test_codes_of_other_vectors_are_refused(tmp_path: Path) -> None:
    Quantized().build(VECTORS).save(tmp_path / "whole")
    Quantized().build(VECTORS[:2000]).save(tmp_path / "part")
    header, other = (json.loads((tmp_path / name / "index.json").read_text()) for name in ("whole", "part"))
    name, theirs = (one["files"]["turbovec/codes.tv"]["name"] for one in (header, other))
    (tmp_path / "whole" / name).write_bytes((tmp_path / "part" / theirs).read_bytes())
    with pytest.raises(BundleError):  # of another size, and so refused before it is read
        load_index(tmp_path / "whole")
    snapshot = Quantized().build(VECTORS)._now()

    class _Reader:
        folder = tmp_path

        def has(self, role: str) -> bool:
            return True

        def path(self, role: str) -> Path:
            return tmp_path / "part" / theirs

    with pytest.raises(BundleError, match="does not belong"):
        Quantized()._read_native(_Reader(), snapshot)  # type: ignore[arg-type]


@needs_turbovec
@pytest.mark.parametrize(("vectors", "queries"), [(50, 0), (-90, 0), (0, 50), (0, -100), (50, -40)])
def test_vectors_and_queries_of_any_length_find_the_same(vectors: int, queries: int) -> None:
    """Powers of two change no digit of a number."""
    plain = Quantized().build(VECTORS).search(QUERIES, 10)
    scaled = Quantized().build(np.ldexp(VECTORS, vectors)).search(np.ldexp(QUERIES, queries), 10)
    assert np.mean(plain.ids == scaled.ids) >= 0.99


@needs_turbovec
def test_filters_are_applied_inside_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half, a tenth, and the best 200 of each query: the scan is asked for no more than it re-ranks, and all is found."""
    index = Quantized(reorder=60).build(VECTORS)
    asked = []
    probe = Quantized._probe

    def counting(
        self: Quantized, native: object, queries: np.ndarray, width: room.Width, open_: object = None
    ) -> object:
        asked.append(width.results)
        return probe(self, native, queries, width, open_)  # type: ignore[arg-type]

    monkeypatch.setattr(Quantized, "_probe", counting)
    assert recall(index, allow=np.arange(0, 3000, 2)) >= 0.95
    assert recall(index, deny=np.arange(300, 3000)) >= 0.95
    assert set(asked) == {60}
    best = BruteForce().build(VECTORS).search(QUERIES, 200)
    seen = Lists.of([best.row(i)[0] for i in range(len(QUERIES))])
    assert recall(index, exclude=seen) >= 0.9
    assert max(asked) == 60 + 2 * 60  # all of the first 60 were seen
    assert [len(ids) for ids, _ in index.search(QUERIES, 10, exclude=seen)] == [10] * 30


@needs_turbovec
def test_long_lists_are_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result costs as much as reading some dozens of vectors."""
    index, calls = Quantized().build(VECTORS), []
    probe = Quantized._probe
    monkeypatch.setattr(Quantized, "_probe", lambda self, *given: (calls.append(1), probe(self, *given))[1])
    index.search(QUERIES, 59)
    assert calls
    calls.clear()
    exact = BruteForce().build(VECTORS).search(QUERIES, 60)
    assert np.array_equal(index.search(QUERIES, 60).ids, exact.ids)
    assert not calls


@needs_turbovec
def test_a_few_seen_items_cost_no_second_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Quantized(reorder=60).build(np.tile(VECTORS, (2, 1))[:5000])
    calls = []
    probe = Quantized._probe
    monkeypatch.setattr(
        Quantized, "_probe", lambda self, *given: (calls.append(given[2].results), probe(self, *given))[1]
    )
    best = index.search(QUERIES, 2)
    calls.clear()
    seen = Lists.of([best.row(i)[0] for i in range(len(QUERIES))])
    index.search(QUERIES, 10, exclude=seen)
    index.search(QUERIES[:1], 10, exclude=Lists.of([best.row(0)[0]]))
    assert calls == [64, 64]


@needs_turbovec
def test_codes_are_made_again_after_some_thousand_changes() -> None:
    index = Quantized().build(VECTORS)
    fresh = np.random.default_rng(9).standard_normal((5000, 10)).astype(np.float32)
    index.upsert(np.arange(3000, 7000), fresh[:4000])
    assert index.churn > 1  # 4,000 changes: searched exactly, in addition
    index.upsert(np.arange(7000, 8000), fresh[4000:])
    assert (index.churn, index.size) == (0, 8000)
    assert recall(index) >= 0.95
    index.delete(np.arange(4000))
    assert index.churn == 0.5
    index.delete(np.arange(4000, 5000))
    assert (index.churn, index.size) == (0, 3000)
    assert recall(index) >= 0.95


@needs_turbovec
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_was_forked_after_a_search_searches_too() -> None:
    """As the server's workers do."""
    code = """
import os, signal, numpy as np
from shortlist.index import Quantized
rng = np.random.default_rng(0)
index = Quantized().build(rng.standard_normal((20_000, 32)).astype(np.float32))
queries = rng.standard_normal((64, 32)).astype(np.float32)
before = index.search(queries, 10).ids
child = os.fork()
signal.alarm(60)
same = all((index.search(queries, 10).ids == before).all() for _ in range(3))
if child == 0:
    os._exit(0 if same else 1)
assert same and os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
