"""What a request brought is freed when it is answered, whether well or not: not when Python next looks for circles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.serve.changing import KEY

from shortlist.errors import ShortlistError
from shortlist.serve.http import Incoming
from shortlist.serve.problems import Problem

LONG = "x" * 10_000  # read, and answered, in the thread


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nobody looks for circles; what was there before is left out of every look: it takes a second."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()


def left() -> dict[str, int]:
    """Requests and errors that are still there."""
    kinds = (Incoming, Problem, ShortlistError)
    found = [type(one).__name__ for one in gc.get_objects() if issubclass(type(one), kinds)]
    return {name: found.count(name) for name in set(found)}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/recommend", {"queries": [{"id": "ann"}]}, 200),
        ("/v1/recommend", {"queries": [{"id": "ann", "exclude": ["c"] * 5000}] * 3}, 200),
        ("/v1/recommend", {"queries": [{"id": LONG}]}, 422),
        ("/v1/recommend", {"queries": [{"id": "ann", "exclude": [LONG]}]}, 422),
        ("/v1/recommend", {"queries": [{"id": "ann"}], "where": f"what = '{'x' * 3000}' and no = 1"}, 422),
        ("/v1/recommend", {"queries": LONG}, 422),
        ("/v1/score", {"queries": [{"id": "ann"}], "candidates": [LONG]}, 422),
        ("/v1/embed", {"queries": [{"id": "ann"}], "candidates": ["a"] * 3000}, 422),
        ("/v1/similar", {"candidates": ["a", LONG]}, 422),
        ("/v1/models/one:predict", {"instances": [LONG]}, 422),
        ("/v1/candidates", {"upsert": [{"what": f"n{one}", "stock": "many"} for one in range(500)]}, 422),
        ("/v1/candidates", {"upsert": [{"what": LONG}]}, 422),
        ("/v1/events", {"events": [{"query": LONG, "candidate": "a"}]}, 422),
        ("/v1/impressions", {"impressions": [{"query": LONG, "items": [{"candidate": "a"}]}]}, 422),
        ("/nowhere", {}, 404),
    ],
)
def test_nothing_of_a_request_is_left(
    writable: Callable[..., Any], uncollected: None, path: str, body: Any, status: int
) -> None:
    client = writable()
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200
    gc.collect()
    before = left()
    for _ in range(3):
        assert client.post(path, body, headers=KEY).status_code == status
    client.post("/v1/candidates", {"delete": ["nobody"]}, headers=KEY)  # the writer keeps its last batch until the next
    client.app.service.turns._thread.submit(int).result()  # and so does a thread, for a moment
    assert left() == before
