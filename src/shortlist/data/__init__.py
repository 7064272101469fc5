"""Tables in, a checked ``Dataset`` out; splits; MovieLens."""

from __future__ import annotations

from shortlist.data import datasets
from shortlist.data.account import Account
from shortlist.data.dataset import Dataset
from shortlist.data.events import Events
from shortlist.data.filters import k_core, keep_at_least
from shortlist.data.reading import Reading
from shortlist.data.roles import TableLike
from shortlist.data.shards import Shards
from shortlist.data.split import Split, SplitReport
from shortlist.data.splits import split_by_time, split_last, split_queries, split_random
from shortlist.data.sql import read_sql

__all__ = [
    "Account",
    "Dataset",
    "Events",
    "Reading",
    "Shards",
    "Split",
    "SplitReport",
    "TableLike",
    "datasets",
    "k_core",
    "keep_at_least",
    "read_sql",
    "split_by_time",
    "split_last",
    "split_queries",
    "split_random",
]
