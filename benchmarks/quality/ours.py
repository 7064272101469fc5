"""Our recipes on a problem: `recipes/NAME.toml` beside this file, a recipe of the package, or a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import shortlist as sl
from benchmarks.quality import mixing
from benchmarks.quality.kept import Kept
from benchmarks.quality.measures import Scorer
from benchmarks.quality.problems import Problem

RECIPES = Path(__file__).parent / "recipes"


def names() -> list[str]:
    """Recipes that are known by name."""
    return sorted({*sl.recipes.names(), *(path.stem for path in RECIPES.glob("*.toml"))})


def load(name: str, changes: Mapping[str, Any]) -> sl.recipes.Recipe:
    """The recipe with changes; the ones kept here come first."""
    own = RECIPES / f"{name}.toml"
    return sl.recipes.load(own if own.is_file() else name, changes)


def trained(problem: Problem, seed: int, name: str, changes: Mapping[str, Any], kept: Kept | None = None) -> Scorer:
    """Trains on the problem's training data; returns the scores of its towers, or of their mixture with other sources.

    Args:
        kept: where trained towers are kept.
    """
    return scorer(model_of(problem, seed, load(name, changes), kept or Kept()), problem)


def model_of(problem: Problem, seed: int, recipe: sl.recipes.Recipe, kept: Kept) -> sl.TwoTower | sl.Mixture:
    """The recipe's model of the problem's training data."""
    towers = kept.towers(recipe, problem.train, seed)
    return recipe.mixed(towers, problem.train, again=lambda part: kept.towers(recipe, part, seed), seed=seed)


def scorer(model: sl.TwoTower | sl.Mixture, problem: Problem) -> Scorer:
    """The model's scores of query rows."""
    if isinstance(model, sl.Mixture):
        return mixing.scorer(model, problem)
    query, candidate = mixing.vectors(model, problem)
    query = query.reshape(len(query), model.query.heads, -1)  # [asked, heads, dim]

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return (query[np.searchsorted(problem.queries, rows)] @ candidate.T).max(1)

    return score
