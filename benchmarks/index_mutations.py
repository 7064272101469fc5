"""Damage done to saved indexes: `python -m benchmarks index_mutations`; a sample of it is a test.

Two kinds of damage, each to a file drawn at random, 5,000 times per backend and 200 times:

- *altered*: bytes flipped, overwritten, cut off or added, or two files exchanged, checksums as they were. The index must
  be refused, or, where only the layout of `index.json` has changed, answer as before.
- *crafted*: the same with every checksum made right again. A process of its own reads the folder; it may be refused,
  answer with what it holds, die, or hang, and in each case this process goes on and has an index: the one that was read,
  or one built from the vectors, unless those themselves were made senseless.
"""

import contextlib
import hashlib
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from shortlist.errors import BundleError, ShortlistError
from shortlist.index import BruteForce, Faiss, Index, Lists, ScaNN, load_index
from shortlist.index.storage import Reader
from shortlist.store import checksum

BACKENDS = {
    "brute_force": BruteForce,
    "int8": lambda: BruteForce("int8"),
    "scann": lambda: ScaNN(leaves=20, leaves_to_search=5, reorder=60),
    "hnsw": lambda: Faiss("hnsw", links=8),
    "ivfpq": lambda: Faiss("ivfpq", lists=20, lists_to_search=5),
}
N, DIM = 1200, 8
PATIENCE_S = 20
OUTCOMES = ("refused", "as before", "sound", "died", "hung", "rebuilt", "no vectors left", "wrong")


def describe() -> dict:
    """Returns versions and thread counts."""
    return {"versions": {"numpy": np.__version__}, "threads": {}}


def ours(data: Path, parameters: dict):
    """Counts of every outcome, all backends together and one by one."""

    def counted(backend: str) -> dict[str, int]:
        numbers = [str(parameters[name]) for name in ("count", "crafted", "seed")]
        command = [sys.executable, "-m", "benchmarks.index_mutations", backend, *numbers]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)[backend]

    def run() -> dict:
        total: dict = {}
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            every = pool.map(counted, parameters["backends"])
            for backend, counts in zip(parameters["backends"], every, strict=True):
                for name, count in counts.items():
                    total[f"{backend}: {name}"] = count
                    total[name] = total.get(name, 0) + count
        return total

    return run


def mutate(backend: str, count: int, seed: int, crafted: int) -> dict[str, int]:
    """Returns how often each outcome came of ``count`` alterations and of ``crafted`` files with right checksums."""
    rng = np.random.default_rng(seed)
    counts = {f"{kind}: {outcome}": 0 for kind in ("altered", "crafted") for outcome in OUTCOMES}
    with tempfile.TemporaryDirectory() as name:
        place, work = Path(name) / "index", Path(name) / "work"
        # Built in a process of its own: a library's threads do not survive the forks below.
        asked, before = _in_child(lambda: _built(backend, place), PATIENCE_S * 6)[1]
        for _ in range(count):
            shutil.copytree(place, work)
            _damage(work, rng)
            counts[f"altered: {_altered(work, asked, before)}"] += 1
            shutil.rmtree(work)
        for _ in range(crafted):
            shutil.copytree(place, work)
            _damage(work, rng)
            _seal(work)
            for outcome in _crafted(work):
                counts[f"crafted: {outcome}"] += 1
            shutil.rmtree(work)
    return counts


def _built(backend: str, place: Path):
    """Saves an index that has seen changes; returns queries and what it answers."""
    rng = np.random.default_rng(5)
    index = BACKENDS[backend]().build(rng.standard_normal((N, DIM), dtype=np.float32), np.arange(N)[::-1].copy())
    index.delete(np.arange(30))
    index.upsert(np.arange(N, N + 20), rng.standard_normal((20, DIM), dtype=np.float32))
    index.save(place)
    asked = rng.standard_normal((5, DIM), dtype=np.float32)
    return asked.tolist(), load_index(place).search(asked, 10).ids.tolist()


def _damage(folder: Path, rng: np.random.Generator) -> None:
    """One alteration of one file."""
    names = sorted(path.name for path in folder.iterdir())
    path = folder / names[rng.integers(len(names))]
    content = bytearray(path.read_bytes())
    at, length = int(rng.integers(len(content))), int(rng.choice([1, 4, 8, 64]))
    way = rng.integers(6)
    if way == 0:
        content[at] ^= 1 << int(rng.integers(8))
    elif way == 1:
        content[at : at + length] = rng.bytes(len(content[at : at + length]))
    elif way == 2:
        content[at : at + length] = bytes([int(rng.choice([0, 255, 127, 128]))]) * len(content[at : at + length])
    elif way == 3:
        del content[at:]
    elif way == 4:
        content[at:at] = rng.bytes(length)
    else:
        other = folder / names[rng.integers(len(names))]
        mine, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        other.write_bytes(mine)
        return
    path.write_bytes(content)


def _seal(folder: Path) -> None:
    """Makes every checksum right, so far as the description can still be read."""
    path = folder / "index.json"
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(path.read_bytes())
        content.pop("checksum", None)
        for entry in content["files"].values():
            file = folder / entry["name"]
            if file.is_file():
                entry["bytes"], entry["sha256"] = file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
        path.write_text(json.dumps({**content, "checksum": checksum(content)}))


def _altered(folder: Path, asked: list, before: list) -> str:
    """What became of an altered index: it is read here only if its checksums say that it is as it was."""
    try:
        Reader(folder)
    except BundleError:
        return "refused"
    outcome, answer = _in_child(
        lambda: load_index(folder).search(np.array(asked, np.float32), 10).ids.tolist(), PATIENCE_S
    )
    return "as before" if outcome == "sound" and answer == before else "wrong"


def _crafted(folder: Path) -> list[str]:
    """What became of a crafted index in a process of its own, and of the index built from its vectors where that failed."""
    outcome, _ = _in_child(lambda: searched(load_index(folder)), PATIENCE_S)
    if outcome == "sound":
        return [outcome]
    rebuilt, _ = _in_child(lambda: searched(load_index(folder, trusted=False)), PATIENCE_S)
    return [outcome, "rebuilt" if rebuilt == "sound" else "no vectors left" if rebuilt == "refused" else "wrong"]


def searched(index: Index) -> None:
    """Searches an index with some of its own vectors; ValueError where it finds what it does not hold."""
    vectors, ids = index.vectors, index.ids
    if not ids.size:
        return
    rows = np.linspace(0, ids.size - 1, min(64, ids.size)).astype(np.int64)
    asked = np.ascontiguousarray(vectors[rows])
    barred = Lists.of([ids[: ids.size // 2]] * len(asked))
    for k, exclude in ((10, None), (min(200, ids.size), None), (10, barred)):
        hits = index.search(asked, k, exclude=exclude)
        left = ids.size - (0 if exclude is None else ids.size // 2)
        if not np.isin(hits.ids, ids).all() or (np.diff(hits.offsets) != min(k, left)).any():
            raise ValueError("its searches do not find what it holds")


def _in_child(work, patience: float):
    """Runs ``work`` in a fork: ("sound", its value), ("refused", None) for an error of ours, or "died", "hung", "wrong"."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 3
        try:
            os.close(read)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
            os.write(write, json.dumps(work()).encode())
            status = 0
        except (ShortlistError, ValueError, RuntimeError, MemoryError):
            status = 1
        finally:
            os._exit(status)
    os.close(write)
    content, silent = b"", False
    while not silent:
        ready, waited = [], 0.0
        while not ready and waited < patience:
            since = time.monotonic()
            ready, _, _ = select.select([read], [], [], 1)
            waited += min(time.monotonic() - since, 2)  # a pause of the whole machine is no silence
        silent = not ready
        piece = os.read(read, 1 << 20) if ready else b""
        if not piece:
            break
        content += piece
    os.close(read)
    if silent:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if silent:
        return "hung", None
    if os.WIFSIGNALED(status):
        return "died", None
    code = os.WEXITSTATUS(status)
    return ("sound", json.loads(content)) if code == 0 else ("refused" if code == 1 else "wrong", None)


if __name__ == "__main__":
    backends, count, crafted, seed = sys.argv[1].split(","), *(int(value) for value in sys.argv[2:])
    json.dump({backend: mutate(backend, count, seed, crafted) for backend in backends}, sys.stdout, indent=1)
