"""keras-rs on the backend that KERAS_BACKEND names: the in-batch softmax of its sequential retrieval tutorial on the
two embedding towers of its basic one. As there, ids are already integers; the arrays go to `model.fit` as they are.

Every fit starts from the same fresh weights with the step already compiled, as on TFRS's side.
"""

import time
from importlib.metadata import version
from pathlib import Path

import keras
import keras_rs
import numpy as np

from benchmarks.datasets import zipf_pairs
from benchmarks.sanity import top_k_accuracy, versions

KS = (1, 5, 10, 50, 100)
BACKEND_PACKAGE = {"tensorflow": "tensorflow-cpu", "jax": "jax", "torch": "torch"}


def describe() -> dict:
    """Returns versions and thread counts (only torch's are known to Python)."""
    backend = keras.backend.backend()
    threads = {}
    if backend == "torch":
        import torch

        threads = {"torch": torch.get_num_threads()}
    return {
        "versions": {**versions("keras-rs", "keras", "numpy"), backend: version(BACKEND_PACKAGE[backend])},
        "threads": threads,
    }


class TwoTower(keras.Model):
    """Two embedding tables; retrieval runs only outside training."""

    def __init__(self, users: int, titles: int, dim: int = 32):
        super().__init__()
        self.user_embedding = keras.layers.Embedding(users, dim)
        self.title_embedding = keras.layers.Embedding(titles, dim)
        self.retrieval = keras_rs.layers.BruteForceRetrieval(k=max(KS), return_scores=False)
        self.softmax = keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")

    def build(self, input_shape):
        self.user_embedding.build(input_shape)
        self.title_embedding.build(input_shape)
        self.retrieval.candidate_embeddings = self.title_embedding.embeddings
        self.retrieval.build(input_shape)
        super().build(input_shape)

    def call(self, user, training=False):
        result = {"user_embeddings": self.user_embedding(user)}
        if not training:
            result["predictions"] = self.retrieval(result["user_embeddings"])
        return result

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        users, titles = y_pred["user_embeddings"], self.title_embedding(y)
        labels = keras.ops.eye(keras.ops.shape(users)[0], keras.ops.shape(titles)[0])
        return self.softmax(labels, keras.ops.matmul(users, keras.ops.transpose(titles)), sample_weight)


def fit(data: Path, parameters: dict):
    """The tutorial's fit without metrics in training."""
    model, train = _compiled_model(data, parameters)
    state = [*model.trainable_variables, *model.optimizer.variables]
    fresh = [keras.ops.convert_to_numpy(variable).copy() for variable in state]
    _fit(model, train, parameters, epochs=1)

    def run() -> dict:
        for variable, value in zip(state, fresh, strict=True):
            variable.assign(value)
        started = time.perf_counter()
        history = _fit(model, train, parameters, parameters["epochs"])
        seconds = time.perf_counter() - started
        tables = [
            keras.ops.convert_to_numpy(table.embeddings) for table in (model.user_embedding, model.title_embedding)
        ]
        test = [np.load(data / f"test_{side}_rows.npy") for side in ("query", "candidate")]
        return {"seconds": seconds, "loss": history.history["loss"][-1], "top_100": top_k_accuracy(*tables, *test)}

    return run


def evaluate(data: Path, parameters: dict):
    """`model.predict` of each test pair's top 100 by BruteForceRetrieval, then the share of hits at each k.

    `model.evaluate` with keras's own top-k accuracies is slower: it computes the loss too.
    """
    model, train = _compiled_model(data, parameters)
    queries, candidates = (np.load(data / f"test_{side}_rows.npy") for side in ("query", "candidate"))
    _fit(model, train, parameters, parameters["epochs"])

    def run() -> dict:
        started = time.perf_counter()
        predictions = model.predict(queries, batch_size=4096, verbose=0)["predictions"]  # [pairs, 100]
        hits = predictions == candidates[:, None]
        accuracies = {f"top_{k}": float(hits[:, :k].any(1).mean()) for k in KS}
        return {"seconds": time.perf_counter() - started, "top_100": accuracies["top_100"]}

    run()
    return run


def curve(data: Path, parameters: dict):
    """Nanoseconds per pair of a training step at each point of a curve."""
    runs = {}
    for point in parameters["points"]:
        if not point["peers"]:
            continue
        sizes = point["data"]
        model = TwoTower(sizes["queries"], sizes["candidates"], point["dim"])
        model.compile(optimizer=keras.optimizers.Adagrad(0.1))
        model.build((None,))
        pairs = list(zipf_pairs(**sizes).values())
        _fit(model, pairs, point, epochs=1)
        runs[point["label"]] = (model, pairs, point)

    def run() -> dict:
        measures = {}
        for label, (model, pairs, point) in runs.items():
            started = time.perf_counter()
            _fit(model, pairs, point, epochs=1)
            measures[label] = (time.perf_counter() - started) / len(pairs[0]) * 1e9
        return measures

    return run


def curve_evaluate(data: Path, parameters: dict):
    """Nanoseconds per test pair of `model.predict` of its top 100, at each size of the catalogue."""
    runs = {}
    for point in parameters["points"]:
        if not point["peers"]:
            continue
        model = TwoTower(point["data"]["queries"], point["data"]["candidates"], point["dim"])
        model.build((None,))
        pairs = zipf_pairs(**point["data"])
        model.predict(pairs["query"], batch_size=point["batch_size"], verbose=0)
        runs[point["label"]] = (model, pairs, point)

    def run() -> dict:
        measures = {}
        for label, (model, pairs, point) in runs.items():
            started = time.perf_counter()
            predictions = model.predict(pairs["query"], batch_size=point["batch_size"], verbose=0)["predictions"]
            hits = predictions == pairs["candidate"][:, None]
            assert [float(hits[:, :k].any(1).mean()) for k in KS]
            measures[label] = (time.perf_counter() - started) / len(hits) * 1e9
        return measures

    return run


def _compiled_model(data: Path, parameters: dict):
    """Returns a fresh model with its optimizer's accumulators built, and the training arrays."""
    keras.utils.set_random_seed(parameters["seed"])
    model = TwoTower(len(np.load(data / "users.npy")), len(np.load(data / "titles.npy")))
    model.compile(optimizer=keras.optimizers.Adagrad(0.1))
    train = [np.load(data / f"train_{side}_rows.npy")[: parameters["rows"]] for side in ("query", "candidate")]
    model.build((None,))
    model.optimizer.build(model.trainable_variables)
    return model, train


def _fit(model: TwoTower, train, parameters: dict, epochs: int):
    return model.fit(*train, batch_size=parameters["batch_size"], epochs=epochs, shuffle=True, verbose=0)
