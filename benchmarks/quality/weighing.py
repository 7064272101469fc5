"""Weights and temperatures of a mixture's sources, tried on one pass over the scores of all of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import shortlist as sl
from benchmarks.quality import mixing
from benchmarks.quality.measures import ROWS, measured
from benchmarks.quality.problems import Problem
from shortlist.sources import Weights

BEST = 5  # times the deepest cut-off: so many candidates of each source are compared
FEWEST = 300

Scores: TypeAlias = list[tuple[Tensor, Tensor]]


def weighed(
    model: sl.Mixture,
    problem: Problem,
    weights: Mapping[str, Sequence[float]],
    temperatures: Mapping[str, Sequence[float]],
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Returns the changes and the measures of every point, those of a place beyond what is compared as never found.

    weights: the values of each source but the first towers by its name; the first towers have what is left of 1, and a point
        that leaves them nothing is not tried. Sources that are not named keep the model's weights.
    temperatures: the values of each towers.
    """
    points = _points(model, weights, temperatures)
    found = places(model, problem, [tried for _, tried in points])
    return [(changes, measured(place, problem)) for (changes, _), place in zip(points, found, strict=True)]


def places(model: sl.Mixture, problem: Problem, tried: Sequence[Weights]) -> NDArray[np.float64]:
    """The place of each test pair by each of the weights, ``[weights, pairs]``."""
    order = np.argsort(problem.test.query_rows, kind="stable")
    pair_query = problem.test.query_rows[order]
    own = torch.from_numpy(problem.test.candidate_rows[order].astype(np.int64))
    scores = mixing.mixed(model, problem)
    most = max(FEWEST, BEST * max(measure.k for measure in problem.protocol.measures))
    found = np.empty((len(tried), len(order)))
    for start in range(0, len(problem.queries), ROWS):
        rows = problem.queries[start : start + ROWS]
        towers, others = scores.parts(start, start + len(rows), problem.hidden(rows))
        first, last = np.searchsorted(pair_query, [rows[0], rows[-1] + 1])
        at = torch.from_numpy(np.searchsorted(rows, pair_query[first:last]))
        compared = _compared(towers, others, most, at, own[first:last])
        for number, weights in enumerate(tried):
            found[number, order[first:last]] = _places(*compared, weights, at)
    return found


def _points(
    model: sl.Mixture, weights: Mapping[str, Sequence[float]], temperatures: Mapping[str, Sequence[float]]
) -> list[tuple[dict[str, float], Weights]]:
    """Each point's changes, and the weights that they make."""
    names, before = model.added.names, model.weights
    for name in [*weights, *temperatures]:
        if name not in names:
            raise sl.ConfigError(f"the search names the source {name!r}.", hint=f"known: {', '.join(names)}")
    keys = [("weights", name) for name in weights] + [("temperatures", name) for name in temperatures]
    found = []
    for values in itertools.product(*weights.values(), *temperatures.values()):
        of = dict(zip(keys, values, strict=True))
        shares = [of.get(("weights", name), share) for name, share in zip(names, before.values, strict=True)][1:]
        at = tuple(of.get(("temperatures", name), one) for name, one in zip(names, before.temperatures, strict=False))
        if sum(shares) < 1 - 1e-9:
            changes = {f"{part}.{name}": value for (part, name), value in of.items()}
            found.append((changes, Weights((1 - sum(shares), *shares), at)))
    return found


def _compared(towers: list[Tensor], others: list[Tensor], most: int, at: Tensor, own: Tensor) -> tuple[Scores, Scores]:
    """Each source's scores of the candidates that any of them has among its ``most`` best, ``[rows, sources · most]``, and of
    each pair ``[pairs]``: of towers, −inf where a candidate stands twice, and of others.
    """
    width = min(most, towers[0].shape[1])
    best = torch.cat([scores.topk(width, dim=1, sorted=False).indices for scores in (*towers, *others)], 1)
    best = best.sort(1).values
    again = torch.zeros_like(best, dtype=torch.bool)
    again[:, 1:] = best[:, 1:] == best[:, :-1]
    found = []
    for number, scores in enumerate((*towers, *others)):
        here = scores.gather(1, best)
        here = here.masked_fill(again, -torch.inf) if number < len(towers) else here
        found.append((here, scores[at, own]))
    return found[: len(towers)], found[len(towers) :]


def _places(towers: Scores, others: Scores, weights: Weights, at: Tensor) -> NDArray[np.float64]:
    """The place of each pair: how many of the compared candidates score at least as high, its own included."""
    total, mine = torch.zeros(()), torch.zeros(())
    for (scores, own), weight, temperature in zip(towers, weights.of_towers, weights.temperatures, strict=True):
        best = scores.amax(1, keepdim=True)
        total = total + weight * torch.exp((scores - best) / temperature)
        mine = mine + weight * torch.exp((own - best[at, 0]) / temperature)
    for (scores, own), weight in zip(others, weights.of_others, strict=True):
        best = scores.amax(1, keepdim=True).clamp(min=1e-30)
        total, mine = total + weight * (scores / best), mine + weight * (own / best[at, 0])
    total = total.masked_fill(torch.isneginf(towers[0][0]), -torch.inf)
    count = (total[at] >= mine.unsqueeze(1)).sum(1).double()
    lost = torch.isneginf(towers[0][1])
    return count.clamp(min=1).masked_fill(lost, torch.inf).numpy()
