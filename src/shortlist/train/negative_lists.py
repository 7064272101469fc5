"""Lists that negatives are chosen from, or kept out of: what each query chose, was shown, or names as not chosen; read once, from data in
memory or from shards.
"""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import torch
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.data.id_map import IdMap
from shortlist.data.shards import as_lists, chosen_by_query
from shortlist.errors import ConfigError, DataError, ShortlistWarning, did_you_mean
from shortlist.loss import Retrieval
from shortlist.model import EncodedDataset
from shortlist.model.stored_inputs import StoredNumbers
from shortlist.train.processes import Processes
from shortlist.train.ragged import Ragged

__all__ = ["check_negatives", "given_negatives", "known_candidates", "owners_of", "shown_negatives"]


def owners_of(train: Dataset | Shards, encoded: EncodedDataset, device: torch.device) -> Tensor | StoredNumbers | None:
    """The query of each row that the query tower reads, int64 ``[query rows]``; None where a row's number says it."""
    if isinstance(train, Shards):
        ordered = encoded.ordered
        return None if ordered is None else StoredNumbers(torch.from_numpy(ordered.query), device)
    owner = np.zeros(int(encoded.query_rows.max()) + 1, dtype=np.int64)
    owner[encoded.query_rows] = train.query_rows
    return torch.from_numpy(owner).to(device)


def known_candidates(train: Dataset | Shards, processes: Processes) -> Ragged:
    """The candidates that each query chose, ascending; from shards, in a file, and with several processes only for the
    queries of this one."""
    if isinstance(train, Shards):
        offsets, values = chosen_by_query(train, processes.rank, processes.size)
        return Ragged(torch.from_numpy(offsets), torch.from_numpy(values))
    return Ragged.ascending(train.query_rows, train.candidate_rows, len(train.queries), len(train.candidates))


def check_negatives(task: Retrieval, train: Shards) -> None:
    """ConfigError for a column of negatives that the shards do not keep."""
    if task.negative_column is not None and task.negative_column != train.negatives:
        kept = "no negatives" if train.negatives is None else f"those of {train.negatives!r}"
        raise ConfigError(
            f"negative_column is {task.negative_column!r}; the shards keep {kept}.",
            hint=f"Shards.encode(…, negatives={task.negative_column!r})",
        )


def given_negatives(train: Dataset, column: str) -> Ragged:
    """The negatives in a column of the interactions, by interaction, as rows of the candidates. DataError where they have none."""
    if column not in train.interactions.columns:
        raise DataError(
            f"negative_column is {column!r}, which the interactions do not have.",
            hint=did_you_mean(column, train.interactions.columns),
        )
    values = train.interactions[column]
    exploded = pl.DataFrame({"row": np.arange(len(values)), "id": as_lists(values)}).explode("id").drop_nulls("id")
    rows = IdMap(train.candidates[train.candidate]).find(exploded["id"].alias(column))
    _warn_unknown(int((rows < 0).sum()), len(rows), f"negatives in column {column!r}")
    known = rows >= 0
    return Ragged.of(exploded["row"].to_numpy()[known], rows[known], len(values))


def shown_negatives(train: Dataset | Shards, shown: Dataset, chosen: Ragged) -> Ragged:
    """The candidates that were shown to each query of ``train`` and that it did not choose there, as rows of its candidates.

    Args:
        shown: a row for each candidate shown to a query.
        chosen: the candidates that each query chose.

    Raises:
        DataError: for anything but a Dataset.
        ConfigError: where its id columns are others.
    """
    if not isinstance(shown, Dataset):
        raise DataError(
            f"fit() got impressions={type(shown).__name__}; a Dataset was expected.",
            hint="Dataset(table, query=..., candidate=...), a row for each candidate shown to a query and not chosen",
        )
    if (shown.query, shown.candidate) != (train.query, train.candidate):
        raise ConfigError(
            f"the impressions' ids are {shown.query!r} and {shown.candidate!r}; "
            f"those of the training data are {train.query!r} and {train.candidate!r}.",
            hint="use the column names of the training data in the impressions",
        )
    sides = (
        (train.queries[train.query], shown.queries[shown.query], shown.query_rows),
        (train.candidates[train.candidate], shown.candidates[shown.candidate], shown.candidate_rows),
    )
    query, candidate = (IdMap(own).find(other)[rows] for own, other, rows in sides)
    known = (query >= 0) & (candidate >= 0)
    _warn_unknown(int((~known).sum()), len(known), "impressions")
    keys = np.unique(query[known] * len(train.candidates) + candidate[known])
    owner, value = (torch.from_numpy(part) for part in np.divmod(keys, len(train.candidates)))
    keys = keys[~chosen.to(torch.device("cpu")).holds(owner, value).numpy()]
    return Ragged.of(keys // len(train.candidates), keys % len(train.candidates), len(train.queries))


def _warn_unknown(unknown: int, total: int, what: str) -> None:
    if unknown:
        warnings.warn(
            f"{unknown:,} of {total:,} {what} have an id that is not in the training data's tables; they are left out.",
            ShortlistWarning,
            stacklevel=6,
        )
