"""Interactions that do not fit in memory: encoded once from Parquet into integers on disk."""

from __future__ import annotations

from shortlist.data.shards.blocks import Rows
from shortlist.data.shards.by_query import OrderedRows, chosen_by_query, file_next_to, ordered_by_query, parts_of
from shortlist.data.shards.growth import BusyError, InUseError
from shortlist.data.shards.interactions import interactions_of, places_of
from shortlist.data.shards.list_column import ListColumn, as_lists
from shortlist.data.shards.shards import Shards
from shortlist.data.shards.sizes import available_memory, memory_of, row_bytes
from shortlist.data.source import Source, find

__all__ = [
    "BusyError",
    "InUseError",
    "ListColumn",
    "OrderedRows",
    "Rows",
    "Shards",
    "Source",
    "as_lists",
    "available_memory",
    "chosen_by_query",
    "file_next_to",
    "find",
    "interactions_of",
    "memory_of",
    "ordered_by_query",
    "parts_of",
    "places_of",
    "row_bytes",
]
