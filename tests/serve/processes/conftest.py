"""Servers of several processes, and what can be seen of them from outside."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.running import Running

WRITE = "w" * 20
KEY = {"x-api-key": WRITE}
LONG = 300.0  # seconds: a machine with other work may be slow
PAUSE = 0.01  # seconds between an answer and a client's next request


class Several(Running):
    """A server of several processes."""

    def __init__(self, *arguments: object, workers: int = 2, **environment: str) -> None:
        super().__init__(*arguments, "--workers", workers, **environment)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the log says of one kind."""
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [one for one in found if one["event"] == name]

    def pids(self) -> list[int]:
        """Of all processes that were ever started."""
        return [one["pid"] for one in self.events("process_started")]

    def workers(self) -> list[int]:
        """Processes that were started as workers and live, the oldest first."""
        return [one["pid"] for one in self.events("process_started") if "worker" in one and lives(one["pid"])]

    def writer(self) -> int:
        """The process that writes."""
        return [one["pid"] for one in self.events("process_started") if "writes" in one][-1]

    def until(self, condition: Callable[[], Any]) -> Any:
        """What a condition gives once it holds."""
        deadline = time.monotonic() + LONG
        while not (found := condition()):
            assert time.monotonic() < deadline, self.lines[-20:]
            assert self.process.poll() is None, self.lines[-20:]
            threading.Event().wait(0.02)
        return found

    def figure(self, name: str) -> float:
        """One number of /metrics; 0 where it is not there."""
        text = httpx.get(f"{self.url}/metrics", timeout=LONG).text
        found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0]) if found else 0.0

    def whole(self, count: int = 2) -> bool:
        """Whether so many workers take connections."""
        return self.figure("shortlist_workers") == count

    def answers_of_all(self, count: int = 2) -> list[list[str]]:
        """What each worker lists for cat, asked on connections of its own."""
        lists: dict[str, list[str]] = {}
        deadline = time.monotonic() + LONG
        while len(lists) < count:
            assert time.monotonic() < deadline
            with httpx.Client(base_url=self.url, timeout=LONG) as client:
                reply = ask(client)
                worker = reply.headers["x-request-id"].partition("-")[0]
                lists[worker] = [item["id"] for item in reply.json()["results"][0]["items"]]
        return list(lists.values())


class Load:
    """Clients with a connection each that ask again and again until they are stopped, and leave the servers most of the machine."""

    def __init__(self, server: Several, clients: int = 6) -> None:
        self.good = [0] * clients
        self.lost = [0] * clients
        self.wrong: list[int] = []
        self._server = server
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        for one in self._threads:
            one.start()

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._server.url, timeout=LONG) as client:
            while not self._stopped.wait(PAUSE):
                try:
                    reply = ask(client)
                except httpx.TransportError:
                    self.lost[number] += 1
                    continue
                if reply.status_code == 200:
                    self.good[number] += 1
                elif reply.status_code != 503:
                    self.wrong.append(reply.status_code)

    def more(self, each: int = 5) -> None:
        """Returns when every client has had so many more answers."""
        wanted = [count + each for count in self.good]
        self._server.until(lambda: all(now >= least for now, least in zip(self.good, wanted, strict=True)))

    def stop(self) -> None:
        """No more."""
        self._stopped.set()
        for one in self._threads:
            one.join(LONG)


def ask(client: httpx.Client) -> httpx.Response:
    body = {"queries": [{"id": "cat"}], "k": 50, "exclude_seen": False}
    return client.post("/v1/recommend", json=body)


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def several(bundles: Path, tmp_path: Path) -> Iterator[Callable[..., Several]]:
    """Makes servers of two workers with a log, over a link to bundle ``one``."""
    made: list[Several] = []
    link = tmp_path / "current"
    link.symlink_to(bundles / "one")

    def make(*options: object, **others: Any) -> Several:
        made.append(
            Several(link, "--state", tmp_path / "state", "--no-log", *options, SHORTLIST_WRITE_KEYS=WRITE, **others)
        )
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)
            one.process.kill()
            one.process.wait()
