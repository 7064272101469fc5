"""The shares of sources in the scores of found items, and the query's choices that weighed most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist.sources.added import Added, Context
from shortlist.sources.compared import looked_up
from shortlist.sources.neighbours import Scored
from shortlist.sources.search import Scale, Searched

__all__ = ["MOST_CAUSES", "Causes", "Shares", "heaviest_causes", "shares_of"]

MOST_CAUSES = 3  # choices of a query that are named for one item

Causes = Sequence[tuple[int, float]]
"""Candidate rows of a query's history with what they weighed, the heaviest first."""


class Shares(NamedTuple):
    """One query's items by source, in the order of ``Added.names``.

    Attributes:
        scores: each source's own score, ``[sources, items]``; 0 where a table or a list has none.
        shares: of the sum of all parts, ``[sources, items]``; an item that only the order of the first towers places is theirs.
        found: bool ``[sources, items]``: whether a source would have put the item forward: the towers have it among their k best,
            the others have a score for it.
        causes: by source, then by item; of tables alone.
    """

    scores: NDArray[np.float64]
    shares: NDArray[np.float64]
    found: NDArray[np.bool_]
    causes: Sequence[Sequence[Causes]]


def shares_of(
    towers: Sequence[Searched],
    added: Added,
    context: Context,
    near: Sequence[Scored],
    scale: Scale,
    number: int,
    rows: NDArray[np.int64],
) -> Shares:
    """The shares of one query's items.

    Args:
        near: scores of tables and lists, see ``nearby``.
        scale: of the search that found the items.
        number: of the query.
        rows: of the items.
    """
    of_towers = [one.scores(number, rows) for one in towers]
    of_near = [looked_up(*one.row(number), rows)[1] for one in near]
    scores = np.stack([*of_towers, *of_near]).astype(np.float64)  # [sources, items]
    weights, many = added.weights_of(len(context.histories.row(number))), len(towers)
    best = scale.best[number]
    parts = np.zeros_like(scores)
    for place, (weight, temperature) in enumerate(zip(weights.of_towers, weights.temperatures, strict=True)):
        parts[place] = weight * np.exp((scores[place] - best[place]) / temperature)
    for place, weight in enumerate(weights.of_others, start=many):
        if best[place] > 0:
            parts[place] = weight * (scores[place] / best[place])
    total = parts.sum(0)
    shares = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
    shares[0, total == 0] = 1.0
    found = np.concatenate([scores[:many] >= scale.last[number][:, None], scores[many:] > 0])
    causes: list[Sequence[Causes]] = [[()] * len(rows)] * len(scores)
    for place, table in enumerate(added.tables, start=many):
        causes[place] = heaviest_causes(*table.parts(context.histories.row(number), rows))
    return Shares(scores, shares, found, causes)


def heaviest_causes(items: NDArray[np.int64], summands: NDArray[np.float64]) -> list[Causes]:
    """For each column the items that weighed most, with their share of the sum of the summands above 0; equal ones the latest first.

    Args:
        items: candidate rows, the latest last.
        summands: ``[items, columns]``.

    Example:
        >>> heaviest_causes(np.array([7, 8, 9]), np.array([[3.0], [-1.0], [1.0]]))
        [[(7, 0.75), (9, 0.25)]]
    """
    positive = np.maximum(summands, 0)
    total = positive.sum(0)
    found: list[Causes] = []
    for column in range(positive.shape[1]):
        values = positive[::-1, column]
        order = np.argsort(-values, kind="stable")[:MOST_CAUSES]
        order = order[values[order] > 0]
        chosen = items[::-1][order].tolist()
        found.append(list(zip(chosen, (values[order] / total[column]).tolist(), strict=True)))
    return found
