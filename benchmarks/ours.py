"""Our sides, through the public names only. A fit is the whole call with a new model: encoding is part of its time.

The loss is the peers': accidental hits stay in, as TFRS and keras-rs have them by default.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

import shortlist as sl
from benchmarks.datasets import zipf_pairs
from benchmarks.sanity import versions

TASK = sl.Retrieval(remove_accidental_hits=False)
KS = (1, 5, 10, 50, 100)
SIDES = {"query": "queries", "candidate": "candidates"}
AGE_BOUNDARIES = [18, 25, 35, 45, 50, 56]


def describe() -> dict:
    """Returns versions and thread counts."""
    return {
        "versions": {"shortlist": sl.__version__, **versions("torch", "numpy", "polars")},
        "threads": {"torch": torch.get_num_threads()},
    }


def fit(data: Path, parameters: dict):
    """The tutorial's fit without metrics in training."""
    return _repeated_fit(id_model, data, parameters)


def fit_metrics(data: Path, parameters: dict):
    """The tutorial's fit with five top-k accuracies on the training data after every epoch."""
    return _repeated_fit(id_model, data, parameters, metrics_in_training=True)


def evaluate(data: Path, parameters: dict):
    """Exact ranks of the test pairs, seen items left in, without the popularity baseline."""
    model, test = id_model(), movielens_split(data, "test")
    fit_movielens(model, movielens_split(data, "train", parameters["rows"]), parameters)

    def run() -> dict:
        started = time.perf_counter()
        result = sl.evaluate(model, test, ks=KS, baselines=())
        return {"seconds": time.perf_counter() - started, "top_100": result["model"]["seen_in"]["top_100"]}

    run()
    return run


def features(data: Path, parameters: dict):
    """A fit of towers with side features and two dense layers each."""
    return _repeated_fit(_feature_model, data, parameters)


def steps(data: Path, parameters: dict):
    """One epoch over a given number of batches of integer rows; training goes on from run to run."""
    count = parameters["steps"] * parameters["batch_size"]
    pairs = {side: np.load(data / f"{side}.npy")[:count] for side in SIDES}
    return epochs(integer_dataset(pairs, parameters), parameters)


def curve(data: Path, parameters: dict):
    """Nanoseconds per pair of a training step at each point of a curve."""
    runs = {point["label"]: epochs(_zipf_dataset(point), point) for point in parameters["points"]}
    return lambda: {label: 1e9 / run()["examples_per_second"] for label, run in runs.items()}


def curve_fit(data: Path, parameters: dict):
    """Nanoseconds per pair of a whole fit of one epoch, encoding included, at each number of interactions."""
    points = {point["label"]: (point, zipf_pairs(**point["data"])) for point in parameters["points"]}

    def run() -> dict:
        measures = {}
        for label, (point, pairs) in points.items():
            started = time.perf_counter()
            train = sl.Dataset(pl.DataFrame(pairs), query="query", candidate="candidate")
            _fit_once(_integer_model(point["dim"]), train, point)
            measures[label] = (time.perf_counter() - started) / len(pairs["query"]) * 1e9
        return measures

    return run


def curve_evaluate(data: Path, parameters: dict):
    """Nanoseconds per test pair of exact evaluation at each size of the catalogue."""
    runs = {}
    for point in parameters["points"]:
        test = _zipf_dataset(point)
        model = _integer_model(point["dim"])
        _fit_once(model, test, {"batch_size": 8192})
        runs[point["label"]] = (model, test)

    def run() -> dict:
        measures = {}
        for label, (model, test) in runs.items():
            started = time.perf_counter()
            sl.evaluate(model, test, ks=KS, baselines=())
            measures[label] = (time.perf_counter() - started) / len(test) * 1e9
        return measures

    return run


def huge_batch(data: Path, parameters: dict):
    """Steps of batches whose square would not fit in memory."""
    imported = _status_bytes("VmRSS")
    rows = parameters["queries"] + parameters["candidates"]
    tables = 2 * rows * parameters["dim"] * 4  # weights and accumulators
    epoch = steps(data, parameters)

    def run() -> dict:
        measures = epoch()
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
        epoch = _fit_once(model, train, parameters)
        return {
            "encode_seconds": time.perf_counter() - started - epoch.seconds,
            "examples_per_second": epoch.examples_per_second,
            "loss": epoch.loss,
        }

    return run


def read(data: Path, parameters: dict):
    """The two columns read by Polars, and nothing done with them: the limit of `ingest`."""

    def run() -> dict:
        started = time.perf_counter()
        pl.read_parquet(data / "interactions.parquet")
        return {"encode_seconds": time.perf_counter() - started}

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


def train_command(data: Path, parameters: dict):
    """`shortlist train` in a fresh process: until it says that the bundle is saved, and from there to its end.

    Modules are compiled beforehand, as pip compiles those of an installed package.
    """
    parts = [movielens_split(data, split).interactions for split in ("train", "test")]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> dict:
        measures = {}
        for recipe in parameters["recipes"]:
            with tempfile.TemporaryDirectory() as folder:
                pl.concat(parts).write_parquet(Path(folder) / "ratings.parquet")
                measures[f"{recipe}: saved"], measures[f"{recipe}: report"] = _trained(Path(folder), recipe, variables)
        return measures

    run()
    return run


def _trained(folder: Path, recipe: str, variables: dict[str, str]) -> tuple[float, float]:
    """Returns the seconds until `shortlist train` has saved its bundle, and those from there to its end."""
    asked = [Path(sys.executable).with_name("shortlist"), "train", folder / "ratings.parquet"]
    asked += ["--query", "user_id", "--candidate", "movie_title", "--recipe", recipe, "--out", folder / "bundle"]
    started = time.perf_counter()
    with subprocess.Popen(
        asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables
    ) as process:
        said = [time.perf_counter() - started for line in process.stderr if line.startswith("saved ")]
    if process.returncode or len(said) != 1:
        raise RuntimeError(
            f"shortlist train ended with status {process.returncode}, and said {len(said)} times that it saved"
        )
    (saved,) = said
    return saved, time.perf_counter() - started - saved


def _repeated_fit(new_model, data: Path, parameters: dict, metrics_in_training: bool = False):
    """Returns a run that fits a new model each time."""
    train, test = movielens_split(data, "train", parameters["rows"]), movielens_split(data, "test")
    validation = train if metrics_in_training else None

    def run() -> dict:
        model = new_model()
        started = time.perf_counter()
        history = fit_movielens(model, train, parameters, validation)
        seconds = time.perf_counter() - started
        accuracies = sl.evaluate(model, test, ks=KS, baselines=())["model"]["seen_in"]
        return {"seconds": seconds, "loss": history[-1].loss, "top_100": accuracies["top_100"]}

    run()
    return run


def fit_movielens(
    model: sl.TwoTower, train: sl.Dataset, parameters: dict, validation: sl.Dataset | None = None
) -> sl.TrainingHistory:
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


def epochs(train: sl.Dataset, parameters: dict):
    """Returns a run of one epoch over these pairs; training goes on from run to run."""
    model = _integer_model(parameters["dim"])

    def run() -> dict:
        epoch = _fit_once(model, train, parameters)
        return {
            "seconds_per_step": epoch.seconds * parameters["batch_size"] / len(train),
            "examples_per_second": epoch.examples_per_second,
            "loss": epoch.loss,
        }

    run()
    return run


def _fit_once(model: sl.TwoTower, train: sl.Dataset, parameters: dict):
    """Returns the record of one epoch."""
    size = parameters["batch_size"]
    return sl.fit(model, train, task=TASK, optimizer=sl.Adagrad(0.1), epochs=1, batch_size=size, seed=42)[0]


def _zipf_dataset(point: dict) -> sl.Dataset:
    return integer_dataset(zipf_pairs(**point["data"]), point["data"])


def integer_dataset(pairs: dict, sizes: dict) -> sl.Dataset:
    """Returns pairs of integer rows, over all rows that there are."""
    tables = {side: pl.DataFrame({side: np.arange(sizes[many], dtype=np.int32)}) for side, many in SIDES.items()}
    return sl.Dataset(
        pl.DataFrame(pairs),
        query="query",
        candidate="candidate",
        queries=tables["query"],
        candidates=tables["candidate"],
    )


def _integer_model(dim: int) -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(sl.IntegerLookup("query"), dim=dim),
        candidate=sl.Tower(sl.IntegerLookup("candidate"), dim=dim),
    )


def movielens_split(data: Path, split: str, rows: int | None = None) -> sl.Dataset:
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


def id_model() -> sl.TwoTower:
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
