"""Tables that another library trained: the same scores, the unknown row first, and what must be refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

import shortlist as sl
from shortlist.cli import import_tfrs
from shortlist.errors import DataError


def arrays(**changes) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    given = {
        "query_ids": np.array(["ann", "bob", "cåt"]),
        "query_embeddings": generator.normal(size=(4, 5)).astype(np.float32),
        "candidate_ids": np.array([10, 7, 30, 20]),
        "candidate_embeddings": generator.normal(size=(5, 5)).astype(np.float32),
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def expected(user: int) -> dict[int, float]:
    """Scores of a row of the user table by film."""
    given = arrays()
    scores = given["candidate_embeddings"][1:] @ given["query_embeddings"][user]
    return dict(zip(given["candidate_ids"].tolist(), scores.tolist(), strict=True))


def test_scores_are_the_same():
    recommender = sl.Recommender(sl.from_tfrs(arrays(), "user", "film"), fallback=())
    for name, row in (("ann", 1), ("bob", 2), ("cåt", 3), ("nobody", 0)):
        (found,) = recommender.recommend([name], k=4)
        assert dict(zip(found.ids, found.scores, strict=True)) == pytest.approx(expected(row), rel=1e-5)
        assert found.scores == sorted(found.scores, reverse=True)
        assert found.known == (name != "nobody")


def test_bytes_are_text():
    model = sl.from_tfrs(arrays(query_ids=np.array(["ann", "bob", "cat"]).astype("S")), "user", "film")
    assert model.catalogue.queries["user"].to_list() == ["ann", "bob", "cat"]


def test_the_command_makes_a_bundle(tmp_path):
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
    np.testing.assert_array_equal(loaded.model.catalogue.counts, [0, 1, 0, 1])
    with pytest.raises(sl.BundleError, match="is there already"):
        CliRunner().invoke(import_tfrs.command, words, catch_exceptions=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"query_ids": None}, "lack query_ids"),
        ({"query_ids": np.array([1.5, 2.5, 3.5])}, "strings or integers"),
        ({"query_ids": np.array(["[UNK]", "ann", "bob", "cat"])}, r"\[5, dim\] was expected"),
        ({"query_ids": np.array(["ann", "ann", "bob"])}, "repeated"),
        ({"candidate_embeddings": np.zeros((5, 4), np.float32)}, "dim 5, the candidate embeddings 4"),
        ({"candidate_embeddings": np.full((5, 5), np.nan)}, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(changes, says):
    with pytest.raises(DataError, match=says):
        sl.from_tfrs(arrays(**changes), "user", "film")


def test_objects_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", **arrays(query_ids=np.array(["ann", 1, None], dtype=object)))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("objects.npz", "text.npz", "missing.npz"):
        with pytest.raises(DataError, match=r"no \.npz file of plain arrays"):
            sl.from_tfrs(tmp_path / name, "user", "film")
