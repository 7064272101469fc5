"""A collection for each version in Milvus, and an alias that leads to the last whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shortlist as sl
from shortlist.index import publish as publishing
from shortlist.index.milvus import milvus_trouble
from shortlist.index.publish import publish

pytestmark = pytest.mark.skipif(milvus_trouble() is not None, reason="pymilvus or milvus-lite is not installed")
VECTORS = np.eye(3, dtype=np.float32)


@pytest.fixture
def place(tmp_path: Path) -> sl.Milvus:
    return sl.Milvus(str(tmp_path / "m.db"), collection="books")


def led_to(place: sl.Milvus, collection: str) -> list[str]:
    """The aliases of a collection."""
    aliases: list[str] = place._connected().list_aliases(collection)["aliases"]
    return aliases


def test_the_alias_leads_to_the_version_and_back(place: sl.Milvus) -> None:
    first = publish(place, "1", np.array([1, 2, 3]), VECTORS)
    assert (first.collection, first.rows, first.before, first.written) == ("books_1", 3, None, True)
    second = publish(place, "2", np.array(["a", "b"]), VECTORS[:2])
    assert (second.collection, second.rows, second.before, second.written) == ("books_2", 2, "books_1", True)
    assert (led_to(place, "books_1"), led_to(place, "books_2")) == ([], ["books"])
    again = publish(place, "1", np.array([1, 2, 3]), VECTORS)
    assert (again.before, again.written) == ("books_2", False)
    assert led_to(place, "books_1") == ["books"]


def test_rows_are_inserted_in_parts_and_counted(place: sl.Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "ROWS", 2)
    told: list[tuple[int, int]] = []
    publish(place, "1", np.array([7, 8, 9]), VECTORS, lambda done, total: told.append((done, total)))
    assert told == [(2, 3), (3, 3)]


def test_a_version_that_was_cut_off_is_filled_again(place: sl.Milvus, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(place, "1", np.array([1, 2, 3]), VECTORS)
    monkeypatch.setattr(publishing, "ROWS", 2)

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(place, "2", np.array([4, 5, 6]), VECTORS, cut)
    assert led_to(place, "books_1") == ["books"]
    done = publish(place, "2", np.array([4, 5, 6]), VECTORS)
    assert (done.written, done.rows, done.before) == (True, 3, "books_1")
    hits: Any = place._connected().search("books", data=[[0, 1, 0]], limit=1, output_fields=["id"])
    assert hits[0][0]["entity"]["id"] == 5


def test_ids_that_repeat_never_get_the_alias(place: sl.Milvus) -> None:
    publish(place, "1", np.array([1, 2, 3]), VECTORS)
    with pytest.raises(sl.SearchError, match=r"rows; 3 were written.*'books' is unchanged"):
        publish(place, "2", np.array([1, 1, 3]), VECTORS)
    assert led_to(place, "books_1") == ["books"]
