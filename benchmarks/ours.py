"""Our sides, through the public names only. A fit is the whole call with a new model: encoding is part of its time.

The loss is the peers': accidental hits stay in, as TFRS and keras-rs have them by default.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

import shortlist as sl
from benchmarks.sanity import versions

TASK = sl.Retrieval(remove_accidental_hits=False)
KS = (1, 5, 10, 50, 100)
AGE_BOUNDARIES = [18, 25, 35, 45, 50, 56]


def describe() -> dict:
    """Returns versions and thread counts."""
    return {
        "versions": {"shortlist": sl.__version__, **versions("torch", "numpy", "polars")},
        "threads": {"torch": torch.get_num_threads()},
    }


def fit(data: Path, parameters: dict):
    """The tutorial's fit without metrics in training."""
    return _repeated_fit(_id_model, data, parameters)


def fit_metrics(data: Path, parameters: dict):
    """The tutorial's fit with five top-k accuracies on the training data after every epoch."""
    return _repeated_fit(_id_model, data, parameters, metrics_in_training=True)


def evaluate(data: Path, parameters: dict):
    """Exact ranks of the test pairs, seen items left in, without the popularity baseline."""
    model, test = _id_model(), _movielens(data, "test")
    _fit(model, _movielens(data, "train", parameters["rows"]), parameters)

    def run() -> dict:
        started = time.perf_counter()
        result = sl.evaluate(model, test, ks=KS, popularity=False)
        return {"seconds": time.perf_counter() - started, "top_100": result["model"]["seen_in"]["top_100"]}

    run()
    return run


def features(data: Path, parameters: dict):
    """A fit of towers with side features and two dense layers each."""
    return _repeated_fit(_feature_model, data, parameters)


def zipf(data: Path, parameters: dict):
    """Steps on two tables of a million."""
    return _steps(data, parameters, dim=32)


def distinct(data: Path, parameters: dict):
    """Steps in whose batches no row occurs twice."""
    return _steps(data, parameters, dim=64)


def huge_batch(data: Path, parameters: dict):
    """Steps of batches whose square would not fit in memory."""
    imported = _status_bytes("VmRSS")
    rows = parameters["queries"] + parameters["candidates"]
    tables = 2 * rows * 64 * 4  # weights and accumulators
    steps = _steps(data, parameters, dim=64)

    def run() -> dict:
        measures = steps()
        return {**measures, "gb_above_tables": (_status_bytes("VmHWM") - imported - tables) / 1e9}

    return run


def ingest(data: Path, parameters: dict):
    """From the Parquet file to a trained epoch."""

    def run() -> dict:
        started = time.perf_counter()
        train = sl.Dataset(data / "interactions.parquet", query="user_id", candidate="movie_id")
        model = sl.TwoTower(
            query=sl.Tower(sl.StringLookup("user_id"), dim=32),
            candidate=sl.Tower(sl.StringLookup("movie_id"), dim=32),
        )
        epoch = sl.fit(
            model, train, task=TASK, optimizer=sl.Adagrad(0.1), epochs=1, batch_size=parameters["batch_size"], seed=42
        )[0]
        return {
            "encode_seconds": time.perf_counter() - started - epoch.seconds,
            "examples_per_second": epoch.examples_per_second,
            "loss": epoch.loss,
        }

    return run


def startup(data: Path, parameters: dict):
    """The command line's help, and the import, each in a fresh process."""
    command = Path(sys.executable).with_name("shortlist")
    timed_import = "import time; started = time.perf_counter(); import shortlist; print(time.perf_counter() - started)"

    def run() -> dict:
        started = time.perf_counter()
        subprocess.run([command, "--help"], check=True, capture_output=True)
        seconds = time.perf_counter() - started
        imported = subprocess.run([sys.executable, "-c", timed_import], check=True, capture_output=True, text=True)
        return {"help_seconds": seconds, "import_seconds": float(imported.stdout)}

    run()
    return run


def _repeated_fit(new_model, data: Path, parameters: dict, metrics_in_training: bool = False):
    """Returns a run that fits a new model each time."""
    train, test = _movielens(data, "train", parameters["rows"]), _movielens(data, "test")
    validation = train if metrics_in_training else None

    def run() -> dict:
        model = new_model()
        started = time.perf_counter()
        history = _fit(model, train, parameters, validation)
        seconds = time.perf_counter() - started
        accuracies = sl.evaluate(model, test, ks=KS, popularity=False)["model"]["seen_in"]
        return {"seconds": seconds, "loss": history[-1].loss, "top_100": accuracies["top_100"]}

    run()
    return run


def _fit(model: sl.TwoTower, train: sl.Dataset, parameters: dict, validation: sl.Dataset | None = None) -> sl.History:
    return sl.fit(
        model,
        train,
        validation=validation,
        task=TASK,
        optimizer=sl.Adagrad(parameters["learning_rate"]),
        epochs=parameters["epochs"],
        batch_size=parameters["batch_size"],
        seed=parameters["seed"],
        ks=KS,
    )


def _steps(data: Path, parameters: dict, dim: int):
    """Returns a run of one epoch over a given number of batches; training goes on from run to run."""
    count = parameters["steps"] * parameters["batch_size"]
    pairs = pl.DataFrame({side: np.load(data / f"{side}.npy")[:count] for side in ("query", "candidate")})
    train = sl.Dataset(
        pairs,
        query="query",
        candidate="candidate",
        queries=pl.DataFrame({"query": np.arange(parameters["queries"], dtype=np.int32)}),
        candidates=pl.DataFrame({"candidate": np.arange(parameters["candidates"], dtype=np.int32)}),
    )
    model = sl.TwoTower(
        query=sl.Tower(sl.IntegerLookup("query"), dim=dim),
        candidate=sl.Tower(sl.IntegerLookup("candidate"), dim=dim),
    )

    def run() -> dict:
        epoch = sl.fit(
            model, train, task=TASK, optimizer=sl.Adagrad(0.1), epochs=1, batch_size=parameters["batch_size"], seed=42
        )[0]
        return {
            "seconds_per_step": epoch.seconds / parameters["steps"],
            "examples_per_second": epoch.examples_per_second,
            "loss": epoch.loss,
        }

    run()
    return run


def _movielens(data: Path, split: str, rows: int | None = None) -> sl.Dataset:
    """Returns a split of the string pairs, with the columns of users and titles."""
    users = {"user_id": np.load(data / "users.npy")}
    users |= {name: np.load(data / f"user_{name}.npy") for name in ("age", "gender", "occupation")}
    titles = np.load(data / "titles.npy")
    genres = [[genre for genre in row if genre] for row in np.load(data / "title_genres.npy").tolist()]
    pairs = {
        "user_id": users["user_id"][np.load(data / f"{split}_query_rows.npy")[:rows]],
        "movie_title": titles[np.load(data / f"{split}_candidate_rows.npy")[:rows]],
    }
    return sl.Dataset(
        pl.DataFrame({name: _text(column) for name, column in pairs.items()}),
        query="user_id",
        candidate="movie_title",
        queries=pl.DataFrame({name: _text(column) for name, column in users.items()}),
        candidates=pl.DataFrame({"movie_title": _text(titles), "genres": genres}),
    )


def _text(column: np.ndarray) -> np.ndarray | list[str]:
    return column.tolist() if column.dtype.kind == "U" else column


def _id_model() -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(sl.StringLookup("user_id"), dim=32),
        candidate=sl.Tower(sl.StringLookup("movie_title"), dim=32),
    )


def _feature_model() -> sl.TwoTower:
    """The towers of the peer's `features`: ids in 32, the rest in 16, then dense layers of 64 (relu) and 32."""
    return sl.TwoTower(
        query=sl.Tower(
            sl.StringLookup("user_id", dim=32),
            sl.Discretization("age", boundaries=AGE_BOUNDARIES, dim=16),
            sl.Category("gender", dim=16),
            sl.Category("occupation", dim=16),
            hidden=(64,),
            dim=32,
        ),
        candidate=sl.Tower(
            sl.StringLookup("movie_title", dim=32), sl.MultiCategory("genres", dim=16), hidden=(64,), dim=32
        ),
    )


def _status_bytes(name: str) -> int:
    """Returns a figure of /proc/self/status: VmRSS (memory now) or VmHWM (the most ever)."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) * 1024
