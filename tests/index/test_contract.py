"""Every index has what the contract names, and says why it cannot run."""

from __future__ import annotations

import numpy as np
import pytest

from shortlist.errors import MissingExtraError, SearchError
from shortlist.index import BruteForce, Faiss, Index, Quantized, ScaNN
from shortlist.index import faiss as faiss_module
from shortlist.index import scann as scann_module


def test_every_index_keeps_the_contract_to_the_type():
    for index in (BruteForce(), Quantized(), ScaNN(), Faiss()):
        assert {name for name in dir(Index) if not name.startswith("_")} <= set(dir(type(index)))


def test_asking_for_what_cannot_run(monkeypatch):
    vectors = np.eye(4, dtype=np.float32)
    monkeypatch.setattr(scann_module, "scann_trouble", lambda: "this processor lacks avx2, which ScaNN needs")
    with pytest.raises(SearchError, match="this processor lacks avx2"):
        ScaNN().build(vectors)
    monkeypatch.setattr(scann_module, "scann_trouble", lambda: "the package 'scann' is not installed")
    with pytest.raises(MissingExtraError, match="scann"):
        ScaNN().build(vectors)
    monkeypatch.setattr(faiss_module, "faiss_trouble", lambda: "the package 'faiss-cpu' is not installed")
    with pytest.raises(MissingExtraError, match=r"shortlist\[faiss\]"):
        Faiss().build(vectors)
