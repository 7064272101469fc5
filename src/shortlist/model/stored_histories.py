"""Histories of interactions that stay on disk: windows in mapped files for training, lists for later requests."""

from __future__ import annotations

import numpy as np
import polars as pl

from shortlist.data import Shards
from shortlist.data.shards import OrderedRows, file_next_to, parts_of
from shortlist.features import Sequences
from shortlist.features.history import history_table, last_of_each, windows_of
from shortlist.model.history_inputs import longest_of, settled
from shortlist.model.tower import Tower

__all__ = ["stored_histories", "with_stored_histories"]


def stored_histories(query: Tower, candidate: Tower, train: Shards, ordered: OrderedRows) -> dict[str, Sequences]:
    """Each history of the query tower, by name, in mapped files: one window per place of ``ordered``.

    They are what ``training_histories`` makes of the same rows in the same order, some million rows at a time: a window never leaves
    its query.

    Raises:
        ConfigError: as ``training_histories``.
        DataError: where the disk has no room.
    """
    encoded = {}
    for name, history in query.histories.items():
        context, vocabulary, code_of = settled(history, candidate, train, ordered.time is not None)
        codes = file_next_to(train.folder, ordered.rows, np.int32, "histories")
        edges = [file_next_to(train.folder, ordered.rows, np.int64, "histories") for _ in range(2)]
        left_out = file_next_to(train.folder, ordered.rows, np.int64, "histories") if context == "others" else None
        done = 0
        for begin, end in parts_of(ordered.offsets):
            part = slice(int(ordered.offsets[begin]), int(ordered.offsets[end]))
            candidates, time = ordered.candidate[part], None if ordered.time is None else ordered.time[part]
            windows = windows_of(ordered.query[part], candidates, time, history.length, context)
            kept = len(windows.order)
            codes[done : done + kept] = code_of[candidates[windows.order]]
            for edge, values in zip(edges, (windows.start, windows.stop), strict=True):
                edge[part] = values + done
            if left_out is not None and windows.left_out is not None:
                left_out[part] = np.where(windows.left_out < 0, -1, windows.left_out + done)
            done += kept
        encoded[name] = Sequences(
            codes[:done], edges[0], edges[1], left_out, vocabulary.cardinality, history.length, stored=True
        )
    return encoded


def with_stored_histories(query: Tower, table: pl.DataFrame, train: Shards, ordered: OrderedRows) -> pl.DataFrame:
    """``table`` with a list column for each history of the tower, as ``with_histories`` makes it."""
    ids = train.queries[train.query]
    chosen = train.candidates[train.candidate]
    for history in longest_of(query):
        offsets, items = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
        for begin, end in parts_of(ordered.offsets):
            part = slice(int(ordered.offsets[begin]), int(ordered.offsets[end]))
            time = None if ordered.time is None else ordered.time[part]
            own, candidates = ordered.query[part] - begin, ordered.candidate[part]
            ends, places = last_of_each(own, candidates, time, end - begin, history.length, history.context or "past")
            offsets.append(ends[1:] + offsets[-1][-1])
            items.append(candidates[places])
        listed = chosen.gather(np.concatenate(items))
        table = history_table(table, history.column, train.query, ids, np.concatenate(offsets), listed)
    return table
