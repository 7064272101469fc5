"""The old place of the room ``shortlist.tuning``: its names still work from here, with a DeprecationWarning."""

from __future__ import annotations

import warnings
from typing import Any

from shortlist._above import room_above

_RENAMED = {"tune": "tune_index"}


def __getattr__(name: str) -> Any:
    new = _RENAMED.get(name, name)
    room = room_above("tuning")
    if new not in room.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"shortlist.index.tuning.{name} has moved to shortlist.tuning.{new}.", DeprecationWarning, stacklevel=2
    )
    return getattr(room, new)
