"""What is peculiar to Qdrant: a server, keys, a folder that another process has open.

The engine itself (``qdrant-edge-py``) runs in the suites over all databases. The calls to a server are tested with the local mode
of Qdrant's client, which answers them in Python: a stand-in for a server, not its engine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.index.databases import test_filters
from tests.index.databases.engines import needs

import shortlist as sl
from shortlist.errors import ConfigError, MissingExtraError, SearchError
from shortlist.index.databases import drop_versions, qdrant

needs_client = pytest.mark.skipif(sl.Qdrant._missing("http://h:1") is not None, reason="qdrant-client is not installed")
VECTORS = np.random.default_rng(0).standard_normal((600, 6)).astype(np.float32)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a stand-in."""
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    monkeypatch.setattr(qdrant, "_connected", lambda uri, key: client)
    monkeypatch.setattr(qdrant, "remembered", lambda connect, *arguments: connect(*arguments))
    return "http://qdrant:6333"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("localhost:6333", "or a folder, was expected"),
        ("", "or a folder, was expected"),
        ("ftp://qdrant", "or a folder, was expected"),
        ("http://me:secret@qdrant:6333", "QDRANT_API_KEY"),
        ("http://qdrant:6333?api_key=secret", "QDRANT_API_KEY"),
    ],
)
def test_addresses_that_cannot_be(uri: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        sl.Qdrant(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("uri", "package"), [("http://h:1", "qdrant-client"), ("folder", "qdrant-edge-py")])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, uri: str, package: str) -> None:
    monkeypatch.setattr(qdrant.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*\n.*shortlist\[qdrant\]"):
        sl.Qdrant(uri).require()


@needs_client
def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(SearchError, match=r"Qdrant at 'http://127\.0\.0\.1:1' did not answer"):
        sl.Qdrant("http://127.0.0.1:1").require()


@needs("qdrant")
def test_a_folder_that_another_process_has_open(tmp_path: Path) -> None:
    place = sl.Qdrant(str(tmp_path / "films"))
    index = place.build(VECTORS)
    index.save(tmp_path / "index")
    code = "import sys; from shortlist.index import load_index; load_index(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "index")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "no other process has its files open" in done.stderr


@needs("qdrant")
def test_a_collection_that_could_not_be_made_is_made_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = sl.Qdrant(str(tmp_path / "films"))

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(qdrant, "_engine", full)
        with pytest.raises(SearchError, match="no space left on device"):
            place.build(VECTORS)
    assert place.build(VECTORS).size == 600
    assert not list((tmp_path / "films").glob(".*"))


@needs_client
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode")
def test_the_calls_to_a_server(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Publish, search, alias, drop and conditions; local mode stands in for the server."""
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    index = sl.Qdrant(server, collection="films").build(VECTORS, np.arange(600) * 2)
    want = sl.BruteForce().build(VECTORS, index.ids).search(VECTORS[:20], 5)
    assert index.search(VECTORS[:20], 5).ids.tolist() == want.ids.tolist()
    index.save(tmp_path / "index")
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "index").iterdir())
    database = sl.Qdrant(server, collection="films").database()
    first = str(database.target("films"))
    sl.Qdrant(server, collection="films").build(VECTORS[:300])
    assert database.target("films") != first
    assert drop_versions(database, "films", set()) == [first]
    assert database.count(first) == -1


@needs_client
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect", "ignore:Local mode")
def test_a_server_finds_what_meets_a_condition(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = sl.Qdrant(server, collection="films")
    test_filters.publish(place.database(), place.uri, "films", "1", test_filters.rows())
    for where, rows in test_filters.CONDITIONS.items():
        found: Any = place.database().search("films_1", np.ones((1, 8), np.float32), 8, 50, test_filters.pushed(where))
        assert sorted(key for key, _ in found[0]) == rows, where
