"""Log lines as JSON on stderr. They hold no ids of people, no addresses and nothing out of a body."""

from __future__ import annotations

import io
import select
import sys
import threading
import time
from typing import Any, TextIO

import msgspec

__all__ = ["Log"]

AT_ONCE = 4096  # bytes that a pipe takes without waiting for its reader, once it takes any
KEPT = 20_000  # lines that wait for a reader
LINES = 1000  # that are kept until they are written, where the reader is not behind; then each tenth of them is a try


class Log:
    """Writes one JSON object a line; lines are kept together and written at the latest when ``flush`` is called.

    Nobody waits for a reader: what a pipe does not take is kept, up to ``KEPT`` lines, and written later. Lines beyond them,
    and lines that cannot be written (a full disk, a closed pipe), are dropped, and the next line that can be written counts
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
            self._keep(line)
            if len(self._held) >= LINES and len(self._held) % (LINES // 10) == 0:
                self.flush()

    def event(self, name: str, **facts: Any) -> None:
        """Log something that happened to the server, at once."""
        self._keep({"time": _now(), "event": name, **facts})
        self.flush()

    def _keep(self, line: dict[str, Any]) -> None:
        if len(self._held) < KEPT:
            self._held.append(msgspec.json.encode(line))
        else:
            self._lost += 1

    def flush(self, patience: float = 0.0) -> None:
        """Write the lines that are held. Never raises: the caller has other work to do.

        Args:
            patience: seconds to wait for the reader, each time that it is behind.
        """
        with self._lock:
            if not (self._held and _takes(self._out, patience)):
                return
            held, self._held = self._held, []
            at = 0
            try:
                while at < len(held) and (at == 0 or _takes(self._out, patience)):
                    lost, piece, end = self._lost, b"", at
                    if lost:
                        piece = msgspec.json.encode({"time": _now(), "event": "log_lost", "lines": lost}) + b"\n"
                    while end < len(held) and (end == at or len(piece) + len(held[end]) < AT_ONCE):
                        piece += held[end] + b"\n"
                        end += 1
                    self._out.write(piece.decode())
                    self._out.flush()
                    self._lost, at = self._lost - lost, end
            except (OSError, ValueError):  # a ValueError: it is closed
                self._lost += len(held) - at
                return
            self._held[:0] = held[at:]


def _takes(out: Any, patience: float) -> bool:
    """Whether a stream takes ``AT_ONCE`` bytes without waiting for its reader, as far as the system knows."""
    try:
        looked = select.poll()
        looked.register(out.fileno(), select.POLLOUT)
        return bool(looked.poll(patience * 1000))
    except (AttributeError, OSError, ValueError):  # no poll; no descriptor; it is closed
        return True


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
