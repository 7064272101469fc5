"""Exact evaluation of many test pairs against a large catalogue, beside its matrix product alone."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

import shortlist as sl
from benchmarks.ours import KS, describe

__all__ = ["alone", "describe", "ours"]

TILE = 1024  # of the product alone: the fastest of 64 to 1024 rows by 512 to 4096 columns


def ours(data: Path, parameters: dict):
    """`evaluate`, the whole call: encoding, both towers, ranks, accuracies."""
    test = _dataset(parameters)
    model = sl.TwoTower(
        query=sl.Tower(sl.IntegerLookup("query"), dim=parameters["dim"]),
        candidate=sl.Tower(sl.IntegerLookup("candidate"), dim=parameters["dim"]),
    )
    sl.fit(model, test, optimizer=sl.Adagrad(0.1), epochs=1, batch_size=8192, seed=42)

    def run() -> dict:
        started = time.perf_counter()
        result = sl.evaluate(model, test, ks=KS, baselines=())
        seconds = time.perf_counter() - started
        top_100 = result["model"]["seen_in"]["top_100"]
        return {"seconds": seconds, "ms_per_query": seconds / parameters["queries"] * 1e3, "top_100": top_100}

    return run


def alone(data: Path, parameters: dict):
    """The product of queries and all candidates, tile by tile into one buffer, and nothing else."""
    queries = parameters["product_queries"]
    generator = torch.Generator().manual_seed(42)
    query = torch.randn(queries, parameters["dim"], generator=generator)
    candidate = torch.randn(parameters["candidates"], parameters["dim"], generator=generator)
    buffer = torch.empty(TILE * TILE)

    def run() -> dict:
        started = time.perf_counter()
        for rows in query.split(TILE):
            for columns in candidate.split(TILE):
                shape = (len(rows), len(columns))
                torch.mm(rows, columns.T, out=buffer[: shape[0] * shape[1]].view(shape))
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "ms_per_query": seconds / queries * 1e3}

    return run


def _dataset(parameters: dict) -> sl.Dataset:
    """Each query chose one candidate, so that nothing can be shared between pairs."""
    queries, candidates = parameters["queries"], parameters["candidates"]
    chosen = np.random.default_rng(42).integers(candidates, size=queries, dtype=np.int32)
    return sl.Dataset(
        pl.DataFrame({"query": np.arange(queries, dtype=np.int32), "candidate": chosen}),
        query="query",
        candidate="candidate",
        candidates=pl.DataFrame({"candidate": np.arange(candidates, dtype=np.int32)}),
    )
