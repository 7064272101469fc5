"""Another bundle takes over while the server runs: with all changes, or not at all."""

from __future__ import annotations

import gc
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serve.changing import KEY, WRITE, change, ids
from tests.serve.running import Running

import shortlist as sl
from shortlist.errors import ShortlistError
from shortlist.serve import Service, Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.service import ALIKE
from shortlist.serve.swap import Ids, Swapper, check_replaces, share_of, signature
from shortlist.store import in_use


def swapped(client: Any, path: Path) -> bool:
    swapper = Swapper(client.app.service, path, None)
    return bool(client.loop.run_until_complete(swapper.check()))


def test_another_bundle_takes_over_with_all_changes(writable: Callable[..., Any], bundles: Path) -> None:
    client = writable()
    first = client.app.service.loaded.bundle
    change(client, delete=["c"], upsert=[{"what": "e", "stock": 1}])
    client.post("/v1/events", {"events": [{"query": "ann", "candidate": "d"}]}, headers=KEY)
    assert swapped(client, bundles / "two")
    body = client.post("/v1/recommend", {"queries": [{"id": "cat"}], "exclude_seen": False}).json()
    assert body["bundle"] == client.app.service.loaded.bundle != first
    items = {item["id"]: item["score"] for item in body["results"][0]["items"]}
    assert items["a"] == 8.0  # twice that of bundle one
    assert "c" not in items
    assert "e" in items
    text = client.get("/metrics").text
    assert 'shortlist_swaps_total{outcome="done"} 1.0' in text
    assert first not in text.split("# HELP shortlist_bundle ")[1]


def test_the_same_bundle_again_is_no_swap(writable: Callable[..., Any], bundles: Path) -> None:
    client = writable()
    assert not swapped(client, bundles / "one")
    service = client.app.service
    swapper = Swapper(service, bundles / "one", signature(bundles / "one"))
    assert client.loop.run_until_complete(swapper.check()) is False


def test_a_broken_bundle_is_refused_and_the_old_one_goes_on(
    clients: Callable[..., Any], bundles: Path, tmp_path: Path
) -> None:
    import io
    import shutil

    from shortlist.serve.logs import Log

    client = clients()
    out = io.StringIO()
    client.app.service.log = Log(out)
    place = tmp_path / "place"
    shutil.copytree(bundles / "two", place)
    vectors = place / "vectors.safetensors"
    content = vectors.read_bytes()
    vectors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    swapper = Swapper(client.app.service, place, None)
    assert client.loop.run_until_complete(swapper.check()) is False
    assert "was altered" in out.getvalue()
    assert ids(client) == ["c", "d", "b", "a"]
    assert client.loop.run_until_complete(swapper.check()) is False  # nothing changed: not even looked at
    assert out.getvalue().count("swap_refused") == 1
    vectors.write_bytes(content)
    assert client.loop.run_until_complete(swapper.check()) is True
    assert 'shortlist_swaps_total{outcome="refused"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("target", ["nowhere", "empty"])
def test_a_promotion_to_nothing_is_refused_once(
    clients: Callable[..., Any], bundles: Path, tmp_path: Path, target: str
) -> None:
    """A link is turned to nothing, and then to a bundle."""
    client = clients()
    (tmp_path / "empty").mkdir()
    link = tmp_path / "current"
    link.symlink_to(bundles / "one")
    swapper = Swapper(client.app.service, link, signature(link))
    for place, found in ((tmp_path / target, False), (tmp_path / target, False), (bundles / "two", True)):
        link.unlink()
        link.symlink_to(place)
        assert client.loop.run_until_complete(swapper.check()) is found
        assert 'shortlist_swaps_total{outcome="refused"} 1.0' in client.get("/metrics").text


def test_a_bundle_without_the_right_signature_is_refused(
    clients: Callable[..., Any], bundles: Path, tmp_path: Path
) -> None:
    import shutil

    from shortlist.recommender.signing import sign
    from shortlist.serve import Settings

    client = clients(Settings(signature=b"k" * 32))
    first = client.app.service.loaded.bundle
    place = tmp_path / "place"
    shutil.copytree(bundles / "two", place)
    assert not swapped(client, place)
    sign(place, b"o" * 32)
    assert not swapped(client, place)
    assert client.app.service.loaded.bundle == first
    sign(place, b"k" * 32)
    assert swapped(client, place)


def test_a_request_keeps_the_bundle_it_began_with(clients: Callable[..., Any], bundles: Path) -> None:
    """Each of many requests, with swaps between them, has the scores of the one bundle that it names."""
    client = clients()
    service = client.app.service
    two = Loaded.read(bundles / "two")
    factor = {service.loaded.bundle: 1.0, two.bundle: 2.0}
    one = service.loaded

    async def load() -> list[Any]:
        import asyncio

        async def ask(name: str) -> Any:
            body = {"queries": [{"id": name}], "exclude_seen": False}
            return (await client._client.post("/v1/recommend", json=body)).json()

        tasks = []
        for number in range(60):
            tasks.append(asyncio.ensure_future(ask("ann")))
            if number % 3 == 0:
                await asyncio.sleep(0)
                service.activate(two if service.loaded is one else one)
        return await asyncio.gather(*tasks)

    bodies = client.loop.run_until_complete(load())
    assert {body["bundle"] for body in bodies} == set(factor)
    for body in bodies:
        scores = {item["id"]: item["score"] for item in body["results"][0]["items"]}
        assert scores == {
            name: value * factor[body["bundle"]] for name, value in (("a", 4), ("b", 3), ("c", 1), ("d", 0.5))
        }


# Bundles of other data.


def renamed(recommender: Any, queries: str, candidates: str) -> Any:
    """What a recommender serves, with these letters before its ids."""
    from dataclasses import replace

    from shortlist.data.id_map import IdMap

    state = recommender.served.state
    ids = {
        "query_ids": IdMap(queries + state.query_ids.ids),
        "candidate_ids": IdMap(candidates + state.candidate_ids.ids),
    }
    return Loaded("one", replace(recommender.served, state=replace(state, **ids)))


@pytest.mark.parametrize(
    ("queries", "candidates", "fits"), [("", "", True), ("x", "", True), ("", "x", True), ("x", "x", False)]
)
def test_a_bundle_of_other_data_is_known_by_its_ids(bundles: Path, queries: str, candidates: str, fits: bool) -> None:
    """New queries alone, or new candidates alone, are the same data."""
    recommender = sl.Recommender.load(bundles / "one")
    old, new = Loaded("one", recommender.served), renamed(recommender, queries, candidates)
    if fits:
        check_replaces(Ids.of(old), new)
    else:
        with pytest.raises(ShortlistError, match=r"0\.0% of the query ids and 0\.0% of the candidate ids") as error:
            check_replaces(Ids.of(old), new)
        assert "--other-data" in str(error.value.hint)


def test_a_share_is_of_ids_evenly_spread(bundles: Path) -> None:
    from dataclasses import replace

    from shortlist.data.id_map import IdMap

    recommender = sl.Recommender.load(bundles / "one")
    state = replace(recommender.served.state, query_ids=IdMap(pl.Series(range(30_000))))
    old = Ids.of(Loaded("one", replace(recommender.served, state=state))).queries
    assert len(old) == 10_000
    assert (old[0], old[-1]) == (0, 29_999)
    assert share_of(old, IdMap(pl.Series(range(0, 30_000, 2)))) == pytest.approx(0.5, abs=0.01)
    assert share_of(old, IdMap(pl.Series([-1]))) == 0.0
    assert share_of([], IdMap(pl.Series([-1]))) == 1.0
    assert share_of([1, 2**64 - 1], IdMap(pl.Series([1], dtype=pl.Int32))) == 0.5


@pytest.mark.parametrize("other_data", [False, True])
def test_a_bundle_of_other_data_is_refused_unless_it_is_wanted(
    clients: Callable[..., Any], tmp_path: Path, other_data: bool
) -> None:
    pairs = {"who": ["u", "v"], "what": ["m", "n"]}
    train = sl.Dataset(pairs, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(train)
    sl.Recommender(model.eval(), seen=train).save(tmp_path / "other")
    client = clients(Settings(other_data=other_data))
    assert swapped(client, tmp_path / "other") is other_data
    reply = client.post("/v1/recommend", {"queries": [{"id": "ann"}]})
    assert reply.json()["results"][0]["known"] is not other_data


# Warming.


def test_a_new_bundle_is_warmed_by_every_group_of_the_last_requests(client: Any, bundles: Path) -> None:
    """Plain queries, those that bring choices, exact search and conditions are all answered once before the swap."""
    service = client.app.service
    bodies = [
        {"queries": [{"id": "ann"}, {"history": ["c"]}, {"id": "bob", "history": ["a"]}], "k": 2},
        {"queries": [{"id": "ann"}], "exact": True, "where": "stock > 0"},
        {"queries": [{"id": "cat"}] * 100, "k": 3},
    ]
    asked: list[tuple[Any, ...]] = []
    answer = service._answer

    def noted(group: Any, asks: Any) -> Any:
        asked.append((group.k, group.chosen, group.exact, group.open is not None, len(asks)))
        return answer(group, asks)

    for body in bodies:
        assert client.post("/v1/recommend", body).status_code == 200
    service._answer = noted
    assert swapped(client, bundles / "two")
    assert asked == [
        (2, False, False, False, 1),
        (2, True, False, False, 2),
        (10, False, True, True, 1),
        (3, False, False, False, 32),
    ]


def test_requests_that_differ_in_their_queries_alone_warm_a_bundle_a_few_times(client: Any, bundles: Path) -> None:
    """Others are answered however many came of those; a filter is computed as seldom as the lists that it is for."""
    service = client.app.service
    plain = [{"queries": [{"id": one}], "k": 2} for one in ("ann", "bob", "cat", "dan", "ann", "bob")]
    filtered = [{**one, "where": "stock > 0"} for one in plain]
    bodies = [*plain, {"queries": [{"history": ["a"]}], "k": 2}, {"queries": [{"id": "ann"}] * 2, "k": 2}, *filtered]
    for body in bodies:
        assert client.post("/v1/recommend", body).status_code == 200
    asked: list[tuple[bool, bool, int]] = []
    answer = service._answer

    def noted(group: Any, asks: Any) -> Any:
        asked.append((group.open is not None, group.chosen, len(asks)))
        return answer(group, asks)

    service._answer = noted
    assert swapped(client, bundles / "two")
    assert asked == [(False, False, 1)] * ALIKE + [(False, True, 1), (False, False, 2)] + [(True, False, 1)] * ALIKE


# Bundles of before.


def test_nothing_holds_a_bundle_that_was_replaced(writable: Callable[..., Any], bundles: Path) -> None:
    """Not the first one either, which the server began with: its memory is free, and `shortlist clean` may remove it."""
    client = writable()
    assert change(client, upsert=[{"what": "e", "stock": 1}]).status_code == 200
    assert ids(client, where="stock = 1") == ["e"]
    for name in ("two", "one"):
        held = weakref.ref(client.app.service.loaded.about)
        assert swapped(client, bundles / name)
        assert ids(client, where="stock = 1") == ["e"]
        gc.collect()
        assert held() is None


@pytest.mark.parametrize("options", [[], ["--workers", "2"]])
def test_a_folder_that_was_replaced_is_no_longer_in_use(bundles: Path, tmp_path: Path, options: list[str]) -> None:
    for name in ("one", "two"):
        shutil.copytree(bundles / name, tmp_path / name)
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "one")
    server = Running(link, "--no-log", "--state", tmp_path / "state", *options, SHORTLIST_WRITE_KEYS="w" * 20)
    try:
        assert in_use(tmp_path / "one")
        (tmp_path / "next").symlink_to(tmp_path / "two")
        (tmp_path / "next").replace(link)
        deadline = time.monotonic() + 300
        while in_use(tmp_path / "one"):
            assert time.monotonic() < deadline, server.lines
            threading.Event().wait(0.02)
        assert in_use(tmp_path / "two")
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


# Bundles whose candidates' ids are in another column.


@pytest.fixture(scope="module")
def other_column(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same people and candidates as ``bundles``; the candidates' column is "item"."""
    pairs = {"who": ["ann", "ann", "bob", "bob", "cat"], "item": ["a", "b", "b", "c", "b"]}
    train = sl.Dataset(pairs, "who", "item", candidates={"item": ["a", "b", "c", "d"], "stock": [1, 2, 3, 4]})
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("item"), dim=2))
    model.prepare(train)
    recommender = sl.Recommender(model.eval(), index=sl.BruteForce(), seen=train)
    recommender.export()
    path = tmp_path_factory.mktemp("other") / "column"
    recommender.save(path)
    return path


def test_changes_go_on_where_the_candidates_column_has_another_name(
    writable: Callable[..., Any], other_column: Path, tmp_path: Path
) -> None:
    client = writable()
    assert change(client, delete=["d"]).status_code == 200
    assert swapped(client, other_column)
    assert change(client, upsert=[{"item": "e", "stock": 9}]).status_code == 200
    assert change(client, upsert=[{"item": "a", "stock": 9}]).status_code == 200
    assert sorted(ids(client, where="stock = 9")) == ["a", "e"]
    client.app.service.writer.close()
    again = Service(Loaded.read(other_column), Settings(write_keys=(WRITE,), state=tmp_path / "state"))
    assert again.loaded.served.index.size == 4
    again.writer.close()


def test_rows_of_another_column_are_refused_in_words(
    writable: Callable[..., Any], other_column: Path, bundles: Path, tmp_path: Path
) -> None:
    """Deleted ones too: what cannot be read at the next start is not to take over now."""
    client = writable()
    assert change(client, upsert=[{"what": "e", "stock": 1}]).status_code == 200
    assert change(client, delete=["e"]).status_code == 200
    first = client.app.service.loaded.bundle
    assert not swapped(client, other_column)
    assert client.app.service.loaded.bundle == first
    assert change(client, upsert=[{"what": "f", "stock": 1}]).status_code == 200
    records = list(client.app.service.writer.changes.records())
    client.app.service.writer.close()
    log = (tmp_path / "state" / "changes.log").read_bytes()
    for follows in (None, records):
        with pytest.raises(sl.BundleError, match="the logged changes do not fit the bundle"):
            Service(Loaded.read(other_column), Settings(write_keys=(WRITE,), state=tmp_path / "state"), follows=follows)
    assert (tmp_path / "state" / "changes.log").read_bytes() == log
    assert sorted(ids(writable())) == ["a", "b", "c", "d", "f"]
