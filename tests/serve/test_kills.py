"""SIGKILL at random moments: what was acknowledged is there afterwards, by a journal that the server knows nothing of."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import httpx
from tests.serve.running import Running

WRITE = "w" * 20
KILLS = 3


def test_what_was_acknowledged_outlives_kills(bundles: Path, tmp_path: Path) -> None:
    """Candidates come and go, one change in flight at each kill; at every start, and after a swap, all others hold."""
    chance = random.Random(3)
    link = tmp_path / "current"
    truth: dict[str, bool] = {"a": True, "b": True, "c": True, "d": True}
    acknowledged = 0
    for kill in range(KILLS + 1):
        link.unlink(missing_ok=True)
        link.symlink_to(bundles / ("one", "two")[kill % 2])  # the log goes from bundle to bundle
        server = Running(link, "--state", tmp_path / "state", "--no-log", "--no-watch", SHORTLIST_WRITE_KEYS=WRITE)
        with httpx.Client(base_url=server.url, headers={"x-api-key": WRITE}, timeout=60) as client:
            assert there(client, list(truth)) == truth
            if kill == KILLS:
                break
            for _ in range(chance.randrange(1, 25)):
                one, comes = chance.choice("abcdxyz"), chance.random() < 0.6
                assert client.post("/v1/candidates", json=body_of(one, comes)).status_code == 200
                truth[one] = comes
                acknowledged += 1
            one, comes = chance.choice("abcdxyz"), chance.random() < 0.6
            sender = threading.Thread(target=ask_and_lose, args=(server.url, body_of(one, comes)))
            sender.start()
            threading.Event().wait(chance.random() * 0.01)
            server.process.kill()
            server.process.wait()
            sender.join()
            truth.pop(one)  # in flight: either is right
    assert server.stop() is not None
    assert acknowledged > KILLS


def body_of(one: str, comes: bool) -> dict[str, object]:
    return {"upsert": [{"what": one, "stock": 1}]} if comes else {"delete": [one]}


def there(client: httpx.Client, ids: list[str]) -> dict[str, bool]:
    vectors = json.loads(client.post("/v1/embed", json={"candidates": ids}).text)["vectors"]
    found = {one: vector is not None for one, vector in zip(ids, vectors, strict=True)}
    listed = client.post("/v1/recommend", json={"queries": [{"id": "cat"}], "k": 20, "exclude_seen": False}).json()
    for item in listed["results"][0]["items"]:
        assert found.get(item["id"], True)  # nothing deleted is in a list
    return found


def ask_and_lose(url: str, body: object) -> None:
    try:
        httpx.post(f"{url}/v1/candidates", json=body, headers={"x-api-key": WRITE}, timeout=60)
    except httpx.HTTPError:
        return
