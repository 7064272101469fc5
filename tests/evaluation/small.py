"""A small model and its test."""

from __future__ import annotations

import polars as pl

import shortlist as sl

USERS = pl.DataFrame({"user": ["ann", "bob", "cat", "dan"], "age": [20, 30, 40, 50]})
FILMS = pl.DataFrame({"film": [1, 2, 3, 4, 5], "genre": ["a|b", "a", "b", "c", None], "since": [0, 0, 6, 0, 0]})


def dataset(rows, **columns) -> sl.Dataset:
    user, film, time = zip(*rows, strict=True)
    table = pl.DataFrame({"user": user, "film": film, "time": time, **columns})
    return sl.Dataset(table, "user", "film", timestamp="time", queries=USERS, candidates=FILMS)


TRAIN = dataset([("ann", 1, 1), ("ann", 2, 2), ("bob", 1, 3), ("bob", 3, 4), ("cat", 1, 5), ("cat", 2, 5)])
TEST = dataset([("ann", 3, 6), ("bob", 2, 7), ("cat", 4, 8), ("dan", 1, 5)])


def trained() -> sl.TwoTower:
    """A model of the training rows."""
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=4), sl.Tower(sl.IntegerLookup("film"), dim=4))
    sl.fit(model, TRAIN, epochs=30, batch_size=6)
    return model
