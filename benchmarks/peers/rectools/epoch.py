"""RecTools' SASRec, used as its documentation does, on the batches of a part of an epoch."""

from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Trainer
from rectools.models import SASRecModel

from benchmarks.peers.clock import Clock, threads
from benchmarks.peers.rectools.sasrec import _dataset
from benchmarks.sanity import versions


def describe() -> dict:
    """Returns versions and thread counts."""
    return {"versions": versions("RecTools", "torch", "pytorch-lightning", "numpy"), "threads": threads()}


def epoch(data: Path, parameters: dict):
    """`SASRecModel.fit`; its Trainer is RecTools' own but for the number of batches and the clock."""
    tables = {
        name: _dataset(*(np.load(data / f"{name}-{column}.npy") for column in ("user", "item")))
        for name in parameters["tables"]
    }

    def measured(name: str, batches: int) -> dict:
        table = parameters["tables"][name]
        clock = Clock(name, table["users"] / parameters["batch_size"], parameters["warm"])
        torch.manual_seed(parameters["seed"])
        model = SASRecModel(
            n_blocks=parameters["blocks"],
            n_heads=parameters["heads"],
            n_factors=parameters["dim"],
            session_max_len=table["length"],
            dropout_rate=parameters["dropout"],
            lr=parameters["learning_rate"],
            batch_size=parameters["batch_size"],
            loss="softmax",
            get_trainer_func=lambda: Trainer(
                max_epochs=1,
                limit_train_batches=parameters["warm"] + batches,
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[clock],
            ),
        ).fit(tables[name])
        return next(one for one in model.fit_trainer.callbacks if isinstance(one, Clock)).measures()

    def run(batches: int | None = None) -> dict:
        measures = {}
        for name, table in parameters["tables"].items():
            measures |= measured(name, batches or table["batches"])
        return measures

    run(1)
    return run
