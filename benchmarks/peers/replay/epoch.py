"""RePlay's SASRec on the batches of a part of an epoch: its model, loss and optimizer; batches are padded in `sasrec.py`."""

from pathlib import Path

import lightning
import numpy as np
import torch
from replay.nn.lightning import LightningModule
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.sequential import SasRec

from benchmarks.peers.clock import Clock, threads
from benchmarks.peers.replay.sasrec import _batch, _schema, _sequences
from benchmarks.sanity import versions


def describe() -> dict:
    """Returns versions and thread counts."""
    return {"versions": versions("replay-rec", "torch", "lightning", "numpy"), "threads": threads()}


def epoch(data: Path, parameters: dict):
    """`Trainer.fit` of a new model each time."""
    tables = {
        name: list(_sequences(*(np.load(data / f"{name}-{column}.npy") for column in ("user", "item"))).values())
        for name in parameters["tables"]
    }

    def measured(name: str, batches: int) -> dict:
        table, size = parameters["tables"][name], parameters["batch_size"]
        items, length = table["items"], table["length"]
        clock = Clock(name, table["users"] / size, parameters["warm"])
        lightning.seed_everything(parameters["seed"], verbose=False)
        model = SasRec.from_params(
            _schema(items, parameters["dim"]),
            embedding_dim=parameters["dim"],
            num_heads=parameters["heads"],
            num_blocks=parameters["blocks"],
            max_sequence_length=length,
            dropout=parameters["dropout"],
        )
        loader = torch.utils.data.DataLoader(
            tables[name], size, shuffle=True, collate_fn=lambda rows: _batch(rows, length, items, targets=True)
        )
        trainer = lightning.Trainer(
            max_epochs=1,
            limit_train_batches=parameters["warm"] + batches,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        )
        trainer.fit(LightningModule(model, OptimizerFactory(learning_rate=parameters["learning_rate"])), loader)
        return clock.measures()

    def run(batches: int | None = None) -> dict:
        measures = {}
        for name, table in parameters["tables"].items():
            measures |= measured(name, batches or table["batches"])
        return measures

    run(1)
    return run
