"""What is peculiar to Milvus: places, a missing package, a database that has lost or half of a collection."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shortlist.errors import ConfigError, MissingExtraError, SearchError
from shortlist.index import BruteForce, Lists, Milvus, load_index
from shortlist.index.databases import milvus
from shortlist.index.databases.milvus import milvus_trouble

needs_milvus = pytest.mark.skipif(milvus_trouble() is not None, reason="pymilvus or milvus-lite is not installed")
VECTORS = np.random.default_rng(0).standard_normal((600, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"uri": "movies"}, "ends in .db"),
        ({"uri": 3}, "ends in .db"),
        ({"uri": "a.db", "collection": "my movies"}, "letters, digits"),
        ({"uri": "a.db", "links": 0}, "links is 0"),
        ({"uri": "a.db", "recall": 0.9}, "does not support recall="),
    ],
)
def test_settings_that_cannot_be(options, says) -> None:
    with pytest.raises(ConfigError, match=says):
        Milvus(**options)


@pytest.mark.parametrize(
    ("uri", "missing", "package"),
    [("a.db", "pymilvus", "pymilvus"), ("a.db", "milvus_lite", "milvus-lite"), ("http://h:1", "pymilvus", "pymilvus")],
)
def test_a_missing_package_names_the_extra(monkeypatch, uri, missing, package) -> None:
    monkeypatch.setattr(milvus.importlib.util, "find_spec", lambda name: None if name == missing else "there")
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*\n.*shortlist\[milvus\]"):
        Milvus(uri).build(VECTORS)


@needs_milvus
def test_a_cluster_that_does_not_answer() -> None:
    with pytest.raises(SearchError, match="did not answer"):
        Milvus("http://127.0.0.1:1").build(VECTORS)


@needs_milvus
def test_a_lost_or_half_filled_collection_is_filled_again_from_the_vectors(tmp_path: Path) -> None:
    index = Milvus(str(tmp_path / "movies.db")).build(VECTORS)
    index.save(tmp_path / "index")
    want = BruteForce().build(VECTORS).search(VECTORS[:20], 5).ids.tolist()
    native = index._snapshot.native
    native.database.client.delete(native.name, ids=list(range(300)))
    native.database.client.flush(native.name)
    assert load_index(tmp_path / "index").search(VECTORS[:20], 5).ids.tolist() == want
    native.database.client.drop_collection(native.name)
    again = load_index(tmp_path / "index")
    assert again.search(VECTORS[:20], 5).ids.tolist() == want


@needs_milvus
def test_the_alias_leads_to_the_newest_build(tmp_path: Path) -> None:
    settings = Milvus(str(tmp_path / "movies.db"), collection="movies")
    first, second = settings.build(VECTORS), settings.build(VECTORS[:400])
    client = second._snapshot.native.database.client
    hits = client.search("movies", data=VECTORS[500:501].tolist(), limit=400, output_fields=[])
    assert max(hit["id"] for hit in hits[0]) < 400
    assert first.search(VECTORS[500:501], 1).ids.size == 1  # and the first build still answers


@needs_milvus
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_a_copy_asks_the_same_collection(tmp_path: Path, copied) -> None:
    index = Milvus(str(tmp_path / "movies.db"), collection="movies").build(VECTORS)
    again = copied(index)
    assert again._snapshot.native.name == index._snapshot.native.name
    assert again.search(VECTORS[:20], 5).ids.tolist() == index.search(VECTORS[:20], 5).ids.tolist()


@needs_milvus
def test_the_token_is_not_stored(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "user:secret")
    index = Milvus(str(tmp_path / "movies.db")).build(VECTORS)
    index.save(tmp_path / "index")
    assert "secret" not in (tmp_path / "index" / "index.json").read_text() + repr(index.settings())


SERVER = """
import sys
from milvus_lite.adapter.grpc.server import start_server_in_thread
server, db, port = start_server_in_thread(sys.argv[1])
print(port, flush=True)
sys.stdin.read()
server.stop(0)
"""


@needs_milvus
def test_a_server_in_another_process(tmp_path: Path) -> None:
    """What a cluster sees: the same calls over the network, and what is said once it has gone."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "data")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        port = int(server.stdout.readline())
        index = Milvus(f"http://127.0.0.1:{port}").build(VECTORS, np.arange(600) * 2)
        index.save(tmp_path / "index")
        want = BruteForce().build(VECTORS, index.ids)
        for one in (index, load_index(tmp_path / "index")):
            for filters in ({}, {"exclude": Lists.of([[2 * row] for row in range(20)])}):
                found = one.search(VECTORS[:20], 5, **filters).ids
                assert found.tolist() == want.search(VECTORS[:20], 5, **filters).ids.tolist()
        changed = load_index(tmp_path / "index")
        changed.upsert(np.array([1]), 9 * VECTORS[:1])
        assert changed.search(VECTORS[:1], 1).ids.tolist() == [1]
        changed.rebuild()
        assert changed.search(VECTORS[:1], 1).ids.tolist() == [1]
        server.stdin.close()
        server.wait(timeout=300)
    with pytest.raises(SearchError, match="did not answer"):
        index.search(VECTORS[:1], 5)
