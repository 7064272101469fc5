"""What the tests of several processes run in each of them: every case is trained, rank 0 writes down what came of it.

``python processes.py FOLDER [WAY]``, under torchrun or alone; WAY: how it ends badly. In float64, so that only the order of sums differs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import shortlist as sl
from shortlist.train.batches import Batch, Interactions

RANK, SIZE = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
QUERIES, CANDIDATES, ROWS = 23, 17, 211


OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 48, "ks": (1, 5), "seed": 3}


def choices() -> sl.Dataset:
    """Readers choose books of unequal popularity; reader 0 chooses a third of all, and ages come in three groups."""
    draw = np.random.default_rng(7)
    readers = np.where(draw.random(ROWS) < 0.3, 0, draw.integers(0, QUERIES, ROWS))
    books = (draw.random(ROWS) ** 2 * CANDIDATES).astype(np.int64)
    rows = {
        "reader": readers,
        "book": books,
        "when": np.arange(ROWS),
        "stars": draw.integers(1, 4, ROWS).astype(float),
        "shelf": np.arange(ROWS) % 4,
    }
    age = [f"age {number % 3}" for number in range(QUERIES)]
    return sl.Dataset(
        rows, "reader", "book", timestamp="when", queries={"reader": np.arange(QUERIES), "age": age}, weight=None
    )


def towers(query: dict[str, Any] | None = None, candidate: dict[str, Any] | None = None) -> sl.TwoTower:
    return sl.TwoTower(
        sl.Tower(sl.IntegerLookup("reader"), dim=6, **(query or {})),
        sl.Tower(sl.IntegerLookup("book"), dim=6, **(candidate or {})),
    )


def deep() -> sl.TwoTower:
    """An id, a feature whose rows all processes touch, and layers."""
    query = sl.Tower(sl.IntegerLookup("reader"), sl.Category("age"), dim=6, hidden=(8,))
    return sl.TwoTower(query, sl.Tower(sl.IntegerLookup("book"), dim=6, bias=True, normalize=True))


def in_context() -> sl.TwoTower:
    """Reads a column of the interactions."""
    query = sl.Tower(sl.IntegerLookup("reader"), sl.Category("shelf"), dim=6)
    return sl.TwoTower(query, sl.Tower(sl.IntegerLookup("book"), dim=6))


def reading(encoder: str, **options: Any) -> sl.TwoTower:
    """A history that shares the candidates' table."""
    history = sl.History(length=5, encoder=encoder, dropout=0.0, **options)
    return sl.TwoTower(sl.Tower(history, dim=6), sl.Tower(sl.IntegerLookup("book"), dim=6))


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "tutorial": (towers, {}),
    "corrected": (towers, {"task": sl.Retrieval(log_q="counts", temperature=0.5), "optimizer": sl.Adam(0.02)}),
    "with copies": (towers, {"task": sl.Retrieval(remove_accidental_hits=False), "optimizer": sl.SGD(0.05)}),
    "streaming": (towers, {"task": sl.Retrieval(log_q="streaming"), "optimizer": sl.AdamW(0.02)}),
    "mixed": (towers, {"task": sl.Retrieval(negatives=sl.Mixed(9), log_q="counts", mask_known=True)}),
    "catalogue": (deep, {"task": sl.Retrieval(negatives=sl.WholeCatalogue(), loss=sl.Softmax(label_smoothing=0.1))}),
    "bsl": (towers, {"task": sl.Retrieval(loss=sl.BSL(exponent=1.2))}),
    "bpr": (towers, {"task": sl.Retrieval(loss=sl.BPR(), hardest=4)}),
    "heads": (lambda: towers({"heads": 2}), {"task": sl.Retrieval(learn_temperature=True)}),
    "deep": (deep, {"task": sl.Retrieval(temperature=0.2), "optimizer": sl.Adam(0.02)}),
    "history": (lambda: reading("mean"), {}),
    "sequence": (lambda: reading("gru", layers=1), {"optimizer": sl.Adam(0.02)}),
    "from disk": (towers, {"task": sl.Retrieval(log_q="counts")}),
    "from disk, in context": (in_context, {"task": sl.Retrieval(negatives=sl.WholeCatalogue(), mask_known=True)}),
    "from disk, mixed": (towers, {"task": sl.Retrieval(negatives=sl.Mixed(9), log_q="counts")}),
    "from disk, heads": (lambda: towers({"heads": 2}), {"task": sl.Retrieval(negatives=sl.WholeCatalogue())}),
    "from disk, bsl": (towers, {"task": sl.Retrieval(loss=sl.BSL(exponent=1.2))}),
    "from disk, sequence": (lambda: reading("gru", layers=1), {"optimizer": sl.Adam(0.02)}),
    "tiny batches": (towers, {"batch_size": 3, "epochs": 1}),
}

CASES_OF_FOUR = ("corrected", "mixed", "deep", "history", "from disk", "tiny batches")  # what differs with their number


def main(folder: Path) -> None:
    """Trains every case; of four processes, which the others' machinery does not tell apart from two, some."""
    data, said = choices(), {}
    shards = streamed(data, folder / f"log {RANK}")
    for name in CASES_OF_FOUR if SIZE == 4 else CASES:
        model, options = CASES[name]
        trained = model()
        given = {**OPTIONS, "validation": data, **options}
        history = sl.fit(trained, shards if name.startswith("from disk") else data, **given)
        if RANK == 0:
            np.savez(folder / f"{name}.npz", **found(trained, history))
    if RANK:
        try:
            sl.evaluate(trained, data)
        except sl.ShortlistError as error:
            said = {"error": type(error).__name__, "message": error.message}
    if SIZE > 1:
        try:
            sl.fit(towers(), data, seed=RANK)
        except sl.TrainingError as error:
            said["other seed"] = error.message
        (folder / f"rank {RANK}.json").write_text(json.dumps(said))


def streamed(data: sl.Dataset, folder: Path) -> sl.Shards:
    """The same choices on disk, in pieces that are smaller than a batch."""
    folder.mkdir()
    data.interactions.write_parquet(folder / "choices.parquet")
    options = {"block_rows": 16, "piece_rows": 64, "context": ["shelf"], "timestamp": "when"}
    shards = sl.Shards.encode(
        folder / "choices.parquet", folder / "shards", query="reader", candidate="book", weight="stars", **options
    )
    return shards.with_buffer(100)


def found(model: sl.TwoTower, history: sl.TrainingHistory) -> dict[str, Any]:
    """Weights and figures of a run."""
    values = {key: value.numpy() for key, value in model.state_dict().items()}
    figures = {f"epoch {one.number}": np.array([one.loss, one.chance, *one.metrics.values()]) for one in history}
    return values | figures


def resumed(run: Path) -> dict[str, Any]:
    """The case "deep", with checkpoints after every second batch of its ten."""
    model, options = CASES["deep"]
    trained, data = model(), choices()
    checkpoints = sl.Checkpoints(run, every=2, resume=True)
    history = sl.fit(trained, data, **{**OPTIONS, **options}, validation=data, checkpoints=checkpoints)
    return found(trained, history) if RANK == 0 else {}


def fail(way: str) -> None:
    """Rank 1 dies in its eighth batch, the third of the second epoch."""
    whole, batches = Interactions.batch, iter(range(100))

    def until_the_eighth(self: Interactions, chosen: torch.Tensor) -> Batch:
        if RANK == 1 and next(batches) == 7:
            if way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise sl.DataError("the disk under /data is full")
        return whole(self, chosen)

    Interactions.batch = until_the_eighth  # type: ignore[method-assign]
    resumed(FOLDER / "run") if way == "killed" else sl.fit(towers(), choices(), **OPTIONS)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("ignore")
    FOLDER = Path(sys.argv[1])
    if len(sys.argv) == 2:
        main(FOLDER)
    elif sys.argv[2] == "resumed":
        figures = resumed(FOLDER / "run")
        if RANK == 0:
            np.savez(FOLDER / "resumed.npz", **figures)
    else:
        fail(sys.argv[2])
