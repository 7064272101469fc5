"""Several processes train like one: same losses, same weights; and when one of them dies the others say why."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.shared import once
from tests.train import forked, processes

import shortlist as sl
from shortlist.train import distributed
from shortlist.train.batches import Interactions
from shortlist.train.processes import Alone, StoppedTrainingError, check_divisible

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
PORTS = itertools.cycle(range(100))
SCRIPT = str(Path(processes.__file__))


def environment() -> dict[str, str]:
    root = Path(processes.__file__).parents[2]
    paths = [str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def torchrun(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``python`` with these arguments in so many processes."""
    start = [*TORCHRUN, f"--nproc-per-node={ranks}", *arguments]
    return subprocess.run(start, env=environment(), capture_output=True, text=True, timeout=300, check=False)


def free_port() -> str:
    """Below those that connections get by themselves, and no two workers of a test run take from the same hundred."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for port in itertools.islice(PORTS, 100):
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", 20_000 + 100 * worker + port))
            except OSError:
                continue
            return str(20_000 + 100 * worker + port)
    raise AssertionError("a hundred ports are taken")


class Launcher:
    """A process in which ``forked`` runs, from the first time that it is needed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = tempfile.TemporaryDirectory()
        self.address = str(Path(self.folder.name) / "socket")

    def connected(self) -> socket.socket:
        """A connection to it."""
        if self.process is None:
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(self.address)
                listening.listen()
                words = [sys.executable, forked.__file__]
                self.process = subprocess.Popen(words, env=environment(), stdin=listening, stdout=subprocess.DEVNULL)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(300)
        connection.connect(self.address)
        return connection

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


class Running:
    """So many processes that run ``python`` with these arguments, as torchrun would start them: see ``forked``."""

    launcher: Launcher

    def __init__(self, ranks: int, *arguments: str) -> None:
        self.ranks, self.folder = ranks, tempfile.TemporaryDirectory()
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": str(ranks)}
        asked = {"ranks": ranks, "folder": self.folder.name, "script": arguments, "environment": environment() | shared}
        self.lines = self.launcher.connected().makefile("rw")
        self.lines.write(json.dumps(asked) + "\n")
        self.lines.flush()

    def ended(self) -> tuple[list[int], list[str]]:
        """The exit code of each, and what it wrote to stderr in the end."""
        with self.folder, self.lines:
            codes = json.loads(self.lines.readline())
            return codes, [(Path(self.folder.name) / f"{rank}.err").read_text() for rank in range(self.ranks)]


@pytest.fixture(scope="module", autouse=True)
def launcher() -> Iterator[None]:
    Running.launcher = Launcher()
    yield
    Running.launcher.end()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Every case, trained by 1, 2 and 4 processes."""
    with once(tmp_path_factory, "ranks") as folder:
        folders = {ranks: folder / str(ranks) for ranks in (1, 2, 4)}
        if not folder.exists():
            running = []
            for ranks, place in folders.items():
                place.mkdir(parents=True)
                running.append(Running(ranks, SCRIPT, str(place)))
            for processes_ in running:
                codes, errors = processes_.ended()
                assert not any(codes), "\n".join(errors)[-3000:]
    return folders


@pytest.mark.parametrize(
    ("ranks", "case"),
    [*((2, case) for case in processes.CASES), *((4, case) for case in processes.CASES_OF_FOUR)],
)
def test_several_processes_train_like_one(trained: dict[int, Path], ranks: int, case: str) -> None:
    one, several = (dict(np.load(trained[number] / f"{case}.npz")) for number in (1, ranks))
    assert one.keys() == several.keys()
    for name, value in one.items():
        np.testing.assert_allclose(several[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_comparison_can_fail(trained: dict[int, Path]) -> None:
    """Cases that differ by one option alone end in other weights."""
    plain, copies = (dict(np.load(trained[2] / f"{case}.npz")) for case in ("tutorial", "with copies"))
    assert not np.allclose(plain["epoch 1"], copies["epoch 1"], rtol=1e-9)
    name = "candidate.tables.book:IntegerLookup.weight"
    assert np.abs(plain[name] - copies[name]).max() > 1e-3


def test_only_the_first_process_has_the_whole_model(trained: dict[int, Path]) -> None:
    for ranks in (2, 4):
        for rank in range(1, ranks):
            said = json.loads((trained[ranks] / f"rank {rank}.json").read_text())
            assert said["error"] == "ConfigError"
            assert f"rank {rank} of {ranks} has only a part of this table" in said["message"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes, with checkpoints, of which the second one was killed."""
    with once(tmp_path_factory, "killed") as folder:
        if not folder.exists():
            folder.mkdir()
            done = torchrun(2, "--redirects=3", f"--log-dir={folder}", SCRIPT, str(folder), "killed")
            assert done.returncode != 0
    return folder


def test_a_process_that_is_killed_stops_the_others_with_its_reason(killed: Path) -> None:
    (log,) = killed.rglob("0/stderr.log")
    reason = "TrainingError: rank 1 is gone without a word: killed, or out of memory"
    assert f"{reason}; rank 0 of 2 stops too." in log.read_text()


@pytest.mark.parametrize("ranks", [2, 1])
def test_a_run_that_was_killed_goes_on_with_any_number_of_processes(
    killed: Path, trained: dict[int, Path], tmp_path: Path, ranks: int
) -> None:
    """To the same end; with as many as there were, bit for bit."""
    shutil.copytree(killed / "run", tmp_path / "run")
    _, errors = Running(ranks, SCRIPT, str(tmp_path), "resumed").ended()
    assert (tmp_path / "resumed.npz").exists(), "\n".join(errors)
    whole, again = dict(np.load(trained[2] / "deep.npz")), dict(np.load(tmp_path / "resumed.npz"))
    assert whole.keys() == again.keys()
    tolerance = {"rtol": 0, "atol": 0} if ranks == 2 else {"rtol": 1e-9, "atol": 1e-12}
    for name, value in whole.items():
        np.testing.assert_allclose(again[name], value, **tolerance, err_msg=name)


def test_a_process_that_fails_stops_the_others_with_its_reason(tmp_path: Path) -> None:
    codes, (first, second) = Running(2, SCRIPT, str(tmp_path), "refused").ended()
    assert all(codes)
    assert "DataError: the disk under /data is full" in second
    assert "TrainingError: rank 1 stopped: the disk under /data is full; rank 0 of 2 stops too." in first


def test_processes_with_other_options_are_refused(trained: dict[int, Path]) -> None:
    said = json.loads((trained[2] / "rank 1.json").read_text())
    assert said["other seed"] == "the processes differ in seed: rank 1 differs from rank 0."


def test_the_command_trains_in_several_processes(tmp_path: Path) -> None:
    data = processes.choices()
    data.interactions.write_parquet(tmp_path / "choices.parquet")
    bundle = tmp_path / "books.shortlist"
    arguments = [str(tmp_path / "choices.parquet"), "--query", "reader", "--candidate", "book"]
    kept = ["--checkpoint-dir", str(tmp_path / "run"), "--checkpoint-every", "2steps"]
    options = ["--set", "fit.batch_size=64", "--index", "exact", "--json", "--out", str(bundle), *kept]
    done = torchrun(2, "-m", "shortlist", "train", *arguments, *options, "--set", "fit.epochs=2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("epoch 2/2") == 1
    result = json.loads(done.stdout)
    plan = sl.recipes.load("factorization", ["fit.batch_size=64", "fit.epochs=2"])
    split = sl.split_random(sl.Dataset(data.interactions, "reader", "book"), test=0.1)
    _, history = plan.train(split.train, validation=split.test, device="cpu")
    assert result["training"][-1]["loss"] == pytest.approx(history[-1].loss, rel=1e-5)
    assert len(sl.Recommender.load(bundle).recommend([5], k=3)[0]) == 3

    more = ["--set", "fit.epochs=3", "--overwrite", "--resume"]
    codes, errors = Running(2, "-m", "shortlist", "train", *arguments, *options, *more).ended()
    said = "".join(errors)
    assert codes == [0, 0], said
    assert [f"epoch {number}/3" in said for number in (1, 2, 3)] == [
        False,
        True,
        True,
    ]  # from the last batch of epoch 2

    codes, errors = Running(2, "-m", "shortlist", "train", *arguments, *options).ended()
    assert "".join(errors).count("already exists") == 1
    assert codes == [1, 1]


def test_what_cannot_be_divided_is_refused() -> None:
    model = processes.towers()
    for task in (sl.Retrieval(mined=2), sl.Retrieval(negative_column="disliked")):
        with pytest.raises(sl.ConfigError, match="negatives of single queries"):
            check_divisible(task, model, None)
    with pytest.raises(sl.ConfigError, match="impressions= cannot be used with several processes"):
        check_divisible(sl.Retrieval(), model, processes.choices())
    batch_norm = sl.Tower(sl.IntegerLookup("reader"), dim=6, module=torch.nn.BatchNorm1d(6))
    with pytest.raises(sl.ConfigError, match="BatchNorm1d needs the whole batch"):
        check_divisible(sl.Retrieval(), sl.TwoTower(batch_norm, sl.Tower(sl.IntegerLookup("book"), dim=6)), None)
    check_divisible(sl.Retrieval(negatives=sl.Mixed(), mask_known=True), model, None)


def test_one_module_alone_talks_to_other_processes() -> None:
    package = Path(sl.__file__).parent
    talking = {
        path.name
        for path in package.rglob("*.py")
        if "torch.distributed" in re.sub(r'""".*?"""', "", path.read_text(), flags=re.S)
    }
    assert talking == {"distributed.py"}


class Second(Alone):
    """The second of two processes, of which the first holds candidates 5, 5 and 9 in this batch."""

    rank, size, first = 1, 2, False

    def concatenated(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.tensor([5, 5, 9]), values])


def test_a_process_takes_the_pairs_of_its_own_queries() -> None:
    """Queries 1 and 3 belong to the second process; batch 0, 1, 2, 3, 4 has its interactions 1 and 3."""
    rows = {"q": [0, 1, 2, 3, 4, 1], "c": [5, 9, 5, 7, 9, 7]}
    table = pl.DataFrame({"c": range(10)})
    data = sl.Dataset(rows, "q", "c", candidates=table)
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("q"), dim=2), sl.Tower(sl.IntegerLookup("c"), dim=2))
    part = Interactions(model.prepare(data), torch.device("cpu"), Second(), data.query_rows)
    batch = part.batch(torch.tensor([0, 1, 2, 3, 4]))
    assert len(part) == 6
    assert batch.query_rows.tolist() == [1, 3]
    assert batch.candidate_rows.tolist() == [5, 7, 9]
    assert batch.pair_query.tolist() == [0, 1]
    assert batch.pair_candidate.tolist() == [2, 1]
    assert batch.multiplicity().tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ("[../gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:47115", True),
        ("[../gloo/transport/tcp/pair.cc:534] Read error [::1]:1: Connection reset by peer", True),
        (
            "[../gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete",
            True,
        ),
        ("[../gloo/transport/tcp/pair.cc:600] writev [::1]:1: Broken pipe", True),
        (
            "ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely.",
            True,
        ),
        ("failed to recv, got 0 bytes", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("CUDA error: device-side assert triggered", False),
        ("CUDA out of memory. Tried to allocate 20.00 GiB", False),
        ("NCCL error: unhandled cuda error, ncclUnhandledCudaError: Call to CUDA function failed.", False),
        ("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0", False),
    ],
)
def test_only_a_lost_connection_is_called_lost(words: str, lost: bool) -> None:
    assert distributed.is_lost(RuntimeError(words)) is lost
    assert not distributed.is_lost(torch.OutOfMemoryError(words))
    assert distributed.is_lost(torch.distributed.DistNetworkError(words))


def one_of_two(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, why: str = "rank 0 stopped: x"
) -> distributed.Together:
    """The second of two processes, whose connections fail so."""
    other = distributed.Together.__new__(distributed.Together)
    other.rank, other.size, other.first = 1, 2, False
    monkeypatch.setattr(other, "_first_reason", lambda: why, raising=False)

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch.distributed, "all_reduce", fails)
    return other


class Store:
    """What torch's store does, among threads."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def get(self, key: str) -> bytes:
        return self.values[key].encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self.values for key in keys)

    def add(self, key: str, amount: int) -> int:
        self.values[key] = str(int(self.values.get(key, "0")) + amount)
        return int(self.values[key])


def process_of(rank: int, store: Store, hosts: list[str]) -> distributed.Together:
    """One of several processes, on the machines ``hosts``."""
    one = distributed.Together.__new__(distributed.Together)
    one.rank, one.size, one.first, one._store = rank, len(hosts), rank == 0, store
    store.set(f"shortlist/process/{rank}", json.dumps([hosts[rank], 1]))
    return one


def first_reason(one: distributed.Together) -> None:
    raise one._stop()


def wait_for(one: distributed.Together) -> None:
    one._wait_for(["something that never comes"])


@pytest.mark.parametrize("waits", [first_reason, wait_for])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_the_reason_is_kept_where_sigterm_arrives_while_it_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, waits: Callable[[distributed.Together], None], at: int
) -> None:
    """torchrun's SIGTERM comes while a process looks why another one is gone, at any of its looks."""
    looks = itertools.count(1)

    class Interrupted(Store):
        def check(self, keys: list[str]) -> bool:
            if next(looks) == at:
                self.set(distributed.REASON, "rank 1 stopped: the disk is full")
                signal.raise_signal(signal.SIGTERM)
            return super().check(keys)

    monkeypatch.setattr(distributed, "LOOK", 0)
    one = process_of(0, Interrupted(), ["a", "b"])
    one._store.set("shortlist/process/1", json.dumps(["b", 1]))
    before = signal.signal(signal.SIGTERM, one._on_sigterm)
    try:
        with pytest.raises(StoppedTrainingError, match=r"^rank 1 stopped: the disk is full; rank 0 of 2 stops too\."):
            waits(one)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_first_works_then_on_every_machine_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "LOOK", 0)
    store, hosts = Store(), ["a", "b", "a", "b", "a"]
    running = [process_of(rank, store, hosts) for rank in range(5)]
    for _ in range(2):  # a second turn waits for its own
        began: list[int] = []
        ended: list[int] = []

        def work(rank: int, began: list[int] = began, ended: list[int] = ended) -> int:
            began.append(rank)
            assert rank == 0 or 0 in ended
            assert all(other in ended for other in began[:-1] if hosts[other] == hosts[rank])
            ended.append(rank)
            return rank

        with ThreadPoolExecutor(5) as pool:
            each = [pool.submit(one.first_then_others, partial(work, one.rank)) for one in reversed(running)]
            assert [one.result(30) for one in each] == [4, 3, 2, 1, 0]
        assert sorted(began) == [0, 1, 2, 3, 4]


def test_who_waits_for_a_process_that_stopped_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    second = process_of(1, store, ["a", "b"])
    process_of(0, store, ["a", "b"])
    store.set(distributed.REASON, "rank 0 stopped: the disk is full")
    with pytest.raises(sl.TrainingError, match="rank 0 stopped: the disk is full; rank 1 of 2 stops too"):
        second.first_then_others(lambda: pytest.fail("it must not begin"))


def test_errors_of_the_device_keep_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (
        RuntimeError("CUDA error: device-side assert triggered"),
        torch.OutOfMemoryError("CUDA out of memory."),
    ):
        with pytest.raises(type(error)) as raised:
            one_of_two(monkeypatch, error).add(torch.zeros(1))
        assert raised.value is error


def test_a_group_without_a_backend_for_what_is_said_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process group that has NCCL alone."""
    error = RuntimeError("No backend type associated with device type cpu")
    with pytest.raises(sl.ConfigError, match="no backend for what the processes say") as raised:
        one_of_two(monkeypatch, error).add(torch.zeros(1))
    assert raised.value.hint == 'init_process_group("cpu:gloo,cuda:nccl")'


def test_the_process_that_stopped_first_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has an error of its own, and the first one's stands in the store."""
    second = one_of_two(monkeypatch, RuntimeError())
    error = sl.DataError("there is no column 'x'")
    for stands, before in (("rank 0 stopped: a full disk", True), ("rank 1 stopped: there is no column 'x'", False)):
        monkeypatch.setattr(second, "_store_reason", lambda text, stands=stands: stands, raising=False)
        assert second.stopped_before(error) is before
    assert second.stopped_before(second._stop())
    assert not Alone().stopped_before(error)


def test_several_processes_hold_little_unused_memory_from_before_their_group_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    monkeypatch.setattr(distributed, "keep_together", lambda: done.append("one place for all threads"))
    monkeypatch.setattr(distributed, "give_back", lambda kept: done.append(kept))

    def unreachable(backend: str) -> None:
        done.append(backend)
        raise ValueError("nobody there")

    monkeypatch.setattr(distributed.dist, "init_process_group", unreachable)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert isinstance(distributed.joined(), Alone)
    assert not done
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(sl.TrainingError, match="could not reach the others"):
        distributed.joined()
    assert done[:2] == ["one place for all threads", distributed.KEPT]
    assert len(done) == 3
