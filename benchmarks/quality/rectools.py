"""RecTools' SASRec as a baseline: trained in its own environment, its lists measured like everybody's scores."""

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

SCRIPT = Path(__file__).parents[1] / "peers" / "rectools" / "sasrec.py"


def sasrec(problem: Problem, seed: int = 0, *, threads: int | None = None, **options: Any) -> Scorer:
    """Options are those of ``rectools.models.SASRecModel``; the loss is its softmax over the whole catalogue.

    A candidate in a query's list scores the more the higher it stands there; all others −∞.

    Raises ConfigError where the environment is missing or RecTools does not come to an end.
    """
    most = max(measure.k for measure in problem.protocol.measures)
    settings = {"k": most, "seed": seed, "threads": threads or torch.get_num_threads(), **options}
    lists = _lists(problem, settings)
    place = np.full(len(problem.train.queries), -1, dtype=np.int64)
    place[problem.queries] = np.arange(len(problem.queries))

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        scores = np.full((len(rows), len(problem.train.candidates)), -np.inf, dtype=np.float32)
        found = lists[place[rows]]  # [rows, most]
        row, rank = np.nonzero(found >= 0)
        scores[row, found[row, rank]] = -rank
        return scores

    return score


def _lists(problem: Problem, settings: dict[str, Any]) -> NDArray[np.int64]:
    try:
        python = peer_python("rectools", install=True)
    except MissingPeerError as error:
        raise sl.ConfigError(f"RecTools {error}") from None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = {f"train_{key}": value for key, value in _in_order(problem.train).items()}
        arrays |= {f"given_{key}": value for key, value in _in_order(problem.given).items()}
        np.savez(folder / "asked.npz", asked=problem.queries, **arrays)
        (folder / "options.json").write_text(json.dumps(settings))
        done = subprocess.run([python, SCRIPT, folder], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise sl.ConfigError(f"RecTools' SASRec failed: {done.stderr.strip()[-600:]}")
        lists: NDArray[np.int64] = np.load(folder / "lists.npy")
    return lists


def _in_order(data: sl.Dataset) -> dict[str, NDArray[np.int64]]:
    """Rows of users and items, by user and then by time."""
    times = np.zeros(len(data)) if data.timestamp is None else data.interactions[data.timestamp].to_numpy()
    order = np.lexsort((times, data.query_rows))
    return {"user": data.query_rows[order].astype(np.int64), "item": data.candidate_rows[order].astype(np.int64)}
