"""Test pairs as row numbers: which queries are asked, which candidates compete, which pairs count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.errors import DataError
from shortlist.evaluation.ranks import Hidden
from shortlist.features import Vocabulary
from shortlist.model import Catalogue, TwoTower, query_table

__all__ = ["TestPairs"]


@dataclass(frozen=True, eq=False)
class TestPairs:
    """The pairs of a test set over its distinct queries and one catalogue.

    queries: the distinct query rows asked, with the query tower's columns. candidates: the catalogue, one row per id.
    pair_query: int64 ``[pairs]``, rows of ``queries``; pair_candidate: int64 ``[pairs]``, rows of ``candidates``.
    query_ids: raw ids ``[queries]``. known: bool ``[queries]``, whether training had any of the query. query_counts ``[queries]``, candidate_counts ``[candidates]``: training interactions
    (of queries, where ``seen`` was given; else whether they occur). new_queries, new_candidates: pairs whose query or candidate training never saw.
    """

    queries: pl.DataFrame
    candidates: pl.DataFrame
    query_ids: pl.Series
    pair_query: NDArray[np.int64]
    pair_candidate: NDArray[np.int64]
    known: NDArray[np.bool_]
    query_counts: NDArray[np.int64]
    candidate_counts: NDArray[np.int64]
    new_queries: int
    new_candidates: int

    @classmethod
    def of(cls, model: TwoTower, test: Dataset, seen: Dataset | None = None) -> TestPairs:
        """The pairs of ``test``; its catalogue is the model's, and any candidates that only ``test`` has, after it."""
        catalogue = model.catalogue
        if (test.query, test.candidate) != (catalogue.query, catalogue.candidate):
            raise DataError(
                f"the test data's ids are {test.query!r} and {test.candidate!r}; "
                f"the model was trained on {catalogue.query!r} and {catalogue.candidate!r}.",
                hint="use the column names of the training data in the test",
            )
        table, rows = query_table(model.query, test)
        asked, pair_query = np.unique(rows, return_inverse=True)
        queries = model.with_histories(table[asked], seen)
        candidates, row_of = joined_candidates(catalogue, test)
        pair_candidate = row_of[test.candidate_rows]
        counts = np.zeros(len(candidates), dtype=np.int64)
        counts[: len(catalogue.counts)] = catalogue.counts
        known = np.append(catalogue.known, False)[catalogue.query_vocabulary.encode(queries[test.query]) - 1]
        return cls(
            queries,
            candidates,
            queries[test.query],
            pair_query.astype(np.int64),
            pair_candidate,
            known,
            known.astype(np.int64) if seen is None else interactions_of(queries[test.query], seen),
            counts,
            int(np.count_nonzero(~known[pair_query])),
            int(np.count_nonzero(counts[pair_candidate] == 0)),
        )

    def __len__(self) -> int:
        return len(self.pair_query)

    def hidden(self, seen: Dataset, device: torch.device) -> Hidden:
        """What each asked query chose in ``seen``, as rows of ``queries`` and ``candidates``, sorted by query."""
        seen = seen.seen  # Events(seen_where=) may say that only some of it counts
        seen_candidates = Vocabulary(self.candidates[seen.candidate]).encode(seen.candidates[seen.candidate])
        chosen = pl.DataFrame(
            {
                "id": seen.queries[seen.query][seen.query_rows],
                "candidate": seen_candidates.astype(np.int64)[seen.candidate_rows] - 1,
            }
        ).unique()
        asked = pl.DataFrame({"id": self.query_ids, "query": np.arange(len(self.query_ids), dtype=np.int64)})
        pairs = asked.join(chosen.filter(pl.col("candidate") >= 0), on="id").sort("query", "candidate")
        return Hidden(*(torch.tensor(pairs[side].to_numpy(), device=device) for side in ("query", "candidate")))


def interactions_of(query_ids: pl.Series, seen: Dataset) -> NDArray[np.int64]:
    """How many interactions of ``seen`` each query has, int64 ``[queries]``."""
    counts = np.bincount(seen.query_rows, minlength=len(seen.queries))
    rows = Vocabulary(seen.queries[seen.query]).encode(query_ids).astype(np.int64) - 1
    return np.where(rows >= 0, counts[rows], 0)


def joined_candidates(catalogue: Catalogue, test: Dataset) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The model's catalogue with the candidates that only ``test`` has appended, and the row of each of test's."""
    own = catalogue.candidates
    if test.candidates is own:
        return own, np.arange(len(own), dtype=np.int64)
    rows = catalogue.candidate_vocabulary.encode(test.candidates[test.candidate]).astype(np.int64) - 1
    new = np.flatnonzero(rows < 0)
    rows[new] = len(own) + np.arange(len(new))
    if not len(new):
        return own, rows
    return pl.concat([own, test.candidates[new]], how="diagonal_relaxed").select(own.columns), rows
