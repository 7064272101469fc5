"""How a room uses one above it: the package hands the upper room down here, so that no import points upwards.

``shortlist/__init__.py``, which runs before any room, says how to load each; ``room_above`` loads it at its first use.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

__all__ = ["provide", "room_above"]

_rooms: dict[str, Callable[[], ModuleType]] = {}


def provide(name: str, load: Callable[[], ModuleType]) -> None:
    """Makes a room available to those below it."""
    _rooms[name] = load


def room_above(name: str) -> ModuleType:
    """The room of this name, loaded if it was not."""
    return _rooms[name]()
