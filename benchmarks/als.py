"""Alternating least squares next to `implicit` with conjugate gradients, its default: the same table, sweeps and objective."""

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.sanity import versions

__all__ = ["describe", "implicit", "ours", "settings"]


def describe() -> dict:
    """Returns versions and thread counts."""
    found = versions("torch", "numpy", "scipy", "implicit")
    return {"versions": found, "threads": {"usable": torch.get_num_threads()}}


def settings(parameters: dict) -> dict[str, tuple[int, int]]:
    """Returns the name of each setting, with its dimensions and threads."""
    return {
        f"{dim} numbers, {threads} thread{'s' if threads > 1 else ''}": (dim, threads)
        for dim in parameters["dims"]
        for threads in parameters["threads"]
    }


def ours(data: Path, parameters: dict):
    """The sweeps from arrays of pairs, and `als` from a table, to a model."""
    import shortlist as sl
    from shortlist.loss import Chosen, Sweeps

    pairs, shape = _pairs(parameters)
    weights, task = np.ones(len(pairs[0]), np.float32), _task(parameters)
    reached = _objective(pairs, shape, task)
    table = sl.Dataset({"query": pairs[0], "candidate": pairs[1]}, "query", "candidate")

    def sweeps(dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = Sweeps(Chosen.of(*pairs, weights, shape), task, dim, torch.Generator().manual_seed(parameters["seed"]))
        for _ in range(parameters["sweeps"]):
            found.sweep()
        return found.query, found.candidate

    def whole(dim: int) -> None:
        towers = [sl.Tower(sl.IntegerLookup(column), dim=dim) for column in ("query", "candidate")]
        options = {"unobserved": task.unobserved, "regularization": task.regularization, "exponent": task.exponent}
        sl.als(sl.TwoTower(*towers), table, epochs=parameters["sweeps"], seed=parameters["seed"], **options)

    def run() -> dict:
        measures = {}
        for name, (dim, threads) in settings(parameters).items():
            torch.set_num_threads(threads)
            measures |= _timed(name, lambda dim=dim: sweeps(dim), reached)
            started = time.perf_counter()
            whole(dim)
            measures[f"{name}: whole call"] = time.perf_counter() - started
        return measures

    run()
    return run


def implicit(data: Path, parameters: dict):
    """The peer's `fit` from a sparse matrix."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    (rows, columns), shape = _pairs(parameters)
    task = _task(parameters)
    share = (
        1 + task.unobserved
    )  # its target of a chosen pair is 1 with all of the pair's weight, ours with the weight above the others'
    reached = _objective((rows, columns), shape, task)
    matrix = csr_matrix((np.full(len(rows), share / task.unobserved, np.float32), (rows, columns)), shape)

    def fit(dim: int, threads: int) -> tuple[torch.Tensor, torch.Tensor]:
        model = AlternatingLeastSquares(
            factors=dim,
            regularization=share * task.regularization / task.unobserved,
            iterations=parameters["sweeps"],
            num_threads=threads,
            random_state=parameters["seed"],
        )
        model.fit(matrix, show_progress=False)
        return tuple(torch.from_numpy(side / share**0.5) for side in (model.user_factors, model.item_factors))

    def run() -> dict:
        measures = {}
        for name, (dim, threads) in settings(parameters).items():
            torch.set_num_threads(threads)
            measures |= _timed(name, lambda dim=dim, threads=threads: fit(dim, threads), reached)
            measures[f"{name}: whole call"] = measures[name]
        return measures

    run()
    return run


def _timed(name: str, fit, reached) -> dict:
    """Returns the seconds of a fit, those of all threads together, and the objective that it reached."""
    started, spent = time.perf_counter(), time.process_time()
    vectors = fit()
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    return {name: seconds, f"{name}: processor": spent, f"{name}: objective": reached(*vectors)}


def _objective(pairs: tuple[np.ndarray, np.ndarray], shape: tuple[int, int], task):
    """Returns a function from both sides' vectors to what ours minimises."""
    from shortlist.loss import Chosen, objective

    chosen = Chosen.of(*pairs, np.ones(len(pairs[0]), np.float32), shape)
    turned = chosen.turned()
    return lambda query, candidate: objective(chosen, turned, query, candidate, task)


def _task(parameters: dict):
    """Returns a penalty that is the same for all rows, the only kind that the peer has."""
    from shortlist.loss import ALS

    return ALS(parameters["unobserved"], parameters["regularization"], 0.0)


def _pairs(parameters: dict) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, int]]:
    """Returns distinct pairs in the shape of MovieLens-1M: active and popular ones, and a few tastes."""
    generator = np.random.default_rng(parameters["seed"])
    rows, columns, tastes = parameters["queries"], parameters["candidates"], 12
    activity = generator.lognormal(sigma=1.1, size=rows)
    popularity = (np.arange(columns) + 30.0) ** -1.3
    likes, kinds = generator.dirichlet(np.full(tastes, 0.3), rows), generator.dirichlet(np.full(tastes, 0.3), columns)
    chance = (likes @ kinds.T) * activity[:, None] * generator.permutation(popularity)
    low, high = 0.0, 1.0
    while (chance * high).clip(max=0.7).sum() < parameters["pairs"]:
        low, high = high, 2 * high
    for _ in range(30):
        scale = (low + high) / 2
        low, high = (scale, high) if (chance * scale).clip(max=0.7).sum() < parameters["pairs"] else (low, scale)
    row, column = np.nonzero(generator.random((rows, columns)) < (chance * high).clip(max=0.7))
    return (row, column), (rows, columns)
