"""A mixture as a scorer: each towers' vectors of the asked queries, and the input of the other sources."""

from __future__ import annotations

import polars as pl
import torch

from shortlist.data import Dataset
from shortlist.evaluation.scorers import Mixed, Vectors
from shortlist.model import TwoTower
from shortlist.sources import Mixture

__all__ = ["mixed"]


def mixed(
    model: Mixture, vectors: Vectors, queries: pl.DataFrame, candidates: pl.DataFrame, seen: Dataset | None = None
) -> Mixed:
    """The scorer of a mixture.

    Args:
        vectors: those of the first towers, of the rows of ``queries`` and ``candidates``.
        queries: with the id's column.
        seen: choices of queries that training did not have.
    """
    towers = (vectors, *(_vectors(one, queries, candidates, seen) for one in model.others))
    histories = model.histories_of(queries[model.catalogue.query], seen)
    return Mixed(towers, model.added, model.context_of(queries, histories))


def _vectors(towers: TwoTower, queries: pl.DataFrame, candidates: pl.DataFrame, seen: Dataset | None) -> Vectors:
    """The vectors of further towers."""
    query = torch.from_numpy(towers.query_vectors(towers.with_histories(queries, seen)))
    return Vectors(towers.split_heads(query), torch.from_numpy(towers.candidate_vectors(candidates)))
