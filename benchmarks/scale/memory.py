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

import shortlist as sl
from benchmarks.scale.worker import OPTIMIZERS, towers

PAUSE = 0.002


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


def work(
    shards: str, folder: str, batch: int, dim: int = 64, optimizer: str = "Adagrad", dtype: str = "float32"
) -> None:
    """Trains an epoch with a checkpoint in the middle and one after the last step, then makes an index and a bundle."""
    rank = int(os.environ.get("RANK", "0"))
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
        recommender = sl.Recommender(model, index=sl.ScaNN())
        watch.end("index")
        recommender.save(Path(folder) / "my.shortlist")
        watch.end("save")
    (Path(folder) / f"{rank}.json").write_text(json.dumps({**found, "start": watch.start, "phases": watch.phases}))


if __name__ == "__main__":
    work(**json.loads(sys.argv[1]))
