"""A test set encoded once: the towers' inputs, the pairs, and what a scorer's vectors make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset
from shortlist.errors import ConfigError
from shortlist.evaluation.diagnostics import findings, warn_of
from shortlist.evaluation.pairs import TestPairs
from shortlist.evaluation.ranks import Hidden, found_ranks, ranks
from shortlist.model import TowerInputs, TwoTower, vectors_of

__all__ = ["DEFAULT_KS", "Validator", "checked_weights"]

DEFAULT_KS = (1, 5, 10, 50, 100)


class Validator:
    """A test set encoded once, to be measured as often as the model changes."""

    def __init__(
        self,
        model: TwoTower,
        test: Dataset,
        ks: Sequence[int] = DEFAULT_KS,
        seen: Dataset | None = None,
        weighted: bool = False,
    ) -> None:
        check_ks(ks)
        self.weights = checked_weights(test, weighted)
        self.model = model
        self.ks = tuple(ks)
        self.pairs = TestPairs.of(model, test, seen)
        self.hidden = None if seen is None else self.pairs.hidden(seen, model.device)
        self.pair_query = torch.from_numpy(self.pairs.pair_query).to(model.device)
        self.pair_candidate = torch.from_numpy(self.pairs.pair_candidate).to(model.device)

    @property
    def candidate_ids(self) -> pl.Series:
        """Raw ids of the catalogue, by row."""
        return self.pairs.candidates[self.model.catalogue.candidate]

    @cached_property
    def inputs(self) -> tuple[TowerInputs, TowerInputs]:
        """Both towers' inputs: the asked queries, the catalogue."""
        model, pairs = self.model, self.pairs
        query = model.query.encode(pairs.queries, "the test data's queries")
        candidate = model.candidate.encode(pairs.candidates, "the candidates' table")
        return TowerInputs.of(query, model.device), TowerInputs.of(candidate, model.device)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """The model's query vectors ``[queries, dim]`` (or with heads) and candidate vectors ``[candidates, dim]``."""
        query, candidate = self.inputs
        vectors = self.model.split_heads(vectors_of(self.model.query, query))
        return vectors, vectors_of(self.model.candidate, candidate)

    def popularity(self) -> tuple[Tensor, Tensor]:
        """Vectors of one dimension whose product is a candidate's training count, whatever the query."""
        counts = self.model.catalogue.counts
        padded = np.zeros((len(self.pairs.candidates), 1), dtype=np.float32)
        padded[: len(counts), 0] = counts
        device = self.model.device
        return torch.ones(len(self.pairs.queries), 1, device=device), torch.from_numpy(padded).to(device)

    def accuracies(self, query: Tensor, candidate: Tensor, hidden: Hidden | None = None) -> dict[str, float]:
        """Share of pairs with rank at most k, for each k; each by its weight, where ``weighted`` was asked for."""
        rank = found_ranks(ranks(query, candidate, self.pair_query, self.pair_candidate, hidden), len(candidate))
        if self.weights is not None:
            weight = torch.from_numpy(self.weights).to(rank.device)
            return {f"top_{k}": float(weight[rank <= k].sum() / weight.sum()) for k in self.ks}
        return {f"top_{k}": int((rank <= k).sum()) / len(rank) for k in self.ks}

    def top_k(self) -> dict[str, float]:
        """The model's accuracies as it is now; seen items left out where ``seen`` was given."""
        return self.accuracies(*self.vectors(), self.hidden)

    def warn(self, training: Iterable[Mapping[str, Any]] = ()) -> None:
        """A ShortlistWarning for each thing that is wrong with the model as it is now; ``training`` as in ``diagnose``."""
        warn_of(findings(self.model, self.pairs, self.inputs[1], training), stacklevel=4)


def checked_weights(test: Dataset, weighted: bool) -> NDArray[np.float64] | None:
    """The weight of each test pair, or None where each counts once. ConfigError where there are none to weigh by."""
    if not weighted:
        return None
    if test.weights is None:
        raise ConfigError("weighted=True needs a weight column in the test data.", hint="Dataset(…, weight=…)")
    return test.weights.astype(np.float64)


def check_ks(ks: Sequence[int]) -> None:
    """Raise ConfigError unless every k is a whole number of at least 1."""
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ConfigError(f"ks holds {k!r}; whole numbers of at least 1 were expected.")
    if not ks:
        raise ConfigError("ks is empty; at least one k was expected.", hint="ks=(1, 10, 100)")
