"""`python -m benchmarks.scale PART`: measures a part and keeps it in results/scale.json; `page` writes docs/scale.md.

Parts, each of a few minutes: encode, another_day, train, rows, ratio, histories, vocabulary, tables,
memory, plan, shuffle; `all` of them, one after another.
`--quick` does the same on a few rows, to see that it works, and keeps nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import environment
from benchmarks.scale.data import PLACE, log

RESULTS = Path(__file__).parents[1] / "results" / "scale.json"
LARGE = {"rows": 200_000_000, "users": 5_000_000, "items": 1_000_000}
MIDDLE = {"rows": 20_000_000, "users": 1_000_000, "items": 200_000}
VOCABULARIES = ((100_000, 20_000), (1_000_000, 200_000), (5_000_000, 1_000_000), (20_000_000, 4_000_000))
WIDE = {
    "rows": 300_000,
    "users": 300_000,
    "items": 20_000,
}  # ids whose tables are most of the memory, at dim 96 and above
MEMORY: tuple[dict, ...] = (
    {"processes": 1},
    {"processes": 2},
    {"processes": 4},
    {"processes": 1, "dim": 192},
    {"processes": 4, "dim": 192},
    {"processes": 1, "optimizer": "RowwiseAdagrad", "dtype": "bfloat16"},
)
SMALL = 1_000  # --quick divides by so many


class Bench:
    """Runs parts at full or small size."""

    def __init__(self, quick: bool, whole: bool = False) -> None:
        self.quick, self.whole = quick, whole
        self.by = SMALL if quick else 1
        self.seconds = 1 if quick else 5

    def encode(self) -> dict:
        """The whole log, encoded."""
        return worker("encode", source=str(self._log(LARGE)), shards=str(self._shards(LARGE)))

    def another_day(self) -> dict:
        """The whole log, encoded, and one more day of 1%: files that were encoded are not read again."""
        return worker("another_day", source=str(self._log(LARGE)), shards=str(self._shards(LARGE)))

    def train(self) -> dict:
        """An epoch over the whole log, or as much of it as 75 seconds of the processor allow."""
        if not (self._shards(LARGE) / "manifest.json").exists():
            self.encode()
        return worker("train", shards=str(self._shards(LARGE)), seconds=75, whole=self.whole)

    def rows(self) -> list[dict]:
        """Parts of the log, encoded and trained on for a while: memory must not grow with rows."""
        found = []
        for files in (1, 5, 20):
            source, shards = self._log(LARGE), self._shards(LARGE)
            if files < 20:
                source, shards = source / f"00[0-{files - 1}].parquet", shards.with_name(f"{shards.name}-{files}")
                encoded = worker("encode", source=str(source), shards=str(shards))
            else:
                encoded = {}
            trained = worker("train", shards=str(shards), seconds=self.seconds)
            found.append({"encode": encoded, "train": trained})
            if files < 20:
                shutil.rmtree(shards)
        return found

    def ratio(self) -> dict:
        """From disk and from memory, in turn, in one process."""
        source, shards = self._log(MIDDLE), self._shards(MIDDLE)
        worker("encode", source=str(source), shards=str(shards))
        return worker("ratio", source=str(source), shards=str(shards), seconds=self.seconds, runs=3)

    def histories(self) -> dict:
        """The recipe `sequence` from disk and from memory, in turn, in one process."""
        size = {"rows": 600_000, "users": 30_000, "items": 10_000}
        return worker(
            "histories", **{name: max(100, value // self.by) for name, value in size.items()}, seconds=3 * self.seconds
        )

    def vocabulary(self) -> list[dict]:
        """Vocabularies of several sizes, with as many rows each."""
        found = []
        for users, items in VOCABULARIES:
            size = {"rows": MIDDLE["rows"], "users": users, "items": items}
            encoded = worker("encode", source=str(self._log(size)), shards=str(self._shards(size)))
            found.append({"encode": encoded, "train": self._trained(users, items)})
        return found

    def tables(self) -> list[dict]:
        """Ways to keep the tables, at dim 32."""
        ways = (
            {"optimizer": "Adagrad"},
            {"optimizer": "RowwiseAdagrad"},
            {"optimizer": "RowwiseAdagrad", "dtype": "bfloat16"},
            {"optimizer": "Adagrad", "on_disk": True},
        )
        return [{**way, **self._trained(*VOCABULARIES[2], dim=32, **way)} for way in ways]

    def memory(self) -> list[dict]:
        """Anonymous memory of a run with checkpoints by 1, 2 and 4 processes, above that at its start; of one also with its index and bundle."""
        shards = self._shards(WIDE)
        worker("encode", source=str(self._log(WIDE)), shards=str(shards))
        return [{**way, **watched(shards=str(shards), batch=max(16, 1_024 // self.by), **way)} for way in MEMORY]

    def plan(self) -> dict:
        """What `shortlist plan` says of the whole log."""
        return worker("plan", source=str(self._log(LARGE)), sample=2_000 if self.quick else 2_000_000)

    def shuffle(self) -> dict:
        """Accuracy with buffers of several sizes."""
        return worker("shuffle", seeds=2 if self.quick else 5)

    def _trained(self, users: int, items: int, **options: object) -> dict:
        size = {"rows": MIDDLE["rows"], "users": users, "items": items}
        if not (self._shards(size) / "manifest.json").exists():
            worker("encode", source=str(self._log(size)), shards=str(self._shards(size)))
        return worker("train", shards=str(self._shards(size)), seconds=self.seconds, **options)

    def _log(self, size: dict) -> Path:
        folder = log(*(value // self.by for value in size.values()))
        if self.quick:  # as many files as there are at full size
            import polars as pl

            frame = pl.read_parquet(folder)
            for number in range(20):
                part = frame.slice(number * len(frame) // 20, len(frame) // 20)
                part.write_parquet(folder / f"{number:03}.parquet")
        return folder

    def _shards(self, size: dict) -> Path:
        return PLACE / ("shards-" + "-".join(str(value // self.by) for value in size.values()))


def worker(task: str, **options: object) -> dict:
    """Runs a measurement in a process of its own and returns its result; what it says goes to stderr."""
    command = [sys.executable, "-m", "benchmarks.scale.worker", task, json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result = json.loads(done.stdout)
    print(task, options, {key: value for key, value in result.items() if key != "tables"}, file=sys.stderr)
    return result


def watched(processes: int, **options: object) -> dict:
    """Runs `benchmarks.scale.memory` in so many processes; the peaks of each, by phase."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        told = json.dumps({"folder": folder, "bundle": processes == 1, **options})
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*start, "-m", "benchmarks.scale.memory", told], env=environment, check=True)
        found = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(processes)]
    result = {"ids": found[0]["ids"], "tables": found[0]["tables"], "state": found[0]["state"]}
    result["phases"] = [one["phases"] for one in found]
    print("memory", processes, options, result, file=sys.stderr)
    return result


def keep(part: str, result: object) -> None:
    """Puts a part's result into the file, beside the others."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found[part] = {"environment": environment(), "command": f"python -m benchmarks.scale {part}", "result": result}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


PARTS = (
    "encode",
    "another_day",
    "train",
    "rows",
    "ratio",
    "histories",
    "vocabulary",
    "tables",
    "memory",
    "plan",
    "shuffle",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*PARTS, "data", "all", "page"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--whole", action="store_true", help="with train: the whole epoch, a quarter of an hour")
    chosen = parser.parse_args()
    bench = Bench(chosen.quick, chosen.whole)
    if chosen.part == "page":
        from benchmarks.scale.page import write

        write()
        return
    if chosen.part == "data":  # written beforehand, so that no part's time goes into it
        for size in (MIDDLE, LARGE, WIDE, *({"rows": MIDDLE["rows"], "users": u, "items": i} for u, i in VOCABULARIES)):
            print(bench._log(size))
        return
    for part in PARTS if chosen.part == "all" else (chosen.part,):
        result = getattr(bench, part)()
        if chosen.quick:
            print(json.dumps(result, indent=1))
        else:
            keep(part, result)


if __name__ == "__main__":
    main()
