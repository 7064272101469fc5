"""``shortlist import-tfrs``: tables in, a bundle out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from tests.model.tfrs_arrays import arrays, expected

import shortlist as sl
from shortlist.cli import import_tfrs


def test_the_command_makes_a_bundle(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **arrays())
    pl.DataFrame({"user": ["ann", "ann", "zed"], "film": [7, 20, 99]}).write_parquet(tmp_path / "seen.parquet")
    words = [str(tmp_path / "model.npz"), "--query", "user", "--candidate", "film"]
    words += ["--seen", str(tmp_path / "seen.parquet"), "--out", str(tmp_path / "m.shortlist"), "--json"]
    done = CliRunner().invoke(import_tfrs.command, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert '"candidates": 4' in done.output
    loaded = sl.Recommender.load(tmp_path / "m.shortlist")
    (found,) = loaded.recommend(["ann"], k=4)
    assert set(found.ids) == {10, 30}
    (found,) = loaded.recommend(["nobody"], k=4)
    assert dict(zip(found.ids, found.scores, strict=True)) == pytest.approx(expected(0), rel=1e-5)
    np.testing.assert_array_equal(loaded.model.catalogue.counts, [0, 1, 0, 1])
    with pytest.raises(sl.BundleError, match="already exists"):
        CliRunner().invoke(import_tfrs.command, words, catch_exceptions=False)


def test_what_does_not_fit_leaves_no_bundle(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **arrays(query_ids=np.array(["ann", "ann", "bob"])))
    words = [str(tmp_path / "model.npz"), "--query", "user", "--candidate", "film", "--out", str(tmp_path / "m")]
    with pytest.raises(sl.DataError, match="repeated"):
        CliRunner().invoke(import_tfrs.command, words, catch_exceptions=False)
    assert not (tmp_path / "m").exists()
