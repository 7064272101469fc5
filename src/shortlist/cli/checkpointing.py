"""``--checkpoint-dir``, ``--checkpoint-every`` and ``--resume`` as ``fit`` takes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.errors import ConfigError

if TYPE_CHECKING:
    from shortlist.train import Checkpoints

__all__ = ["checkpoints_of"]

MINUTES = {"s": 1 / 60, "sec": 1 / 60, "m": 1.0, "min": 1.0, "h": 60.0}


def checkpoints_of(folder: Path | None, every: str | None, resume: bool) -> Checkpoints | None:
    """The checkpoints that the three options describe; None without a folder. ConfigError for a text that is neither steps nor time."""
    from shortlist.train import Checkpoints

    if folder is None:
        if every is not None or resume:
            given = "--resume" if resume else "--checkpoint-every"
            raise ConfigError(f"{given} was given without --checkpoint-dir.", hint="name the run's folder")
        return None
    if every is None:
        return Checkpoints(folder, resume=resume)
    read = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(steps?|s|sec|m|min|h)", every.strip())
    if read is None:
        raise ConfigError(f"--checkpoint-every got {every!r}.", hint="for example 500steps, 30s, 5min or 1h")
    number, unit = read.groups()
    if unit.startswith("step"):
        if "." in number:
            raise ConfigError(f"--checkpoint-every got {every!r}; a whole number of steps was expected.")
        return Checkpoints(folder, every=int(number), resume=resume)
    return Checkpoints(folder, minutes=float(number) * MINUTES[unit], resume=resume)
