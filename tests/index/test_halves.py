"""Vectors in halves: the same numbers, and the same results as in float32 to the last bit, at half the size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shortlist.errors import BundleError, SearchError
from shortlist.index import BruteForce, Faiss, Halves, Lists, exact_from, held_vectors, load_index


def numbers(rows: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    """float32 numbers of 8 bits, some of them repeated, negative zero among them."""
    drawn = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    drawn[1::50] = drawn[0]
    drawn[0, 0] = -0.0
    return (drawn.view(np.uint32) & 0xFFFF0000).view(np.float32)


def test_halves_read_as_the_array() -> None:
    whole = numbers(5000)
    halves = Halves.of(whole)
    assert halves is not None
    assert (halves.shape, halves.ndim, len(halves), halves.dtype) == ((5000, 6), 2, 5000, np.float32)
    assert halves.nbytes * 2 == whole.nbytes
    for key in (3, slice(7, 4800), np.array([4, 0, -1]), whole[:, 0] > 0, (slice(None), 2)):
        assert np.array_equal(halves[key].view(np.uint32), np.ascontiguousarray(whole[key]).view(np.uint32))
    assert np.array_equal(halves.take(np.array([9, 9, 1])), whole[[9, 9, 1]])
    assert np.array_equal(np.asarray(halves), whole)
    assert np.array_equal(halves.reshape(2500, 12)[7], whole.reshape(2500, 12)[7])
    out = np.empty((10, 6), np.float32)
    assert halves.into(20, 30, out) is out
    assert np.array_equal(out, whole[20:30])


def test_numbers_with_more_bits_are_not_halves() -> None:
    odd = numbers(5000)
    odd[4999, 5] = np.nextafter(odd[4999, 5], np.float32(9))
    assert Halves.of(odd) is None


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("rows", [300, 20_000])
def test_searches_are_those_of_float32(storage: str, rows: int) -> None:
    vectors, asked = numbers(rows), np.random.default_rng(5).standard_normal((9, 6)).astype(np.float32)
    plain, half = BruteForce(storage).build(vectors), BruteForce(storage).build(Halves.of(vectors))
    assert plain.nbytes - half.nbytes == vectors.nbytes // 2
    exclude = Lists.of([[number, 0] for number in range(9)])
    for options in ({}, {"exclude": exclude}, {"allow": np.arange(0, rows, 7)}, {"deny": np.arange(200)}):
        for queries in (asked, asked[:1]):
            some = {**options, "exclude": Lists.of([[0]])} if "exclude" in options and len(queries) == 1 else options
            one, two = (index.search(queries, 20, **some) for index in (plain, half))
            assert np.array_equal(one.ids, two.ids)
            assert np.array_equal(one.scores.view(np.uint32), two.scores.view(np.uint32))


def test_an_index_of_halves_is_stored_as_that_and_changes(tmp_path: Path) -> None:
    vectors = numbers(400)
    plain, half = BruteForce().build(vectors), BruteForce().build(Halves.of(vectors))
    for index, place in ((plain, "plain"), (half, "half")):
        index.save(tmp_path / place)
    sizes = [sum(file.stat().st_size for file in (tmp_path / place).glob("vectors-*")) for place in ("plain", "half")]
    assert sizes[0] - sizes[1] == vectors.nbytes // 2
    assert '"format": 1' in (tmp_path / "plain" / "index.json").read_text()
    assert '"format": 2' in (tmp_path / "half" / "index.json").read_text()
    for mmap in (True, False):
        loaded = BruteForce.load(tmp_path / "half", mmap=mmap)
        assert isinstance(held_vectors(loaded), Halves)
        assert isinstance(loaded.vectors, np.ndarray)
        assert np.array_equal(loaded.vectors, vectors)
    asked = np.random.default_rng(5).standard_normal((3, 6)).astype(np.float32)
    changed = load_index(tmp_path / "half")
    for index in (plain, changed):
        index.upsert(np.array([3, 1000]), np.random.default_rng(6).standard_normal((2, 6)).astype(np.float32))
        index.delete(np.array([5]))
        index.rebuild()
    assert np.array_equal(plain.search(asked, 50).scores, changed.search(asked, 50).scores)
    assert isinstance(held_vectors(exact_from(tmp_path / "half")), Halves)


def test_halves_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    infinite = numbers(20_000)
    infinite[19_999, 2] = np.inf
    with pytest.raises(SearchError, match="finite numbers were expected"):
        BruteForce().build(Halves.of(infinite))
    BruteForce().build(Halves.of(numbers(30))).save(tmp_path / "half")
    (array,) = (tmp_path / "half").glob("vectors-*")
    np.save(array, np.zeros((30, 6), np.float32))
    with pytest.raises(BundleError):
        BruteForce.load(tmp_path / "half", verify=False)


def test_an_index_of_another_kind_gets_float32() -> None:
    pytest.importorskip("faiss")
    vectors = numbers(400)
    index = Faiss("hnsw").build(Halves.of(vectors))
    assert isinstance(held_vectors(index), np.ndarray)
    assert np.array_equal(index.vectors, vectors)
