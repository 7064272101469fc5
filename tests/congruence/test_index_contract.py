"""One suite over every index: what the contract promises, each index keeps."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.databases.engines import needs, postgres_database

from shortlist.errors import BundleError, SearchError
from shortlist.index import (
    BruteForce,
    Faiss,
    Index,
    LanceDB,
    Lists,
    Milvus,
    Pgvector,
    Qdrant,
    Quantized,
    ScaNN,
    exact_from,
    index_from_settings,
    load_index,
)
from shortlist.index.databases.milvus import milvus_trouble
from shortlist.index.quantized import quantized_trouble
from shortlist.index.scann import scann_trouble

N, DIM = 1500, 12

_no_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")
_no_milvus = pytest.mark.skipif(milvus_trouble() is not None, reason="pymilvus or milvus-lite is not installed")
_no_quantized = pytest.mark.skipif(quantized_trouble() is not None, reason="turbovec is not installed")
_no_scann = pytest.mark.skipif(scann_trouble() is not None, reason="ScaNN cannot run here")


class _Kinds(dict[str, Index]):
    """Unbuilt indexes by name; PostgreSQL is started by the first test that asks for it."""

    def __missing__(self, kind: str) -> Index:
        assert kind == "pgvector"
        return self.setdefault(kind, Pgvector(postgres_database(), search_effort=100))


_SETTINGS = {
    "brute_force": BruteForce(),
    "bfloat16": BruteForce(storage="bfloat16"),
    "int8": BruteForce(storage="int8"),
    "quantized": Quantized(),
    "quantized_2": Quantized(bits=2, reorder=100),
    "scann": ScaNN(),
    "scann_leaves": ScaNN(leaves=40, leaves_to_search=8, reorder=100),
    "hnsw": Faiss("hnsw"),
    "ivfpq": Faiss("ivfpq", lists=40, lists_to_search=10),
    "milvus": Milvus(f"{tempfile.mkdtemp()}/congruence.db", search_effort=100),
    "lancedb": LanceDB(f"{tempfile.mkdtemp()}/lance", search_effort=100),
    "qdrant": Qdrant(f"{tempfile.mkdtemp()}/qdrant", search_effort=100),
}
KINDS = _Kinds(_SETTINGS)
_marks = {
    "quantized": _no_quantized,
    "quantized_2": _no_quantized,
    "scann": _no_scann,
    "scann_leaves": _no_scann,
    "hnsw": _no_faiss,
    "ivfpq": _no_faiss,
    "milvus": _no_milvus,
    "lancedb": needs("lancedb"),
    "pgvector": needs("pgvector"),
    "qdrant": needs("qdrant"),
}
every_index = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[_marks[kind]] if kind in _marks else []) for kind in [*_SETTINGS, "pgvector"]]
)


def clustered(rows: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Vectors around 30 centres, of different lengths: something that an approximate index can partition."""
    centres = np.random.default_rng(99).standard_normal((30, dim))
    rng = np.random.default_rng(seed)
    near = centres[rng.integers(0, 30, rows)] + 0.6 * rng.standard_normal((rows, dim))
    return (near * np.exp(0.3 * rng.standard_normal((rows, 1)))).astype(np.float32)


VECTORS = clustered(N, 1)
IDS = np.random.default_rng(2).permutation(10 * N)[:N].astype(np.int64) - 5  # scattered, some negative
QUERIES = clustered(40, 3)


@cache
def built(kind: str) -> Index:
    return KINDS[kind].build(VECTORS, IDS)


def reference(vectors, ids, query, k, forbidden=(), allowed=None):
    """The true top k: every score in float64, rounded once; ties in the order of the vectors."""
    exact, wanted = vectors.astype(np.float64), query.astype(np.float64)
    scores = np.array([np.dot(row, wanted) for row in exact]).astype(np.float32)
    order = [
        i
        for i in np.argsort(-scores, kind="stable")
        if ids[i] not in forbidden and (allowed is None or ids[i] in allowed)
    ]
    return ids[order[:k]].tolist(), scores[order[:k]].tolist()


def same(first, second) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("offsets", "ids", "scores"))


# Searching.


@every_index
@pytest.mark.parametrize("rows", [0, 1, 2, 40])
@pytest.mark.parametrize("k", [1, 10, N - 1, N, 10 * N])
def test_shapes_for_any_number_of_queries_and_any_k(kind, rows, k):
    hits = built(kind).search(QUERIES[:rows], k)
    assert len(hits) == rows
    assert np.diff(hits.offsets).tolist() == [min(k, N)] * rows
    assert (hits.offsets.dtype, hits.ids.dtype, hits.scores.dtype) == (np.int64, np.int64, np.float32)
    for ids, scores in hits:
        assert np.unique(ids).size == ids.size
        assert np.isin(ids, IDS).all()
        assert (np.diff(scores) <= 0).all()


@every_index
def test_the_whole_catalogue_in_order(kind):
    ids, scores = built(kind).search(QUERIES[:1], N).row(0)
    assert (ids.tolist(), scores.tolist()) == reference(VECTORS, IDS, QUERIES[0], N)


@every_index
def test_recall_and_scores(kind):
    index = built(kind)
    hits = index.search(QUERIES, 10)
    shares = []
    for query, (ids, scores) in zip(QUERIES, hits, strict=True):
        true, _ = reference(VECTORS, IDS, query, 10)
        _, everything = reference(VECTORS, IDS, query, N)
        assert set(scores.tolist()) <= set(everything)
        shares.append(len(set(ids.tolist()) & set(true)) / 10)
        assert not index.exact or ids.tolist() == true
    assert np.mean(shares) >= (1.0 if index.exact else 0.95)


@every_index
def test_one_query_and_many_give_the_same_answers(kind):
    index = built(kind)
    many = index.search(QUERIES, 10)
    for i, query in enumerate(QUERIES):
        ids, scores = index.search(query[None, :], 10).row(0)
        assert np.array_equal(ids, many.row(i)[0])
        assert np.array_equal(scores, many.row(i)[1])


@every_index
def test_equal_scores_come_in_the_order_of_the_vectors(kind):
    vectors = np.repeat(clustered(3, 5), 5, axis=0)
    ids = np.arange(100, 115)[::-1].copy()
    hits = KINDS[kind].build(vectors, ids).search(clustered(1, 6), 15)
    assert hits.row(0)[0].tolist() == reference(vectors, ids, clustered(1, 6)[0], 15)[0]


@every_index
def test_a_query_of_zeros_finds_the_first(kind):
    hits = built(kind).search(np.zeros((2, DIM), np.float32), 10, exclude=Lists.of([IDS[:3], []]))
    assert hits.scores.tolist() == [0.0] * 20
    if built(kind).exact:
        assert hits.row(0)[0].tolist() == IDS[3:13].tolist()
        assert hits.row(1)[0].tolist() == IDS[:10].tolist()


# Filters.

_some = st.integers(0, 2**32 - 1)


def drawn(rng: np.random.Generator, share: float) -> np.ndarray:
    """About ``share`` of the ids, with repeats and with ids that no index holds."""
    some = IDS[rng.random(N) < share]
    return rng.permutation(np.concatenate([some, some[:3], [-77, 10**15]])).astype(np.int64)


@every_index
@settings(max_examples=40, deadline=None)
@given(
    seed=_some,
    rows=st.integers(1, 5),
    k=st.sampled_from([1, 5, 30, 700]),
    exclude=st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]),
    deny=st.sampled_from([None, 0.0, 0.3, 0.95]),
    allow=st.sampled_from([None, 0.0, 0.002, 0.3, 0.9]),
    each=st.booleans(),
    churned=st.booleans(),
)
def test_filters_give_exactly_what_is_eligible(kind, seed, rows, k, exclude, deny, allow, each, churned):
    rng = np.random.default_rng(seed)
    index = changed(kind) if churned else built(kind)
    excluded = None if exclude is None else [drawn(rng, exclude * rng.choice([0, 1])) for _ in range(rows)]
    denied = None if deny is None else drawn(rng, deny)
    allowed = None if allow is None else [drawn(rng, allow) for _ in range(rows if each else 1)]
    hits = index.search(
        QUERIES[:rows],
        k,
        exclude=None if excluded is None else Lists.of(excluded),
        deny=denied,
        allow=None if allowed is None else Lists.of(allowed) if each else allowed[0],
    )
    for i, (ids, scores) in enumerate(hits):
        eligible = set(index.ids.tolist())
        if allowed is not None:
            eligible &= set(allowed[i if each else 0].tolist())
        eligible -= set(() if excluded is None else excluded[i].tolist())
        eligible -= set(() if denied is None else denied.tolist())
        assert ids.size == min(k, len(eligible))
        assert set(ids.tolist()) <= eligible
        assert np.unique(ids).size == ids.size
        assert (np.diff(scores) <= 0).all()
        if index.exact:
            assert (ids.tolist(), scores.tolist()) == reference(
                index.vectors, index.ids, QUERIES[i], k, allowed=eligible
            )


@every_index
def test_excluding_the_very_best_keeps_recall(kind):
    index = built(kind)
    best = [reference(VECTORS, IDS, query, 300)[0] for query in QUERIES]
    hits = index.search(QUERIES, 10, exclude=Lists.of([row[:200] for row in best]))
    found = [len(set(ids.tolist()) & set(row[200:210])) / 10 for (ids, _), row in zip(hits, best, strict=True)]
    assert np.mean(found) >= (1.0 if index.exact else 0.9)


@every_index
@pytest.mark.parametrize("share", [0.5, 0.05, 0.005, 1 / N, 0.0])
@pytest.mark.parametrize("churned", [False, True])
def test_every_selectivity_gives_all_that_are_eligible(kind, share, churned):
    """What benchmarks/index_parts.py does 10,000 times, down to one in a million: min(k, eligible), none forbidden."""
    index, rng = changed(kind) if churned else built(kind), np.random.default_rng(round(share * N))
    held = index.ids
    for query in QUERIES[:10]:
        passes = rng.permutation(held)[: round(share * N)]
        seen = rng.permutation(held)[:300]
        for filters in ({"allow": passes}, {"deny": np.setdiff1d(held, passes)}):
            ids = index.search(query[None], 10, exclude=Lists.of([seen]), **filters).ids
            eligible = np.setdiff1d(passes, seen)
            assert ids.size == min(10, eligible.size)
            assert np.isin(ids, eligible).all()
            assert np.unique(ids).size == ids.size


@every_index
def test_a_query_with_nothing_left_gets_an_empty_list_and_the_others_theirs(kind):
    hits = built(kind).search(QUERIES[:3], 5, exclude=Lists.of([[], IDS, IDS[:-2]]))
    assert np.diff(hits.offsets).tolist() == [5, 0, 2]


# Changes.


@cache
def changed(kind: str) -> Index:
    index = KINDS[kind].build(VECTORS, IDS)
    assert index.delete(IDS[:100]) == 100
    index.upsert(IDS[50:250], clustered(200, 7))
    index.upsert(np.arange(20_000, 20_050), clustered(50, 8))
    return index


@every_index
def test_changes_are_found_at_once(kind):
    index = KINDS[kind].build(VECTORS, IDS)
    loud = (10 * QUERIES[:2]).copy()
    index.upsert(np.array([IDS[7], 99_999]), loud)
    assert index.size == N + 1
    assert index.search(QUERIES[:1], 1).row(0)[0].tolist() == [IDS[7]]
    assert index.search(QUERIES[1:2], 1).row(0)[0].tolist() == [99_999]
    assert index.ids[-2:].tolist() == [IDS[7], 99_999]
    assert np.array_equal(index.vectors[-2:], loud)
    assert index.delete(np.array([99_999, 99_999, 123_456_789])) == 1
    assert 99_999 not in index.search(QUERIES, N).ids
    index.upsert(np.array([99_999]), loud[1:])
    assert index.search(QUERIES[1:2], 1).row(0)[0].tolist() == [99_999]


@every_index
def test_a_changed_index_answers_like_one_built_of_what_it_holds(kind):
    index = changed(kind)
    fresh = BruteForce().build(index.vectors.copy(), index.ids.copy())
    assert index.size == fresh.size == N  # 100 fewer, 50 of them and 50 others more
    got, want = index.search(QUERIES, 10), fresh.search(QUERIES, 10)
    shares = [np.intersect1d(a[0], b[0]).size / 10 for a, b in zip(got, want, strict=True)]
    assert np.mean(shares) >= (1.0 if index.exact else 0.95)


@every_index
def test_everything_deleted_and_something_added(kind):
    index = KINDS[kind].build(VECTORS, IDS)
    assert index.delete(IDS) == N
    assert index.size == 0
    assert index.search(QUERIES, 10).ids.size == 0
    index.upsert(np.array([5]), VECTORS[:1])
    assert index.search(QUERIES, 10).ids.tolist() == [5] * 40
    index.rebuild()
    assert index.search(QUERIES[:1], 10).ids.tolist() == [5]


@every_index
def test_vectors_by_id(kind):
    """Of what it was built from, of what came since, and of what came again; of nothing else."""
    index = KINDS[kind].build(VECTORS, IDS)
    assert np.array_equal(index.vectors_of(IDS[[7, 3, 7]]), VECTORS[[7, 3, 7]])
    new, again = clustered(2, 8), np.array([IDS[3], 10 * N + 1])
    index.upsert(again, new)
    index.delete(IDS[:2])
    asked = np.array([IDS[7], 10 * N + 1, IDS[3]])
    assert np.array_equal(index.vectors_of(asked), np.stack([VECTORS[7], new[1], new[0]]))
    for gone in (IDS[:1], np.array([IDS[7], 10 * N + 2])):
        with pytest.raises(SearchError, match="does not hold id"):
            index.vectors_of(gone)
    index.rebuild()
    assert np.array_equal(index.vectors_of(asked), np.stack([VECTORS[7], new[1], new[0]]))
    index.delete(index.ids)
    index.rebuild()
    index.upsert(np.array([5]), new[:1])
    assert np.array_equal(index.vectors_of(np.array([5])), new[:1])
    assert index.vectors_of(np.zeros(0, np.int64)).shape == (0, DIM)


@every_index
def test_exact_search_from_the_files_of_any_index(kind, tmp_path):
    """No package but numpy is needed for it."""
    index = KINDS[kind].build(VECTORS, IDS)
    index.delete(IDS[:5])
    index.upsert(np.array([10 * N + 1]), clustered(1, 8))
    index.save(tmp_path / "index")
    exact = exact_from(tmp_path / "index")
    assert exact.exact
    want = BruteForce().build(index.vectors, index.ids).search(QUERIES, 10)
    found = exact.search(QUERIES, 10)
    assert np.array_equal(found.ids, want.ids)
    assert np.array_equal(found.scores, want.scores)


@every_index
def test_rebuild_folds_changes_in(kind):
    index = KINDS[kind].build(VECTORS, IDS)
    index.delete(IDS[:300])
    assert index.churn == 0.2
    ids = index.ids.copy()
    index.rebuild()
    assert index.churn == 0.0
    assert np.array_equal(index.ids, ids)


@every_index
def test_searches_never_see_half_of_a_change(kind):
    index = KINDS[kind].build(VECTORS, IDS)
    pair, loud, torn, stop = np.array([77_000, 77_001]), 10 * QUERIES[[0, 0]], [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen = np.isin(pair, index.search(QUERIES[:1], 5).ids).sum()
            if seen == 1:
                torn.append(seen)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            index.upsert(pair, loud)
            index.delete(pair)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert torn == []


# Storing.


@every_index
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("churned", [True, False])
def test_a_saved_index_can_be_moved_and_answers_bit_for_bit(kind, mmap, churned, tmp_path):
    index = changed(kind) if churned else built(kind)
    index.save(tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / 'moved "x" é')
    loaded = load_index(tmp_path / 'moved "x" é', mmap=mmap)
    assert type(loaded) is type(index)
    assert loaded.settings() == index.settings()
    assert same(loaded.search(QUERIES, 10), index.search(QUERIES, 10))
    excluded = Lists.of([IDS[i : i + 200] for i in range(40)])
    assert same(loaded.search(QUERIES, 10, exclude=excluded), index.search(QUERIES, 10, exclude=excluded))
    assert np.array_equal(loaded.vectors, index.vectors)
    assert np.array_equal(loaded.ids, index.ids)
    loaded.upsert(np.array([3]), VECTORS[:1])
    loaded.save(tmp_path / 'moved "x" é')
    again = type(index).load(tmp_path / 'moved "x" é')
    assert same(again.search(QUERIES, 10), loaded.search(QUERIES, 10))


@every_index
def test_nothing_saved_names_where_it_was(kind, tmp_path):
    built(kind).save(tmp_path / "somewhere")
    for path in (tmp_path / "somewhere").iterdir():
        assert b"somewhere" not in path.read_bytes()
        assert path.is_file()


@every_index
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "link"])
def test_each_file_harmed_in_turn_is_refused_by_name(kind, harm, tmp_path):
    changed(kind).save(tmp_path / "index")
    names = sorted(path.name for path in (tmp_path / "index").iterdir())
    assert len(names) >= 4
    for name in names:
        folder = tmp_path / "copy"
        shutil.copytree(tmp_path / "index", folder)
        spoil(folder / name, harm)
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            load_index(folder)
        shutil.rmtree(folder)


def spoil(path: Path, harm: str) -> None:
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif harm == "truncate":
        path.write_bytes(content[:-1] if path.name != "index.json" else content[: len(content) // 2])
    else:
        path.unlink()
        if harm == "link":
            (path.parent.parent / "elsewhere").write_bytes(content)
            path.symlink_to(path.parent.parent / "elsewhere")


@every_index
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_save_that_dies_at_any_step_leaves_the_old_index(kind, call, tmp_path, monkeypatch):
    import os

    old, new = KINDS[kind].build(VECTORS[:400], IDS[:400]), changed(kind)
    old.save(tmp_path)
    want, real = old.search(QUERIES, 10), getattr(os, call)
    for survived in range(100):
        left = [survived]

        def dying(*arguments, left=left):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments)

        monkeypatch.setattr(os, call, dying)
        try:
            new.save(tmp_path)
        except KeyboardInterrupt:
            monkeypatch.setattr(os, call, real)
            found = load_index(tmp_path)
            replaced = found.size == new.size  # the last fsync comes after the index has been renamed into place
            assert same(found.search(QUERIES, 10), new.search(QUERIES, 10) if replaced else want)
        else:
            break
    monkeypatch.setattr(os, call, real)
    assert survived >= 3
    new.save(tmp_path)
    assert same(load_index(tmp_path).search(QUERIES, 10), new.search(QUERIES, 10))
    named = {entry["name"] for entry in json.loads((tmp_path / "index.json").read_text())["files"].values()}
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".writing")} >= named


@every_index
def test_settings_survive_json(kind):
    settings_ = json.loads(json.dumps(KINDS[kind].settings()))
    assert index_from_settings(settings_).settings() == KINDS[kind].settings()


@every_index
def test_nbytes_counts_at_least_the_vectors(kind):
    assert built(kind).nbytes >= VECTORS.nbytes


# What is refused.


@every_index
@pytest.mark.parametrize(
    ("vectors", "ids", "says"),
    [
        (np.zeros((0, 4), np.float32), None, "no rows"),
        (np.zeros((3, 0), np.float32), None, "dim 0"),
        (np.zeros(4, np.float32), None, r"shape \(4,\)"),
        (np.zeros((2, 2, 2), np.float32), None, r"shape \(2, 2, 2\)"),
        (np.zeros((3, 4)), None, "float64"),
        ([[1.0, 2.0]], None, "list"),
        (np.array([[1, 2], [3, np.nan]], np.float32), None, r"vectors\[1, 1\] is nan"),
        (np.array([[np.inf, 2], [3, 4]], np.float32), None, r"vectors\[0, 0\] is inf"),
        (np.array([[1e30, 2], [3, 4]], np.float32), None, r"vectors\[0\] is longer"),
        (np.eye(3, dtype=np.float32), np.array([4, 5]), "2 ids were given for 3 vectors"),
        (np.eye(3, dtype=np.float32), np.array([4, 5, 4]), r"id 4 occurs at ids\[0\] and ids\[2\]"),
        (np.eye(3, dtype=np.float32), np.array([1.0, 2.0, 3.0]), "float64"),
        (np.eye(3, dtype=np.float32), np.array(["a", "b", "c"]), "<U1"),
        (np.eye(3, dtype=np.float32), np.array([[1], [2], [3]]), r"shape \(3, 1\)"),
    ],
)
def test_bad_vectors_and_ids(kind, vectors, ids, says):
    with pytest.raises(SearchError, match=says):
        KINDS[kind].build(vectors, ids)


@every_index
@pytest.mark.parametrize("k", [0, -1, True, False, 2.0, "3", None, np.float32(3)])
def test_bad_k(kind, k):
    with pytest.raises(SearchError, match="at least 1"):
        built(kind).search(QUERIES, k)


@every_index
def test_bad_queries_and_filters(kind):
    index = built(kind)
    with pytest.raises(SearchError, match=r"vector\[None, :\]"):
        index.search(QUERIES[0], 3)
    for queries in (QUERIES.astype(np.float64), QUERIES[:, :-1], QUERIES * np.float32(np.nan), QUERIES.tolist()):
        with pytest.raises(SearchError, match="queries"):
            index.search(queries, 3)
    with pytest.raises(SearchError, match="exclude has 2 lists"):
        index.search(QUERIES[:3], 3, exclude=Lists.of([[1], [2]]))
    with pytest.raises(SearchError, match="exclude is a list"):
        index.search(QUERIES[:1], 3, exclude=[[1]])
    with pytest.raises(SearchError, match="deny has dtype float64"):
        index.search(QUERIES[:1], 3, deny=[1.5])


@every_index
def test_bad_changes_change_nothing(kind):
    index = built(kind)
    with pytest.raises(SearchError, match="dim 3"):
        index.upsert(np.array([1]), np.zeros((1, 3), np.float32))
    with pytest.raises(SearchError, match="id 1 occurs"):
        index.upsert(np.array([1, 1]), VECTORS[:2])
    with pytest.raises(SearchError, match="is nan"):
        index.upsert(np.array([1]), np.full((1, DIM), np.nan, np.float32))
    assert index.size == N
    assert index.churn == 0.0


@every_index
def test_settings_alone_cannot_search(kind):
    with pytest.raises(SearchError, match="settings only"):
        KINDS[kind].search(QUERIES, 3)


@every_index
def test_another_kind_is_refused(kind, tmp_path):
    built(kind).save(tmp_path)
    other = ScaNN if isinstance(built(kind), BruteForce) else BruteForce
    with pytest.raises(BundleError, match="of kind"):
        other.load(tmp_path)
    with pytest.raises(BundleError, match="holds no index"):
        other.load(tmp_path / "nothing")
