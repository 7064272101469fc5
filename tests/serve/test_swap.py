"""Another bundle takes over while the server runs: with all changes, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.serve.changing import KEY, change, ids

from shortlist.serve.loaded import Loaded
from shortlist.serve.swap import Swapper, signature


def swapped(client: Any, path: Path) -> bool:
    swapper = Swapper(client.app.service, path, None)
    return bool(client.loop.run_until_complete(swapper.look()))


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
    assert client.loop.run_until_complete(swapper.look()) is False


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
    assert client.loop.run_until_complete(swapper.look()) is False
    assert "was altered" in out.getvalue()
    assert ids(client) == ["c", "d", "b", "a"]
    assert client.loop.run_until_complete(swapper.look()) is False  # nothing changed: not even looked at
    assert out.getvalue().count("swap_refused") == 1
    vectors.write_bytes(content)
    assert client.loop.run_until_complete(swapper.look()) is True
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
                service.put(two if service.loaded is one else one)
        return await asyncio.gather(*tasks)

    bodies = client.loop.run_until_complete(load())
    assert {body["bundle"] for body in bodies} == set(factor)
    for body in bodies:
        scores = {item["id"]: item["score"] for item in body["results"][0]["items"]}
        assert scores == {
            name: value * factor[body["bundle"]] for name, value in (("a", 4), ("b", 3), ("c", 1), ("d", 0.5))
        }
