"""A collection for each version in every database, and an alias that leads to the last whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.index.databases.engines import every_engine, unbuilt

import shortlist as sl
from shortlist.index.databases import DatabaseIndex, Published, contract, drop_versions
from shortlist.index.databases.contract import Rows
from shortlist.index.databases.publish import publish as publish_rows

VECTORS = np.eye(3, dtype=np.float32)


@pytest.fixture
def place(kind: str, tmp_path: Path) -> DatabaseIndex:
    return unbuilt(kind, tmp_path, collection="books")


def publish(
    place: DatabaseIndex, version: str, ids: Any, vectors: Any, on_rows: Any = None, **options: Any
) -> Published:
    rows = Rows(np.array(ids), vectors)
    return publish_rows(place.database(), place.uri, place.collection, version, rows, on_rows=on_rows, **options)


def nearest(place: DatabaseIndex, vector: list[float]) -> Any:
    """The id that the alias leads to."""
    return sl.search_published(place, np.array([vector], np.float32), 1)[0][0][0]


@every_engine
def test_the_alias_leads_to_the_version_and_back(place: DatabaseIndex) -> None:
    first = publish(place, "1", [1, 2, 3], VECTORS)
    assert (first.collection, first.rows, first.before, first.written, first.recall) == ("books_1", 3, None, True, 1.0)
    second = publish(place, "2", ["a", "b"], VECTORS[:2])
    assert (second.collection, second.rows, second.before, second.written) == ("books_2", 2, "books_1", True)
    assert place.database().target("books") == "books_2"
    assert nearest(place, [0, 1, 0]) == "b"
    again = publish(place, "1", [1, 2, 3], VECTORS)
    assert (again.before, again.written) == ("books_2", False)
    assert nearest(place, [0, 1, 0]) == 2


@every_engine
def test_rows_are_inserted_in_parts_and_counted(place: DatabaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "ROWS", 2)
    told: list[tuple[int, int]] = []
    publish(place, "1", [7, 8, 9], VECTORS, lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]


@every_engine
def test_a_version_that_was_cut_off_is_filled_again(place: DatabaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(place, "1", [1, 2, 3], VECTORS)
    monkeypatch.setattr(contract, "ROWS", 2)

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(place, "2", [4, 5, 6], VECTORS, cut)
    assert place.database().target("books") == "books_1"
    done = publish(place, "2", [4, 5, 6], VECTORS)
    assert (done.written, done.rows, done.before) == (True, 3, "books_1")
    assert nearest(place, [0, 1, 0]) == 5


STEPS = ("create", "insert", "finish", "count", "search", "point")


@every_engine
@pytest.mark.parametrize("step", STEPS)
def test_a_database_that_stops_at_any_step_keeps_the_alias(
    place: DatabaseIndex, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The old version answers, the error names the place, and the same call later completes the new version."""
    publish(place, "1", [1, 2, 3], VECTORS)
    database = place.database()
    gone = database.errors[-1]

    def stopped(*_: object, **__: object) -> None:
        raise gone("the server closed the connection unexpectedly")

    monkeypatch.setattr(type(database), step, stopped)
    with pytest.raises(sl.SearchError, match=r"did not answer: .*closed the connection"):
        publish(place, "2", [4, 5, 6], VECTORS)
    monkeypatch.undo()
    assert place.database().target("books") == "books_1"
    assert nearest(place, [0, 1, 0]) == 2
    assert publish(place, "2", [4, 5, 6], VECTORS).before == "books_1"
    assert nearest(place, [0, 1, 0]) == 5


@every_engine
def test_ids_that_repeat_never_get_the_alias(place: DatabaseIndex) -> None:
    publish(place, "1", [1, 2, 3], VECTORS)
    with pytest.raises(sl.SearchError, match=r"2 distinct ids were given for 3 rows.*'books' is unchanged"):
        publish(place, "2", [1, 1, 3], VECTORS)
    assert place.database().target("books") == "books_1"


@every_engine
def test_a_collection_that_counts_other_rows_never_gets_the_alias(
    place: DatabaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, "1", [1, 2, 3], VECTORS)
    database = place.database()
    monkeypatch.setattr(type(database), "count", lambda self, name: 2)
    with pytest.raises(sl.SearchError, match=r"has 2 rows; 3 were written.*'books' is unchanged"):
        publish(place, "2", [4, 5, 6], VECTORS)
    monkeypatch.undo()
    assert database.target("books") == "books_1"


@every_engine
def test_a_collection_that_finds_too_little_never_gets_the_alias(
    place: DatabaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the database answers with one candidate of three."""
    publish(place, "1", [1, 2, 3], VECTORS)
    database = place.database()
    real = type(database).search
    monkeypatch.setattr(type(database), "search", lambda self, *rest: [hits[:1] for hits in real(self, *rest)])
    with pytest.raises(sl.SearchError, match=r"finds 0\.333 of the true top 10.*'books' is unchanged"):
        publish(place, "2", [4, 5, 6], VECTORS)
    monkeypatch.undo()
    assert database.target("books") == "books_1"


@every_engine
def test_old_versions_are_dropped(place: DatabaseIndex) -> None:
    """Not the one that the alias leads to, nor those that are wanted, nor what others made."""
    versions = [letter * 16 for letter in "abc"]
    for number, version in enumerate(versions):
        publish(place, version, [number], VECTORS[:1])
    publish(place, "mine", [1], VECTORS[:1])
    publish(place, versions[2], [2], VECTORS[:1])
    database = place.database()
    assert drop_versions(database, "books", {versions[1]}, dry_run=True) == [f"books_{versions[0]}"]
    assert database.count(f"books_{versions[0]}") == 1
    assert drop_versions(database, "books", {versions[1]}) == [f"books_{versions[0]}"]
    assert sorted(database.names("books_")) == [f"books_{versions[1]}", f"books_{versions[2]}", "books_mine"]
    assert database.count(f"books_{versions[0]}") == -1
