"""Candidates on a plane by a table of neighbours, for the map of a model that has no vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shortlist.sources.neighbours import Neighbours

__all__ = ["plane"]

HEAVIEST = 20  # neighbours of each candidate
STEPS = 40
TIE = 0.1  # of the mean weight, from each candidate to all


def plane(table: Neighbours, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two coordinates for each of some candidates, ``[rows, 2]``, in which neighbours are near each other.

    1. A weight for each two candidates: that of the table in either direction, of the heaviest neighbours of each; and a weak tie
       between all, so that a pair apart from the others does not take the map for itself (Amini et al. 2013).
    2. The second and third eigenvectors of the weights, scaled by their sums on both sides (Laplacian eigenmaps, Belkin and
       Niyogi 2003), by subspace iteration from a fixed start.

    Args:
        rows: different candidate rows.

    Returns:
        The coordinates, float64 ``[rows, 2]``; zeros for fewer than three candidates.
    """
    count = len(rows)
    places = np.zeros((count, 2))
    if count < 3:
        return places
    one, other, weights = _edges(table, rows)
    sums = np.bincount(one, weights, count)
    tie = TIE * (sums.mean() or 1.0)
    scale = 1 / np.sqrt(sums + tie)
    weights = weights * scale[one] * scale[other]
    found = np.column_stack([1 / scale, np.random.default_rng(0).standard_normal((count, 2))])
    for _ in range(STEPS):
        tied = tie / count * scale[:, None] * (scale @ found)
        step = np.column_stack([np.bincount(one, weights * column[other], count) for column in found.T])
        found, _ = np.linalg.qr(found + step + tied)  # "found +" makes every eigenvalue positive
    places = found[:, 1:] * scale[:, None]
    largest = np.abs(places).argmax(axis=0)
    signed: NDArray[np.float64] = places * np.where(places[largest, [0, 1]] < 0, -1.0, 1.0)
    return signed


def _edges(
    table: Neighbours, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The places in ``rows`` of two neighbours, and their weight; each pair in both directions."""
    place = np.full(len(table), -1, np.int64)
    place[rows[rows < len(table)]] = np.flatnonzero(rows < len(table))
    ones, others, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for number, row in enumerate(rows.tolist()):
        if row >= len(table):  # added after the training
            continue
        part = slice(table.offsets[row], table.offsets[row + 1])
        near, heavy = place[table.columns[part]], table.weights[part]
        inside = near >= 0
        near, heavy = near[inside], heavy[inside]
        if len(near) > HEAVIEST:
            most = np.argpartition(-heavy, HEAVIEST)[:HEAVIEST]
            near, heavy = near[most], heavy[most]
        ones.append(np.full(len(near), number, np.int64))
        others.append(near)
        weights.append(heavy.astype(np.float64))
    one, other, weight = np.concatenate(ones), np.concatenate(others), np.concatenate(weights)
    return np.concatenate([one, other]), np.concatenate([other, one]), np.concatenate([weight, weight])
