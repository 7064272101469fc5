"""Interactions that do not fit in memory: encoded once from Parquet into integers on disk."""

from __future__ import annotations

from shortlist.data.shards.chosen import chosen_by_query
from shortlist.data.shards.growth import BusyError, InUseError
from shortlist.data.shards.interactions import interactions_of, places_of
from shortlist.data.shards.shards import Rows, Shards
from shortlist.data.shards.sizes import available_memory, memory_of, row_bytes
from shortlist.data.source import Source, find

__all__ = [
    "BusyError",
    "InUseError",
    "Rows",
    "Shards",
    "Source",
    "available_memory",
    "chosen_by_query",
    "find",
    "interactions_of",
    "memory_of",
    "places_of",
    "row_bytes",
]
