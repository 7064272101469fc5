"""Bad cells of an upsert: all are named at once, at the price of one good upsert at most, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.serve.changing import KEY, change, ids

from shortlist.recommender import live
from shortlist.recommender.embedding import Embedder


class Counted:
    """Rows embedded, and copies of the index."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        self.copies = 0
        vectors, copied = Embedder.vectors, live.copied

        def embedding(embedder: Any, side: str, table: Any) -> Any:
            self.rows.append(len(table))
            return vectors(embedder, side, table)

        def copying(index: Any) -> Any:
            self.copies += 1
            return copied(index)

        monkeypatch.setattr(Embedder, "vectors", embedding)
        monkeypatch.setattr(live, "copied", copying)


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"what": f"n{number}", "stock": number, **more} for number in range(count)]


def test_one_bad_cell_among_many_embeds_nothing_and_copies_nothing(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, counted = writable(), Counted(monkeypatch)
    some = rows(800)
    some[799]["stock"] = "many"
    reply = change(client, upsert=some)
    assert reply.status_code == 422
    assert reply.json()["field"] == "$.upsert[799].stock"
    assert "stock takes Int64" in reply.json()["detail"]
    assert "many" not in reply.text
    assert (counted.rows, counted.copies) == ([], 0)
    assert client.app.service.loaded.served.index.size == 4
    assert ids(client) == ["c", "d", "b", "a"]
    some[799]["stock"] = 3
    assert change(client, upsert=some).json()["candidates"] == 804
    assert (counted.rows, counted.copies) == ([800], 1)


def test_all_bad_cells_are_named_up_to_a_bound(writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client, counted = writable(), Counted(monkeypatch)
    some = rows(30)
    some[3]["stock"], some[7]["kind"], some[3]["full_name"] = [1], 7, False
    problem = change(client, upsert=some).json()
    assert problem["fields"] == ["$.upsert[3].full_name", "$.upsert[3].stock", "$.upsert[7].kind"]
    assert problem["field"] == problem["fields"][0]
    assert len(change(client, upsert=[{**row, "stock": "x"} for row in rows(100)]).json()["fields"]) == 20
    strange = [{"what": "x", "canary": 1}, {"what": "y"}, {"what": "z", "canary": 2}]
    problem = change(client, upsert=strange).json()
    assert problem["fields"] == ["$.upsert[0]", "$.upsert[2]"]
    assert "canary" not in str(problem)
    assert counted.rows == []


def test_a_batch_with_a_bad_row_changes_nothing_of_it_and_spoils_no_other(writable: Callable[..., Any]) -> None:
    client = writable()
    bad = {"upsert": [{"what": "e", "stock": 1}, {"what": "a", "stock": "x"}], "delete": ["d"]}
    good = {"upsert": [{"what": "f", "stock": 1}]}

    async def both() -> list[Any]:
        import asyncio

        post = client._client.post
        return await asyncio.gather(*(post("/v1/candidates", json=one, headers=KEY) for one in (bad, good)))

    replies = client.loop.run_until_complete(both())
    assert [reply.status_code for reply in replies] == [422, 200]
    assert set(ids(client)) == {"a", "b", "c", "d", "f"}


def test_rows_with_different_columns_are_one_table(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One embedding and one copy for all; a column that a row lacks keeps what is stored, or is null."""
    client, counted = writable(), Counted(monkeypatch)
    upsert = [
        {"what": "a", "stock": 30},
        {"what": "b", "kind": "z"},
        {"what": "e", "full_name": "Epsilon"},
        {"what": "c", "kind": None},
        {"what": "d"},
    ]
    assert change(client, upsert=upsert).status_code == 200
    assert (counted.rows, counted.copies) == ([5], 1)
    columns = ["full_name", "kind", "stock"]
    body = {"queries": [{"id": "bob"}], "exclude_seen": False, "columns": columns}
    expected = {
        "a": {"full_name": "Alpha", "kind": "x", "stock": 30},
        "b": {"full_name": "Beta", "kind": "z", "stock": 0},
        "c": {"full_name": None, "kind": None, "stock": 5},
        "d": {"full_name": "Delta", "kind": "y", "stock": 7},
        "e": {"full_name": "Epsilon", "kind": None, "stock": None},
    }

    def found(asked: Any) -> dict[str, Any]:
        return {one["id"]: one["columns"] for one in asked.post("/v1/recommend", body).json()["results"][0]["items"]}

    assert found(client) == expected
    counted.rows.clear()
    again = writable()
    assert found(again) == expected
    assert counted.rows == [5]  # the log is applied as one table too


@pytest.mark.parametrize("column", ["full_name", "kind", "stock"])
def test_a_null_is_stored_where_no_other_row_has_a_value(writable: Callable[..., Any], column: str) -> None:
    client = writable()
    reply = change(client, upsert=[{"what": "a", column: None}, {"what": "e", column: None}])
    assert reply.status_code == 200, reply.text
    body = {"queries": [{"id": "bob"}], "exclude_seen": False, "columns": [column], "where": f"{column} is null"}
    for asked in (client, writable()):  # as it was sent, and from the log
        items = asked.post("/v1/recommend", body).json()["results"][0]["items"]
        assert {one["id"] for one in items} >= {"a", "e"}
        assert all(one["columns"] == {column: None} for one in items)


def test_wrong_types_are_found_before_a_change_waits_for_others(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the thread that writes nor the log hears of them; no tower is built to look at them."""
    client, submitted = writable(), []
    service = client.app.service
    written = service.change

    async def counting(record: dict[str, Any]) -> Any:
        submitted.append(len(record["upsert"]))
        return await written(record)

    service.change = counting
    monkeypatch.setattr(Embedder, "columns", lambda embedder, side: pytest.fail("a tower was built"))
    some = rows(4000)
    for wrong in ({"stock": "many"}, {"stock": 1.5}, {"stock": True}, {"other": 1}):
        some[3999] = {"what": "n3999", **wrong}
        reply = change(client, upsert=some)
        assert reply.status_code == 422
        assert reply.json()["field"].startswith("$.upsert[3999]")
    assert submitted == []
    some[3999] = {"what": "n3999", "stock": None}
    assert change(client, upsert=some).status_code == 200
    assert submitted == [4000]
