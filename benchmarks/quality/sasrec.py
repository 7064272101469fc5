"""SASRec of RecTools and of RePlay as baselines: trained in their own environments, their lists measured like everybody's scores."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import shortlist as sl
from benchmarks.environments import MissingPeerError, peer_python
from benchmarks.quality.measures import Scorer
from benchmarks.quality.problems import Problem

PEERS = Path(__file__).parents[1] / "peers"
NAMES = {"rectools": "RecTools", "replay": "RePlay"}
REPLAY = {  # what RePlay's model is called with where the command does not say
    "embedding_dim": 128, "num_heads": 2, "num_blocks": 2, "max_sequence_length": 100, "dropout": 0.2, "epochs": 12,
    "batch_size": 128, "learning_rate": 0.001,
}  # fmt: skip


def rectools(problem: Problem, seed: int = 0, *, threads: int | None = None, **options: Any) -> Scorer:
    """Options are those of ``rectools.models.SASRecModel``; the loss is its softmax over the whole catalogue.

    A candidate in a query's list scores the more the higher it stands there; all others −∞.

    Raises ConfigError where the environment is missing or RecTools does not come to an end.
    """
    return _scorer("rectools", problem, seed, threads, options)


def replay(problem: Problem, seed: int = 0, *, threads: int | None = None, **options: Any) -> Scorer:
    """As ``rectools``, with the options of ``replay.nn.sequential.SasRec.from_params``, of ``REPLAY`` where they are not given."""
    return _scorer("replay", problem, seed, threads, REPLAY | options)


def _scorer(peer: str, problem: Problem, seed: int, threads: int | None, options: dict[str, Any]) -> Scorer:
    most = max(measure.k for measure in problem.protocol.measures)
    settings = {"k": most, "seed": seed, "threads": threads or torch.get_num_threads(), **options}
    lists = _lists(peer, problem, settings)
    place = np.full(len(problem.train.queries), -1, dtype=np.int64)
    place[problem.queries] = np.arange(len(problem.queries))

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        scores = np.full((len(rows), len(problem.train.candidates)), -np.inf, dtype=np.float32)
        found = lists[place[rows]]  # [rows, most]
        row, rank = np.nonzero(found >= 0)
        scores[row, found[row, rank]] = -rank
        return scores

    return score


def _lists(peer: str, problem: Problem, settings: dict[str, Any]) -> NDArray[np.int64]:
    try:
        python = peer_python(peer, install=True)
    except MissingPeerError as error:
        raise sl.ConfigError(f"{NAMES[peer]} {error}") from None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = {f"train_{key}": value for key, value in _in_order(problem.train).items()}
        arrays |= {f"given_{key}": value for key, value in _in_order(problem.given).items()}
        np.savez(folder / "asked.npz", asked=problem.queries, items=len(problem.train.candidates), **arrays)
        (folder / "options.json").write_text(json.dumps(settings))
        done = subprocess.run([python, PEERS / peer / "sasrec.py", folder], capture_output=True, text=True, cwd=folder)
        if done.returncode or not (folder / "lists.npy").exists():  # one that SIGTERM ends may say that all is well
            raise sl.ConfigError(f"{NAMES[peer]}'s SASRec failed: {done.stderr.strip()[-600:]}")
        lists: NDArray[np.int64] = np.load(folder / "lists.npy")
    return lists


def _in_order(data: sl.Dataset) -> dict[str, NDArray[np.int64]]:
    """Rows of users and items, by user and then by time."""
    times = np.zeros(len(data)) if data.timestamp is None else data.interactions[data.timestamp].to_numpy()
    order = np.lexsort((times, data.query_rows))
    return {"user": data.query_rows[order].astype(np.int64), "item": data.candidate_rows[order].astype(np.int64)}
