"""TensorFlow Recommenders, used as its tutorials use it: tf.data batched and cached, string lookups inside the model.

Every fit is a `model.fit` from the same fresh weights with the graph already traced: the weights and the optimizer's
accumulators are put back to where they started, and the compiled function is kept. That favours TFRS, which would
otherwise trace again for each new model.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import time
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks.datasets import zipf_pairs
from benchmarks.sanity import top_k_accuracy, versions

KS = (1, 5, 10, 50, 100)
AGE_BOUNDARIES = [18, 25, 35, 45, 50, 56]


def describe() -> dict:
    """Returns versions and thread counts (0 means that TensorFlow takes one per core)."""
    return {
        "versions": versions("tensorflow-cpu", "tf-keras", "tensorflow-recommenders", "numpy"),
        "threads": {
            "intra_op": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op": tf.config.threading.get_inter_op_parallelism_threads(),
        },
    }


class TwoTower(tfrs.Model):
    """The tutorial's model. A tower that is given no column names takes one column, else a dict of them."""

    def __init__(self, query_model, candidate_model, task, metrics_in_training=False):
        super().__init__()
        self.query_model = query_model
        self.candidate_model = candidate_model
        self.task = task
        self.metrics_in_training = metrics_in_training

    def compute_loss(self, features, training=False):
        return self.task(
            self.query_model(features["query"]),
            self.candidate_model(features["candidate"]),
            compute_metrics=self.metrics_in_training or not training,
        )


def fit(data: Path, parameters: dict):
    """The tutorial's fit without metrics in training."""
    return _movielens_fit(data, parameters, metrics_in_training=False)


def fit_metrics(data: Path, parameters: dict):
    """The tutorial's fit as first shown: FactorizedTopK over the catalogue at every training step."""
    return _movielens_fit(data, parameters, metrics_in_training=True)


def evaluate(data: Path, parameters: dict):
    """`model.evaluate` of the trained model on the test pairs, batched and cached as in the tutorial."""
    tf.keras.utils.set_random_seed(parameters["seed"])
    query_model, candidate_model = _id_tower(data, "users.npy", 32), _id_tower(data, "titles.npy", 32)
    titles = tf.data.Dataset.from_tensor_slices(np.load(data / "titles.npy"))
    task = tfrs.tasks.Retrieval(
        metrics=tfrs.metrics.FactorizedTopK(candidates=titles.batch(128).map(candidate_model), ks=KS)
    )
    model = TwoTower(query_model, candidate_model, task)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    train = _pairs(data, "train").shuffle(100_000, seed=parameters["seed"]).batch(8192).cache()
    test = _pairs(data, "test").batch(4096).cache()
    model.fit(train, epochs=parameters["epochs"], verbose=0)
    model.evaluate(test, verbose=0)

    def run() -> dict:
        started = time.perf_counter()
        metrics = model.evaluate(test, return_dict=True, verbose=0)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "top_100": metrics["factorized_top_k/top_100_categorical_accuracy"]}

    return run


def steps(data: Path, parameters: dict):
    """One epoch over a given number of batches of integer rows; training goes on from run to run."""
    return _steps(*_tables(parameters, parameters["dim"]), _first_pairs(data, parameters), parameters)


def curve(data: Path, parameters: dict):
    """Nanoseconds per pair of a training step at each point of a curve."""
    runs = {
        point["label"]: _steps(*_tables(point["data"], point["dim"]), zipf_pairs(**point["data"]), point)
        for point in parameters["points"]
        if point["peers"]
    }
    return lambda: {label: 1e9 / run()["examples_per_second"] for label, run in runs.items()}


def curve_evaluate(data: Path, parameters: dict):
    """Nanoseconds per test pair of `model.evaluate` at each size of the catalogue."""
    runs = {}
    for point in parameters["points"]:
        if not point["peers"]:
            continue
        query_model, candidate_model = _tables(point["data"], point["dim"])
        catalogue = tf.data.Dataset.range(point["data"]["candidates"]).batch(128).map(candidate_model)
        metrics = tfrs.metrics.FactorizedTopK(candidates=catalogue, ks=KS)
        model = TwoTower(query_model, candidate_model, tfrs.tasks.Retrieval(metrics=metrics))
        model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
        pairs = zipf_pairs(**point["data"])
        test = tf.data.Dataset.from_tensor_slices(pairs).batch(4096).cache()
        model.evaluate(test, verbose=0)
        runs[point["label"]] = (model, test, len(pairs["query"]))

    def run() -> dict:
        measures = {}
        for label, (model, test, count) in runs.items():
            started = time.perf_counter()
            model.evaluate(test, verbose=0)
            measures[label] = (time.perf_counter() - started) / count * 1e9
        return measures

    return run


def features(data: Path, parameters: dict):
    """A fit of towers with side features and two dense layers each."""
    tf.keras.utils.set_random_seed(parameters["seed"])
    model = TwoTower(UserTower(data), MovieTower(data), tfrs.tasks.Retrieval())
    rows = {side: np.load(data / f"train_{side}_rows.npy")[: parameters["rows"]] for side in ("query", "candidate")}
    train = tf.data.Dataset.from_tensor_slices(
        {
            "query": {name: column[rows["query"]] for name, column in _user_columns(data).items()},
            "candidate": {name: column[rows["candidate"]] for name, column in _movie_columns(data).items()},
        }
    )

    def accuracy() -> float:
        users = model.query_model({name: tf.constant(column) for name, column in _user_columns(data).items()})
        movies = model.candidate_model({name: tf.constant(column) for name, column in _movie_columns(data).items()})
        return _accuracy(data, users.numpy(), movies.numpy())

    return _repeated_fit(model, train, parameters, accuracy)


def ingest(data: Path, parameters: dict):
    """Steps from string tensors, looked up inside the model. Reading the Parquet file is left out of the time."""
    towers = _id_tower(data, "users.npy", 32), _id_tower(data, "items.npy", 32)
    return _steps(*towers, _first_pairs(data, parameters), parameters)


def _movielens_fit(data: Path, parameters: dict, metrics_in_training: bool):
    """Returns the run of a fit of the tutorial's model."""
    tf.keras.utils.set_random_seed(parameters["seed"])
    query_model, candidate_model = _id_tower(data, "users.npy", 32), _id_tower(data, "titles.npy", 32)
    titles = np.load(data / "titles.npy")
    metrics = None
    if metrics_in_training:
        catalogue = tf.data.Dataset.from_tensor_slices(titles).batch(128).map(candidate_model)
        metrics = tfrs.metrics.FactorizedTopK(candidates=catalogue, ks=KS)
    model = TwoTower(query_model, candidate_model, tfrs.tasks.Retrieval(metrics=metrics), metrics_in_training)

    def accuracy() -> float:
        users = np.load(data / "users.npy")
        return _accuracy(data, query_model(tf.constant(users)).numpy(), candidate_model(tf.constant(titles)).numpy())

    return _repeated_fit(model, _pairs(data, "train").take(parameters["rows"]), parameters, accuracy)


def _repeated_fit(model: TwoTower, train: tf.data.Dataset, parameters: dict, accuracy):
    """Returns a run that fits from the same fresh weights each time, everything traced and cached before."""
    batches = train.shuffle(100_000, seed=parameters["seed"]).batch(parameters["batch_size"]).cache()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(parameters["learning_rate"]))
    model.compute_loss(next(iter(batches)))
    model.optimizer.build(model.trainable_variables)
    state = [*model.trainable_variables, *model.optimizer.variables]
    fresh = [variable.numpy() for variable in state]
    model.fit(batches, epochs=1, verbose=0)

    def run() -> dict:
        for variable, value in zip(state, fresh, strict=True):
            variable.assign(value)
        started = time.perf_counter()
        history = model.fit(batches, epochs=parameters["epochs"], verbose=0)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "last_batch_loss": history.history["loss"][-1], "top_100": accuracy()}

    return run


def _first_pairs(data: Path, parameters: dict) -> dict:
    count = parameters["steps"] * parameters["batch_size"]
    return {side: np.load(data / f"{side}.npy", mmap_mode="r")[:count] for side in ("query", "candidate")}


def _steps(query_model, candidate_model, pairs: dict, parameters: dict):
    """Returns a run of one epoch over these pairs; training goes on from run to run."""
    count = len(pairs["query"])
    batches = tf.data.Dataset.from_tensor_slices(pairs).batch(parameters["batch_size"]).cache()
    model = TwoTower(query_model, candidate_model, tfrs.tasks.Retrieval())
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    model.fit(batches, epochs=1, verbose=0)

    def run() -> dict:
        started = time.perf_counter()
        history = model.fit(batches, epochs=1, verbose=0)
        seconds = time.perf_counter() - started
        return {
            "seconds_per_step": seconds * parameters["batch_size"] / count,
            "examples_per_second": count / seconds,
            "last_batch_loss": history.history["loss"][-1],
        }

    return run


def _id_tower(data: Path, vocabulary_file: str, dim: int) -> tf.keras.Model:
    """Returns the tutorial's tower: a lookup and an embedding."""
    vocabulary = np.load(data / vocabulary_file)
    return tf.keras.Sequential(
        [
            tf.keras.layers.StringLookup(vocabulary=vocabulary, mask_token=None),
            tf.keras.layers.Embedding(len(vocabulary) + 1, dim),
        ]
    )


def _tables(sizes: dict, dim: int) -> list[tf.keras.Model]:
    """Returns two towers over integer rows."""
    return [tf.keras.Sequential([tf.keras.layers.Embedding(sizes[side], dim)]) for side in ("queries", "candidates")]


class UserTower(tf.keras.Model):
    """id (32), bucketised age, gender and occupation (16 each), then dense layers of 64 (relu) and 32."""

    def __init__(self, data: Path):
        super().__init__()
        self.user_id = _id_tower(data, "users.npy", 32)
        self.age = tf.keras.Sequential(
            [
                tf.keras.layers.Discretization(AGE_BOUNDARIES),
                tf.keras.layers.Embedding(len(AGE_BOUNDARIES) + 1, 16),
            ]
        )
        self.gender = _id_tower(data, "gender_vocabulary.npy", 16)
        self.occupation = _id_tower(data, "occupation_vocabulary.npy", 16)
        self.dense = _dense_layers()

    def call(self, columns):
        embeddings = [getattr(self, name)(columns[name]) for name in ("user_id", "age", "gender", "occupation")]
        return self.dense(tf.concat(embeddings, axis=1))


class MovieTower(tf.keras.Model):
    """title (32), the mean of its genres (16), then dense layers of 64 (relu) and 32."""

    def __init__(self, data: Path):
        super().__init__()
        self.title = _id_tower(data, "titles.npy", 32)
        genres = np.load(data / "genre_vocabulary.npy")
        self.genres = tf.keras.Sequential(
            [
                tf.keras.layers.StringLookup(vocabulary=genres, mask_token=""),
                tf.keras.layers.Embedding(len(genres) + 2, 16, mask_zero=True),
                tf.keras.layers.GlobalAveragePooling1D(),
            ]
        )
        self.dense = _dense_layers()

    def call(self, columns):
        embeddings = [self.title(columns["movie_title"]), self.genres(columns["genres"])]
        return self.dense(tf.concat(embeddings, axis=1))


def _dense_layers() -> tf.keras.Model:
    return tf.keras.Sequential([tf.keras.layers.Dense(64, activation="relu"), tf.keras.layers.Dense(32)])


def _pairs(data: Path, split: str) -> tf.data.Dataset:
    """Returns the string pairs of a split, element by element, as the tutorial's dataset gives them."""
    users, titles = np.load(data / "users.npy"), np.load(data / "titles.npy")
    return tf.data.Dataset.from_tensor_slices(
        {
            "query": users[np.load(data / f"{split}_query_rows.npy")],
            "candidate": titles[np.load(data / f"{split}_candidate_rows.npy")],
        }
    )


def _user_columns(data: Path) -> dict[str, np.ndarray]:
    files = {"user_id": "users", "age": "user_age", "gender": "user_gender", "occupation": "user_occupation"}
    return {name: np.load(data / f"{file}.npy") for name, file in files.items()}


def _movie_columns(data: Path) -> dict[str, np.ndarray]:
    return {"movie_title": np.load(data / "titles.npy"), "genres": np.load(data / "title_genres.npy")}


def _accuracy(data: Path, users: np.ndarray, titles: np.ndarray) -> float:
    rows = [np.load(data / f"test_{side}_rows.npy") for side in ("query", "candidate")]
    return top_k_accuracy(users, titles, *rows)
