"""ScaNN's partitions scanned by the compiled library: the best by their codes, as in numpy; ScaNN's files, byte for byte; damage refused."""

from __future__ import annotations

import errno
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.libraries import BUILT, library, needs_library

from shortlist.errors import BundleError, ShortlistError
from shortlist.index import BruteForce, Index, ScaNN, load_index, partitions
from shortlist.index.partitions import Partitions, _Learned
from shortlist.index.scann import scann_trouble

needs_scann = pytest.mark.skipif(scann_trouble() is not None, reason="ScaNN cannot run here")
HEADS = {"datapoint_to_token.npy": b"", "hashed_dataset.npy": b""}

RNG = np.random.default_rng(8)
VECTORS = RNG.standard_normal((3000, 10)).astype(np.float32)
QUERIES = RNG.standard_normal((40, 10)).astype(np.float32)


def steps_of(learned: _Learned, leaf: np.ndarray, values: np.ndarray, query: np.ndarray, leaves: int) -> np.ndarray:
    """Each candidate's score in whole steps, −1 where its partition is not scanned: the definition of the scan."""
    scores = learned.centres @ query
    chosen = np.lexsort((np.arange(scores.size), -scores))[:leaves]
    width = values.shape[1]
    products = np.zeros((width, 16), np.float32)
    for d, row in enumerate(learned.book):
        products[d // learned.per_place] += query[d] * row
    products -= products.min(axis=1, keepdims=True)
    spread = scores[chosen[0]] - scores[chosen[-1]]
    step = max(products.max() / np.float32(255), spread / np.float32(65535), np.finfo(np.float32).tiny)
    table = np.minimum(products / step + np.float32(0.5), 255).astype(np.int64)
    centre = np.minimum((scores - scores[chosen[-1]]) / step + np.float32(0.5), 65535)
    found = table[np.arange(width), values].sum(axis=1) + centre[leaf].astype(np.int64)
    return np.where(np.isin(leaf, chosen), found, -1)


@needs_library
@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    n=st.integers(1, 700),
    leaves=st.integers(1, 20),
    dim=st.sampled_from([1, 3, 4, 5, 8, 17, 32]),
    per_place=st.integers(1, 3),
    wanted=st.integers(1, 300),
    chosen=st.integers(1, 25),
    zeros=st.booleans(),
)
def test_the_best_by_their_codes_are_found(name, seed, n, leaves, dim, per_place, wanted, chosen, zeros):
    rng = np.random.default_rng(seed)
    whole = lambda *shape: rng.integers(-9, 10, shape).astype(np.float32)  # noqa: E731 - products are exact
    learned = _Learned(whole(leaves, dim), whole(dim, 16), per_place, {})
    leaf = rng.integers(0, leaves, n).astype(np.int32)
    values = rng.integers(0, 16, (n, -(-dim // per_place))).astype(np.uint8)
    query = whole(dim) * (not zeros)
    native = Partitions(library(name), learned, leaf, values, HEADS)
    found = native.search(query, wanted, chosen)
    steps = steps_of(learned, leaf, values, query, min(chosen, leaves))
    assert np.unique(found).size == found.size
    expected = np.sort(steps[steps >= 0])[::-1][:wanted]
    assert np.array_equal(np.sort(steps[found])[::-1], expected)


@needs_library
@pytest.mark.parametrize("name", BUILT)
def test_many_more_than_wanted(name: str) -> None:
    """What is kept is thinned out on the way, also where scores rise to the end or are all the same."""
    n, rng = 60_000, np.random.default_rng(3)
    for values in (np.sort(rng.integers(0, 16, (n, 1))), np.zeros((n, 1), int)):
        codes = values.astype(np.uint8)
        learned = _Learned(np.ones((1, 1), np.float32), np.arange(16, dtype=np.float32)[None], 1, {})
        native = Partitions(library(name), learned, np.zeros(n, np.int32), codes, HEADS)
        found = native.search(np.ones(1, np.float32), 3, 1)
        assert np.unique(found).size == 3
        assert (codes[found] == codes.max()).all()


@needs_library
@pytest.mark.parametrize("fault", ["partition beyond", "partition below", "code"])
def test_numbers_that_are_none_are_refused(fault: str) -> None:
    leaf, values = np.zeros(100, np.int32), np.zeros((100, 4), np.uint8)
    if fault == "code":
        values[57, 2] = 16
    else:
        leaf[57] = 3 if fault == "partition beyond" else -1
    learned = _Learned(np.zeros((3, 4), np.float32), np.zeros((4, 16), np.float32), 1, {})
    with pytest.raises(ValueError, match=r"partition|code|negative"):
        Partitions(library(BUILT[0]), learned, leaf, values, HEADS)


def recall(index: Index, k: int = 10) -> float:
    true = BruteForce().build(VECTORS).search(QUERIES, k)
    found = index.search(QUERIES, k)
    return float(np.mean([np.isin(a[0], b[0]).mean() for a, b in zip(true, found, strict=True)]))


def natives(index: ScaNN) -> str:
    return type(index._now().native).__name__


@pytest.fixture(scope="module", params=[1, 2, 3])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scann")
    settings = {"leaves": 30, "leaves_to_search": 12, "reorder": 200, "soar": 0, "dims_per_code": request.param}
    ScaNN(**settings).build(VECTORS).save(folder)
    return folder


@needs_scann
@needs_library
def test_it_finds_as_much_as_scann_and_alone_as_together(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load_index(saved)
    monkeypatch.setattr(partitions, "index_library", lambda: None)
    scanns = load_index(saved)
    assert (natives(ours), natives(scanns)) == ("Partitions", "ScannSearcher")
    assert recall(ours) == pytest.approx(recall(scanns), abs=0.02)
    together = ours.search(QUERIES, 10)
    for row in range(len(QUERIES)):
        alone = ours.search(QUERIES[row : row + 1], 10)
        assert np.array_equal(alone.ids, together.row(row)[0])
        assert np.array_equal(alone.scores, together.row(row)[1])


@needs_scann
@needs_library
def test_its_files_are_scanns(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and written again they have the same digests, and ScaNN reads them; a copy in memory finds the same."""
    ours = load_index(saved)
    ours.save(tmp_path)
    first, second = (json.loads((folder / "index.json").read_text())["files"] for folder in (saved, tmp_path))
    assert first == second
    copied = pickle.loads(pickle.dumps(ours))
    assert natives(copied) == "Partitions"
    assert np.array_equal(copied.search(QUERIES, 10).ids, ours.search(QUERIES, 10).ids)
    monkeypatch.setattr(partitions, "index_library", lambda: None)
    assert recall(load_index(tmp_path)) > 0.8


@needs_scann
@needs_library
def test_built_without_the_library_is_read_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"leaves": 30, "leaves_to_search": 12, "reorder": 200, "soar": 0}
    with monkeypatch.context() as patched:
        patched.setattr(partitions, "index_library", lambda: None)
        index = ScaNN(**settings).build(VECTORS)
        assert natives(index) == "ScannSearcher"
        index.save(tmp_path)
    again = load_index(tmp_path)
    assert natives(again) == "Partitions"
    assert recall(again) == pytest.approx(recall(index), abs=0.02)


@needs_scann
@needs_library
def test_listed_twice_or_without_partitions_is_left_to_scann() -> None:
    assert natives(ScaNN(leaves=30, leaves_to_search=12).build(VECTORS)) == "ScannSearcher"
    assert natives(ScaNN(soar=0).build(VECTORS)) == "ScannSearcher"


@needs_scann
@needs_library
@pytest.mark.parametrize(
    "role", ["ah_codebook.pb", "serialized_partitioner.pb", "datapoint_to_token.npy", "hashed_dataset.npy"]
)
@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(saved: Path, tmp_path: Path, role: str, keep: float) -> None:
    """Also by what reads it, where digests are not compared."""
    index = load_index(saved)
    index.save(tmp_path)
    name = json.loads((tmp_path / "index.json").read_text())["files"][f"codes/{role}"]["name"]
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BundleError):
        load_index(tmp_path, verify=False)
    paths: dict[str, Path] = {}
    for part, entry in json.loads((tmp_path / "index.json").read_text())["files"].items():
        if "/" in part:
            paths[part.partition("/")[2]] = tmp_path / entry["name"]
    with pytest.raises((ValueError, OSError)):
        partitions.partitions_of(paths)


@needs_scann
@needs_library
@pytest.mark.parametrize("role", ["datapoint_to_token.npy", "hashed_dataset.npy"])
def test_an_altered_number_is_refused_or_alters_results_alone(saved: Path, tmp_path: Path, role: str) -> None:
    load_index(saved).save(tmp_path)
    name = json.loads((tmp_path / "index.json").read_text())["files"][f"codes/{role}"]["name"]
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 0xF0
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError, match="sha256"):
        load_index(tmp_path)
    with pytest.raises(BundleError):
        load_index(tmp_path, verify=False)


@needs_library
@pytest.mark.parametrize("leaves", [-1, 0, 3, 4])
@pytest.mark.parametrize("results", [0, 1, 500])
def test_any_number_of_partitions_and_results_is_scanned(leaves: int, results: int) -> None:
    """Below 1 it is all partitions, as of ScaNN; of results there is at least one."""
    leaf, values = (np.arange(300) % 3).astype(np.int32), np.zeros((300, 4), np.uint8)
    learned = _Learned(np.zeros((3, 4), np.float32), np.zeros((4, 16), np.float32), 1, {})
    for name in BUILT:
        found = Partitions(library(name), learned, leaf, values, HEADS).search(np.ones(4, np.float32), results, leaves)
        assert np.unique(found).size == found.size == max(1, min(results, 300))


@needs_scann
@needs_library
@pytest.mark.parametrize("dim", [9, 12])
def test_codes_for_vectors_of_another_length_are_refused(saved: Path, tmp_path: Path, dim: int) -> None:
    """A folder of two indexes, with digests of its own: a query would be read beyond its end."""
    settings = {"leaves": 30, "leaves_to_search": 12, "reorder": 200, "soar": 0, "dims_per_code": 1}
    other = ScaNN(**settings).build(np.random.default_rng(0).standard_normal((len(VECTORS), dim)).astype(np.float32))
    index = load_index(saved)
    index._snapshot = replace(index._now(), native=other._now().native)
    index.save(tmp_path)
    with pytest.raises(BundleError, match=f"codes of {dim} numbers for vectors of 10"):
        load_index(tmp_path)


@needs_scann
@needs_library
def test_a_full_disk_is_an_error(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Space is reserved before the files are mapped: a mapped page without a place on the disk ends the process."""
    index = load_index(saved)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(partitions, "reserve", full)
    with pytest.raises((OSError, ShortlistError), match="No space left"):
        index.save(tmp_path / "index")
    assert not (tmp_path / "index" / "index.json").exists()
