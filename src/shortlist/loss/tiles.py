"""How large a tile of scores is, by the device that computes it."""

from __future__ import annotations

from functools import lru_cache

import torch

__all__ = ["elements_on"]

PART = 64  # of a GPU's memory that a tile of float32 may take


@lru_cache
def elements_on(device: torch.device, on_processor: int) -> int:
    """How many scores are in memory at a time: on a processor what its cache holds, on a GPU a part of its memory.

    Args:
        device: that computes them.
        on_processor: how many on a processor; no fewer elsewhere.
    """
    if device.type != "cuda":
        return on_processor
    return max(on_processor, int(torch.cuda.get_device_properties(device).total_memory) // (PART * 4))
