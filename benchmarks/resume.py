"""Kills `shortlist train` again and again, lets it go on, and compares what it ends with, bit by bit.

    python -m benchmarks.resume --kills 50

Each run trains on made-up choices with dropout and Adam, writes a checkpoint every few steps, and is killed (SIGKILL) at a
moment of one of three kinds: at random from its first line on, while a checkpoint is being written, or at the edge of an
epoch. It is started again with --resume until it ends; then the next run begins. The bundle
must have the fingerprint of the run that nobody killed, the same optimizer state and the same losses.
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import environment

RESULT = Path(__file__).parent / "results" / "resume.json"
KINDS = ("at random", "while writing", "at an epoch's edge")
EVERY = "20steps"
BATCH = 256


def data(path: Path, rows: int) -> None:
    """Writes choices of people among half as many things."""
    generator = np.random.default_rng(5)
    people = min(2000, rows // 20)
    columns = [generator.integers(0, people, rows), generator.zipf(1.3, rows) % (people // 2), np.arange(rows)]
    np.savetxt(
        path, np.stack(columns, axis=1), "%d", ",", header="user,item,at", comments=""
    )  # no threads before forks


def command(folder: Path, out: Path, checkpoints: Path, resume: bool) -> list[str]:
    """The arguments of `shortlist train`."""
    settings = [
        "fit.epochs=6",
        f"fit.batch_size={BATCH}",
        "model.id_dropout=0.2",
        'optimizer={name="Adam", learning_rate=0.01}',
    ]
    given = [str(folder / "choices.csv"), "--query", "user", "--candidate", "item", "--time", "at", "--index", "exact"]
    given += ["--out", str(out), "--checkpoint-dir", str(checkpoints), "--checkpoint-every", EVERY]
    given += [word for one in settings for word in ("--set", one)]
    return [*given, "--resume"] if resume else given


def start(arguments: list[str]) -> tuple[int, int]:
    """A process that does what the command line does; its id, and where its messages can be read."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    status = 1
    try:
        os.dup2(write, 2)
        from shortlist.cli.train import command as train

        train.main(arguments, standalone_mode=False)
        status = 0
    except SystemExit as left:
        status = int(left.code or 0)
    except BaseException as error:  # its text is all that the parent learns of it
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def attempt(arguments: list[str], checkpoints: Path, kind: str | None, moment: float) -> tuple[str, str, float]:
    """Runs until it ends or its time has come: "killed" or "ended", its messages, and its seconds."""
    child, messages = start(arguments)
    started, text = time.monotonic(), b""
    edges = random.Random(moment).randrange(1, 4)
    while True:
        ready, _, _ = select.select([messages], [], [], 0.0005)
        part = os.read(messages, 1 << 16) if ready else b"?"
        text += part if ready else b""
        over = not part
        now = time.monotonic() - started
        due = (
            (kind == "at random" and now >= moment)
            or (kind == "while writing" and now >= moment / 2 and _writes(checkpoints))
            or (kind == "at an epoch's edge" and text.count(b"epoch ") >= edges)
        )
        if due and not over:
            os.kill(child, signal.SIGKILL)
        if due or over:
            break
    _, status = os.waitpid(child, 0)
    os.close(messages)
    killed = os.WIFSIGNALED(status)
    if not killed and os.WEXITSTATUS(status):
        raise RuntimeError(f"the run ended with {os.WEXITSTATUS(status)}:\n{text.decode()}")
    return ("killed" if killed else "ended"), text.decode(), time.monotonic() - started


def _writes(checkpoints: Path) -> bool:
    try:
        return any(entry.name.startswith(".writing-") for entry in os.scandir(checkpoints))
    except OSError:
        return False


def ending(out: Path) -> dict:
    """What must be the same: fingerprint of vectors and weights, sha256 of the optimizer's state, losses and figures."""
    manifest = json.loads((out / "manifest.json").read_text())
    training = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in manifest["metadata"]["training"]]
    state = manifest["files"]["model/optimizer.safetensors"]["sha256"]
    steps = sum(-(-epoch["examples"] // BATCH) for epoch in training)
    return {"fingerprint": manifest["fingerprint"], "optimizer": state, "training": training, "steps": steps}


@dataclass(frozen=True)
class Kill:
    """A kill. step: of the newest checkpoint there was, or None. bundle: whether the bundle was there already."""

    kind: str
    step: int | None
    bundle: bool


def to_its_end(
    folder: Path, number: int, kinds: deque[str], chance: random.Random, seconds: float
) -> tuple[list[Kill], dict, str]:
    """Kills a run as ``kinds`` says, resumes it each time until it ends: its kills, what it ended with, its last messages."""
    checkpoints, out = folder / f"c{number}", folder / f"out{number}"
    kills: list[Kill] = []
    while True:
        kind = kinds[0] if kinds else None
        how, text, _ = attempt(command(folder, out, checkpoints, True), checkpoints, kind, chance.uniform(0, seconds))
        if how == "ended":
            found = ending(out)
            for place in (checkpoints, out):
                shutil.rmtree(place)
            return kills, found, text
        names = [path.name for path in checkpoints.glob("checkpoint-*.json")]
        kills.append(Kill(kinds.popleft(), int(max(names)[11:20]) if names else None, out.exists()))
        if out.exists():  # killed after all was done: nothing is left to go on with
            shutil.rmtree(out)


def measure(kills: int, rows: int, seed: int = 0) -> dict:
    """Kills so often; returns counts, and the first run that ended otherwise."""
    import shortlist.cli.train
    import shortlist.report.measured
    import shortlist.train.fit  # noqa: F401  imported before the fork

    chance = random.Random(seed)
    kinds = deque(KINDS[number % len(KINDS)] for number in range(kills))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data(folder / "choices.csv", rows)
        _, _, seconds = attempt(command(folder, folder / "whole", folder / "c", False), folder / "c", None, 0)
        expected = ending(folder / "whole")
        runs = []
        while kinds:
            runs.append(to_its_end(folder, len(runs), kinds, chance, seconds))
    killed = [kill for mine, _, _ in runs for kill in mine]
    different = [{"found": found, "messages": text[-2000:]} for _, found, text in runs if found != expected]
    steps = Counter(kill.step for kill in killed)
    return {
        "kills": len(killed),
        "by_kind": dict(Counter(kill.kind for kill in killed)),
        "runs_by_their_kills": dict(sorted(Counter(len(mine) for mine, _, _ in runs).items())),
        "ended_otherwise": len(different),
        "first_different": different[:1],
        "killed_before_a_checkpoint": steps.pop(None, 0),
        "killed_with_a_bundle_there": sum(kill.bundle for kill in killed),
        "kills_by_newest_checkpoint": {str(step): steps[step] for step in sorted(steps)},
        "seconds_of_the_whole_run": round(seconds, 2),
        "processor_seconds_of_all": round(sum(os.times()[:4]), 1),
        "rows": rows,
        "steps": expected["steps"],
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=8_000)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    result = {"benchmark": "resume", "environment": environment(), **measure(options.kills, options.rows)}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "environment"}, indent=1))
    sys.exit(1 if result["ended_otherwise"] else 0)


if __name__ == "__main__":
    main()
