"""Which interactions are choices: those with a weight above 0, which alone count in what is learned or counted."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shortlist.data.argument_checks import check_dataset
from shortlist.data.dataset import Dataset
from shortlist.data.shards import Shards
from shortlist.errors import DataError

__all__ = ["check_choices", "choice_counts", "choices_alone", "nothing_weighs"]


def choices_alone(data: Dataset) -> Dataset:
    """The interactions with a weight above 0, over the same tables; ``data`` itself where all are."""
    if data.weights is None or bool((data.weights > 0).all()):
        return data
    return data._filtered(data.weights > 0)


def choice_counts(data: Dataset | Shards, side: Literal["query", "candidate"]) -> NDArray[np.int64]:
    """How many interactions with a weight above 0 each query or candidate has → int64 ``[rows]``."""
    if isinstance(data, Shards):
        return data._choices(side)
    counted = choices_alone(data)
    return counted.query_counts if side == "query" else counted.candidate_counts


def check_choices(train: object, where: str, *, shards: bool = False) -> None:
    """DataError for anything but a Dataset, as ``check_dataset``, and for data in which every weight is 0."""
    check_dataset(train, where, shards=shards)
    assert isinstance(train, (Dataset, Shards))
    if train.weight is not None:
        some = train._choices("candidate").any() if isinstance(train, Shards) else np.any(train.weights)
        if not some:
            raise nothing_weighs(train.weight)


def nothing_weighs(column: str | None) -> DataError:
    """The error for weights that are all 0."""
    return DataError(
        f"every weight in column {column!r} is 0, so nothing can be learned.", hint="omit weight, or check the column"
    )
