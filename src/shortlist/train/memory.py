"""Whether the tables of a run fit, before they are made: a run that starts should be able to finish."""

from __future__ import annotations

import os

import torch

from shortlist.data import Dataset, Shards
from shortlist.data.shards import available_memory
from shortlist.errors import ConfigError
from shortlist.language import sized
from shortlist.model import TwoTower
from shortlist.train.optimizers import Optimizer
from shortlist.train.processes import Processes
from shortlist.train.room import LESS
from shortlist.train.sizes import state_bytes, table_bytes, tables_in_memory

__all__ = ["check_memory"]


def check_memory(
    model: TwoTower, train: Dataset | Shards, optimizer: Optimizer, processes: Processes, device: torch.device
) -> None:
    """Check that tables of ids and their optimizer state fit in the memory of this machine, or of its GPU.

    ``room.check_fits`` adds up the rest, where a bundle is made of the model.

    Raises:
        ConfigError: where they do not.
    """
    tables = tables_in_memory(model, train, device)
    weights, state = table_bytes(tables), state_bytes(tables, optimizer)
    on_gpu = device.type == "cuda"
    here = 1 if on_gpu else min(processes.size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    need = (weights + state) * here // processes.size
    there_is = torch.cuda.mem_get_info(device)[0] if on_gpu else available_memory()
    if need <= there_is:
        return
    of_part = "" if processes.size == 1 else f" as its part among {processes.size} processes"
    raise ConfigError(
        f"training needs at least {sized(need)} {'on each GPU' if on_gpu else 'of memory on this machine'}{of_part}: tables of "
        f"{sized(weights)} and {sized(state)} of state of {type(optimizer).__name__}, and {sized(there_is)} are "
        "available.",
        hint=LESS,
    )
