"""No memory or no thread for the server: at the start, in a request, and in the process that writes."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.changing import KEY, WRITE
from tests.serve.conftest import Client

from shortlist.errors import ConfigError
from shortlist.serve import App, Service, Settings
from shortlist.serve.loaded import Loaded
from shortlist.serve.processes.hub import Hub
from shortlist.serve.shortage import with_threads

NO_THREAD = RuntimeError("can't start new thread")
SHORT = [
    MemoryError(),
    NO_THREAD,
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENFILE, "Too many open files in system"),
    ImportError("onnxruntime.so: failed to map segment from shared object"),
    ImportError("libtorch.so: cannot allocate memory in static TLS block"),
]
BUGS = [RuntimeError("dictionary changed size during iteration"), OSError(errno.ENOENT, "No such file"), KeyError("x")]
BUGS += [ImportError("No module named 'x'")]
EVENT = {"events": [{"query": "ann", "candidate": "c"}]}
SHOWN = {"impressions": [{"query": "ann", "items": [{"candidate": "c"}]}]}
ASKED = {"queries": [{"id": "ann"}]}
BODIES = {"/v1/candidates": {"delete": ["a"]}, "/v1/events": EVENT, "/v1/impressions": SHOWN, "/v1/recommend": ASKED}


def none(thread: threading.Thread) -> None:
    raise NO_THREAD


def refused(client: Any) -> int:
    text = client.get("/metrics").text
    (line,) = [line for line in text.splitlines() if line.startswith('shortlist_refused_total{reason="room"}')]
    return int(float(line.rpartition(" ")[2]))


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("error", [*SHORT, *BUGS], ids=repr)
def test_a_request_without_memory_is_refused_and_a_bug_is_none(
    writable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: Exception, path: str
) -> None:
    """Logged in both cases, and the next one is answered."""
    client = writable()
    service = client.app.service
    said: list[tuple[str, Any]] = []
    monkeypatch.setattr(service.log, "event", lambda name, **what: said.append((name, what.get("kind"))))

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(service, "change", fails)
        patched.setattr(service, "recommend", fails)
        patched.setattr(service.impressions, "add", fails)
        reply = client.post(path, BODIES[path], headers=KEY)
    assert said == [("error", type(error).__name__)]
    if error in SHORT:
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert "no memory, thread or file" in reply.json()["detail"]
        assert ("may still be made" in reply.json()["hint"]) == (path != "/v1/recommend")
        assert refused(client) == 1
    else:
        assert reply.status_code == 500
        assert refused(client) == 0
    assert client.post(path, BODIES[path], headers=KEY).status_code == 200


@pytest.mark.parametrize("error", [*SHORT, *BUGS], ids=repr)
def test_the_process_that_writes_says_the_same(
    clients: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    client = clients(Settings(write_keys=(WRITE,), state=tmp_path))
    service = client.app.service
    hub = Hub(service)

    async def fails(record: Any) -> Any:
        raise error

    monkeypatch.setattr(service.writer, "change", fails)
    outcome = client.loop.run_until_complete(hub._outcome("x", {}))
    assert outcome.value is None
    if error in SHORT:
        status, detail, _, hint, seconds, reason = outcome.problem
        assert (status, seconds, reason) == (503, 5, "room")
        assert "no memory" in detail
        assert "may still be made" in hint
    else:
        assert outcome.problem is None


def test_no_request_needs_another_thread_once_the_server_has_started(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool keeps work that it has refused, and would do it later: a change that its client was told is not made."""
    settings = Settings(write_keys=(WRITE,), state=tmp_path)
    client = Client(App(with_threads(lambda: Service(Loaded.read(bundles / "one"), settings))))
    monkeypatch.setattr(threading.Thread, "start", none)
    for _ in range(2):
        for path, body in BODIES.items():
            assert client.post(path, body, headers=KEY).status_code == 200
        upsert = {"upsert": [{"what": "e", "kind": "x"}]}
        assert client.post("/v1/candidates", upsert, headers=KEY).status_code == 200
        assert client.post("/v1/recommend", {"queries": [{"history": ["a", "b"]}]}).status_code == 200
        assert client.get("/v1/candidates", params={"text": "e"}).status_code == 200
        assert client.get("/v1/queries").status_code == 200
    assert client.post("/v1/candidates", {"delete": ["e"]}, headers=KEY).json()["deleted"] == 1
    client.close()


@pytest.mark.parametrize("lacking", ["answer", "background", "folding", "writer", "impressions"])
def test_without_a_thread_the_server_does_not_start(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    whole, made = threading.Thread.start, []

    def some(thread: threading.Thread) -> None:
        if thread.name.startswith(lacking):
            raise NO_THREAD
        whole(thread)

    def make() -> Service:
        made.append(Service(Loaded.read(bundles / "one"), Settings(state=tmp_path)))
        return made[0]

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", some)
        with pytest.raises(ConfigError, match="starts no more threads"):
            with_threads(make)
    for one in made:
        one.close()


def test_another_error_at_the_start_is_none_of_threads() -> None:
    def fails() -> Service:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        with_threads(fails)


PROGRAM = """
import sys, threading
from shortlist.cli.main import main

whole = threading.Thread.start

def some(thread):
    if thread.name.startswith("writer"):
        raise RuntimeError("can't start new thread")
    whole(thread)

threading.Thread.start = some
sys.argv = ["shortlist", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_says_so_and_ends(bundles: Path, tmp_path: Path, workers: int) -> None:
    options = ["serve", bundles / "one", "--port", 0, "--no-log", "--workers", workers, "--state", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, options)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stderr
    assert "error: the system starts no more threads for the server." in done.stderr
    assert "Traceback" not in done.stderr
    assert "serving" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit addresses")
@pytest.mark.parametrize(("limit", "warned"), [("1800000", True), ("unlimited", False)])
def test_a_server_with_few_addresses_is_warned_of(tmp_path: Path, limit: str, warned: bool) -> None:
    """Before it opens the bundle, which may be what fails; here there is none."""
    command = f'ulimit -v {limit}; exec "$0" -m shortlist serve "$1" --port 0'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, str(tmp_path / "none")], capture_output=True, text=True, timeout=300
    )
    assert ("warning: this process may use 1,757 MiB of addresses (ulimit -v)" in done.stderr) == warned
    assert "Traceback" not in done.stderr
