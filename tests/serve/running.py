"""``shortlist serve`` in a process of its own, for the tests that need a socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading

__all__ = ["Running"]


class Running:
    """A server in a process of its own."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        self._start([sys.executable, "-m", "shortlist", "serve", *map(str, arguments), "--port", "0"], environment)

    @classmethod
    def of(cls, command: list[str]) -> Running:
        """A server by another command."""
        made = cls.__new__(cls)
        made._start(command, {})
        return made

    def _start(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        assert self.process.stderr is not None
        self.lines: list[str] = []
        self.port = 0
        for line in self.process.stderr:
            self.lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
            if found:
                self.port = int(found[1])
                break
        assert self.port, self.lines
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def raw(self, content: bytes) -> bytes:
        """What comes back for bytes on a connection, to its end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(content)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            return b"".join(parts)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(120)
        self._reader.join(120)
        return code
