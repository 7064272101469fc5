"""Rows of weight 0 are kept, but whatever counts or learns from choices gives what it gives without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.data.choices import choice_counts, choices_alone
from shortlist.errors import DataError
from shortlist.evaluation.baselines import BASELINES, Training, baseline
from shortlist.evaluation.ranks import Pairs

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

# u0 to u5 choose a to d by turns, and look at e, which weighs nothing, more often; u6 only looks; nobody chose f
CHOSEN = [(f"u{n % 6}", "abcd"[(n * 5 + n // 6) % 4], n, 1.0 + n % 3) for n in range(30)]
LOOKED = [(f"u{n % 7}", "ea"[n % 2], 20 + n, 0.0) for n in range(60)]
COLUMNS = {"query": "who", "candidate": "what", "timestamp": "at", "weight": "w"}
TABLES = {"queries": {"who": [f"u{n}" for n in range(7)]}, "candidates": {"what": list("abcdef")}}


def rows_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["who", "what", "at", "w"], orient="row")


def in_memory(rows: list[tuple[Any, ...]]) -> sl.Dataset:
    return sl.Dataset(rows_of(rows), **COLUMNS, **TABLES)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[sl.Shards]:
    """The choices with what was looked at, and alone."""
    folder, found = tmp_path_factory.mktemp("choices"), []
    for name, rows in (("both", CHOSEN + LOOKED), ("alone", CHOSEN)):
        rows_of(rows).write_parquet(folder / f"{name}.parquet")
        found.append(
            sl.Shards.encode(
                folder / f"{name}.parquet", folder / name, **COLUMNS, **TABLES, piece_rows=16, block_rows=16
            )
        )
    return found


def als(train: sl.Dataset | sl.Shards) -> sl.TwoTower:
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    sl.als(model, train, epochs=1)
    return model


def parts(found: Any) -> list[np.ndarray[Any, Any]]:
    """What a list, a table or towers were counted from the data."""
    if isinstance(found, sl.TwoTower):
        catalogue = found.catalogue
        vectors = (
            found.candidate_vectors(catalogue.candidates) if found.dim == 1 else catalogue.counts
        )  # not those drawn
        return [catalogue.counts, catalogue.known, vectors]
    if isinstance(found, sl.RankedList):
        return [found.offsets, found.rows]
    return [found.offsets, found.columns, found.weights]


ON_SHARDS: dict[str, Callable[[Any], Any]] = {
    "popularity": sl.popularity,
    "cooccurrence": lambda train: sl.Cooccurrence().fit(train),
    "transitions": lambda train: sl.Transitions().fit(train),
    "ease": lambda train: sl.EASE().fit(train),
    "own": lambda train: sl.OwnHistory().fit(train),
    "als": als,
}
METHODS = ON_SHARDS | {
    "popularity, recent": lambda train: sl.popularity(train, recent=True),
    "popular": lambda train: sl.Popular().fit(train),
    "recent": lambda train: sl.Recent().fit(train),
    "new": lambda train: sl.Newest().fit(train),
}


@pytest.mark.parametrize("name", METHODS)
def test_what_weighs_nothing_is_not_counted(name: str) -> None:
    both, alone = (parts(METHODS[name](in_memory(rows))) for rows in (CHOSEN + LOOKED, CHOSEN))
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ON_SHARDS)
def test_nor_is_it_from_shards(name: str, shards: list[sl.Shards]) -> None:
    both, alone = (parts(ON_SHARDS[name](one)) for one in shards)
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", BASELINES)
def test_nor_by_a_baseline(name: str) -> None:
    queries, candidates = (pl.Series(ids) for ids in (TABLES["queries"]["who"][:6], TABLES["candidates"]["what"]))
    query, candidate = (torch.from_numpy(one.ravel()) for one in np.indices((6, 6)))
    ranks = [
        baseline(name, Training.of(in_memory(rows), queries, candidates)).ranks(Pairs(query, candidate))
        for rows in (CHOSEN + LOOKED, CHOSEN)
    ]
    assert torch.equal(*ranks)


@pytest.mark.parametrize("name", METHODS)
def test_where_nothing_weighs_anything_nothing_can_be_learned(name: str) -> None:
    data = in_memory(CHOSEN + LOOKED)
    nothing = data.with_interactions(data.interactions.filter(pl.col("w") == 0))
    with pytest.raises(DataError, match="every weight in column 'w' is 0, so nothing can be learned"):
        METHODS[name](nothing)


def test_baselines_say_so_too() -> None:
    data = in_memory(CHOSEN + LOOKED)
    nothing = data.with_interactions(data.interactions.filter(pl.col("w") == 0))
    with pytest.raises(DataError, match="every weight in column 'w' is 0, so nothing can be learned"):
        sl.evaluate(sl.popularity(data), in_memory(CHOSEN), seen=nothing, baselines=["recent"])


def test_shards_without_a_part_that_weighs(tmp_path: Path) -> None:
    rows_of([("a", "x", 1, 0.0), ("b", "y", 2, 0.0), ("a", "y", 3, 1.0)]).write_parquet(tmp_path / "log.parquet")
    train, _ = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", **COLUMNS).split(0.3, by="time")
    for method in ON_SHARDS.values():
        with pytest.raises(DataError, match="every weight in column 'w' is 0"):
            method(train)


def test_counts(shards: list[sl.Shards]) -> None:
    data = in_memory(CHOSEN + LOOKED)
    assert len(choices_alone(data)) == 30
    assert choices_alone(in_memory(CHOSEN)).interactions.height == 30
    for source in (data, shards[0]):
        assert choice_counts(source, "query").tolist() == [5] * 6 + [0]
        assert choice_counts(source, "candidate").sum() == 30
        assert choice_counts(source, "candidate")[4:].tolist() == [0, 0]
        assert source.candidate_counts.sum() == 90  # all rows


def test_a_new_person_gets_what_was_chosen() -> None:
    frame = {"user": [f"u{n % 20}" for n in range(60)], "item": ["A"] * 40 + ["B"] * 20, "w": [0.0] * 40 + [1.0] * 20}
    recommender = sl.Recommender(sl.popularity(sl.Dataset(frame, "user", "item", weight="w")))
    assert recommender.recommend(["new"], k=1)[0].ids[0] == "B"
