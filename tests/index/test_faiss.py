"""Faiss: options out of range."""

from __future__ import annotations

import pytest

from shortlist.errors import ConfigError
from shortlist.index import Faiss


def test_faiss_options_out_of_range():
    with pytest.raises(ConfigError, match="did you mean 'hnsw'"):
        Faiss("hnws")
    with pytest.raises(ConfigError, match="links"):
        Faiss(links=0)
