"""What every index over a database does: collections that are lost, filters that go along, addresses in a bundle."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.index.databases.engines import every_engine, unbuilt

import shortlist as sl
from shortlist.errors import ConfigError
from shortlist.index import load_index
from shortlist.index.approximate import Width
from shortlist.index.databases import DatabaseIndex, place_named
from shortlist.index.databases.named import collection_version
from shortlist.index.databases.places import check_no_secret

VECTORS = np.random.default_rng(0).standard_normal((600, 6)).astype(np.float32)


@every_engine
def test_a_lost_collection_is_filled_again_and_a_copy_asks_the_same(kind: str, tmp_path: Path) -> None:
    index = unbuilt(kind, tmp_path, collection="films").build(VECTORS)
    index.save(tmp_path / "index")
    want = sl.BruteForce().build(VECTORS).search(VECTORS[:20], 5).ids.tolist()
    for again in (copy.deepcopy(index), pickle.loads(pickle.dumps(index))):
        assert again._snapshot.native.name == index._snapshot.native.name
        assert again.search(VECTORS[:20], 5).ids.tolist() == want
    native: Any = index._snapshot.native
    native.database.drop(native.name)
    loaded: Any = load_index(tmp_path / "index")
    assert loaded.search(VECTORS[:20], 5).ids.tolist() == want
    assert loaded.database().target("films") == native.name


@every_engine
def test_what_is_open_goes_along_with_the_query(kind: str, tmp_path: Path) -> None:
    index: Any = unbuilt(kind, tmp_path).build(VECTORS)
    open_ = np.arange(600) % 5 == 0
    width = Width(100, 5.0)  # 20 results, times the five of which four are closed
    found = index._probe(index._snapshot.native, VECTORS[:3], width, open_)
    assert found.shape == (3, 20)
    want = sl.BruteForce().build(VECTORS).search(VECTORS[:3], 20, allow=np.flatnonzero(open_)).ids.reshape(3, 20)
    assert [np.isin(row, best).mean() for row, best in zip(found, want, strict=True)] == [1.0, 1.0, 1.0]


def test_addresses_with_their_kind(tmp_path: Path) -> None:
    places = {
        "qdrant:http://host:6333": sl.Qdrant,
        "qdrant:folder": sl.Qdrant,
        "lancedb:s3://bucket/films": sl.LanceDB,
        "postgresql://me@host/films": sl.Pgvector,
        "pgvector:postgresql://me@host/films": sl.Pgvector,
        "milvus:http://host:19530": sl.Milvus,
        "http://host:19530": sl.Milvus,
        "films.db": sl.Milvus,
    }
    found = {address: type(place_named(address, collection="films")) for address in places}
    assert found == places
    with pytest.raises(ConfigError, match="Milvus's uri is 'films'"):
        place_named("films")


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("http://host:1", False),
        ("http://me@host:1", False),
        ("http://me:@host:1", False),
        ("http://me:word@host:1", True),
        ("http://host:1/?Password=word", True),
        ("http://host:1/?page=word", False),
        ("folder:word@x", False),
    ],
)
def test_addresses_with_a_secret_are_refused_and_not_repeated(uri: str, secret: bool) -> None:
    if not secret:
        return check_no_secret("X", uri, "do that")
    with pytest.raises(ConfigError, match=r"X's uri contains a password.*\nhint: do that") as caught:
        check_no_secret("X", uri, "do that")
    assert "word@" not in str(caught.value)
    return None


@pytest.mark.parametrize("timeout", [0, -1, True, "3", float("inf"), float("nan")])
def test_a_timeout_is_seconds(timeout: Any) -> None:
    with pytest.raises(ConfigError, match="seconds above 0"):
        sl.Milvus("films.db", timeout=timeout)


def test_settings_of_before_have_no_timeout() -> None:
    place: DatabaseIndex = sl.Milvus(
        uri="a.db", collection="b", links=3, build_effort=4, search_effort=None, recall=None
    )
    assert place.settings()["timeout"] == 10.0


@every_engine
def test_the_version_of_a_saved_index_is_that_of_its_collection(kind: str, tmp_path: Path) -> None:
    index: Any = unbuilt(kind, tmp_path, collection="films").build(VECTORS)
    index.save(tmp_path / "index")
    assert f"films_{collection_version(tmp_path / 'index')}" == index.database().target("films")


def test_other_indexes_have_no_collection(tmp_path: Path) -> None:
    sl.BruteForce().build(VECTORS).save(tmp_path)
    assert collection_version(tmp_path) is None
