"""Log lines as JSON on stderr. They hold no ids of people, no addresses and nothing out of a body."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import Any, TextIO

import msgspec

__all__ = ["Log"]


class Log:
    """Writes one JSON object a line; lines are kept together and written at the latest when ``flush`` is called.

    Lines that cannot be written (a full disk, a closed pipe) are dropped, and the next line that can be written counts
    them.

    Args:
        out: standard error by default.
        requests: whether replies are logged.
    """

    def __init__(self, out: TextIO | io.TextIOBase | None = None, requests: bool = True) -> None:
        self._out = sys.stderr if out is None else out
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self._lost = 0
        self.requests = requests

    def request(
        self, request_id: str, route: str, status: int, seconds: float, bundle: str, trace: str | None = None
    ) -> None:
        """Log one reply; held back until the next ``flush``.

        Args:
            request_id: the caller's, or one of our own.
            route: its label.
            status: the reply's.
            seconds: from the request's last byte to the reply.
            bundle: the one that answered.
            trace: the caller's trace id.
        """
        if self.requests:
            line = {
                "time": _now(), "event": "request", "id": request_id, "route": route, "status": status,
                "ms": round(seconds * 1e3, 3), "bundle": bundle,
            }  # fmt: skip
            if trace is not None:
                line["trace"] = trace
            self._held.append(msgspec.json.encode(line))
            if len(self._held) >= 1000:
                self.flush()

    def event(self, name: str, **facts: Any) -> None:
        """Log something that happened to the server, at once."""
        self._held.append(msgspec.json.encode({"time": _now(), "event": name, **facts}))
        self.flush()

    def flush(self) -> None:
        """Write the lines that are held. Never raises: the caller has other work to do."""
        with self._lock:
            held, self._held = self._held, []
            if not held:
                return
            lost = (
                [msgspec.json.encode({"time": _now(), "event": "log_lost", "lines": self._lost})] if self._lost else []
            )
            try:
                self._out.write(b"\n".join([*lost, *held]).decode() + "\n")
                self._out.flush()
            except (OSError, ValueError):  # a ValueError: it is closed
                self._lost += len(held)
            else:
                self._lost = 0


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
