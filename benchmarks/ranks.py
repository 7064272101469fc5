"""`python -m benchmarks.ranks`: training by 1, 2 and 4 processes of one thread each; results/ranks.json.

The same interactions, the same batches and the same losses whatever the number; only work and memory differ. Other jobs
may share the machine, so the work is processor time, of all processes together, from data to trained model.
`--quick` does the same on a few rows, to see that it works, and keeps nothing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "ranks.json"
SIZE = {"rows": 100_000, "users": 50_000, "items": 50_000, "batch": 8_192}
MODELS = {"matrix factorisation": (), "two hidden layers": (256, 128)}


def work(hidden: list[int], rows: int, users: int, items: int, batch: int) -> None:
    """Trains an epoch, and writes what it took to FOLDER/RANK.json."""
    import numpy as np
    import torch

    import shortlist as sl

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    draw = np.random.default_rng(1)
    table = {"user": draw.integers(0, users, rows), "item": (draw.random(rows) ** 2.5 * items).astype(np.int64)}
    data = sl.Dataset(table, "user", "item")
    model = sl.TwoTower(*(sl.Tower(sl.IntegerLookup(name), dim=64, hidden=tuple(hidden)) for name in ("user", "item")))
    task = sl.Retrieval(log_q="counts")
    optimizer = sl.Adagrad(0.005)  # a loss that grows would make much of the order of sums
    started = time.process_time()
    history = sl.fit(model, data, task=task, optimizer=optimizer, epochs=1, batch_size=batch, device="cpu")
    rank = int(os.environ.get("RANK", "0"))
    parts = [part for part in model.modules() if hasattr(part, "touched")]
    ended = {
        "seconds": history.seconds,
        "processor_seconds": time.process_time() - started,
        "loss": history[-1].loss,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "tables_here": sum(table.weight.nbytes for table in parts),
    }
    (Path(os.environ["RANKS_FOLDER"]) / f"{rank}.json").write_text(json.dumps(ended))


def measure(ranks: int, threads: int, hidden: tuple[int, ...], size: dict) -> dict:
    """One epoch by so many processes, of so many threads each."""
    start = [sys.executable]
    if ranks > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RANKS_FOLDER": folder}
        told = json.dumps({"hidden": hidden, **size})
        subprocess.run([*start, "-m", "benchmarks.ranks", "--work", told], env=environment, check=True)
        ended = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(ranks)]
    found = {
        "ranks": ranks,
        "threads": threads,
        "seconds": ended[0]["seconds"],
        "processor_seconds": sum(one["processor_seconds"] for one in ended),
        "examples_per_processor_second": size["rows"] / sum(one["processor_seconds"] for one in ended),
        "loss": ended[0]["loss"],
        "peak_memory": [one["peak_memory"] for one in ended],
        "tables_of_the_others": [one["tables_here"] for one in ended[1:]],
    }
    print(found, file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(**json.loads(chosen.work))
        return
    from benchmarks.machine import environment

    size = {name: max(1, value // 100) for name, value in SIZE.items()} if chosen.quick else SIZE
    before = environment()
    ways = ((1, 1), (2, 1), (4, 1))
    runs = {name: [measure(*way, hidden, size) for way in ways] for name, hidden in MODELS.items()}
    told = {"environment": before, "command": "python -m benchmarks.ranks", "size": {**SIZE, "dim": 64}, "runs": runs}
    print(json.dumps(told, indent=1))
    if not chosen.quick:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
