"""Input of a mixture's further sources: histories, segments, and the vectors of further towers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.recommender.requests import Request, feature_table
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.sources import Context

__all__ = ["context_of", "stored_vectors"]


def context_of(
    served: Served,
    rows: NDArray[np.int64],
    more: Sequence[NDArray[np.int64]] = (),
    request: Request | None = None,
    vectors: Sequence[NDArray[np.float32]] | None = None,
    listed: NDArray[np.int64] | None = None,
) -> Context | None:
    """The context of stored queries ``rows`` (−1: one that is not stored); None for a model that is not a mixture.

    Args:
        more: candidate rows that each chose since training.
        request: with columns of its own.
        vectors: of each further towers, where they are not the stored ones.
        listed: rows of the queries' table from which columns are read, those without an interaction in training included.
    """
    added = served.state.near
    if added is None:
        return None
    if vectors is None:
        vectors = [stored_vectors(one.state, rows) for one in served.others]
    request = Request([None] * len(rows)) if request is None else request
    at = rows if listed is None else listed
    table = feature_table(request, at, at >= 0, served.state, added.reads_in_all)
    if not added.reads_in_all:
        table = pl.DataFrame({"": at})
    return Context(added.of_queries(rows, more), added.segments(table), tuple(vectors), added.groups(table))


def stored_vectors(state: State, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors that requests for these rows use (−1: of a query of which nothing is known); only where the query tower reads
    no context."""
    assert state.query_vectors is not None
    assert state.unknown_vector is not None
    vectors = state.query_vectors[rows]
    vectors[rows < 0] = state.unknown_vector
    return vectors
