"""A bundle's candidates in Milvus: under their own ids, a version for each bundle, and an alias that switches at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import shortlist as sl
from shortlist.cli.main import cli
from shortlist.index.databases import contract
from shortlist.index.databases.milvus import milvus_trouble

pytestmark = pytest.mark.skipif(milvus_trouble() is not None, reason="pymilvus or milvus-lite is not installed")


def bundle_of(folder: Path, name: str, books: list[Any], seed: int) -> sl.Recommender:
    """A saved recommender of these books."""
    data = sl.Dataset({"reader": [n % 3 for n in range(len(books))], "book": books}, "reader", "book")
    lookup = sl.IntegerLookup if isinstance(books[0], int) else sl.StringLookup
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=4), sl.Tower(lookup("book"), dim=4))
    sl.fit(model, data, epochs=2, batch_size=8, seed=seed)
    recommender = sl.Recommender(model, index=sl.BruteForce())
    recommender.save(folder / name)
    return recommender


def run(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["index", *words, "--json"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def client_of(uri: str) -> Any:
    return sl.Milvus(uri).database().client


def found(uri: str, alias: str, recommender: sl.Recommender) -> list[Any]:
    """The raw id that Milvus finds first for every candidate's own vector, scaled to be the best match of itself."""
    vectors = np.asarray(recommender.index.vectors)
    hits = client_of(uri).search(alias, data=vectors.tolist(), limit=len(vectors), output_fields=["id"])
    scores = vectors @ vectors.T
    best = recommender.candidate_ids.to_numpy()[scores.argmax(1)].tolist()
    assert [row[0]["entity"]["id"] for row in hits] == best
    return best


@pytest.mark.parametrize("books", [[f"buch {n} ü" for n in range(12)], [2**40 + n for n in range(12)]])
def test_candidates_are_found_under_their_own_ids(tmp_path: Path, books: list[Any]) -> None:
    recommender = bundle_of(tmp_path, "my books.shortlist", books, 1)
    uri = str(tmp_path / "m.db")
    said = run(str(tmp_path / "my books.shortlist"), "--to", uri)
    assert said["alias"] == "my_books"
    assert said["collection"] == f"my_books_{recommender.fingerprint[:16]}"
    assert (said["rows"], said["before"], said["written"]) == (12, None, True)
    found(uri, "my_books", recommender)


def test_a_new_bundle_switches_the_alias_and_the_old_one_switches_it_back(tmp_path: Path) -> None:
    books = [f"b{n}" for n in range(12)]
    first, second = (bundle_of(tmp_path, f"{seed}.shortlist", books, seed) for seed in (1, 2))
    uri = str(tmp_path / "m.db")
    one = run(str(tmp_path / "1.shortlist"), "--to", uri, "--name", "books")
    two = run(str(tmp_path / "2.shortlist"), "--to", uri, "--name", "books")
    assert two["before"] == one["collection"] != two["collection"]
    found(uri, "books", second)
    back = run(str(tmp_path / "1.shortlist"), "--to", uri, "--name", "books")
    assert (back["written"], back["before"], back["collection"]) == (False, two["collection"], one["collection"])
    found(uri, "books", first)


def test_a_run_that_is_cut_off_leaves_the_alias_and_the_next_one_fills_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = [f"b{n}" for n in range(12)]
    first, second = (bundle_of(tmp_path, f"{seed}.shortlist", books, seed) for seed in (1, 2))
    uri = str(tmp_path / "m.db")
    run(str(tmp_path / "1.shortlist"), "--to", uri, "--name", "books")
    monkeypatch.setattr(contract, "ROWS", 5)

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    place = sl.Milvus(uri, collection="books")
    with pytest.raises(KeyboardInterrupt):
        sl.publish(second, place, on_rows=cut)
    found(uri, "books", first)
    assert run(str(tmp_path / "2.shortlist"), "--to", uri, "--name", "books")["written"]
    found(uri, "books", second)


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    bundle_of(tmp_path, "b.shortlist", ["a", "b"], 1)
    done = CliRunner().invoke(cli, ["index", str(tmp_path / "b.shortlist"), "--to", "movies"])
    assert isinstance(done.exception, sl.ConfigError)
    done = CliRunner().invoke(cli, ["index", str(tmp_path / "b.shortlist"), "--to", "http://127.0.0.1:1"])
    assert isinstance(done.exception, sl.SearchError)
    assert "did not answer" in done.exception.message
