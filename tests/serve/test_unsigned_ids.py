"""Ids of type UInt64 beyond 2^63 - 1, as hashes are: on every route, in the log, and in what is read from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from tests.serve.conftest import READ, WRITE
from tests.serve.running import Running
from tests.serve.test_string_ids import bodies, get, post

import shortlist as sl
from shortlist.client import Client
from shortlist.serve import Settings
from shortlist.serve.impression_table import impression_table
from shortlist.serve.loaded import IdKind, Loaded
from shortlist.serve.swap import Ids, check_replaces
from shortlist.serve.tools import Tools

ANN, BOB, CAT = 2**63, 2**64 - 1, 7  # the first that a signed integer lacks, the last there is, and a small one
FIRST, SECOND, THIRD = 2**64 - 1, 2**63 + 5, 3
HINT = "digits alone, from -2^63 to 2^64 - 1"


def made(folder: Path, *features: Any) -> sl.Recommender:
    """Ann chose the first, Bob the second, Cat the third; as read from a bundle."""
    torch.manual_seed(0)
    pairs = pl.DataFrame({"who": [ANN, BOB, CAT], "what": [FIRST, SECOND, THIRD], "at": [1, 2, 3]})
    table = {"what": [FIRST, SECOND, THIRD], "kind": ["x", "y", "x"], "twin": [SECOND, FIRST, THIRD]}
    ages = pl.DataFrame({"who": [ANN, BOB, CAT], "age": [1, 2, 3]})
    train = sl.Dataset(pairs, "who", "what", timestamp="at", queries=ages, candidates=pl.DataFrame(table))
    assert (train.queries["who"].dtype, train.candidates["what"].dtype) == (pl.UInt64, pl.UInt64)
    query = sl.Tower(*(features or (sl.IntegerLookup("who"),)), dim=2)
    model = sl.TwoTower(query, sl.Tower(sl.IntegerLookup("what"), dim=2))
    model.prepare(train)
    recommender = sl.Recommender(model.eval(), seen=train)
    recommender.export()
    recommender.save(folder / "wide.shortlist")
    return sl.Recommender.load(folder / "wide.shortlist")


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> sl.Recommender:
    return made(tmp_path_factory.mktemp("wide"))


@pytest.fixture
def wide(clients: Callable[..., Any], recommender: sl.Recommender, tmp_path: Path) -> Callable[..., Any]:
    """Makes a client over ids beyond 2^63, with a log."""

    def make(**options: Any) -> Any:
        settings = Settings(keys=(READ,), write_keys=(WRITE,), state=tmp_path / "state", **options)
        return clients(settings, recommender)

    return make


@pytest.mark.parametrize("strings", [False, True])
def test_every_route_gives_and_takes_them(wide: Callable[..., Any], strings: bool) -> None:
    client = wide(string_ids=strings)
    as_sent: Callable[[int], Any] = str if strings else int
    ann, bob, first, second, third = map(as_sent, (ANN, BOB, FIRST, SECOND, THIRD))
    body = {"queries": [{"id": ann}], "exclude_seen": False, "columns": ["what", "kind", "twin"]}
    (found,) = post(client, "/v1/recommend", body).json()["results"]
    assert (found["id"], found["known"]) == (ann, True)
    assert {item["id"]: item["columns"] for item in found["items"]} == {
        first: {"what": first, "kind": "x", "twin": SECOND},
        second: {"what": second, "kind": "y", "twin": FIRST},
        third: {"what": third, "kind": "x", "twin": THIRD},
    }
    narrowed = {"queries": [{"id": ann}], "exclude_seen": False, "allow": [second, first], "deny": [first]}
    (found,) = post(client, "/v1/recommend", narrowed).json()["results"]
    assert [item["id"] for item in found["items"]] == [second]
    narrowed = {"queries": [{"id": ann}], "exclude_seen": False, "where": f"what = {SECOND}"}
    (found,) = post(client, "/v1/recommend", narrowed).json()["results"]
    assert [item["id"] for item in found["items"]] == [second]
    ruled = {"queries": [{"id": ann}], "exclude_seen": False, "explain": True}
    ruled["rerank"] = {"pin": [{"place": 1, "id": second}]}
    (found,) = post(client, "/v1/recommend", ruled).json()["results"]
    assert (found["items"][0]["id"], found["items"][0]["source"]) == (second, "pinned")
    own = {"queries": [{"id": ann, "exclude": [second]}, {"id": bob, "history": [first]}, {"history": [first, third]}]}
    lists = post(client, "/v1/recommend", own).json()["results"]
    assert [[item["id"] for item in one["items"]] for one in lists] == [[third], [third], [second]]
    (found,) = post(client, "/v1/similar", {"candidates": [first]}).json()["results"]
    assert (found["id"], {item["id"] for item in found["items"]}) == (first, {second, third})
    (found,) = post(client, "/v1/score", {"queries": [{"id": bob}], "candidates": [first, as_sent(FIRST - 1)]}).json()[
        "results"
    ]
    assert (found["id"], found["known"], found["scores"][1]) == (bob, True, None)
    assert found["scores"][0] is not None
    assert None not in post(client, "/v1/embed", {"candidates": [first, second]}).json()["vectors"]
    assert len(post(client, "/v1/embed", {"queries": [{"id": ann}, {"id": bob}]}).json()["vectors"]) == 2
    for instances in ([bob], [{"input_1": bob}], [{"who": bob}]):
        (row,) = post(client, "/v1/models/one:predict", {"instances": instances}).json()["predictions"]
        assert set(row["output_2"]) == {first, second, third}
    columns = post(client, "/v1/models/one:predict", {"inputs": {"input_1": [ann, bob]}}).json()["outputs"]
    assert [set(ids) for ids in columns["output_2"]] == [{first, second, third}] * 2
    signature = get(client, "/v1/models/one/metadata")["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["who"]["dtype"] == "DT_UINT64"
    assert signature["outputs"]["output_2"]["dtype"] == ("DT_STRING" if strings else "DT_UINT64")
    assert get(client, "/v1/card")["example_query"] in (ann, bob, as_sent(CAT))
    assert [one["id"] for one in get(client, "/v1/queries", text=str(BOB))["items"]] == [bob]
    assert [one["id"] for one in get(client, "/v1/candidates", text=str(SECOND))["items"]] == [second]
    assert [one["id"] for one in get(client, "/v1/history", query=str(BOB))["items"]] == [second]
    assert set(get(client, "/v1/map")["ids"]) == {first, second, third}
    assert (
        get(client, "/openapi.json")["components"]["schemas"]["Query"]["properties"]["id"]["anyOf"][0]["maximum"] == BOB
    )


@pytest.mark.parametrize("strings", [False, True])
def test_changes_are_there_after_a_restart(wide: Callable[..., Any], tmp_path: Path, strings: bool) -> None:
    client = wide(string_ids=strings)
    as_sent: Callable[[int], Any] = str if strings else int
    fresh, ann, bob, first, second = map(as_sent, (2**63 + 99, ANN, BOB, FIRST, SECOND))
    change = {
        "upsert": [{"what": fresh, "kind": "z", "twin": FIRST}],
        "delete": [second],
        "expire": [{"id": first, "at": 9e9}],
    }
    assert post(client, "/v1/candidates", change).json()["candidates"] == 3
    (sent, more) = [{"query": ann, "candidate": fresh}], [{"query": as_sent(-1), "candidate": first}]
    for events in (sent, more, [{"query": as_sent(2**63 + 11), "candidate": first}]):
        assert post(client, "/v1/events", {"events": events}).json() == {"recorded": 1}
    shown = {
        "impressions": [{"query": one, "items": [{"candidate": first}, {"candidate": fresh}]} for one in (ann, bob)]
    }
    assert post(client, "/v1/impressions", shown).json() == {"recorded": 2}
    chosen = [{"query": bob, "candidate": fresh}, {"query": ann, "candidate": as_sent(-5)}]  # -5: of no candidate
    assert post(client, "/v1/events", {"events": chosen}).json() == {"recorded": 2}
    client.app.service.close()
    client.app.service.close = lambda: None
    again = wide(string_ids=strings)
    (found,) = post(again, "/v1/recommend", {"queries": [{"id": ann}], "columns": ["twin"]}).json()["results"]
    assert {item["id"] for item in found["items"]} == {as_sent(THIRD)}
    (found,) = post(again, "/v1/recommend", {"queries": [{"id": as_sent(CAT)}], "columns": ["twin"]}).json()["results"]
    assert {item["id"]: item["columns"]["twin"] for item in found["items"]} == {first: SECOND, fresh: FIRST}
    assert [one["id"] for one in get(again, "/v1/history", query=str(BOB))["items"]] == [fresh]
    assert [one["id"] for one in get(again, "/v1/history", query=str(2**63 + 11))["items"]] == [first]
    table = impression_table(tmp_path / "state", within=60)
    assert (table.schema["query"], table.schema["candidate"]) == (pl.UInt64, pl.UInt64)
    assert table.select("query", "candidate", "clicked").rows() == [
        (ANN, FIRST, False), (ANN, 2**63 + 99, False), (BOB, FIRST, False), (BOB, 2**63 + 99, True)
    ]  # fmt: skip


@pytest.mark.parametrize("strings", [False, True])
def test_integers_of_64_bits_are_taken_and_others_refused_on_every_route(
    wide: Callable[..., Any], strings: bool
) -> None:
    """In words, never with a 500; one that no UInt64 is, is an unknown id, and no candidate's new one."""
    client = wide(string_ids=strings)
    as_sent: Callable[[int], Any] = str if strings else int
    for number in (2**63 - 1, 2**63 + 1, 2**64 - 2, 0, -1, -(2**63)):
        for path, body, field in bodies(as_sent(number)):
            reply = post(client, path, body)
            unsigned = number >= 0 or "upsert" not in field
            assert reply.status_code in ((200, 404) if unsigned else (422,)), (path, body, reply.text)
            assert unsigned or reply.json()["field"] == field
        assert get(client, "/v1/history", query=str(number))["items"] is not None
    for number in (2**64, -(2**63) - 1, 10**30):
        for path, body, field in bodies(as_sent(number)):
            reply = post(client, path, body)
            assert reply.status_code == 422, (path, body, reply.text)
            if strings:
                assert (reply.json()["field"], reply.json()["hint"]) == (field, HINT)
        reply = client.get("/v1/history", params={"query": str(number)}, headers={"x-api-key": READ})
        assert (reply.status_code, reply.json()["hint"]) == (422, HINT)


def test_in_a_bundle_of_signed_ids_they_are_refused_in_words(clients: Callable[..., Any], tmp_path: Path) -> None:
    train = sl.Dataset({"who": [1, 2], "what": [3, 4]}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("who"), dim=2), sl.Tower(sl.IntegerLookup("what"), dim=2))
    model.prepare(train)
    settings = Settings(keys=(READ,), write_keys=(WRITE,), state=tmp_path / "state")
    client = clients(settings, sl.Recommender(model.eval(), seen=train))
    for path, body, field in bodies(2**63):
        reply = post(client, path, body).json()
        assert (reply["status"], reply["field"], reply["hint"]) == (422, field, "digits alone, from -2^63 to 2^63 - 1")
        assert reply["detail"] == "an integer beyond the type of this model's ids was given."


def test_choices_of_all_sizes_are_read_together(clients: Callable[..., Any], tmp_path: Path) -> None:
    """Queries that arrive at once are one column of histories, which holds the integers of all of them."""
    recommender = made(tmp_path, sl.IntegerLookup("who"), sl.History("past", length=4))
    client = clients(None, recommender)
    pasts = ([THIRD], [FIRST, SECOND], [-1], [], [-5, SECOND, THIRD], [2**63 - 1, 2**63])
    for given in ("history", "features"):
        queries = [
            {"id": CAT, "history": past} if given == "history" else {"id": CAT, "features": {"past": past}}
            for past in pasts
        ]
        alone = [client.post("/v1/embed", {"queries": [one]}).json()["vectors"][0] for one in queries]
        together = client.post("/v1/embed", {"queries": queries}).json()["vectors"]
        at_once = client.together([("/v1/embed", {"queries": [one]}) for one in queries])
        assert together == [pytest.approx(one, abs=1e-6) for one in alone]
        assert [one.json()["vectors"][0] for one in at_once] == together
        assert alone[0] != alone[1]
    frame = recommender.recommend({"who": [CAT] * len(pasts), "past": list(pasts)}, exclude_seen=False).to_frame()
    assert frame["who"].to_list() == [CAT] * 3 * len(pasts)


def test_features_and_columns_of_other_types_are_refused_as_before(clients: Callable[..., Any], tmp_path: Path) -> None:
    recommender = made(tmp_path, sl.IntegerLookup("who"), sl.Hashing("age", 8))
    client = clients(None, recommender)
    for value in (2**63, 2**64, -(2**63) - 1):
        reply = client.post("/v1/embed", {"queries": [{"id": CAT, "features": {"age": value}}]})
        assert (reply.status_code, reply.json()["field"]) == (422, "$.queries[0].features.age")


def test_a_bundle_of_them_takes_over_and_is_taken_over(recommender: sl.Recommender) -> None:
    loaded = Loaded("one", recommender.served)
    assert (loaded.query_kind, loaded.candidate_kind) == (IdKind(False, True), IdKind(False, True))
    check_replaces(Ids.of(loaded), loaded)


def test_two_processes_and_the_client_take_them(tmp_path: Path) -> None:
    """A choice that one process records is there for both, and after a restart."""
    made(tmp_path)
    arguments = (tmp_path / "wide.shortlist", "--workers", 2, "--no-log", "--state", tmp_path / "state")
    for number in range(2):
        server = Running(*arguments, SHORTLIST_WRITE_KEYS=WRITE)
        try:
            with Client(server.url, key=WRITE) as client:
                if number == 0:
                    assert client.record([(ANN, SECOND), (ANN, THIRD), (CAT, FIRST)]) == 3
                for _ in range(4):  # of either process
                    (ann, new) = client.recommend([ANN, {"id": 2**63 + 77, "history": [FIRST, SECOND]}])
                    assert (ann.id, ann.known, ann.ids) == (ANN, True, [])
                    assert (new.id, new.known, new.ids) == (2**63 + 77, False, [THIRD])
                assert set(client.similar([FIRST])[0].ids) == {SECOND, THIRD}
                assert client.score([BOB], [FIRST, FIRST - 1])[0][1] is None
                with pytest.raises(sl.ConfigError, match=r"-2\^63 to 2\^64 - 1 was expected"):
                    client.recommend([2**64])
        finally:
            server.stop()


def test_assistants_and_programs_ask_for_them(recommender: sl.Recommender) -> None:
    tools = Tools(Loaded("one", recommender.served))
    assert tools.recommend(str(ANN))["known"] is True
    assert tools.recommend(BOB, history=[str(FIRST)])["query"] == BOB
    assert {one["id"] for one in tools.similar(str(FIRST))["items"]} == {SECOND, THIRD}
    with pytest.raises(sl.ShortlistError):
        tools.recommend(2**64)
    assert json.loads(json.dumps(tools.recommend(ANN)))["query"] == ANN
