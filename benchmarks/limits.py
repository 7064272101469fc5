"""How far our steps are from this machine's limit: the same matrix products and exponentials alone, and reading alone."""

import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import torch

import shortlist as sl
from benchmarks.datasets import zipf_pairs
from benchmarks.ours import KS, describe, epochs, fit_movielens, id_model, integer_dataset, movielens_split
from shortlist.loss.kernel import Kernel
from shortlist.loss.softmax import BLOCK_ELEMENTS

__all__ = ["describe", "fastest_floors", "floors", "ours"]

KERNEL = "the compiled kernel"
CATEGORIES = {
    KERNEL: (KERNEL,),
    "matrix products": (
        "aten::mm",
        "aten::addmm",
        "aten::addmm_",
        "aten::mv",
        "aten::addmv_",
        "mkldnn::_linear_pointwise",
    ),
    "exponentials": ("aten::exp_", "aten::exp"),
    "rows read and written": (
        *("aten::index_select", "aten::index", "aten::index_copy_", "aten::index_add_", "aten::scatter_add_"),
        *("aten::index_fill_", "aten::bincount", "aten::sort", "aten::nonzero", "aten::cumsum", "aten::_unique2"),
    ),
}


def ours(data: Path, parameters: dict):
    """Seconds of a training step and of an evaluation of ours, and what share of a step goes where."""
    steps = _step_runs(data, parameters)
    model, test = _evaluated(data, parameters)

    def run() -> dict:
        measures = {}
        for name, step in steps.items():
            measures[name] = step()
            with _kernel_seen(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                step()
            measures |= {f"{name}: {category}": share for category, share in _shares(profile).items()}
        measures["evaluate"] = _seconds(lambda: sl.evaluate(model, test, ks=KS, baselines=()))
        return measures

    return run


def floors(data: Path, parameters: dict):
    """Seconds of torch's matrix products and exponentials alone, on the shapes that `ours` has."""
    return _floors(data, parameters, [(_torch_product, torch.Tensor.exp_)])


def fastest_floors(data: Path, parameters: dict):
    """The same by whichever is fastest here: products by torch's MKL or oneDNN or by numpy's BLAS, exponentials by torch or numpy."""
    ways = [
        (_torch_product, torch.Tensor.exp_),
        (_torch_product, _numpy_exponential),
        (_numpy_product, _numpy_exponential),
    ]
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        ways.append((_onednn_product, torch.Tensor.exp_))
    return _floors(data, parameters, ways)


def _floors(data: Path, parameters: dict, ways: list):
    shapes = {name: _shape(pairs, parameters["batch_size"]) for name, pairs in _pairs(data, parameters).items()}
    test = movielens_split(data, "test")
    users = torch.randn(len(np.unique(test.query_rows)), 32)
    titles = torch.randn(len(test.candidates), 32)
    scores = torch.empty(len(users), len(titles))

    def run() -> dict:
        found: dict[str, list[float]] = {}
        threads = torch.get_num_threads()
        for product, exponential in ways:
            torch.set_num_threads(
                1 if product is _numpy_product else threads
            )  # two pools of threads wait for each other
            for name, shape in shapes.items():
                seconds = _step_floor(*shape, parameters["dims"][name], product, exponential)
                found.setdefault(name, []).append(seconds)
            alone = [_seconds(lambda product=product: product(users, titles.T, scores)) for _ in range(20)]
            found.setdefault("evaluate", []).append(median(alone))
        torch.set_num_threads(threads)
        return {name: min(seconds) for name, seconds in found.items()}

    run()
    return run


def _torch_product(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return torch.mm(left, right, out=out)


def _numpy_product(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    np.matmul(left.numpy(), right.numpy(), out=out.numpy())
    return out


def _onednn_product(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")


def _numpy_exponential(block: torch.Tensor) -> torch.Tensor:
    np.exp(block.numpy(), out=block.numpy())
    return block


def _step_runs(data: Path, parameters: dict):
    """Returns for each workload a function to the seconds of a step, after one epoch that is not timed."""
    train, model = movielens_split(data, "train", parameters["rows"]), id_model()
    batches = -(-parameters["rows"] // parameters["batch_size"])

    def tutorial() -> float:
        epochs_of = fit_movielens(model, train, parameters)
        return sum(epoch.seconds for epoch in epochs_of) / (len(epochs_of) * batches)

    tutorial()
    runs = {"tutorial": tutorial}
    for name, pairs in _pairs(data, parameters).items():
        if name != "tutorial":
            sizes = {"queries": parameters[name], "candidates": parameters[name]}
            step = {"batch_size": parameters["batch_size"], "dim": parameters["dims"][name]}
            epoch = epochs(integer_dataset(pairs, sizes), step)
            runs[name] = lambda epoch=epoch: epoch()["seconds_per_step"]
    return runs


def _evaluated(data: Path, parameters: dict) -> tuple[sl.TwoTower, sl.Dataset]:
    model, test = id_model(), movielens_split(data, "test")
    fit_movielens(model, movielens_split(data, "train", parameters["rows"]), {**parameters, "epochs": 1})
    sl.evaluate(model, test, ks=KS, baselines=())
    return model, test


def _pairs(data: Path, parameters: dict) -> dict[str, dict]:
    """Returns the pairs of each workload, as integer rows."""
    count = parameters["steps"] * parameters["batch_size"]
    generator = np.random.default_rng(42)
    sides = ("query", "candidate")
    return {
        "tutorial": {side: np.load(data / f"train_{side}_rows.npy")[: parameters["rows"]] for side in sides},
        "zipf": zipf_pairs(parameters["zipf"], parameters["zipf"], count, seed=42),
        "distinct": {side: generator.permutation(parameters["distinct"]).astype(np.int32)[:count] for side in sides},
    }


def _shape(pairs: dict, batch_size: int) -> tuple[int, int]:
    """Returns how many distinct queries and candidates the first batch has."""
    queries, candidates = (len(np.unique(rows[:batch_size])) for rows in pairs.values())
    return queries, candidates


def _step_floor(queries: int, candidates: int, dim: int, product, exponential) -> float:
    """Returns the seconds of S = QCᵀ, exp S, S C and Sᵀ Q alone, in blocks of the size that the loss uses.

    Args:
        product: of two matrices, in the memory given or elsewhere.
        exponential: of a block, in place.
    """
    query, candidate = torch.randn(queries, dim) * 0.1, torch.randn(candidates, dim) * 0.1
    rows = max(1, min(queries, BLOCK_ELEMENTS // candidates))
    block = torch.empty(rows, candidates)
    d_query, d_candidate, d_part = torch.empty_like(query), torch.empty_like(candidate), torch.empty_like(candidate)

    def step() -> None:
        for start in range(0, queries, rows):
            part = query[start : start + rows]
            scores = exponential(product(part, candidate.T, block[: len(part)]))
            product(scores, candidate, d_query[start : start + rows])
            d_candidate.add_(product(scores.T, part, d_part))

    step()
    return median(_seconds(step) for _ in range(7))


@contextmanager
def _kernel_seen():
    """Marks the calls of the compiled kernel for torch's profiler, which sees torch's own operations alone."""
    plain = {name: call for name, call in vars(Kernel).items() if callable(call) and name[0] != "_" and name != "takes"}

    def marked(call):
        def seen(*given, **on):
            with torch.profiler.record_function(KERNEL):
                return call(*given, **on)

        return seen

    try:
        for name, call in plain.items():
            setattr(Kernel, name, marked(call))
        yield
    finally:
        for name, call in plain.items():
            setattr(Kernel, name, call)


def _shares(profile) -> dict[str, float]:
    """Returns what part of a profile's time each category takes; what is left is small operations and Python."""
    times = {event.key: event.self_cpu_time_total for event in profile.key_averages()}
    total = sum(times.values())
    shares = {name: sum(times.get(key, 0) for key in keys) / total for name, keys in CATEGORIES.items()}
    return {**shares, "the rest": 1 - sum(shares.values())}


def _seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
