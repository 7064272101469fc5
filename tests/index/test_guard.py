"""Saved indexes from elsewhere: what is checked at the load, and that no native file of an untrusted one is read."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.index_mutations import OUTCOMES, _seal

from shortlist.errors import BundleError
from shortlist.index import BruteForce, Faiss, load_index
from shortlist.index.scan_arrays import Storage
from shortlist.index.scann import scann_trouble
from shortlist.store import checksum

VECTORS = np.random.default_rng(1).standard_normal((1200, 6)).astype(np.float32)
QUERIES = VECTORS[:5]
has_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


def files(folder: Path) -> dict[str, Path]:
    described = json.loads((folder / "index.json").read_text())["files"]
    return {role: folder / entry["name"] for role, entry in described.items()}


@has_faiss
def test_a_crafted_native_file_is_not_read_and_the_index_is_built_anew(tmp_path: Path) -> None:
    index = Faiss().build(VECTORS, np.arange(1200) * 3)
    index.delete(np.array([3]))
    index.save(tmp_path)
    native = files(tmp_path)["faiss/index.bin"]
    native.write_bytes(native.read_bytes()[:-1000])
    with pytest.raises(BundleError, match="bytes"):
        load_index(tmp_path)
    _seal(tmp_path)  # every checksum is right again
    with pytest.raises(BundleError, match="Faiss cannot load"):
        load_index(tmp_path)
    loaded = load_index(tmp_path, trusted=False)
    assert loaded.settings() == index.settings()
    assert np.array_equal(loaded.ids, index.ids)
    assert np.array_equal(loaded.search(QUERIES, 5).ids, BruteForce().build(*parts(index)).search(QUERIES, 5).ids)


def parts(index: Faiss) -> tuple[np.ndarray, np.ndarray]:
    return index.vectors, index.ids


@has_faiss
def test_no_native_file_of_an_untrusted_index_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Faiss().build(VECTORS).save(tmp_path)
    monkeypatch.setattr(Faiss, "_read_native", lambda *_: pytest.fail("a native file was read"))
    assert load_index(tmp_path, trusted=False).size == 1200


@pytest.mark.parametrize(
    ("storage", "role"),
    [("bfloat16", "codes"), ("bfloat16", "errors"), ("int8", "codes"), ("int8", "scales"), ("int8", "errors")],
)
@pytest.mark.parametrize("byte", [0, 255])  # zeros, and −1 or what is not a number
def test_no_copy_of_the_vectors_of_an_untrusted_index_is_read(
    storage: Storage, role: str, byte: int, tmp_path: Path
) -> None:
    index = BruteForce(storage=storage).build(VECTORS)
    index.delete(np.array([3]))
    index.save(tmp_path)
    path = files(tmp_path)[role]
    head = len(path.read_bytes()) - np.load(path).nbytes
    path.write_bytes(path.read_bytes()[:head] + bytes([byte]) * (path.stat().st_size - head))
    _seal(tmp_path)
    loaded, wanted = load_index(tmp_path, trusted=False), index.search(QUERIES, 40)
    assert loaded.settings() == index.settings()
    found = loaded.search(QUERIES, 40)
    assert found.ids.tolist() == wanted.ids.tolist()
    assert found.scores.tolist() == wanted.scores.tolist()


def test_the_old_word_works_and_names_the_new_one(tmp_path: Path) -> None:
    BruteForce().build(VECTORS).save(tmp_path)
    with pytest.warns(DeprecationWarning, match="trusted=False"):
        assert load_index(tmp_path, guard=True, patience=3.0).size == 1200


def test_senseless_numbers_are_refused_when_every_number_is_looked_at(tmp_path: Path) -> None:
    BruteForce().build(VECTORS).save(tmp_path)
    path = files(tmp_path)["vectors"]
    content = path.read_bytes()
    path.write_bytes(content[:-4] + np.float32(np.nan).tobytes())
    _seal(tmp_path)
    with pytest.raises(BundleError, match=r"vectors\[1199, 5\] is nan"):
        load_index(tmp_path, trusted=False)


@pytest.mark.parametrize(
    "change",
    [
        {"built": -1}, {"built": "many"}, {"dim": 0}, {"longest": []}, {"longest": None}, {"settings": {"x": 1}},
        {"settings": 3}, {"dead": -3}, {"files": {}}, {"files": {"vectors": 3}}, {"files": []},
        {"files": {"vectors": {"name": "../vectors.npy", "bytes": 3, "sha256": ""}}},
        {"files": {"vectors": {"name": "/etc/passwd", "bytes": 3, "sha256": ""}}},
    ],
)  # fmt: skip
def test_a_description_that_is_none_is_refused(change: dict, tmp_path: Path) -> None:
    index = BruteForce().build(VECTORS)
    index.delete(np.array([3, 4]))
    index.save(tmp_path)
    path = tmp_path / "index.json"
    content = json.loads(path.read_text())
    content.pop("checksum")
    content |= change
    path.write_text(json.dumps({**content, "checksum": checksum(content)}))
    with pytest.raises(BundleError):
        load_index(tmp_path, verify=False)


def test_positions_that_are_none_are_refused(tmp_path: Path) -> None:
    index = BruteForce().build(VECTORS)
    index.delete(np.array([3, 4]))
    index.save(tmp_path)
    path = files(tmp_path)["dead"]
    path.write_bytes(path.read_bytes()[:-8] + np.int64(5000).tobytes())
    _seal(tmp_path)
    with pytest.raises(BundleError, match="invalid positions"):
        load_index(tmp_path)


def test_plain_arrays_can_go_unread(tmp_path: Path) -> None:
    """verify="native" opens a large index at once: an altered number then alters a result, and no more."""
    BruteForce().build(VECTORS).save(tmp_path)
    path = files(tmp_path)["vectors"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        load_index(tmp_path)
    assert load_index(tmp_path, verify="native").size == 1200


@has_faiss
def test_files_of_a_native_library_never_go_unread(tmp_path: Path) -> None:
    Faiss().build(VECTORS).save(tmp_path)
    path = files(tmp_path)["faiss/index.bin"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="altered"):
        load_index(tmp_path, verify="native")


@pytest.mark.skipif(sys.platform != "linux", reason="forks with limits")
def test_a_sample_of_random_damage() -> None:
    """benchmarks/index_mutations.py does this thousands of times: nothing wrong, and an index in the end."""
    backends = ["brute_force", "int8", *(["hnsw", "ivfpq"] if importlib.util.find_spec("faiss") else [])]
    backends += [] if scann_trouble() else ["scann"]
    command = [sys.executable, "-m", "benchmarks.index_mutations", ",".join(backends), "12", "12", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    for backend, counts in json.loads(done.stdout).items():
        assert counts["altered: refused"] + counts["altered: as before"] == 12, (backend, counts)
        assert counts["altered: wrong"] + counts["crafted: wrong"] == 0, (backend, counts)
        failed = sum(counts[f"crafted: {outcome}"] for outcome in ("refused", "died", "hung"))
        assert failed + counts["crafted: sound"] == 12, (backend, counts)
        assert counts["crafted: rebuilt"] + counts["crafted: no vectors left"] == failed, (backend, counts)
        assert set(counts) == {f"{kind}: {outcome}" for kind in ("altered", "crafted") for outcome in OUTCOMES}
