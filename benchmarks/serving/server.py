"""`shortlist serve` in a process of its own, a plain connection to it, and `wrk`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEY = "benchmark-write-key-0123456789"
POLARS = "_RJEM_MALLOC_CONF"  # which Polars sets for itself when this process imports it; the server has its own
SCRIPT = """
wrk.method = "POST"
local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", "/v1/recommend", nil, '{"queries":[{"id":' .. string.format(FORM, n % USERS + 1) .. '}],"k":10}')
end
"""


class Server:
    """The server of one bundle, from its start to its stop."""

    def __init__(self, bundle: Path, *options: str) -> None:
        self.started = time.perf_counter()
        command = [sys.executable, "-m", "shortlist", "serve", str(bundle), "--port", "0", *options]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the server
        self.process = subprocess.Popen(
            command,
            stderr=self.log,
            env={
                **{name: value for name, value in os.environ.items() if name != POLARS},
                **({"SHORTLIST_WRITE_KEYS": KEY} if "--state" in options else {}),
            },
        )
        self.port = 0
        while not self.port:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise RuntimeError(self.log.read())
            self.log.seek(0)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.log.read())
            self.port = int(found[1]) if found else 0
            time.sleep(0.01)

    def memory(self, field: str = "VmRSS") -> float:
        """Megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)
        self.log.close()


class Connection:
    """One kept-alive connection that posts JSON."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def send(self, path: str, body: bytes, method: str = "POST") -> None:
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def reply(self) -> tuple[int, bytes, bytes]:
        """Status, head and body. ConnectionError where the connection ends before."""
        came = self.rest
        while b"\r\n\r\n" not in came:
            came += self._more()
        head, _, rest = came.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        while len(rest) < length:
            rest += self._more()
        self.rest = rest[length:]
        return int(head[9:12]), head, rest[:length]

    def _more(self) -> bytes:
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("closed")
        return part

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self.send(path, body)
        status, _, content = self.reply()
        return status, content

    def get(self, path: str) -> bytes:
        """The body."""
        self.send(path, b"", "GET")
        return self.reply()[2]


def metric(port: int, name: str) -> float:
    """One figure of /metrics; 0 while it is not there."""
    text = Connection(port).get("/metrics").decode()
    found = re.search(rf"^{re.escape(name)} ([\d.e+]+)$", text, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0


def wrk(
    port: int, connections: int, seconds: int, users: int = 943, form: str = '"%d"', interrupts: bool = True
) -> dict:
    """What `wrk` says of so many connections that ask without pause, each for one of ``users``.

    Args:
        interrupts: whether the system may stop a process on the same core at once when a reply is there to read, as it
            does for most programs; else `wrk` waits for its turn.
    """
    text = SCRIPT.replace("FORM", f"'{form}'").replace("USERS", str(users))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(text)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name]
        if not interrupts:
            command = ["chrt", "--batch", "0", *command]
        said = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    total = int(re.search(r"(\d+) requests in", said)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    share = 1 - (int(bad[1]) if bad else 0) / max(total, 1)
    return {
        "requests_per_second": rate,
        "good_per_second": rate * share,
        "p50_ms": _ms(re.search(r"50%\s+([\d.]+)(us|ms|s)", said)),
        "p99_ms": _ms(re.search(r"99%\s+([\d.]+)(us|ms|s)", said)),
        "socket_errors": (re.search(r"Socket errors: (.*)", said) or [None, None])[1],
    }


def _ms(found: re.Match) -> float:
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]
