"""Tables that another library trained: the same scores, the unknown row first, and what must be refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from tests.model.tfrs_arrays import arrays, expected

import shortlist as sl
from shortlist.cli import import_tfrs
from shortlist.errors import DataError


def test_scores_are_the_same():
    recommender = sl.Recommender(sl.from_tfrs(arrays(), "user", "film"), cold_start="unknown", fallback=())
    for name, row in (("ann", 1), ("bob", 2), ("cåt", 3), ("nobody", 0)):
        (found,) = recommender.recommend([name], k=4)
        assert dict(zip(found.ids, found.scores, strict=True)) == pytest.approx(expected(row), rel=1e-5)
        assert found.scores == sorted(found.scores, reverse=True)
        assert found.known == (name != "nobody")


@pytest.mark.parametrize("dtype", ["S", object])
def test_bytes_are_text(dtype):
    """As a vocabulary of TensorFlow is: UTF-8."""
    names = np.array([name.encode() for name in ("ann", "bob", "cåt")], dtype=dtype)
    score_names = np.array([name.encode() for name in ("ann", "cåt", "nobody")], dtype=dtype)
    model = sl.from_tfrs(arrays(query_ids=names, score_query_ids=score_names), "user", "film")
    assert model.catalogue.queries["user"].to_list() == ["ann", "bob", "cåt"]


def test_bytes_that_are_not_utf8_are_refused():
    with pytest.raises(DataError, match="not UTF-8") as caught:
        sl.from_tfrs(arrays(query_ids=np.array([b"ann", b"bob", "cåt".encode("latin-1")])), "user", "film")
    assert "latin-1" in caught.value.hint


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint8, np.uint32, np.uint64])
def test_integers_keep_their_value(kind):
    ids = np.array([np.iinfo(kind).max, 7, 30, 20], dtype=kind)
    seen = sl.Dataset(pl.DataFrame({"user": ["ann", "bob"], "film": pl.Series(ids[:2])}), "user", "film")
    given = arrays(candidate_ids=ids, score_candidate_ids=ids[[1, 3, 0]])
    model = sl.from_tfrs(given, "user", "film", seen=seen)
    assert model.catalogue.candidates["film"].to_list() == [int(one) for one in ids]
    assert model.catalogue.counts.tolist() == [1, 1, 0, 0]
    (found,) = sl.Recommender(model, fallback=()).recommend(["ann"], k=4)
    assert set(found.ids) == {int(one) for one in ids}


class Towers:
    """Towers with dense layers and a feature beside the id, as Keras has them, in numpy."""

    def __init__(self) -> None:
        generator = np.random.default_rng(1)
        self.titles = [f"Amélie {number} (été)" for number in range(40)]
        self.users = [str(number) for number in range(30)]
        self.tables = [
            generator.normal(size=(n + 1, 8)).astype(np.float32) for n in (len(self.users), len(self.titles))
        ]
        self.dense = [generator.normal(size=(9, 6)).astype(np.float32) for _ in range(2)]
        self.age = generator.integers(18, 80, len(self.users) + 1).astype(np.float32)

    def outputs(self, side: int) -> np.ndarray:
        """What the tower puts out for the unknown id and for each id ``[n + 1, 6]``."""
        feature = self.age if side == 0 else np.arange(len(self.titles) + 1)
        inputs = np.concatenate([self.tables[side], feature[:, None] / 50], 1).astype(np.float32)
        return np.maximum(inputs @ self.dense[side], 0)

    def exported(self, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(2)
        asked, shown = (generator.integers(0, len(ids) + 1, 100) for ids in (self.users, self.titles))
        users, titles = ([b"?unknown?", *(one.encode() for one in ids)] for ids in (self.users, self.titles))
        return {
            "query_ids": np.array(users[1:], dtype=bytes),
            "candidate_ids": np.array(titles[1:], dtype=bytes),
            "query_embeddings": rows[0],
            "candidate_embeddings": rows[1],
            "score_query_ids": np.array(users, dtype=bytes)[asked],
            "score_candidate_ids": np.array(titles, dtype=bytes)[shown],
            "scores": (self.outputs(0)[asked] * self.outputs(1)[shown]).sum(1),
        }


def test_any_towers_are_imported_by_what_they_put_out(tmp_path):
    towers = Towers()
    np.savez(tmp_path / "model.npz", **towers.exported([towers.outputs(0), towers.outputs(1)]))
    recommender = sl.Recommender(
        sl.from_tfrs(tmp_path / "model.npz", "user", "title"), cold_start="unknown", fallback=()
    )
    scores = towers.outputs(0) @ towers.outputs(1)[1:].T
    for row, name in enumerate(["somebody new", *towers.users]):
        (found,) = recommender.recommend([name], k=40)
        wanted = dict(zip(towers.titles, scores[row].tolist(), strict=True))
        assert dict(zip(found.ids, found.scores, strict=True)) == pytest.approx(wanted, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("by_command", [False, True])
def test_the_tables_of_towers_with_layers_are_refused(tmp_path, by_command):
    towers = Towers()
    np.savez(tmp_path / "model.npz", **towers.exported(towers.tables))
    words = [str(tmp_path / "model.npz"), "--query", "user", "--candidate", "title", "--out", str(tmp_path / "out")]

    def imported() -> object:
        if by_command:
            return CliRunner().invoke(import_tfrs.command, words, catch_exceptions=False)
        return sl.from_tfrs(tmp_path / "model.npz", "user", "title")

    with pytest.raises(DataError, match="scores differ from those of the vectors") as caught:
        imported()
    assert "not their embedding tables" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_row_too_few_or_ids_in_another_order_are_refused():
    towers = Towers()
    given = towers.exported([towers.outputs(0), towers.outputs(1)])
    given["query_ids"] = given["query_ids"][::-1]
    with pytest.raises(DataError, match="scores differ from those of the vectors"):
        sl.from_tfrs(given, "user", "title")


def test_without_scores_a_warning_says_that_nothing_was_checked():
    given = {name: value for name, value in arrays().items() if not name.startswith("score")}
    with pytest.warns(sl.ShortlistWarning, match="cannot be checked"):
        sl.from_tfrs(given, "user", "film")


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": None},
        {"score_query_ids": None},
        {"scores": np.zeros(2)},
        {"scores": np.array(["a", "b", "c"])},
        {"scores": np.zeros((3, 1))},
    ],
)
def test_scores_without_their_ids_are_refused(changes):
    with pytest.raises(DataError, match="of one length were expected"):
        sl.from_tfrs(arrays(**changes), "user", "film")


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(DataError, match="differ from those of the vectors"):
        sl.from_tfrs(arrays(scores=np.array([np.nan, 0, 0])), "user", "film")


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
        with pytest.raises(DataError, match=r"not an \.npz file of plain arrays"):
            sl.from_tfrs(tmp_path / name, "user", "film")
