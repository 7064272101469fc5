"""Top-k accuracy on test pairs: by exact ranks over the whole catalogue, beside popularity, seen items in and out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shortlist.data import Dataset
from shortlist.errors import ConfigError
from shortlist.evaluation.diagnostics import findings, warn_of
from shortlist.evaluation.pairs import TestPairs
from shortlist.evaluation.ranks import Hidden, ranks
from shortlist.model import TowerInputs, TwoTower, vectors_of

__all__ = ["DEFAULT_KS", "Evaluation", "Validator", "evaluate"]

DEFAULT_KS = (1, 5, 10, 50, 100)

Accuracies = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Top-k accuracies of a model and of popularity on the same test pairs.

    accuracies: ``accuracies["model"]["seen_in"]["top_10"]`` is the share of pairs whose candidate is among the ten best
    of the whole catalogue for its query; ``seen_out`` leaves out what the query chose in training; ``popularity``
    ranks by training counts. pairs, queries, candidates: how many were measured. new_queries, new_candidates: pairs
    whose query or candidate training never saw. seconds: time taken.
    """

    accuracies: Mapping[str, Mapping[str, Accuracies]]
    pairs: int
    queries: int
    candidates: int
    new_queries: int
    new_candidates: int
    seconds: float

    def __getitem__(self, scorer: str) -> Mapping[str, Accuracies]:
        return self.accuracies[scorer]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        counts = {name: getattr(self, name) for name in ("pairs", "queries", "candidates")}
        new = {"new_queries": self.new_queries, "new_candidates": self.new_candidates}
        return {**{name: dict(value) for name, value in self.accuracies.items()}, **counts, **new}

    def __str__(self) -> str:
        ks = list(next(iter(next(iter(self.accuracies.values())).values())))
        titles = {"seen_in": "seen items left in", "seen_out": "seen items excluded"}
        head = f"{'':<12}{'':<21}" + "".join(f"{k.replace('_', '-'):>9}" for k in ks)
        rows = [
            f"{scorer:<12}{titles[seen]:<21}" + "".join(f"{value:>9.4f}" for value in values.values())
            for seen in titles
            for scorer, by_seen in self.accuracies.items()
            if (values := by_seen.get(seen)) is not None
        ]
        return "\n".join(
            [
                f"{self.pairs:,} test pairs of {self.queries:,} queries against {self.candidates:,} candidates"
                f" ({self.new_queries:,} with a query new to the model, {self.new_candidates:,} with a new candidate)",
                head,
                *rows,
            ]
        )


def evaluate(
    model: TwoTower,
    test: Dataset,
    *,
    seen: Dataset | None = None,
    ks: Sequence[int] = DEFAULT_KS,
    popularity: bool = True,
) -> Evaluation:
    """Top-k accuracy of ``model`` on every pair of ``test``, over the whole catalogue, by candidate id.

    A pair counts for k when fewer than k other candidates score as high as its own: ties count against the model.
    seen: usually the training data; what a query chose there is left out of its competition in ``seen_out``.
    popularity: measure ranking by training counts on the same pairs too.

    Raises ConfigError for ks that are not whole numbers of at least 1, or a model that was not trained; DataError where
    the test data's columns do not fit; TrainingError where a vector is not finite.

    Source of the metric: FactorizedTopK of TensorFlow Recommenders, here by ranks rather than lists.
    """
    started = time.perf_counter()
    validator = Validator(model, test, ks)
    pairs = validator.pairs
    scorers = {"model": validator.vectors()}
    if popularity:
        scorers["popularity"] = validator.popularity()
    hidden = None if seen is None else pairs.hidden(seen, model.device)
    columns: dict[str, Hidden | None] = {"seen_in": None} | ({} if hidden is None else {"seen_out": hidden})
    accuracies = {
        scorer: {name: validator.accuracies(*vectors, left_out) for name, left_out in columns.items()}
        for scorer, vectors in scorers.items()
    }
    seconds = time.perf_counter() - started
    sizes = (len(pairs), len(pairs.queries), len(pairs.candidates), pairs.new_queries, pairs.new_candidates)
    return Evaluation(accuracies, *sizes, seconds)


class Validator:
    """A test set encoded once, to be measured as often as the model changes."""

    def __init__(
        self, model: TwoTower, test: Dataset, ks: Sequence[int] = DEFAULT_KS, seen: Dataset | None = None
    ) -> None:
        check_ks(ks)
        self.model = model
        self.ks = tuple(ks)
        self.pairs = TestPairs.of(model, test)
        self.hidden = None if seen is None else self.pairs.hidden(seen, model.device)
        self.pair_query = torch.from_numpy(self.pairs.pair_query).to(model.device)
        self.pair_candidate = torch.from_numpy(self.pairs.pair_candidate).to(model.device)

    @cached_property
    def inputs(self) -> tuple[TowerInputs, TowerInputs]:
        """Both towers' inputs: the asked queries, the catalogue."""
        model, pairs = self.model, self.pairs
        query = model.query.encode(pairs.queries, "the test data's queries")
        candidate = model.candidate.encode(pairs.candidates, "the candidates' table")
        return TowerInputs.of(query, model.device), TowerInputs.of(candidate, model.device)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """The model's query vectors ``[queries, dim]`` and candidate vectors ``[candidates, dim]``."""
        query, candidate = self.inputs
        return vectors_of(self.model.query, query), vectors_of(self.model.candidate, candidate)

    def popularity(self) -> tuple[Tensor, Tensor]:
        """Vectors of one dimension whose product is a candidate's training count, whatever the query."""
        counts = self.model.catalogue.counts
        padded = np.zeros((len(self.pairs.candidates), 1), dtype=np.float32)
        padded[: len(counts), 0] = counts
        device = self.model.device
        return torch.ones(len(self.pairs.queries), 1, device=device), torch.from_numpy(padded).to(device)

    def accuracies(self, query: Tensor, candidate: Tensor, hidden: Hidden | None = None) -> Accuracies:
        """Share of pairs with rank at most k, for each k."""
        rank = ranks(query, candidate, self.pair_query, self.pair_candidate, hidden)
        return {f"top_{k}": int((rank <= k).sum()) / len(rank) for k in self.ks}

    def top_k(self) -> Accuracies:
        """The model's accuracies as it is now; seen items left out where ``seen`` was given."""
        return self.accuracies(*self.vectors(), self.hidden)

    def warn(self, training: Iterable[Mapping[str, Any]] = ()) -> None:
        """A ShortlistWarning for each thing that is wrong with the model as it is now; ``training`` as in ``diagnose``."""
        warn_of(findings(self.model, self.pairs, self.inputs[1], training), stacklevel=4)


def check_ks(ks: Sequence[int]) -> None:
    """Raise ConfigError unless every k is a whole number of at least 1."""
    for k in ks:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ConfigError(f"ks holds {k!r}; whole numbers of at least 1 were expected.")
    if not ks:
        raise ConfigError("ks is empty; at least one k was expected.", hint="ks=(1, 10, 100)")
