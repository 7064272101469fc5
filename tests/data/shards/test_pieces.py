"""The second pass: a piece is whole, or is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.data.shards.encoding import encoded

import shortlist as sl


def test_a_truncated_piece_of_an_unfinished_run_is_found(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "shards"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded(folder, target, on_piece=stop)
    path = target / "00001.candidate.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(sl.DataError, match=r"00001\.candidate\.npy"):
        encoded(folder, target)


def test_a_source_that_changes_meanwhile_is_refused(folder: Path, tmp_path: Path) -> None:
    def rewrite(done: int, total: int) -> None:
        if done == total:
            os.utime(folder / "a.parquet", (1, 1))

    with pytest.raises(sl.DataError, match=r"'a\.parquet' is changed"):
        encoded(folder, tmp_path / "shards", on_piece=rewrite)
