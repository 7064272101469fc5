"""Lists, Hits, lookups, the choice and the registry."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from shortlist.errors import ConfigError, MissingExtraError, SearchError
from shortlist.index import BruteForce, Faiss, Index, Lists, ScaNN, choose, choose_index, index_from_settings
from shortlist.index import faiss as faiss_module
from shortlist.index import scann as scann_module
from shortlist.index.lookup import Lookup


def test_lists_hold_one_row_per_query():
    lists = Lists.of([[3, 5], [], np.array([7])])
    assert len(lists) == 3
    assert [lists.row(i).tolist() for i in range(3)] == [[3, 5], [], [7]]
    assert len(Lists.of([])) == 0
    assert repr(lists) == "Lists(3 lists, 3 ids)"


@pytest.mark.parametrize(
    ("offsets", "values"),
    [([0, 3], [1, 2]), ([1, 2], [1, 2]), ([0, 2, 1, 2], [1, 2]), ([], []), ([0, 1], [1.5]), ([[0, 1]], [1])],
)
def test_offsets_that_do_not_describe_lists(offsets, values):
    with pytest.raises(SearchError):
        Lists(np.array(offsets, dtype=np.int64), np.array(values))


def test_hits_read_row_by_row():
    hits = (
        BruteForce().build(np.array([[1.0], [3.0], [2.0]], np.float32)).search(np.array([[1.0], [-1.0]], np.float32), 2)
    )
    assert [(ids.tolist(), scores.tolist()) for ids, scores in hits] == [([1, 2], [3.0, 2.0]), ([0, 2], [-1.0, -2.0])]
    assert repr(hits) == "Hits(2 queries, 4 hits)"


@pytest.mark.parametrize(
    "ids",
    [
        [0, 1, 2, 3],
        [5, 6, 7],
        [9, 2, 4],
        [-3, 10**17, 0],
        [2**62, -(2**62)],
        [-(2**63), 2**63 - 1, 0],
        [42],
        [2**63 - 1, -(2**63)],
    ],
)
def test_lookup_finds_what_is_there_and_nothing_else(ids):
    lookup = Lookup(np.array(ids, dtype=np.int64))
    asked = [*ids, 1, 8, -1, 10**18, -(2**63), 2**63 - 1]
    expected = [ids.index(i) if i in ids else -1 for i in asked]
    assert lookup.positions(np.array(asked, dtype=np.int64)).tolist() == expected


def test_what_is_remembered_of_ids_is_theirs_alone():
    lookup = Lookup(np.arange(100, 200))
    ids = np.array([150, 7, 120, 150])
    assert lookup.members(ids).tolist() == [20, 50]
    ids[0] = 199  # may be written to: looked at anew
    assert lookup.members(ids).tolist() == [20, 50, 99]
    view = ids[:2]
    view.setflags(write=False)
    assert lookup.members(view).tolist() == [99]
    ids[0] = 100  # what it looks at can change
    assert lookup.members(view).tolist() == [0]
    frozen = ids.copy()
    frozen.setflags(write=False)
    first = lookup.members(frozen)
    assert first.tolist() == [0, 20, 50]
    assert lookup.members(frozen) is first
    assert np.flatnonzero(lookup.mask(first)).tolist() == [0, 20, 50]
    assert lookup.mask(first) is lookup.mask(first)
    assert len(lookup._members._held) == len(lookup._masks._held) == 1
    del frozen, first
    gc.collect()
    assert len(lookup._members._held) == len(lookup._masks._held) == 0


def test_every_index_keeps_the_contract_to_the_type():
    for index in (BruteForce(), ScaNN(), Faiss()):
        assert {name for name in dir(Index) if not name.startswith("_")} <= set(dir(type(index)))


def test_choice_is_exact_for_few_candidates():
    index, reason = choose_index(9_999, 32)
    assert (type(index), reason) == (BruteForce, "exact search: 9,999 candidates are few enough to score every one.")


def test_choice_is_scann_where_it_runs(monkeypatch):
    monkeypatch.setattr(choose, "scann_trouble", lambda: None)
    index, reason = choose_index(40_000, 32)
    assert type(index) is ScaNN
    assert reason.startswith("ScaNN: 40,000 candidates")
    assert type(choose_index(12_000, 16)[0]) is BruteForce  # 0.1 ms a query: ScaNN could not save as much
    assert type(choose_index(31_249, 32)[0]) is BruteForce  # 999,968 numbers


@pytest.mark.parametrize(
    ("n", "platform", "faiss", "expected"),
    [
        (199_999, "linux", None, BruteForce),
        (200_000, "linux", None, Faiss),
        (200_000, "darwin", None, BruteForce),
        (200_000, "linux", "the package 'faiss-cpu' is not installed", BruteForce),
    ],
)
def test_choice_without_scann(monkeypatch, n, platform, faiss, expected):
    monkeypatch.setattr(choose, "scann_trouble", lambda: "this processor lacks avx2, which ScaNN needs")
    monkeypatch.setattr(choose, "faiss_trouble", lambda: faiss)
    monkeypatch.setattr(sys, "platform", platform)
    index, reason = choose_index(n, 32)
    assert type(index) is expected
    assert "this processor lacks avx2" in reason
    assert faiss is None or faiss in reason


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


@pytest.mark.parametrize(
    "options",
    [{"leaves": 0}, {"reorder": 2.5}, {"leaves_to_search": True}, {"leaves": 10, "leaves_to_search": 11}, {"seed": -1}],
)
def test_scann_options_out_of_range(options):
    with pytest.raises(ConfigError):
        ScaNN(**options)


def test_faiss_options_out_of_range():
    with pytest.raises(ConfigError, match="did you mean 'hnsw'"):
        Faiss("hnws")
    with pytest.raises(ConfigError, match="links"):
        Faiss(links=0)


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
