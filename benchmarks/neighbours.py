"""Tables of neighbours next to `implicit`'s ItemKNN with BM25: the same pairs, as many neighbours, one thread."""

import time
from pathlib import Path

import numpy as np

from benchmarks.als import describe

__all__ = ["describe", "implicit", "ours"]


def ours(data: Path, parameters: dict):
    """`fit` of each table from a Dataset."""
    import polars as pl

    import shortlist as sl

    user, item = _pairs(data, parameters)
    frame = pl.DataFrame({"user": user, "item": item, "place": np.arange(len(user))})
    train = sl.Dataset(frame, query="user", candidate="item", timestamp="place")
    sources = {
        "transitions": sl.Transitions(neighbours=parameters["neighbours"]),
        "co-occurrence": sl.Cooccurrence(neighbours=parameters["neighbours"]),
    }
    return _repeated({name: lambda source=source: source.fit(train) for name, source in sources.items()})


def implicit(data: Path, parameters: dict):
    """The peer's `fit` from a sparse matrix."""
    from implicit.nearest_neighbours import BM25Recommender
    from scipy.sparse import csr_matrix

    user, item = _pairs(data, parameters)
    matrix = csr_matrix((np.ones(len(user), np.float32), (user, item)))

    def fit() -> None:
        BM25Recommender(K=parameters["neighbours"], num_threads=1).fit(matrix, show_progress=False)

    return _repeated(dict.fromkeys(("transitions", "co-occurrence"), fit))


def _pairs(data: Path, parameters: dict) -> tuple[np.ndarray, np.ndarray]:
    (name,) = parameters["tables"]
    return np.load(data / f"{name}-user.npy"), np.load(data / f"{name}-item.npy")


def _repeated(works: dict):
    def run() -> dict:
        measures = {}
        for name, work in works.items():
            started = time.perf_counter()
            work()
            measures[name] = time.perf_counter() - started
        return measures

    run()
    return run
