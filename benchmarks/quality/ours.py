"""Our recipes on a problem: `recipes/NAME.toml` beside this file, a recipe of the package, or a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import shortlist as sl
from benchmarks.quality.measures import Scorer
from benchmarks.quality.problems import Problem
from shortlist.model.history_inputs import with_histories

RECIPES = Path(__file__).parent / "recipes"


def names() -> list[str]:
    """Recipes that are known by name."""
    return sorted({*sl.recipes.names(), *(path.stem for path in RECIPES.glob("*.toml"))})


def load(name: str, changes: Mapping[str, Any]) -> sl.recipes.Recipe:
    """The recipe with changes; the ones kept here come first."""
    own = RECIPES / f"{name}.toml"
    return sl.recipes.load(own if own.is_file() else name, changes)


def trained(problem: Problem, seed: int, name: str, changes: Mapping[str, Any], **options: Any) -> Scorer:
    """Trains on the problem's training data; returns the dot products of both towers."""
    recipe = load(name, changes)
    model, _ = recipe.train(problem.train, seed=seed, **options)
    return scorer(model, problem)


def scorer(model: sl.TwoTower, problem: Problem) -> Scorer:
    """The model's scores of query rows."""
    queries, candidates = problem.train.queries, problem.train.candidates
    candidate = model.candidate_vectors(candidates)  # [candidates, dim]
    query = np.zeros((len(queries), candidate.shape[1] * model.query.heads), dtype=np.float32)
    asked = queries[problem.queries]
    if problem.given is problem.train:
        asked = model.with_histories(asked, problem.given)
    else:  # what was chosen since training counts too
        asked = with_histories(model.query, asked, problem.given)
    query[problem.queries] = model.query_vectors(asked)

    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        split = query[rows].reshape(len(rows), model.query.heads, -1)  # [rows, heads, dim]
        return (split @ candidate.T).max(1)

    return score
