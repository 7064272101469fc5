"""What is peculiar to PostgreSQL: limits, a password, time-outs, lost connections, and views."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.index.databases.engines import needs, postgres_database

import shortlist as sl
from shortlist.errors import ConfigError, MissingExtraError, SearchError
from shortlist.index.databases import pgvector
from shortlist.index.databases.contract import Attribute, Rows
from shortlist.index.databases.publish import publish

VECTORS = np.random.default_rng(0).standard_normal((600, 6)).astype(np.float32)
EXAMPLE = "postgresql://me@localhost/films"


@pytest.fixture
def uri() -> str:
    return postgres_database()


@pytest.fixture
def other(uri: str) -> Iterator[Any]:
    """Another connection to the same database."""
    import psycopg

    with psycopg.connect(uri, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"uri": "films"}, "postgresql://user@host:5432/database was expected"),
        ({"uri": "postgresql://me:secret@localhost/films"}, "PGPASSWORD"),
        ({"uri": "postgresql://localhost/films?password=secret"}, "PGPASSWORD"),
        ({"uri": EXAMPLE, "links": 101}, "links from 2 to 100"),
        ({"uri": EXAMPLE, "links": 60}, "build_effort from 2"),
        ({"uri": EXAMPLE, "collection": "f" * 41}, "41 letters; at most 40"),
        ({"uri": EXAMPLE, "timeout": 0}, "seconds above 0"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        sl.Pgvector(**options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("package", ["psycopg", "pgvector"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(pgvector.importlib.util, "find_spec", lambda name: None if name == package else "there")
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*\n.*shortlist\[pgvector\]"):
        sl.Pgvector(EXAMPLE).require()


@needs("pgvector")
def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(SearchError, match="did not answer"):
        sl.Pgvector("postgresql://me@127.0.0.1:1/films").require()


@needs("pgvector")
def test_a_search_that_takes_too_long_ends(uri: str, other: Any) -> None:
    """Here the table is locked."""
    index = sl.Pgvector(uri, collection="films", timeout=0.2).build(VECTORS)
    with other.transaction():
        other.execute(f"lock table {index.database().target('films')} in access exclusive mode")
        with pytest.raises(SearchError, match="did not answer: canceling statement due to statement timeout"):
            index.search(VECTORS[:1], 5)
    assert index.search(VECTORS[:1], 5).ids.size == 5


@needs("pgvector")
def test_a_lost_connection_is_replaced(uri: str, other: Any) -> None:
    index = sl.Pgvector(uri).build(VECTORS)
    want = index.search(VECTORS[:3], 5).ids.tolist()
    other.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'shortlist'")
    assert index.search(VECTORS[:3], 5).ids.tolist() == want


@needs("pgvector")
def test_the_graph_is_used_and_finds_nearly_all(uri: str, other: Any) -> None:
    """The planner reads a table this small from end to end, unless that is forbidden."""
    name = other.execute("select current_database()").fetchone()[0]
    other.execute(f'alter database "{name}" set enable_seqscan = off')
    other.execute(f'alter database "{name}" set enable_bitmapscan = off')
    index = sl.Pgvector(uri, collection="films").build(VECTORS)
    found = index.search(VECTORS[:40], 10)
    want = sl.BruteForce().build(VECTORS).search(VECTORS[:40], 10)
    assert np.mean([np.isin(a[0], b[0]).mean() for a, b in zip(found, want, strict=True)]) >= 0.95
    table = index.database().target("films")
    assert (
        other.execute(f"select idx_scan > 0 from pg_stat_user_indexes where indexrelname = '{table}_graph'") is not None
    )
    plan = other.execute(
        f"set enable_seqscan = off; explain select id from {table} order by vector <#> '[1,2,3,4,5,6]' limit 5"
    )
    plan.nextset()
    assert f"{table}_graph" in str(plan.fetchall())


@needs("pgvector")
def test_the_view_follows_a_version_with_other_columns(uri: str, other: Any) -> None:
    database = sl.Pgvector(uri, collection="films").database()
    year = Attribute("year", "integer", 0, lambda low, high: [1990 + number for number in range(low, high)])
    publish(database, uri, "films", "1", Rows(np.arange(3), VECTORS[:3], (year,)))
    other.execute("grant select on films to public")
    assert other.execute("select id, year from films order by id").fetchall() == [(0, 1990), (1, 1991), (2, 1992)]
    publish(database, uri, "films", "2", Rows(np.array(["a", "b"]), VECTORS[:2]))
    assert other.execute("select id from films order by id").fetchall() == [("a",), ("b",)]


@needs("pgvector")
def test_vectors_that_are_too_long_for_the_graph(uri: str) -> None:
    with pytest.raises(SearchError, match=r"2,001 numbers; pgvector's graph takes at most 2,000"):
        sl.Pgvector(uri).build(np.ones((3, 2001), np.float32))


@needs("pgvector")
def test_the_password_is_not_stored(uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    sl.Pgvector(uri).build(VECTORS).save(tmp_path / "index")
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "index").iterdir())
