"""Training and lists on a Ray cluster of this machine, through its client server: the same as without it, and complaints that arrive whole."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pickle
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from tests.train.processes import choices

import shortlist as sl
from shortlist.cli.main import cli
from shortlist.cli.on_ray import cluster, has_token
from shortlist.recommender import export_all
from shortlist.train.processes import StoppedTrainingError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
ROOT = Path(__file__).parents[2]
UNREACHED = "no Ray cluster answered"
TRIES = 3
PATIENCE = {  # Ray's own is 5 to 30 s, which a busy machine may need to start a process
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "60",
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "60",
    "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "180",
}
PLAN = ["--set", "fit.batch_size=64", "--set", "fit.epochs=2", "--index", "exact"]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A head of two processors with Ray's client server, in processes of its own, which asks for a token: its address.

    The client has the token and is not told to send it; Ray 2.59 and later ask for one wherever they find one.
    """
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name, seconds in PATIENCE.items():
        monkeypatch.setenv(name, seconds)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    ports = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
        words += ["--port", str(ports[0]), "--ray-client-server-port", str(ports[1]), "--temp-dir", folder]
        words += ["--include-dashboard", "false", "--disable-usage-stats", "--object-store-memory", "80000000"]
        environment = {**os.environ, "RAY_AUTH_MODE": "token"}
        said = Path(folder) / "said.txt"
        with said.open("w") as out:
            process = subprocess.Popen(words, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            if not answers(ports[1], process):
                pytest.skip(f"no Ray head could be started here in time: {said.read_text()[-300:]}")
            yield f"ray://127.0.0.1:{ports[1]}"
        finally:
            process.kill()  # the kernel and Ray's reaper end what it started; asked to end, it waits half a minute
            process.wait(120)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def answers(port: int, process: subprocess.Popen[bytes], seconds: float = 90) -> bool:
    """Whether something listens at the port before the time is over or the process has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
            return False
    return False


def gated(folder: Path, condition: str) -> list[str]:
    """The arguments of a training with checkpoints and one condition; paths are the cluster's."""
    arguments = [str(folder / "choices.parquet"), "--query", "reader", "--candidate", "book", *PLAN]
    arguments += ["--out", str(folder / "books.shortlist"), "--promote", str(folder / "current")]
    arguments += ["--checkpoint-dir", str(folder / "run"), "--checkpoint-every", "2steps", "--max-failures", "1"]
    return ["train", *arguments, "--promote-if", condition, "--json"]


def bundle(folder: Path, address: str) -> tuple[Path, dict[str, Any]]:
    """What two workers of Ray Train trained, for a client that knows the address alone, and what the command said of it.

    Its condition does not hold, so nothing was promoted.
    """
    choices().interactions.write_parquet(folder / "choices.parquet")
    words = [*gated(folder, "top_5 >= 2"), "--on", address, "--workers", "2"]
    for _ in range(TRIES):
        done = subprocess.run(
            [sys.executable, "-m", "shortlist", *words],
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        if UNREACHED not in done.stderr:
            break
        skip_without(address, done.stderr)
    assert done.returncode == 3, done.stderr
    return folder / "books.shortlist", json.loads(done.stdout)


def check_training(out: Path, said: dict[str, Any]) -> None:
    """Ray Train runs the same loop."""
    assert said["workers"] == 2
    plan = sl.recipes.load("factorization", PLAN[1:4:2])
    split = sl.split_random(sl.Dataset(choices().interactions, "reader", "book"), test=0.1)
    model, history = plan.train(split.train, validation=split.test, device="cpu")
    assert [epoch["loss"] for epoch in said["training"]] == pytest.approx([e.loss for e in history], rel=1e-5)
    vectors = model.candidate_vectors(model.catalogue.candidates)
    assert sl.Recommender.load(out).index.vectors == pytest.approx(vectors, abs=1e-5)


def check_lists(out: Path, tmp_path: Path, address: str) -> None:
    """Ray Data writes the same lists, and goes on where it was."""
    options = ["recommend-all", str(out), "--k", "4", "--vectors"]
    words = [*options, "-o", str(tmp_path / "ray"), "--on", address, "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert json.loads(done.stdout)["found"] == 0
    here = sl.Recommender.load(out).recommend_all(tmp_path / "here", 4, vectors=True)
    assert here.parts == 2
    for name in ("lists-00000.parquet", "candidates-00000.parquet"):
        assert pl.read_parquet(tmp_path / "ray" / name).equals(pl.read_parquet(tmp_path / "here" / name))
    assert json.loads((tmp_path / "ray" / export_all.MANIFEST).read_text())["rows"] == here.rows

    (tmp_path / "ray" / "lists-00000.parquet").unlink()
    again = CliRunner().invoke(cli, words)
    assert json.loads(again.stdout)["found"] == 1
    assert (tmp_path / "ray" / "lists-00000.parquet").exists()


def check_complaints(out: Path, tmp_path: Path, address: str) -> None:
    """What is wrong there is said here, whole."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    done = CliRunner().invoke(cli, ["recommend-all", str(out), "-o", str(tmp_path / "mine"), "--on", address])
    assert isinstance(done.exception, sl.BundleError)
    assert "is not empty and has no lists" in done.exception.message
    assert done.exception.hint == "choose another folder"


def check_gate(out: Path, said: dict[str, Any], tmp_path: Path, address: str) -> None:
    """A condition decides there as here, and another number of workers may resume."""
    link = tmp_path / "current"
    assert said["passed"] is False
    assert said["conditions"][0]["bound"] == 2
    assert not link.is_symlink()
    assert sl.Recommender.load(out).metadata["run"]["checkpoints"] == str(tmp_path / "run")
    words = [*gated(tmp_path, "top_5 >= 0"), "--on", address, "--workers", "1", "--overwrite"]
    again = CliRunner().invoke(cli, words)
    assert isinstance(again.exception, sl.ConfigError)
    assert "has the checkpoints of another run" in again.exception.message
    passed = CliRunner().invoke(cli, [*words, "--resume"])
    assert passed.exit_code == 0, passed.output + repr(passed.exception)
    assert link.resolve() == out


def skip_without(address: str, said: str) -> None:
    """Skip where Ray's own client, told to send the token, does not reach the head either."""
    words = [sys.executable, "-c", "import ray, sys; ray.init(sys.argv[1])", address]
    there = {**os.environ, "RAY_AUTH_MODE": "token"}
    done = subprocess.run(words, env=there, capture_output=True, text=True, timeout=500, check=False)
    if done.returncode:
        pytest.skip(f"Ray's own client does not reach its head: {said[-300:]}")


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """``cluster``, tried more than once."""
    with contextlib.ExitStack() as stack:
        for left in reversed(range(TRIES)):
            try:
                stack.enter_context(cluster(address))
                break
            except sl.ShortlistError as error:
                if UNREACHED not in error.message or not left:
                    raise
                skip_without(address, error.message)
        yield


@pytest.mark.slow
def test_the_real_engines_do_what_is_done_without_them(head: str, tmp_path: Path) -> None:
    """One test, since a cluster takes longer to start than all of this."""
    out, said = bundle(tmp_path, head)
    check_training(out, said)
    with connected(head):  # once for all the commands within
        check_lists(out, tmp_path, head)
        check_complaints(out, tmp_path, head)
        check_gate(out, said, tmp_path, head)


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    (port,) = free_ports(1)
    for address, told in (
        (f"ray://127.0.0.1:{port}", "nothing answers at"),
        ("ray://127.0.0.1", "ray://HOST:PORT was expected"),
        ("ray://[::1]:99999999", "nothing answers at"),
    ):
        with pytest.raises(sl.ShortlistError, match=told), cluster(address):
            pass


@pytest.mark.parametrize(("where", "there"), [("RAY_AUTH_TOKEN", True), ("RAY_AUTH_TOKEN_PATH", True), ("", False)])
def test_a_token_is_found_where_ray_looks_for_it(
    where: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if where:
        monkeypatch.setenv(where, "x")
    assert has_token() is there
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x")
    assert has_token()


def test_of_a_traceback_from_the_other_side_the_end_is_told() -> None:
    from shortlist.cli.on_ray import _reason

    there = "Initialization failure from server:\nTraceback (most recent call last):\n" + '  File "x.py"\n' * 40
    assert _reason(RuntimeError(f"{there}RuntimeError: it did not start.\n")) == "RuntimeError: it did not start."
    assert _reason(ConnectionError("nobody\n  is there ")) == "nobody is there"


def test_the_complaint_of_the_worker_that_stopped_by_itself_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from shortlist.cli.on_ray import _first_complaint
    from shortlist.train.distributed import Together

    failed = RuntimeError("worker group")
    reason = sl.DataError("there is no column 'x'", hint="did you mean 'y'?")
    other = Together.__new__(Together)  # the second of two processes, which learns of the first one's end
    other.rank, other.size = 1, 2
    monkeypatch.setattr(other, "_first_reason", lambda: "rank 0 stopped: there is no column 'x'", raising=False)
    after = other._stop()
    failed.worker_failures = {1: after, 0: reason}  # type: ignore[attr-defined]
    assert _first_complaint(failed) is reason
    assert "worker group" in _first_complaint(RuntimeError("worker group")).message
    second = StoppedTrainingError("a column of its own is missing")  # as `work` raises it where it was not the first
    failed.worker_failures = {0: second, 1: reason}  # type: ignore[attr-defined]
    assert _first_complaint(failed) is reason


def test_workers_are_started_again_only_with_checkpoints(tmp_path: Path) -> None:
    words = [
        "train",
        "choices.parquet",
        "--query",
        "a",
        "--candidate",
        "b",
        "--out",
        str(tmp_path / "x"),
        "--max-failures",
        "2",
    ]
    for more, message in ((["--on", "local"], "without --checkpoint-dir"), ([], "without --on")):
        done = CliRunner().invoke(cli, [*words, *more])
        assert isinstance(done.exception, sl.ConfigError)
        assert message in done.exception.message


def test_errors_pass_between_processes() -> None:
    for error in (
        sl.DataError("came", hint="do"),
        sl.DownloadError("came"),
        sl.UnknownQueryError("came", hint="do"),
        sl.MissingExtraError("ray", "ray", "--on"),
    ):
        other = pickle.loads(pickle.dumps(error))
        assert (type(other), other.message, other.hint, str(other)) == (
            type(error),
            error.message,
            error.hint,
            str(error),
        )


def test_workers_without_a_cluster_are_refused() -> None:
    done = CliRunner().invoke(
        cli, ["train", "x.csv", "--query", "a", "--candidate", "b", "--out", "o", "--workers", "2"]
    )
    assert isinstance(done.exception, sl.ConfigError)
    assert "--workers was given without --on" in done.exception.message
