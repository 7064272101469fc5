"""Importing what a first upsert needs before one arrives: torch takes seconds."""

from __future__ import annotations

import contextlib
import threading

from shortlist.recommender.served import Served
from shortlist.serve.throttle import wait_for_turns

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
            thread = threading.Thread(target=self._run, name="prepare", daemon=True)
            thread.start()
            self._thread = thread  # only one that runs can be waited for

    def renew(self, served: Served) -> None:
        """Import what another bundle needs, if it has begun. The one before is no longer held.

        Args:
            served: the bundle.
        """
        begun, self._served, self._thread = self._thread is not None, served, None
        if begun:
            with contextlib.suppress(RuntimeError):  # no room for a thread: the next upsert imports it
                self.start()

    def _run(self) -> None:
        wait_for_turns()
        served = self._served
        for one in (served, *served.others):
            one.embedder.import_runtime("candidate")

    def wait(self) -> None:
        """Return when it is done, or where it has not begun."""
        thread = self._thread
        if thread is not None:
            thread.join()
