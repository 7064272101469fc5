"""Several trained models as one, whose score is a weighted sum of theirs and still one dot product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist.data.argument_checks import kind_of
from shortlist.errors import ConfigError, DataError, checked_list
from shortlist.language import counted
from shortlist.model.inputs import TowerInputs
from shortlist.model.layers import Shape
from shortlist.model.storage import TableStorage
from shortlist.model.tower import Tower
from shortlist.model.two_tower import Catalogue, TwoTower

__all__ = ["JoinedTower", "join", "joined_at", "part_name"]

ROWS = 10_000


class JoinedTower(Tower):
    """The vectors of several trained towers ``[rows, sum of their widths]``, each multiplied by its scale.

    Features are those of the parts, by the part's number and their name: ``1:user_id:StringLookup``. Made by
    ``shortlist.join``; the parts keep their weights, and none of it is trained.
    """

    def __init__(self, parts: Sequence[Tower], scales: Sequence[float]) -> None:
        nn.Module.__init__(self)
        self.parts = nn.ModuleList(parts)
        self.scales = tuple(map(float, scales))
        self.features = {
            part_name(number, name): feature
            for number, part in enumerate(parts)
            for name, feature in part.features.items()
        }
        self.dim = sum(part.width for part in parts)
        self.shape = Shape(self.dim, "concat", 0, (), False, 0.0)
        self.normalize = self.bias = self.meets_bias = self.custom = False
        self.id_dropout = 0.0
        self.heads = 1
        self.init_scale = parts[0].init_scale
        self.storage = TableStorage()
        self.tables = nn.ModuleDict()
        self.encoders = nn.ModuleDict()
        self.layers = None
        self.built = True

    def check_trainable(self) -> None:
        """ConfigError: joined towers are trained already."""
        raise ConfigError(
            "a joined model cannot be trained.",
            hint="train its parts with fit(), then join them: shortlist.join([…])",
        )

    def forward(self, inputs: TowerInputs) -> Tensor:
        """Vectors ``[rows, dim]``."""
        vectors = []
        for number, (part, scale) in enumerate(zip(self.parts, self.scales, strict=True)):
            assert isinstance(part, Tower)
            columns = {name: inputs.columns[part_name(number, name)] for name in part.features}
            vectors.append(part(TowerInputs(columns, len(inputs))) * scale)
        return torch.cat(vectors, dim=1)


def part_name(number: int, feature: str) -> str:
    """The name in a joined tower of a part's feature."""
    return f"{number}:{feature}"


def join(models: Sequence[TwoTower], weights: Sequence[float] | None = None) -> TwoTower:
    """One model out of several that were trained on the same queries and candidates, each in its own way.

    A pair's score is ``Σ weight · score / spread``: spread is the standard deviation of a model's scores over the catalogue,
    averaged over the queries that training had (at most 10,000 of each, evenly spread), so that weights mean the same
    whatever the size of a model's scores. Both sides' vectors are those of the models one after another, so that the score
    stays one dot product, of ``dim`` the sum of theirs; the joined model is measured, indexed, saved, exported and served as
    any other. A request gives every column that any of the models reads.

    Args:
        models: two or more trained models; they are not copied but lend their weights.
        weights: one for each model, above 0; all equal by default. Choose them on validation data.

    Raises:
        ConfigError: for fewer than two models, untrained or joined ones, several heads, modules of your own, a query
            tower that reads context, or weights that are not above 0.
        DataError: where the models' queries or candidates are not the same.
    """
    given: object = models
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ConfigError(
            f"join(models) got {kind_of(given)}; a list of TwoTower was expected.", hint="shortlist.join([one, other])"
        )
    weights = (
        [1 / max(len(models), 1)] * len(models)
        if weights is None
        else checked_list(weights, "join(weights=)", "numbers")
    )
    _check(models, weights)
    catalogue = _catalogue(models)
    spreads = [_spread(model) for model in models]
    for number, spread in enumerate(spreads):
        if not 0 < spread < math.inf:
            raise ConfigError(
                f"model {number} gives every candidate the same score; there is nothing to join.",
                hint="train it longer, or leave it out",
            )
    scales = [math.sqrt(weight / spread) for weight, spread in zip(weights, spreads, strict=True)]
    return joined_at(models, scales, catalogue)


def joined_at(models: Sequence[TwoTower], scales: Sequence[float], catalogue: Catalogue) -> TwoTower:
    """The joined model, at known scales of both sides' vectors."""
    query = JoinedTower([model.query for model in models], scales)
    model = TwoTower(query, JoinedTower([model.candidate for model in models], scales))
    model.trained_on = catalogue
    return model.eval()


def _check(models: Sequence[TwoTower], weights: Sequence[float]) -> None:
    if len(models) < 2:
        raise ConfigError(
            f"join got {counted(len(models), 'model')}; at least two were expected.", hint="sl.join([one, other])"
        )
    if len(weights) != len(models):
        raise ConfigError(
            f"join got {counted(len(models), 'model')} and {counted(len(weights), 'weight')}.",
            hint="give one weight for each model",
        )
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, (int, float, np.number)) or not 0 < weight < math.inf:
            raise ConfigError(f"join got the weight {weight!r}; a number above 0 was expected.")
    for number, model in enumerate(models):
        if not isinstance(model, TwoTower):
            raise ConfigError(
                f"join got {type(model).__name__} as model {number}; a TwoTower was expected.",
                hint="from a bundle: sl.Recommender.load(…).model",
            )
        if any(model is other for other in models[:number]):
            raise ConfigError(
                f"join got the same model twice, as number {number}.", hint="give it once, with more weight"
            )
        lacking = [name for name in model.query.columns if name not in model.catalogue.queries.columns]
        if lacking:
            raise ConfigError(
                f"the query tower of model {number} reads {', '.join(map(repr, lacking))} of the interaction "
                "itself; it cannot be joined.",
                hint="train it without the context",
            )
        for tower in (model.query, model.candidate):
            if isinstance(tower, JoinedTower):
                raise ConfigError(f"model {number} is a joined one.", hint="join all of its parts at once")
            if tower.heads > 1 or tower.custom:
                what = "several heads" if tower.heads > 1 else "a module of your own"
                raise ConfigError(f"model {number} has {what}; it cannot be joined.", hint="join models without it")


def _catalogue(models: Sequence[TwoTower]) -> Catalogue:
    """The catalogue of the first model, with the histories and other columns that only other models read."""
    first = models[0].catalogue
    queries = first.queries
    for number, model in enumerate(models[1:], start=1):
        other = model.catalogue
        for side, one, two in (
            ("queries", first.queries[first.query], other.queries[other.query]),
            ("candidates", first.candidates[first.candidate], other.candidates[other.candidate]),
        ):
            if one.name != two.name or one.dtype != two.dtype or not one.equals(two):
                raise DataError(
                    f"model {number} was trained on other {side} than model 0 ({two.name!r}, {counted(len(two), 'id')}; model 0 has "
                    f"{one.name!r}, {len(one):,}).",
                    hint="train all models on the same Dataset",
                )
        lacking = [name for name in other.candidates.columns if name not in first.candidates.columns]
        if lacking:
            raise DataError(
                f"model {number} knows columns of the candidates that model 0 does not: {', '.join(map(repr, lacking))}.",
                hint="train all models on the same Dataset",
            )
        queries = _with_longer(queries, other.queries, model)
    return replace(first, queries=queries)


def _with_longer(queries: pl.DataFrame, other: pl.DataFrame, model: TwoTower) -> pl.DataFrame:
    """``queries`` with the columns that only ``other`` has; of histories of one name, the longer lists."""
    added = [other[name] for name in other.columns if name not in queries.columns]
    for history in model.query.histories.values():
        name = history.column
        if name in queries.columns and name in other.columns:
            longer = (other[name].list.len().fill_null(0) > queries[name].list.len().fill_null(0)).fill_null(False)
            added.append(queries.select(pl.when(longer).then(other[name]).otherwise(pl.col(name)).alias(name))[name])
    return queries.with_columns(added)


def _spread(model: TwoTower) -> float:
    """The standard deviation of a known query's scores over the catalogue, averaged over queries."""
    catalogue = model.catalogue
    rows = _some(np.flatnonzero(catalogue.known))
    query = model.query_vectors(catalogue.queries[rows]).astype(np.float64)
    candidates = catalogue.candidates[_some(np.arange(len(catalogue.candidates)))]
    candidate = model.candidate_vectors(candidates).astype(np.float64)
    covariance = np.cov(candidate, rowvar=False, bias=True).reshape(len(candidate.T), -1)
    return float(np.sqrt(np.maximum(((query @ covariance) * query).sum(1), 0)).mean())


def _some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows at even distances, ``ROWS`` at most."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64))]
