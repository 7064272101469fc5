"""Paces that are not measured, and what was answered where."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

__all__ = ["Steady", "on_loop", "watched"]


class Steady:
    """So many seconds a query, for every kind of group."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def of(self, group: Any) -> float:
        return self.seconds

    def measured(self, group: Any, seconds: float) -> None:
        """Nothing changes."""


def on_loop() -> bool:
    """Whether this is the thread of the event loop, which in tests is the main one."""
    return threading.current_thread() is threading.main_thread()


def watched(client: Any) -> list[tuple[int, bool]]:
    """Of each batch from now on, its queries, and whether it was answered on the loop."""
    batcher, seen = client.app.service.batcher, []
    answer = batcher._answer

    def watching(group: Any, asks: Sequence[Any]) -> Any:
        seen.append((len(asks), on_loop()))
        return answer(group, asks)

    batcher._answer = watching
    return seen
