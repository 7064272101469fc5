"""One run whose memory is watched, alone or under torchrun: `python -m benchmarks.scale.memory JSON`, which writes FOLDER/RANK.json.

Anonymous memory alone is counted (RssAnon): pages of mapped files leave memory when others need it.
"""

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

import shortlist as sl
from benchmarks.scale.worker import OPTIMIZERS, towers
from shortlist.index import choose_index

PAUSE = 0.01


def anonymous() -> int:
    """Bytes of anonymous memory that this process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


class Watch:
    """The most anonymous memory of each phase, above what the process held at the start."""

    def __init__(self) -> None:
        gc.collect()
        self.start = self.most = anonymous()
        self.phases: dict[str, int] = {}
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, anonymous())
            time.sleep(PAUSE)

    def end(self, phase: str) -> None:
        """Keeps the peak of the phase that ends now."""
        self.phases[phase] = max(self.most, anonymous()) - self.start
        self.most = anonymous()


def warm_up(dim: int) -> None:
    """Trains and indexes a little, so that the memory of libraries that have begun to work is there from the start."""
    few = {"user_id": np.arange(64), "item_id": np.arange(64) % 8}
    sl.fit(towers(4), sl.Dataset(few, "user_id", "item_id"), epochs=1, batch_size=32, device="cpu")
    vectors = np.random.default_rng(0).standard_normal((1_000, dim), dtype=np.float32)
    choose_index(10**5, dim)[0].build(vectors)


def work(
    shards: str,
    folder: str,
    batch: int,
    bundle: bool,
    dim: int = 96,
    optimizer: str = "Adagrad",
    dtype: str = "float32",
) -> None:
    """Trains an epoch with two checkpoints, then makes an index and a bundle."""
    rank = int(os.environ.get("RANK", "0"))
    warm_up(dim)
    watch = Watch()
    data = sl.Shards.load(shards)
    model = towers(dim, dtype)
    watch.end("data")
    half = -(-len(data) // batch) // 2

    def on_batch(done: int, total: int) -> None:
        if done == batch:
            watch.end("build")
        elif done == batch * half:
            watch.end("steps")
        elif done == batch * (half + 1):
            watch.end("checkpoint")

    kept = sl.Checkpoints(Path(folder) / "run", every=half)
    sl.fit(model, data, task=sl.Retrieval(log_q="counts"), optimizer=OPTIMIZERS[optimizer](), epochs=1, batch_size=batch,
           checkpoints=kept, on_batch=on_batch, device="cpu")  # fmt: skip
    watch.end("end")
    tables = [part for part in model.modules() if hasattr(part, "touched")]
    found = {"ids": len(data.queries) + len(data.candidates), "tables": sum(table.weight.nbytes for table in tables)}
    if rank == 0:
        assert model.optimizer_state is not None
        found["state"] = sum(slot.nbytes for slot in model.optimizer_state.slots.values())
    if bundle:
        recommender = sl.Recommender(model)
        watch.end("index")
        recommender.save(Path(folder) / "my.shortlist")
        watch.end("save")
    (Path(folder) / f"{rank}.json").write_text(json.dumps({**found, "start": watch.start, "phases": watch.phases}))


if __name__ == "__main__":
    work(**json.loads(sys.argv[1]))
