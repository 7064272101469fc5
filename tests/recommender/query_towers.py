"""Bundles whose query towers read ids alone, histories, or columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

import shortlist as sl

__all__ = ["FEATURES", "saved"]

FEATURES: dict[str, tuple[Any, ...]] = {
    "ids": (lambda: sl.StringLookup("who"),),
    "history": (lambda: sl.History(encoder="mean", share=False, dropout=0.0),),
    "history and id": (lambda: sl.History(encoder="mean", share=False, dropout=0.0), lambda: sl.StringLookup("who")),
    "stored column": (lambda: sl.StringLookup("who"), lambda: sl.StringLookup("city")),
    "column of a request": (lambda: sl.StringLookup("who"), lambda: sl.StringLookup("hour")),
}


def saved(path: Path, kind: str, exported: bool = False) -> Path:
    """A bundle whose query tower reads what ``kind`` says."""
    pairs = [("ann", "a"), ("ann", "b"), ("bob", "b"), ("bob", "c"), ("cat", "b")]
    table: dict[str, list[Any]] = {"who": ["ann", "bob", "cat"], "city": ["x", "y", "x"]}
    rows = pl.DataFrame([(*pair, number) for number, pair in enumerate(pairs)], ["who", "what", "at"], orient="row")
    if kind == "column of a request":
        rows = rows.with_columns(pl.Series("hour", ["noon", "night", "noon", "noon", "night"]))
    train = sl.Dataset(rows, "who", "what", timestamp="at", queries=table, candidates={"what": ["a", "b", "c", "d"]})
    model = sl.TwoTower(sl.Tower(*(make() for make in FEATURES[kind]), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    sl.fit(model, train, epochs=1, batch_size=4)
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    if exported:
        recommender.export()
    recommender.save(path)
    return path
