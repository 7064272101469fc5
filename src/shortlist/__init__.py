"""The retrieval stage of a recommender: train a two-tower model, measure it, index and serve the top k.

Public names, of which ``__init__.pyi`` has the list, load their room on first use: importing ``shortlist`` imports nothing
else.
"""

from __future__ import annotations

import importlib
from typing import Any

from shortlist._above import provide
from shortlist._public import ROOMS, __version__

__all__ = [*sorted(ROOMS), "__version__"]


def __getattr__(name: str) -> Any:
    room = ROOMS.get(name)
    if room is None:
        from shortlist.errors import did_you_mean

        raise AttributeError(f"shortlist has no {name!r}; {did_you_mean(name, __all__)}")
    try:
        value = getattr(importlib.import_module(f"shortlist.{room}"), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        from shortlist.errors import MissingExtraError

        raise MissingExtraError("torch", "train", f"shortlist.{name}") from missing
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


provide("tuning", lambda: importlib.import_module("shortlist.tuning"))
provide("plots", lambda: importlib.import_module("shortlist.report.plots"))
