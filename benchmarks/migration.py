"""The figures of docs/migration.md, and its export recipe run against a real TFRS model.

    python -m benchmarks.migration prepare FOLDER          # MovieLens-100k as arrays (the project's environment)
    TFRS_PYTHON benchmarks/migration.py train FOLDER       # trains with TFRS, exports by the page's own code
    TFRS_PYTHON benchmarks/migration.py hard FOLDER        # and what TFRS does with hard negatives
    TFRS_PYTHON benchmarks/migration.py adam FOLDER        # and Keras' optimizers with rows that are absent
    python -m benchmarks.migration check FOLDER            # imports, compares scores and gradients; prints JSON

TFRS_PYTHON has tensorflow and tensorflow-recommenders (`python -m benchmarks install` makes one in benchmarks/.peers/tfrs).
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "migration.md"
BATCH, HARD, DIM, EPOCHS = 8192, 16, 32, 4


def prepare(folder: Path) -> None:
    """Writes pairs, and both sides' ids as bytes."""
    import shortlist as sl

    data = sl.datasets.movielens("100k")
    train, _ = sl.split_random(data, test=0.2, seed=42)
    users = np.array([str(one).encode() for one in data.queries[data.query].to_list()], dtype=object)
    titles = np.array([one.encode() for one in data.candidates[data.candidate].to_list()], dtype=object)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "pairs.npz",
        users=users.astype(bytes),
        titles=titles.astype(bytes),
        query=train.query_rows,
        candidate=train.candidate_rows,
    )


# --- TFRS ------------------------------------------------------------------------------------------------------------


def train(folder: Path) -> None:
    """A model with dense layers, exported by the page's recipe."""
    given, pairs, new_model, tf, _ = _tfrs(folder)
    model = new_model(dense=True)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    model.fit(pairs.shuffle(100_000, seed=1).batch(BATCH), epochs=EPOCHS, verbose=0)
    _export(folder, model, given, tf)


def hard(folder: Path) -> None:
    """Outputs of a model of embeddings after 0, 1, … epochs, and the gradients of its loss with hard negatives."""
    given, pairs, new_model, tf, tfrs = _tfrs(folder)
    model = new_model(dense=False)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    order = np.random.default_rng(3).permutation(len(given["query"]))[:BATCH]
    query, candidate = given["query"][order], given["candidate"][order]
    for epoch in range(EPOCHS + 1):
        if epoch:
            model.fit(pairs.shuffle(100_000, seed=epoch).batch(BATCH), epochs=1, verbose=0)
        q = tf.Variable(model.user_model(tf.constant(given["users"][query])))
        c = tf.Variable(model.movie_model(tf.constant(given["titles"][candidate])))
        with tf.GradientTape() as tape:
            loss = tfrs.tasks.Retrieval(num_hard_negatives=HARD)(q, c, compute_metrics=False)
        gq, gc = (one.numpy() for one in tape.gradient(loss, [q, c]))
        np.savez(folder / f"hard{epoch}.npz", q=q.numpy(), c=c.numpy(), query=query, candidate=candidate, gq=gq, gc=gc)


def adam(folder: Path) -> None:
    """Of every step's movement of the films' table, how much is on rows that have no gradient."""
    given, pairs, new_model, tf, _ = _tfrs(folder)
    found = [
        _absent(new_model(dense=False), pairs, given, size, name, tf)
        for size in (1024, BATCH)
        for name in ("Adam", "AdamW")
    ]
    (folder / "adam.json").write_text(json.dumps(found))


def _tfrs(folder: Path):  # type: ignore[no-untyped-def]
    """The arrays, a tf.data of pairs, a way to make a model, and both libraries."""
    os.environ["TF_USE_LEGACY_KERAS"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1", "2"
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    tf.keras.utils.set_random_seed(7)
    given = dict(np.load(folder / "pairs.npz"))
    pairs = tf.data.Dataset.from_tensor_slices(
        {"user_id": given["users"][given["query"]], "movie_title": given["titles"][given["candidate"]]}
    )

    def tower(ids, dense):  # type: ignore[no-untyped-def]
        layers = [tf.keras.layers.StringLookup(vocabulary=ids), tf.keras.layers.Embedding(len(ids) + 1, DIM)]
        if dense:
            layers += [tf.keras.layers.Dense(64, "relu"), tf.keras.layers.Dense(DIM)]
        return tf.keras.Sequential(layers)

    class MovielensModel(tfrs.Model):
        def __init__(self, dense):  # type: ignore[no-untyped-def]
            super().__init__()
            self.user_model, self.movie_model = tower(given["users"], dense), tower(given["titles"], dense)
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, features, training=False):  # type: ignore[no-untyped-def]
            vectors = self.user_model(features["user_id"]), self.movie_model(features["movie_title"])
            return self.task(*vectors, compute_metrics=False)

    return given, pairs, MovielensModel, tf, tfrs


def _export(folder, model, given, tf) -> None:  # type: ignore[no-untyped-def]
    """Runs the page's export code as it stands; and a thousand more scores of the model, to compare with."""
    code = next(block for block in re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.S) if "np.savez(" in block)
    place = Path.cwd()
    os.chdir(folder)
    try:
        exec(code, {"model": model, "unique_user_ids": given["users"], "unique_movie_titles": given["titles"]})
    finally:
        os.chdir(place)
    random = np.random.default_rng(1)
    users, titles = random.choice(given["users"], 1000), random.choice(given["titles"], 1000)
    foreign = [one for one in given["titles"] if not one.isascii()]
    titles[: len(foreign)] = foreign
    users[-1], titles[-2] = b"nobody", b"nothing"
    scores = tf.reduce_sum(model.user_model(tf.constant(users)) * model.movie_model(tf.constant(titles)), 1).numpy()
    np.savez(folder / "more.npz", users=users, titles=titles, scores=scores, foreign=len(foreign))


def _absent(model, pairs, given, size, name, tf):  # type: ignore[no-untyped-def]
    """The share of a step's movement that is on rows without a gradient: mean, least and most over an epoch's steps."""
    optimizer = getattr(tf.keras.optimizers, name)(0.01)
    lookup = model.movie_model.layers[0]
    shares = []
    for batch in pairs.shuffle(100_000, seed=9).batch(size, drop_remainder=True):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch)
        variables = model.trainable_variables
        table = next(one for one in variables if one.shape[0] == len(given["titles"]) + 1)
        before = table.numpy()
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        moved = np.abs(table.numpy() - before).sum(1)
        present = np.zeros(len(moved), bool)
        present[lookup(batch["movie_title"]).numpy()] = True
        shares.append(float(moved[~present].sum() / moved.sum()))
    later = shares[1:]  # at the first step no row has a momentum
    return {
        "optimizer": name,
        "batch": size,
        "steps": len(shares),
        "absent": float(np.mean(later)),
        "least": min(later),
        "most": max(later),
    }


# --- shortlist -------------------------------------------------------------------------------------------------------


def check(folder: Path) -> None:
    """Imports what was exported, and compares; prints all figures."""
    import torch

    import shortlist as sl

    found: dict[str, object] = {"adam": json.loads((folder / "adam.json").read_text())}
    model = sl.from_tfrs(folder / "model.npz", "user_id", "movie_title")
    more = np.load(folder / "more.npz")
    vectors = [
        tower_vectors(model, side, [one.decode() for one in more[name]])
        for side, name in (("query", "users"), ("candidate", "titles"))
    ]
    ours = (vectors[0] * vectors[1]).sum(1)
    found["import"] = {
        "scores": len(ours),
        "foreign": int(more["foreign"]),
        "largest_difference": float(np.abs(ours - more["scores"]).max()),
        "largest_score": float(np.abs(more["scores"]).max()),
    }
    films_in_columns, cosines = [], []
    for path in sorted(folder.glob("hard[0-9].npz")):
        one = np.load(path)
        logits = one["q"] @ one["c"].T
        np.fill_diagonal(logits, -np.inf)
        columns = np.argpartition(-logits, HARD, axis=1)[:, :HARD]
        films_in_columns.append(float(np.mean([len(set(row)) for row in one["candidate"][columns].tolist()])))
        _, at_user, query = np.unique(one["query"], return_index=True, return_inverse=True)
        _, at_film, candidate = np.unique(one["candidate"], return_index=True, return_inverse=True)
        q, c = (torch.tensor(v, requires_grad=True) for v in (one["q"][at_user], one["c"][at_film]))
        task = sl.Retrieval(hardest=HARD, remove_accidental_hits=False)
        task(q, c, torch.tensor(query), torch.tensor(candidate)).backward()
        theirs = [np.zeros(v.shape) for v in (q, c)]
        np.add.at(theirs[0], query, one["gq"])
        np.add.at(theirs[1], candidate, one["gc"])
        pairs = zip([q.grad.numpy(), c.grad.numpy()], theirs, strict=True)  # type: ignore[union-attr]
        cosines.append([float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())) for a, b in pairs])
    found |= {"films_in_16_columns": films_in_columns, "gradient_cosines": cosines}
    print(json.dumps(found, indent=1))


def tower_vectors(model, side: str, ids: list[str]) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Vectors of ids, float32 ``[ids, dim]``; an unknown one has the vector of unknown ids."""
    import polars as pl

    import shortlist as sl

    recommender = sl.Recommender(model, cold_start="unknown")
    if side == "query":
        return recommender.embed_queries(pl.DataFrame({"user_id": ids}))
    return recommender.embed_candidates(pl.DataFrame({"movie_title": ids}))


if __name__ == "__main__":
    {"prepare": prepare, "train": train, "hard": hard, "adam": adam, "check": check}[sys.argv[1]](Path(sys.argv[2]))
