"""Importing what a first upsert needs before one arrives: torch takes seconds."""

from __future__ import annotations

import threading

from shortlist.recommender.served import Served

__all__ = ["AFTER", "Preparation"]

AFTER = 1.0  # seconds after the start of the server: its first answers do not wait for imports


class Preparation:
    """Imports what embeds new candidates of a bundle, in a thread of its own; upserts wait for the end of it.

    No tower is built: that takes a fraction of a second, and its memory only where candidates are added.

    Args:
        served: the bundle.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="prepare", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        for one in (self._served, *self._served.others):
            one.embedder.import_runtime("candidate")

    def wait(self) -> None:
        """Return when it is done, or where it has not begun."""
        if self._thread is not None:
            self._thread.join()
