"""Opening a bundle without reading all of it: what is compared, what is left on disk, and what is done about a stranger."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.recommender.saved import files_of, trust
from tests.recommender.test_bundle import ASK

import shortlist as sl
from shortlist.errors import BundleError, ConfigError
from shortlist.store import checksum

has_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")
PLAIN = {"model/weights.safetensors", "seen.safetensors", "vectors.safetensors"}


@pytest.fixture
def train() -> sl.Dataset:
    """Every id occurs, so that the unknown rows are nobody's vectors, and stored with the weights."""
    pairs = {"who": ["ann", "ann", "bob", "cat", "dan"], "what": ["a", "b", "c", "b", "d"]}
    return sl.Dataset(pairs, "who", "what")


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def test_it_answers_as_before(bundle: Path, recommender: sl.Recommender) -> None:
    opened = sl.Recommender.load(bundle, mmap=True)
    assert opened.recommend(ASK) == recommender.recommend(ASK)
    assert opened.fingerprint == recommender.fingerprint
    assert opened.model.catalogue.query == "who"


def test_plain_arrays_are_left_unread_and_everything_else_is_compared(bundle: Path, tmp_path: Path) -> None:
    for name in files_of(bundle):
        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy)
        flip(copy / name, -1)
        with pytest.raises(BundleError):
            sl.Recommender.load(copy)
        if name == "model/weights.safetensors":
            assert sl.Recommender.load(copy, mmap=True).recommend(ASK)
        elif name not in PLAIN and not name.startswith("index/vectors"):
            with pytest.raises(BundleError, match=Path(name).name):
                sl.Recommender.load(copy, mmap=True)
        (copy / name).write_bytes((bundle / name).read_bytes()[:-1])
        with pytest.raises(BundleError, match=Path(name).name):
            sl.Recommender.load(copy, mmap=True)
        shutil.rmtree(copy)


def test_vectors_of_another_training_are_noticed(bundle: Path) -> None:
    """A sample of the vectors, and of the answers, is compared even then."""
    name = next(name for name in files_of(bundle) if name.startswith("index/vectors"))
    flip(bundle / name, -2)
    with pytest.raises(BundleError, match="one training"):
        sl.Recommender.load(bundle, mmap=True)


@pytest.mark.parametrize("verify", [False, "all"])
def test_another_word_is_refused(bundle: Path, verify: Any) -> None:
    with pytest.raises(ConfigError, match="verify"):
        sl.Recommender.load(bundle, verify=verify)


def test_the_old_words_work_and_name_the_new_ones(bundle: Path, recommender: sl.Recommender) -> None:
    for old in ({"verify": "native"}, {"verify": True}, {"guard": True}, {"guard": False}):
        with pytest.warns(DeprecationWarning, match="will be removed in .*mmap=True.*trusted=False") as said:
            assert sl.Recommender.load(bundle, **old).recommend(ASK) == recommender.recommend(ASK)
        assert said[0].filename == __file__


@has_faiss
def test_a_crafted_native_file_is_never_read(id_model: Any, tmp_path: Path) -> None:
    model, train = id_model(list(range(20)), list(range(1_100)))
    recommender = sl.Recommender(model, index=sl.Faiss("hnsw"), seen=train)
    recommender.save(tmp_path / "b")
    folder = tmp_path / "b" / "index"
    described = json.loads((folder / "index.json").read_text())
    entry = described["files"]["faiss/index.bin"]
    native = folder / entry["name"]
    native.write_bytes(native.read_bytes()[:-500])
    described.pop("checksum")
    entry |= {"bytes": native.stat().st_size, "sha256": hashlib.sha256(native.read_bytes()).hexdigest()}
    (folder / "index.json").write_text(json.dumps({**described, "checksum": checksum(described)}))
    trust(tmp_path / "b")
    with pytest.raises(BundleError, match="Faiss cannot load"):
        sl.Recommender.load(tmp_path / "b")
    loaded = sl.Recommender.load(tmp_path / "b", trusted=False)
    assert type(loaded.index).__name__ == "Faiss"
    queries = list(range(20))
    assert (
        np.mean(
            [a.ids == b.ids for a, b in zip(loaded.recommend(queries), recommender.recommend(queries), strict=True)]
        )
        > 0.9
    )
