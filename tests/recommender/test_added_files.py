"""The sources of a mixture as arrays and entries: by hand, and read back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from shortlist.errors import BundleError
from shortlist.index import Lists
from shortlist.recommender.added_files import (
    PAIR,
    SOURCES,
    added_files,
    pair_entry,
    read_added,
    read_pair,
    sources_entries,
)
from shortlist.sources import Added, Neighbours, RankedList, Weights

HISTORIES = Lists.of([np.array([0, 2]), np.array([1])])  # of two queries
STATE: Any = SimpleNamespace(
    candidates=pl.DataFrame({"what": ["a", "b", "c"], "year": [1, 2, 3]}),
    queries=pl.DataFrame({"who": ["ann", "bob"], "land": ["north", "south"]}),
)


def table(kind: str = "transitions") -> Neighbours:
    """0 → 1, 2; 1 → 0; nothing of 2."""
    return Neighbours(
        np.array([0, 2, 3, 3]), np.array([1, 2, 0], np.int32), np.array([3, 1, 2], np.float32), age=0.5, kind=kind
    )


def ranked(**options: Any) -> RankedList:
    return RankedList(np.array([0, 2]), np.array([2, 0], np.int32), size=3, kind="popular", **options)


@pytest.fixture
def pair() -> Added:
    """One pair of towers and a table that has a quarter of the score."""
    return Added((table(),), (), HISTORIES, Weights((0.75, 0.25), (2.0,)))


@pytest.fixture
def several() -> Added:
    """Two pairs of towers, a table and a list."""
    weights = Weights((1.0, 0.5, 0.25, 2.0), (1.0, 4.0))
    return Added((table("ease"),), (ranked(newest="year"),), HISTORIES, weights, ("f" * 64,))


def test_a_pair_has_the_file_and_entry_of_old(pair: Added) -> None:
    files = added_files(pair)
    assert list(files) == [PAIR]
    assert {name: (array.dtype.name, array.tolist()) for name, array in files[PAIR].items()} == {
        "offsets": ("int64", [0, 2, 3, 3]),
        "columns": ("int32", [1, 2, 0]),
        "weights": ("float32", [3, 1, 2]),
        "history_offsets": ("int64", [0, 2, 3]),
        "history_values": ("int64", [0, 2, 1]),
    }
    entry = pair_entry(pair)
    assert entry is not None
    assert (entry.kind, entry.age, entry.length, entry.share, entry.temperature) == ("transitions", 0.5, 500, 0.25, 2.0)
    assert sources_entries(pair) is None


def test_other_mixtures_have_an_entry_for_each_source(several: Added) -> None:
    assert pair_entry(several) is None
    first, second, of_table, of_list = sources_entries(several) or ()
    assert [(one.weight, one.temperature, one.fingerprint) for one in (first, second)] == [  # type: ignore[union-attr]
        (1.0, 1.0, ""),
        (0.5, 4.0, "f" * 64),
    ]
    assert (of_table.weight, of_table.kind, of_table.age) == (0.25, "ease", 0.5)  # type: ignore[union-attr]
    assert (of_list.weight, of_list.kind, of_list.newest) == (2.0, "popular", "year")  # type: ignore[union-attr]
    (arrays,) = added_files(several).values()
    assert list(added_files(several)) == [SOURCES]
    assert set(arrays) == {
        *("table-0.offsets", "table-0.columns", "table-0.weights"),
        *("list-0.offsets", "list-0.rows", "history_offsets", "history_values"),
    }


def test_a_model_without_sources_has_no_entries() -> None:
    assert (pair_entry(None), sources_entries(None)) == (None, None)


def manifest_of(entries: Any) -> Any:
    """The parts of a manifest that the sources are read by."""
    return SimpleNamespace(sources=entries, by_history=None, quotas=None, stage=msgspec.UNSET)


def test_sources_are_read_as_they_were(pair: Added, several: Added) -> None:
    entry = pair_entry(pair)
    assert entry is not None
    again = read_pair(entry, added_files(pair)[PAIR], STATE)
    assert again.weights == pair.weights
    assert again.tables[0].weights.tolist() == [3, 1, 2]
    assert again.tables[0].age == 0.5
    again = read_added(manifest_of(sources_entries(several)), added_files(several)[SOURCES], STATE)
    assert (again.weights, again.towers) == (several.weights, ("f" * 64,))
    assert (again.lists[0].rows.tolist(), again.lists[0].newest) == ([2, 0], "year")
    assert again.histories.row(0).tolist() == [0, 2]


def test_what_does_not_belong_to_the_tables_is_refused(pair: Added, several: Added) -> None:
    entry = pair_entry(pair)
    assert entry is not None
    arrays = added_files(pair)[PAIR]
    smaller: Any = SimpleNamespace(candidates=STATE.candidates[:2], queries=STATE.queries)
    with pytest.raises(BundleError, match="does not belong to the catalogue"):
        read_pair(entry, arrays, smaller)
    with pytest.raises(BundleError, match="does not belong to the catalogue"):
        read_pair(entry, {**arrays, "history_values": np.array([0, 3, 1])}, STATE)
    with pytest.raises(BundleError, match="no 'columns' of int32"):
        read_pair(entry, {**arrays, "columns": arrays["columns"].astype(np.int64)}, STATE)
    undated: Any = SimpleNamespace(candidates=STATE.candidates.drop("year"), queries=STATE.queries)
    with pytest.raises(BundleError, match="reads 'year'"):
        read_added(manifest_of(sources_entries(several)), added_files(several)[SOURCES], undated)
    entries = list(sources_entries(several) or ())
    nameless = [entries[0], *entries]
    for wrong in (nameless, [entries[0], *entries[2:], entries[1]], entries[2:]):
        with pytest.raises(BundleError, match="names no sources that a mixture can have"):
            read_added(manifest_of(wrong), added_files(several)[SOURCES], STATE)
