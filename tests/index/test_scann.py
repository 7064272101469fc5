"""ScaNN: options out of range; a folder of codes alone, and what was saved when ScaNN kept a copy of the vectors to re-rank by."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shortlist.errors import BundleError, ConfigError
from shortlist.index import BruteForce, Index, ScaNN, load_index
from shortlist.index.scann import scann_trouble
from shortlist.index.storage import Writer

needs_scann = pytest.mark.skipif(scann_trouble() is not None, reason="ScaNN cannot run here")

RNG = np.random.default_rng(8)
VECTORS = RNG.standard_normal((800, 10)).astype(np.float32)
QUERIES = RNG.standard_normal((30, 10)).astype(np.float32)


def recall(index: Index) -> float:
    true = BruteForce().build(VECTORS).search(QUERIES, 10)
    found = index.search(QUERIES, 10)
    return float(np.mean([np.isin(a[0], b[0]).mean() for a, b in zip(true, found, strict=True)]))


@needs_scann
def test_no_copy_of_the_vectors_is_saved_or_read(tmp_path: Path) -> None:
    ScaNN(leaves=20, leaves_to_search=5).build(VECTORS).save(tmp_path)
    roles = json.loads((tmp_path / "index.json").read_text())["files"]
    assert {role for role in roles if "/" not in role} == {"vectors"}
    assert not any("dataset.npy" in role and "hashed" not in role for role in roles)
    assert sum(entry["bytes"] for role, entry in roles.items() if "/" in role) < 2 * VECTORS.nbytes


@needs_scann
def test_a_folder_with_a_copy_to_re_rank_by_is_still_read(tmp_path: Path) -> None:
    from scann.scann_ops.py import scann_ops_pybind

    index = ScaNN(leaves=20, leaves_to_search=15, reorder=100).build(VECTORS)
    index.save(tmp_path / "now")
    header = json.loads((tmp_path / "now" / "index.json").read_text())
    builder = scann_ops_pybind.builder(VECTORS, 10, "dot_product").tree(20, 15, min_partition_size=1)
    searcher = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
    (tmp_path / "native").mkdir()
    searcher.serialize(str(tmp_path / "native"), True)
    for name in ("dataset.npy", "scann_assets.pbtxt"):
        (tmp_path / "native" / name).unlink()
    with Writer(tmp_path / "then") as writer:
        writer.array("vectors", VECTORS)
        writer.adopt(tmp_path / "native", "scann")
        writer.commit({name: header[name] for name in header if name not in ("files", "format", "checksum")})
    assert recall(load_index(tmp_path / "then")) >= 0.95
    assert recall(load_index(tmp_path / "now")) >= 0.95


@needs_scann
def test_vectors_of_gigabytes_are_added_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ScaNN is given a sample and pieces, never all at once; each has its own place, also after a load."""
    from scann.scann_ops.py import scann_ops_pybind

    monkeypatch.setattr("shortlist.index.scann._AT_ONCE", VECTORS.nbytes)
    monkeypatch.setattr("shortlist.index.scann._SAMPLE", 300)
    monkeypatch.setattr("shortlist.index.scann._PIECE", 128)
    given, create = [], scann_ops_pybind.create_searcher

    def counted(vectors: Any, *rest: Any, **options: Any) -> Any:
        given.append(len(vectors))
        return create(vectors, *rest, **options)

    monkeypatch.setattr(scann_ops_pybind, "create_searcher", counted)
    index = ScaNN(leaves=20, leaves_to_search=20, reorder=200).build(VECTORS)
    assert given == [300]
    index.save(tmp_path)
    for one in (index, load_index(tmp_path)):
        assert recall(one) >= 0.95
        everything = one.with_search(reorder=len(VECTORS)).search(QUERIES, 10)
        assert np.array_equal(everything.ids, BruteForce().build(VECTORS).search(QUERIES, 10).ids)
    assert ScaNN(leaves=20, leaves_to_search=5).build(VECTORS[:700]).nbytes > 0
    assert given == [300, 700]
    with pytest.raises(ConfigError, match=r"soar is 1\.5, but 800 vectors of 10 are added in pieces"):
        ScaNN(leaves=20, leaves_to_search=5, soar=1.5).build(VECTORS)


@needs_scann
def test_too_few_to_learn_codes_from_are_searched_exactly(tmp_path: Path) -> None:
    index = ScaNN().build(VECTORS[:200])
    index.save(tmp_path)
    again = load_index(tmp_path)
    exact = BruteForce().build(VECTORS[:200]).search(QUERIES, 7)
    for one in (index, again):
        assert np.array_equal(one.search(QUERIES, 7).ids, exact.ids)


@pytest.mark.parametrize(
    "options",
    [{"leaves": 0}, {"reorder": 2.5}, {"leaves_to_search": True}, {"leaves": 10, "leaves_to_search": 11}, {"seed": -1}],
)
def test_scann_options_out_of_range(options):
    with pytest.raises(ConfigError):
        ScaNN(**options)


@needs_scann
def test_without_a_temporary_folder_it_is_read_or_the_error_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only root: memory will do, and where there is none, no bundle is blamed."""
    ScaNN(leaves=20, leaves_to_search=5).build(VECTORS).save(tmp_path)
    before = recall(load_index(tmp_path))
    made = tempfile.mkdtemp

    def nowhere(suffix: Any = None, prefix: Any = None, dir: Any = None) -> str:
        if dir is None:
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")
        return made(suffix, prefix, dir)

    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    assert recall(load_index(tmp_path)) == before

    def read_only(*arguments: Any, **options: Any) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", read_only)
    with pytest.raises(BundleError, match="temporary folder") as caught:
        load_index(tmp_path)
    assert "TMPDIR" in str(caught.value)
    assert "again" not in str(caught.value)


@needs_scann
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("options", ["", "leaves=20", "leaves=20, soar=0"])
@pytest.mark.parametrize("loaded", [False, True])
def test_a_forked_process_searches_builds_again_and_ends_as_others_do(
    options: str, loaded: bool, tmp_path: Path
) -> None:
    """A searcher waits for its threads when it goes, and a fork has none of them."""
    code = f"""
import os, signal, sys, numpy as np
from shortlist.index import ScaNN, load_index
vectors = np.random.default_rng(0).standard_normal((2000, 8)).astype(np.float32)
index = ScaNN({options}).build(vectors)
if {loaded}:
    index.save({str(tmp_path)!r})
    index = load_index({str(tmp_path)!r})
before = index.search(vectors[:100], 10).ids
child = os.fork()
if child == 0:
    signal.alarm(60)
    same = np.array_equal(index.search(vectors[:100], 10).ids, before)
    index.rebuild()
    index.search(vectors[:100], 10)
    sys.exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
