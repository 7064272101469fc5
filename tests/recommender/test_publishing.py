"""A recommender's candidates in a database: ids, vectors and columns, and what is found there."""

from __future__ import annotations

import warnings
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.index.databases.engines import every_engine, unbuilt
from tests.sources.plain_stage import stage_of

import shortlist as sl
from shortlist.errors import ConfigError, DataError, SearchError
from shortlist.recommender.conditions import Conditions

BOOKS = pl.DataFrame(
    {
        "book": [f"b{n}" for n in range(12)],
        "year": [1990 + n if n % 4 else None for n in range(12)],
        "price": [n / 2 if n % 5 else float("nan") for n in range(12)],
        "stock": [n % 2 == 0 for n in range(12)],
        "weight": pl.Series([n / 10 if n % 5 else None for n in range(12)], dtype=pl.Float32),
        "genre": pl.Series([("war", "drama", None)[n % 3] for n in range(12)], dtype=pl.Categorical),
        "day": [date(2026, 11, 1 + n) for n in range(12)],
        "huge": pl.Series([2**63 + n for n in range(12)], dtype=pl.UInt64),
        "tags": [["x"]] * 12,
        "id": range(12),
    }
)


@pytest.fixture(scope="module")
def recommender() -> sl.Recommender:
    rows = {"reader": [n % 3 for n in range(12)], "book": BOOKS["book"].to_list()}
    data = sl.Dataset(rows, "reader", "book", candidates=BOOKS)
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=4), sl.Tower(sl.StringLookup("book"), dim=4))
    sl.fit(model, data, epochs=1, batch_size=8, seed=1)
    return sl.Recommender(model, index=sl.BruteForce())


@every_engine
def test_candidates_with_their_columns(recommender: sl.Recommender, kind: str, tmp_path: Path) -> None:
    place = unbuilt(kind, tmp_path, collection="books")
    done = sl.publish(recommender, place)
    assert (done.rows, done.attributes) == (12, ("year", "price", "stock", "weight", "genre"))
    assert done.left_out == ("day", "huge", "tags", "id")
    vectors = recommender.embed_candidates(BOOKS)
    scores = vectors @ vectors.T
    for where, rows in (
        (None, range(12)),
        ("year >= 1999 and stock", [10]),
        ("price is null", [0, 5, 10]),
        ("price > 2.5 or price <= 0.5", [1, 6, 7, 8, 9, 11]),  # NaN meets none of them
        ("weight = 0.1", [1]),  # in 32 bits
        ("weight in (0.3, 0.4, 0.5)", [3, 4]),
        ("weight >= 0.7 and weight <= 0.9", [7, 8, 9]),
        ("genre = 'war'", [0, 3, 6, 9]),
        ("genre != 'war'", [1, 4, 7, 10]),
        ("not genre in ('drama', 'none')", [0, 3, 6, 9]),
        ("genre is null", [2, 5, 8, 11]),
        ("id in ('b3', 'b4', 'none')", [3, 4]),
    ):
        if where is not None:
            assert Conditions(BOOKS.with_columns(id="book")).rows(where).tolist() == list(rows)
        found = sl.search_published(place, vectors, 12, where)
        for mine, hits in zip(scores, found, strict=True):
            best = sorted(rows, key=lambda row: -mine[row])
            assert [key for key, _ in hits] == [f"b{row}" for row in best]
            assert np.allclose([score for _, score in hits], mine[best], atol=1e-4)


def test_what_a_mixture_has_besides_vectors_is_named(tmp_path: Path) -> None:
    """The database has one vector each; neighbours, ranked lists, further towers and a second stage stay behind."""
    rows = {"reader": [n % 3 for n in range(12)], "book": BOOKS["book"].to_list()}
    data = sl.Dataset(rows, "reader", "book", candidates=BOOKS.select("book", "year"))
    towers, table = sl.popularity(data), sl.Cooccurrence().fit(data)
    sources = [towers, sl.popularity(data), table, sl.Popular().fit(data)]
    several = "without towers 2, cooccurrence, popular; "
    staged = stage_of(data, 1, depth=4)
    for number, (model, left_out) in enumerate((
        (sl.Mixture(sources, data), several),
        (sl.Mixture([towers], data).with_stage(staged, data), "without SecondStage; "),
        (sl.Mixture([towers], data), ""),
        (towers, ""),
    )):  # fmt: skip
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            place = unbuilt("lancedb", tmp_path, collection=f"books{number}")
            sl.publish(sl.Recommender(model, index=sl.BruteForce()), place, recall=0)
        said = [str(one.message) for one in caught if "first towers alone" in str(one.message)]
        assert len(said) == bool(left_out)
        assert all(left_out in one and one.endswith("have those") for one in said)


@every_engine
def test_where_nothing_was_published(kind: str, tmp_path: Path) -> None:
    place = unbuilt(kind, tmp_path, collection="books")
    with pytest.raises(ConfigError, match="there is no alias 'books'"):
        sl.search_published(place, np.ones((1, 4), np.float32), 3)


def test_refusals(recommender: sl.Recommender) -> None:
    place = sl.Milvus("films.db")
    with pytest.raises(ConfigError, match="place is a BruteForce; Milvus, Pgvector, Qdrant or LanceDB"):
        sl.publish(recommender, sl.BruteForce())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="recall is 2"):
        sl.publish(recommender, place, recall=2)
    with pytest.raises(SearchError, match="k is 0"):
        sl.search_published(place, np.ones((1, 4), np.float32), 0)
    with pytest.raises(DataError):
        sl.search_published(place, np.ones((1, 4), np.float32), 1, where="a ; b")
