"""Indexes by their settings: what is not known is named."""

from __future__ import annotations

import pytest

from shortlist.errors import ConfigError
from shortlist.index import BruteForce, index_from_settings


def test_settings_that_are_not_known():
    with pytest.raises(ConfigError, match="did you mean 'scann'"):
        index_from_settings({"kind": "scan"})
    with pytest.raises(ConfigError, match="did you mean 'leaves'"):
        index_from_settings({"kind": "scann", "leavs": 3})
    with pytest.raises(ConfigError, match="known: storage"):
        index_from_settings({"kind": "brute_force", "leaves": 3})
    with pytest.raises(ConfigError, match="did you mean 'int8'"):
        BruteForce(storage="int9")
    with pytest.raises(ConfigError, match="kind None"):
        index_from_settings({})
