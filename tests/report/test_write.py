"""The page on disk: there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

import shortlist as sl
from shortlist.report import write


def test_a_disk_that_refuses(recommender: sl.Recommender, tmp_path: Path) -> None:
    with pytest.raises(sl.ConfigError, match="could not be written"):
        write(recommender, tmp_path / "no" / "r.html")
