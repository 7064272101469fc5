"""Where batches are answered: on the loop while they are quick, in a thread otherwise, and on the loop again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from shortlist.serve import Settings
from shortlist.serve.batching import INLINE
from shortlist.serve.settings import Limits


def watched(client: Any) -> list[tuple[int, bool]]:
    """Of each batch from now on, its queries, and whether it was answered on the loop."""
    batcher, seen = client.app.service.batcher, []
    answer = batcher._answer

    def watching(group: Any, asks: Sequence[Any]) -> Any:
        seen.append((len(asks), threading.current_thread() is threading.main_thread()))
        return answer(group, asks)

    batcher._answer = watching
    return seen


def test_what_comes_together_is_one_batch_on_the_loop(client: Any) -> None:
    """At a quarter of the time that one request may take there, twelve of them are no reason for a thread, nor for parts."""
    seen = watched(client)
    batcher = client.app.service.batcher
    done = batcher._done

    def steady(*arguments: Any) -> None:
        done(*arguments)
        batcher._pace = INLINE / 4

    batcher._done, batcher._pace = steady, INLINE / 4
    replies = client.together([("/v1/recommend", {"queries": [{"id": "ann"}]})] * 12)
    assert {reply.status_code for reply in replies} == {200}
    assert seen == [(12, True)]


def test_a_long_request_goes_to_a_thread_whole(client: Any) -> None:
    seen = watched(client)
    client.app.service.batcher._pace = INLINE / 4
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}] * 5}).status_code == 200
    assert seen == [(5, False)]


def test_what_was_slow_once_comes_back_to_the_loop(clients: Callable[..., Any]) -> None:
    """A tenth of the difference is forgotten each time: with answers of no time at all, 0.9^59 s is the first below 2 ms."""
    client = clients(Settings(limits=Limits(wait_seconds=100.0)))
    seen = watched(client)
    batcher = client.app.service.batcher
    batcher._timed = lambda batch, clock: (batcher._outcomes(batch), 0.0)
    batcher._pace = 1.0
    for _ in range(70):
        assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}).status_code == 200
    assert [on_loop for _, on_loop in seen] == [False] * 59 + [True] * 11


def test_a_queue_that_takes_too_long_is_refused_but_not_at_the_end(clients: Callable[..., Any]) -> None:
    """At a second for each query, the second that comes together with a first is one too many; after SIGTERM it is not."""
    client = clients(Settings(limits=Limits(wait_seconds=0.5)))
    body = ("/v1/recommend", {"queries": [{"id": "ann"}]})
    client.app.service.batcher._pace = 1.0
    assert sorted(reply.status_code for reply in client.together([body] * 2)) == [200, 503]
    client.app.finish()
    client.app.service.batcher._pace = 1.0
    assert [reply.status_code for reply in client.together([body] * 2)] == [200, 200]
