"""Made-up tables of which it is known what should win."""

from __future__ import annotations

import numpy as np
import polars as pl

import shortlist as sl


def blocks(rows: int, queries: int, candidates: int, groups: int = 8, seed: int = 0, timed: bool = False) -> sl.Dataset:
    """Tastes: a query chooses nine of ten times among the candidates of its own group, popular ones more often."""
    generator = np.random.default_rng(seed)
    query = generator.integers(queries, size=rows)
    within = (generator.random(rows) ** 2 * (candidates // groups)).astype(np.int64)
    group = np.where(generator.random(rows) < 0.9, query % groups, generator.integers(groups, size=rows))
    frame = pl.DataFrame({"who": query, "what": within * groups + group}).unique(maintain_order=True)
    if timed:
        frame = frame.with_columns(at=pl.Series(np.arange(len(frame))))
    return sl.Dataset(frame, "who", "what", timestamp="at" if timed else None)


def chain(queries: int = 300, length: int = 12, candidates: int = 60, seed: int = 0) -> sl.Dataset:
    """An order: after candidate c comes c + 1, nine of ten times; all candidates are as popular."""
    generator = np.random.default_rng(seed)
    rows = []
    for query in range(queries):
        at = int(generator.integers(candidates))
        for step in range(length):
            rows.append((query, at % candidates, step * queries + query))
            at = at + 1 if generator.random() < 0.9 else int(generator.integers(candidates))
    who, what, when = zip(*rows, strict=True)
    return sl.Dataset(pl.DataFrame({"who": who, "what": what, "at": when}), "who", "what", timestamp="at")


def bestsellers(rows: int = 3000, queries: int = 400, candidates: int = 40, seed: int = 0) -> sl.Dataset:
    """No tastes at all: everyone chooses by popularity."""
    generator = np.random.default_rng(seed)
    what = (generator.random(rows) ** 4 * candidates).astype(np.int64)
    return sl.Dataset(pl.DataFrame({"who": generator.integers(queries, size=rows), "what": what}), "who", "what")


def groceries(queries: int = 60, candidates: int = 200, trips: int = 60, seed: int = 0) -> sl.Dataset:
    """People choose again: each has eight products, and nearly every choice is one of them."""
    generator = np.random.default_rng(seed)
    own = generator.integers(candidates, size=(queries, 8))
    rows = []
    for trip in range(trips):
        for query in range(queries):
            what = own[query, generator.integers(8)] if generator.random() < 0.95 else generator.integers(candidates)
            rows.append((query, int(what), trip * queries + query))
    who, what, when = zip(*rows, strict=True)
    return sl.Dataset(pl.DataFrame({"who": who, "what": what, "at": when}), "who", "what", timestamp="at")
