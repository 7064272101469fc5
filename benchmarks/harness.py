"""Runs the sides of a benchmark in turn, A B A B ..., each in a process and an environment of its own."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import datasets, machine
from benchmarks.environments import MissingPeerError, peer_python

REPOSITORY = Path(__file__).parent.parent
PATIENCE_S = 3600  # a side that has said nothing for so long is ended
SETTLE_S = 0.5  # between runs, so that the threads of the last side have gone to sleep


@dataclass(frozen=True)
class Side:
    """A function of a module that a worker runs, and the peer environment it needs (None: the project's own)."""

    module: str
    function: str
    peer: str | None = None
    variables: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the result: a measure of ours beside the same measure of each peer.

    compare is "peer/ours" (less is better), "ours/peer" (more is better): the ratio must reach `bar`; or "at most":
    ours alone must not exceed `bar`. `peers` are the sides compared with; every one of them must be beaten.
    """

    name: str
    measure: str
    unit: str
    bar: float | None
    compare: str = "peer/ours"
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmark:
    """What is measured, on which data, with which parameters; `quick` overrides parameters, data and runs for CI."""

    what: str
    dataset: str | None
    data: dict
    parameters: dict
    sides: dict[str, Side]  # "ours" and the peers
    rows: tuple[Row, ...]
    runs: int = 5
    quick: dict = field(default_factory=dict)
    quick_data: dict = field(default_factory=dict)
    caveats: tuple[str, ...] = ()


def exit_status(results: list[dict]) -> int:
    """Returns 1 where a side of ours could not be run, or any side stopped; a peer that is not installed is a note."""
    return int(any("ours" in result["missing"] or result["stopped"] for result in results))


class FailedSideError(Exception):
    """Why a side cannot be run, or stopped."""


def measure(name: str, benchmark: Benchmark, quick: bool, runs: int | None) -> dict:
    """Returns the result of a benchmark: `{benchmark, environment, rows, ...}`, ready for JSON."""
    started = time.perf_counter()
    environment = machine.environment()
    parameters = {**benchmark.parameters, **(benchmark.quick if quick else {})}
    data = datasets.prepare(benchmark.dataset, {**benchmark.data, **(benchmark.quick_data if quick else {})})
    runs = runs or (1 if quick else benchmark.runs)

    workers: dict[str, Worker] = {}
    missing: dict[str, str] = {}
    stopped: list[str] = []
    try:
        for side_name, side in benchmark.sides.items():
            _say(f"{name}: starting {side_name}")
            try:
                workers[side_name] = Worker(side, data, parameters, install=not quick)
            except (FailedSideError, MissingPeerError) as reason:
                missing[side_name] = str(reason)
                if isinstance(reason, FailedSideError):
                    stopped.append(side_name)
                _say(f"{name}: {side_name} is missing: {reason}")
        for number in range(1, runs + 1):
            for side_name in list(workers):
                try:
                    workers[side_name].run(others=[w for n, w in workers.items() if n != side_name])
                except FailedSideError as reason:
                    missing[side_name] = str(reason)
                    stopped.append(side_name)
                    workers.pop(side_name).close()
                    _say(f"{name}: {side_name} stopped: {reason}")
            _say(f"{name}: round {number} of {runs} done")
    finally:
        for worker in workers.values():
            worker.close()

    return {
        "benchmark": name,
        "what": benchmark.what,
        "quick": quick,
        "command": f"python -m benchmarks {name}" + (" --quick" if quick else "") + f" --runs {runs}",
        "environment": environment,
        "seconds": round(time.perf_counter() - started, 1),
        "parameters": parameters,
        "caveats": list(benchmark.caveats),
        "sides": {side_name: worker.report() for side_name, worker in workers.items()},
        "missing": missing,
        "stopped": stopped,
        "rows": [line for row in benchmark.rows for line in _lines(row, workers, missing)],
    }


class Worker:
    """A side's process, alive for all its runs; see `benchmarks.worker` for the conversation."""

    def __init__(self, side: Side, data: Path, parameters: dict, install: bool) -> None:
        python = sys.executable if side.peer is None else str(peer_python(side.peer, install))
        variables = {**os.environ, **side.variables, "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
        variables["PYTHONPATH"] = str(REPOSITORY / "src") if side.peer is None else ""
        self.runs: list[dict] = []
        self.idle_share = 0.0
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", side.module, side.function],
            cwd=REPOSITORY,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.ready = self._ask({"data": str(data), "parameters": parameters})["ready"]
        except BaseException:
            self.close()
            raise

    def run(self, others: list["Worker"]) -> None:
        """Makes one timed run while the others wait, and notes how much processor time those used meanwhile."""
        time.sleep(SETTLE_S)
        before = [other.cpu_seconds() for other in others]
        started = time.perf_counter()
        reply = self._ask("run")
        elapsed = time.perf_counter() - started
        for other, spent in zip(others, before, strict=True):
            now = other.cpu_seconds()
            if spent is not None and now is not None:
                other.idle_share = max(other.idle_share, (now - spent) / elapsed)
        self.runs.append({**reply["measures"], "peak_rss_gb": reply["peak_rss_bytes"] / 1e9})

    def values(self, name: str) -> list[float]:
        """Returns a measure of every run."""
        return [run[name] for run in self.runs]

    def report(self) -> dict:
        """Returns versions, threads, all measures, and the most processor time used while another side ran."""
        return {**self.ready, "runs": self.runs, "busy_while_waiting": round(self.idle_share, 3)}

    def cpu_seconds(self) -> float | None:
        return machine.cpu_seconds(self._process.pid)

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _ask(self, message) -> dict:
        timer = threading.Timer(PATIENCE_S, self._process.kill)
        timer.start()
        try:
            text = message if isinstance(message, str) else json.dumps(message)
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        finally:
            timer.cancel()
        if not reply:
            raise FailedSideError(self._last_words())
        return json.loads(reply)

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        code = self._process.returncode
        return lines[-1][:400] if lines else f"it ended without a word (exit status {code})"


def _lines(row: Row, workers: dict[str, Worker], missing: dict[str, str]) -> list[dict]:
    """Returns a row's lines: one per peer, or one of ours alone."""
    return [_line(row, peer, workers, missing) for peer in row.peers or (None,)]


def _line(row: Row, peer: str | None, workers: dict[str, Worker], missing: dict[str, str]) -> dict:
    runs = {
        "ours": workers["ours"].values(row.measure) if "ours" in workers else [],
        "peer": workers[peer].values(row.measure) if peer in workers else [],
    }
    ours, theirs = (median(values) if values else None for values in runs.values())
    ratio = None
    if row.compare != "at most" and ours is not None and theirs is not None:
        ratio = theirs / ours if row.compare == "peer/ours" else ours / theirs
    absent = {side: missing[side] for side in ("ours", peer) if side in missing}
    line = {
        "name": row.name,
        "ours": ours,
        "peer": theirs,
        "peer_name": peer,
        "ratio": ratio,
        "compare": row.compare,
        "bar": row.bar,
        "holds": None,
        "unit": row.unit,
        "spread": {side: [min(values), max(values)] for side, values in runs.items() if values},
        "runs": runs,
        "missing": absent,
    }
    return judged(line, row.bar)


def judged(line: dict, bar: float | None) -> dict:
    """Returns a line of a result with this bar, and whether it holds; None where it was not measured."""
    reached = line["ours"] if line["compare"] == "at most" else line["ratio"]
    unknown = bar is None or reached is None
    holds = None if unknown else reached <= bar if line["compare"] == "at most" else reached >= bar
    return {**line, "bar": bar, "holds": holds}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
