"""The tables that the recorded calls are about: small, seeded, with tastes, an order, features, times and weights."""

from __future__ import annotations

import numpy as np
import polars as pl

import shortlist as sl

__all__ = ["plain", "whole"]

QUERIES, CANDIDATES, GROUPS = 60, 40, 4


def _interactions(rows: int, seed: int) -> pl.DataFrame:
    """Each query chooses nine of ten times among its own group's candidates, popular ones more often; in order of time."""
    generator = np.random.default_rng(seed)
    query = generator.integers(QUERIES, size=rows)
    within = (generator.random(rows) ** 2 * (CANDIDATES // GROUPS)).astype(np.int64)
    group = np.where(generator.random(rows) < 0.9, query % GROUPS, generator.integers(GROUPS, size=rows))
    frame = pl.DataFrame(
        {
            "who": [f"q{number:02}" for number in query],
            "what": [f"c{number:02}" for number in within * GROUPS + group],
            "stars": generator.integers(1, 6, size=rows).astype(np.float64),
        }
    ).unique(["who", "what"], keep="first", maintain_order=True)
    return frame.with_columns(at=pl.Series(1_600_000_000 + 3600 * np.arange(len(frame))))


def whole(rows: int = 900, seed: int = 3) -> sl.Dataset:
    """With times, weights, and features of both sides."""
    numbers = np.arange(QUERIES)
    queries = pl.DataFrame(
        {
            "who": [f"q{number:02}" for number in numbers],
            "land": [("north", "south", "west")[number % 3] for number in numbers],
            "age": (20.0 + numbers % 17).tolist(),
        }
    )
    numbers = np.arange(CANDIDATES)
    candidates = pl.DataFrame(
        {
            "what": [f"c{number:02}" for number in numbers],
            "title": [f"{('red', 'blue', 'green')[number % 3]} thing {number // 3}" for number in numbers],
            "genre": [("a", "b", "c", "d")[number % GROUPS] for number in numbers],
            "tags": [["new", "old"][: 1 + number % 2] for number in numbers],
            "price": (1.0 + numbers * 0.5).tolist(),
            "stock": (numbers % 5).tolist(),
        }
    )
    return sl.Dataset(
        _interactions(rows, seed), "who", "what", timestamp="at", weight="stars", queries=queries, candidates=candidates
    )


def plain(rows: int = 900, seed: int = 3) -> sl.Dataset:
    """Pairs of ids and nothing else."""
    return sl.Dataset(_interactions(rows, seed).select("who", "what"), "who", "what")
