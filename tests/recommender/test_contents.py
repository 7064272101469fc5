"""Tables, vectors, weights and seen items: written into a folder, and read as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.id_map import IdMap
from shortlist.errors import BundleError
from shortlist.recommender.added_files import pair_entry
from shortlist.recommender.contents import CANDIDATES, QUERIES, _read_table, read_state
from shortlist.recommender.folder import verified
from shortlist.recommender.manifest import TableEntry


def test_a_state_is_read_as_it_was_written(recommender: sl.Recommender, bundle: Path) -> None:
    rests: list[int] = []
    state, vectors = read_state(verified(bundle), bundle, lambda: rests.append(1))
    before = recommender.served.state
    assert state.queries.equals(before.queries)
    assert state.candidates.equals(before.candidates)
    assert (state.counts.tolist(), state.known.tolist()) == ([1, 3, 1, 0], [True, True, True, False])
    assert (state.query, state.candidate, state.reads, state.dim) == ("who", "what", ("who",), 2)
    assert np.array_equal(state.query_vectors, before.query_vectors)  # type: ignore[arg-type]
    assert state.unknown_vector.tolist() == [-1, 0]  # type: ignore[union-attr]
    assert [state.seen.row(row).tolist() for row in range(4)] == [[0, 1], [1, 2], [1], []]
    assert vectors["golden"].tolist() == [[1, 0], [0, 1], [1, 1], [-1, 0]]
    assert "candidates" not in vectors
    assert len(rests) >= 4


def test_columns_of_ours_are_not_in_the_tables(bundle: Path) -> None:
    state, _ = read_state(verified(bundle), bundle, lambda: None)
    assert pl.read_parquet(bundle / QUERIES).columns == ["who", "known"]
    assert pl.read_parquet(bundle / CANDIDATES).columns == ["what", "training_count"]
    assert (state.queries.columns, state.candidates.columns) == (["who"], ["what"])


def test_what_the_manifest_says_of_neighbours(model: sl.TwoTower, train: sl.Dataset) -> None:
    assert pair_entry(sl.Recommender(model).served.state.near) is None
    mixture = sl.Mixture.of(model, sl.Cooccurrence().fit(train), train, share=0.25, temperature=2.0)
    entry = pair_entry(sl.Recommender(mixture).served.state.near)
    assert entry is not None
    assert (entry.share, entry.temperature) == (0.25, 2.0)


def test_null_ids_are_refused(bundle: Path) -> None:
    manifest = verified(bundle)
    table = pl.read_parquet(bundle / QUERIES)
    table.with_columns(pl.when(pl.col("who") != "ann").then(pl.col("who"))).write_parquet(bundle / QUERIES)
    with pytest.raises(BundleError, match="null ids"):
        read_state(manifest, bundle, lambda: None)


def test_ids_that_are_numbers_are_in_memory_once(tmp_path: Path) -> None:
    """A table is read in pieces, one for each group of rows; the array of its ids is the column itself, not a copy of it."""
    table = pl.DataFrame({"what": [5, 3, 8, 1], "training_count": [1, 0, 2, 0]})
    table.write_parquet(tmp_path / CANDIDATES, row_group_size=2)
    entry = TableEntry(id="what", rows=4, columns={"what": "Int64", "training_count": "Int64"}, added="training_count")
    read, counts = _read_table(entry, tmp_path / CANDIDATES, pl.Int64())
    ids = IdMap(read["what"])
    ids.take(np.array([2]))
    assert (read["what"].to_list(), counts.tolist()) == ([5, 3, 8, 1], [1, 0, 2, 0])
    assert np.shares_memory(ids._fixed._integers, read["what"].to_numpy(allow_copy=False))
