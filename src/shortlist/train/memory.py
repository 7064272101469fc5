"""Whether the tables of a run fit, before they are made: a run that starts should be able to finish."""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.shards import available_memory
from shortlist.errors import ConfigError
from shortlist.features import Feature, Hashing
from shortlist.model import Tower, TwoTower
from shortlist.model.tower import IDS
from shortlist.train.optimizers import Optimizer
from shortlist.train.processes import Processes

__all__ = ["check_memory"]


def check_memory(
    model: TwoTower, train: Dataset | Shards, optimizer: Optimizer, processes: Processes, device: torch.device
) -> None:
    """Check that tables of ids and their optimizer state fit in the memory of this machine, or of its GPU.

    These are most of the memory of a run; what the rest takes is not known yet, so that a run may be too large that passes.

    Raises:
        ConfigError: where they do not.
    """
    weights, state = _table_bytes(model, train, device), _state_bytes(model, train, optimizer, device)
    on_gpu = device.type == "cuda"
    here = 1 if on_gpu else min(processes.size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    need = (weights + state) * here // processes.size
    there_is = torch.cuda.mem_get_info(device)[0] if on_gpu else available_memory()
    if need <= there_is:
        return
    of_part = "" if processes.size == 1 else f" as its part among {processes.size} processes"
    raise ConfigError(
        f"training needs at least {need / 1e9:.1f} GB {'on each GPU' if on_gpu else 'of memory on this machine'}{of_part}: tables of "
        f"{weights / 1e9:.1f} GB and {state / 1e9:.1f} GB of state of {type(optimizer).__name__}, and {there_is / 1e9:.1f} GB are "
        "available.",
        hint="a smaller dim, RowwiseAdagrad, table_dtype='bfloat16', table_folder=, min_count= or more processes (torchrun) take "
        "less; shortlist plan forecasts each phase",
    )


def _table_bytes(model: TwoTower, train: Dataset | Shards, device: torch.device) -> int:
    """Bytes of the tables of ids that are kept in memory."""
    return sum(
        rows * width * (2 if tower.storage.dtype == "bfloat16" else 4)
        for tower, rows, width in _tables(model, train, device)
    )


def _state_bytes(model: TwoTower, train: Dataset | Shards, optimizer: Optimizer, device: torch.device) -> int:
    """Bytes of the optimizer's state of these tables."""
    return sum(
        rows * sum(slot.numel() for slot in optimizer.slots(torch.zeros(1, width))) * 4
        for _, rows, width in _tables(model, train, device)
    )


def _tables(model: TwoTower, train: Dataset | Shards, device: torch.device) -> list[tuple[Tower, int, int]]:
    """Rows and width of each table of ids that will be made, and its tower."""
    found = []
    sides = (
        (model.query, train.query, train.query_counts),
        (model.candidate, train.candidate, train.candidate_counts),
    )
    for tower, ids, counts in sides:
        if tower.built or (tower.storage.folder is not None and device.type == "cpu"):
            continue
        single = len(tower.features) == 1 and tower.shape.plain
        for feature in tower.features.values():
            if feature.kind in IDS and feature.column == ids:
                width = feature.dim or tower.dim * (tower.heads if single else 1)
                found.append((tower, _rows(feature, counts), width))
    return found


def _rows(feature: Feature, counts: NDArray[np.integer]) -> int:
    """Rows that the table of a feature of ids will have, at least.

    Args:
        counts: interactions of each id.
    """
    if isinstance(feature, Hashing):
        return feature.buckets + 1
    if feature.fitted:
        return feature.encode(pl.Series(feature.column, [None])).cardinality  # type: ignore[union-attr]
    return 1 + int(np.count_nonzero(counts >= getattr(feature, "min_count", 1)))
