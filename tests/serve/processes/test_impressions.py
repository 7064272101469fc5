"""Several workers log what was shown: each to a file of its own, and one table holds all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.serve.processes.conftest import KEY, LONG

from shortlist.serve.impression_files import FOLDER, segments
from shortlist.serve.impression_table import impression_table


def test_workers_log_to_files_of_their_own(several: Callable[..., Any], tmp_path: Path) -> None:
    server = several()
    server.until(lambda: server.whole())
    answered: set[str] = set()
    count = 0
    while len(answered) < 2 or count < 10:
        shown = {"query": "ann", "items": [{"candidate": "c"}], "request": f"r{count}", "at": float(count)}
        with httpx.Client(base_url=server.url, headers=KEY, timeout=LONG) as client:
            reply = client.post("/v1/impressions", json={"impressions": [shown]})
        assert reply.status_code == 200, reply.text
        answered.add(reply.headers["x-request-id"].partition("-")[0])
        count += 1
        assert count < 2000
    event = {"query": "ann", "candidate": "c", "at": count - 0.5}
    assert httpx.post(f"{server.url}/v1/events", json={"events": [event]}, headers=KEY, timeout=LONG).status_code == 200
    (state,) = {path.parent for path in tmp_path.rglob(FOLDER)}
    assert len(segments(state / FOLDER)) >= 2
    table = impression_table(state, within=1.0)
    assert table["request"].to_list() == [f"r{number}" for number in range(count)]
    assert table["clicked"].to_list() == [False] * (count - 1) + [True]
