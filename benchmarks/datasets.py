"""The data of the benchmarks, written once to `benchmarks/data/` and read by every side from there.

Strings are fixed-width numpy arrays, so that no peer needs a Parquet reader or pickle. A folder's name carries the hash
of this module and of its parameters: change either and the data are written anew.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"


def prepare(name: str | None, parameters: dict) -> Path:
    """Returns the folder of a data set, written now if it is not there yet; of no data set, the folder of all."""
    if name is None:
        return DATA
    recipe = json.dumps([name, parameters, Path(__file__).read_text()], sort_keys=True)
    folder = DATA / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    if not folder.exists():
        unfinished = folder.with_suffix(f".unfinished-{os.getpid()}")
        unfinished.mkdir(parents=True)
        try:
            WRITERS[name](unfinished, **parameters)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished)
            raise
    return folder


def write_movielens(folder: Path, seed: int) -> None:
    """Writes MovieLens-100k: vocabularies, the columns of users and titles, and a random 80,000/20,000 split.

    A pair is a row of `users.npy` (the query) and a row of `titles.npy` (the candidate).
    """
    from shortlist.data.movielens import movielens

    dataset = movielens("100k")
    users, titles = dataset.queries, dataset.candidates
    genres = titles["genres"].to_list()
    _save(folder, "users", users["user_id"])
    for column in ("age", "gender", "occupation"):
        _save(folder, f"user_{column}", users[column])
    _save(folder, "gender_vocabulary", users["gender"].unique().sort())
    _save(folder, "occupation_vocabulary", users["occupation"].unique().sort())
    _save(folder, "titles", titles["movie_title"])
    _save(folder, "genre_vocabulary", sorted({genre for row in genres for genre in row}))
    width = max(map(len, genres))
    padded = np.array([row + [""] * (width - len(row)) for row in genres])  # [titles, width]
    np.save(folder / "title_genres.npy", padded)

    pairs = {"query": dataset.query_rows, "candidate": dataset.candidate_rows}
    order = np.random.default_rng(seed).permutation(len(dataset))
    for split, chosen in (("train", order[:80_000]), ("test", order[80_000:])):
        for side, rows in pairs.items():
            np.save(folder / f"{split}_{side}_rows.npy", rows[chosen])


def write_zipf(folder: Path, queries: int, candidates: int, pairs: int, seed: int) -> None:
    """Writes `zipf_pairs`."""
    for side, rows in zipf_pairs(queries, candidates, pairs, seed).items():
        np.save(folder / f"{side}.npy", rows)


def zipf_pairs(queries: int, candidates: int, pairs: int, seed: int) -> dict[str, np.ndarray]:
    """Returns pairs of a uniform query and a heavy-tailed candidate, `pareto(1.05) * 20` under a permutation of the ids."""
    generator = np.random.default_rng(seed)
    ranks = np.minimum(generator.pareto(1.05, pairs) * 20, candidates - 1).astype(np.int64)
    query = generator.integers(queries, size=pairs, dtype=np.int32)
    return {"query": query, "candidate": generator.permutation(candidates).astype(np.int32)[ranks]}


def write_distinct(folder: Path, rows: int, seed: int) -> None:
    """Writes pairs in which every query and every candidate occurs once."""
    generator = np.random.default_rng(seed)
    for side in ("query", "candidate"):
        np.save(folder / f"{side}.npy", generator.permutation(rows).astype(np.int32))


def write_ingest(folder: Path, pairs: int, users: int, items: int, head: int, seed: int) -> None:
    """Writes `interactions.parquet` in the shape of MovieLens-20M, and its first rows as arrays of strings for the peer.

    Users are log-normally active and items follow a shifted power law; every user and every item occurs. Ids are text,
    as those of MovieLens are when nothing has numbered them yet.
    """
    import polars as pl

    generator = np.random.default_rng(seed)
    activity = generator.lognormal(sigma=1.1, size=users)
    popularity = (np.arange(items) + 30.0) ** -1.3
    rows = {
        "user_id": _heavy_tailed(generator, activity, pairs),
        "movie_id": _heavy_tailed(generator, generator.permutation(popularity), pairs),
    }
    ids = {
        "user_id": np.arange(1, users + 1).astype(str),
        "movie_id": np.sort(generator.choice(131_262, items, replace=False) + 1).astype(str),
    }
    frame = pl.DataFrame({name: pl.Series(ids[name]).gather(rows[name]) for name in ids})
    frame.write_parquet(folder / "interactions.parquet")
    for name, vocabulary, side in (("user_id", "users", "query"), ("movie_id", "items", "candidate")):
        np.save(folder / f"{vocabulary}.npy", ids[name])
        np.save(folder / f"{side}.npy", ids[name][rows[name][:head]])


def write_sequences(folder: Path, tables: dict, seed: int) -> None:
    """Writes the pairs of each table, by user and in order of time: lengths by the table's percentiles, at most the model's
    and one more, and items by a shifted power law."""
    generator = np.random.default_rng(seed)
    for name, table in tables.items():
        at = generator.random(table["users"]) * 100
        lengths = np.interp(at, *zip(*table["percentiles"].items(), strict=True)).round().astype(np.int64)
        lengths = np.minimum(lengths, table["length"] + 1)
        popularity = generator.permutation((np.arange(table["items"]) + 30.0) ** -0.8)
        np.save(folder / f"{name}-user.npy", np.repeat(np.arange(table["users"]), lengths))
        np.save(folder / f"{name}-item.npy", _heavy_tailed(generator, popularity, int(lengths.sum())).astype(np.int64))


def _heavy_tailed(generator: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    """Returns `count` shuffled rows drawn by weight, each row at least once."""
    cumulative = np.cumsum(weights)
    draws = np.searchsorted(cumulative, generator.random(count - len(weights)) * cumulative[-1], side="right")
    rows = np.concatenate([np.arange(len(weights)), np.minimum(draws, len(weights) - 1)]).astype(np.int32)
    generator.shuffle(rows)
    return rows


def _save(folder: Path, name: str, column) -> None:
    """Writes a column, text as fixed-width Unicode."""
    np.save(folder / f"{name}.npy", np.array(list(column)))


WRITERS = {
    "movielens": write_movielens,
    "zipf": write_zipf,
    "distinct": write_distinct,
    "ingest": write_ingest,
    "sequences": write_sequences,
}
