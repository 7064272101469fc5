"""Vectors that are hard to index, written once: 2,000 Gaussian clusters of unequal lengths, and queries like them.

Coordinate j is scaled by 1/sqrt(1+j), the noise around a centre is 0.6 of that, lengths are multiplied by
exp(0.3 · normal). Queries outside the distribution are means of five vectors plus one common shift, half as long as a
vector is on average: as those of a query tower, they are not like items. Half of the queries are for tuning, half are held out.
"""

import json
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent.parent / "data"
CLUSTERS, NOISE, SPREAD = 2_000, 0.6, 0.3
AVERAGED, SHIFT = 5, 0.5
QUERIES = ("inside", "outside")
FILES = {"inside": "queries", "outside": "queries-outside"}
BLOCK = 1 << 18


def folder(n: int, dim: int) -> Path:
    """Returns where the data of a size lie."""
    return DATA / f"index-{n}x{dim}"


def write(n: int, dim: int, queries: int, seed: int = 0) -> Path:
    """Returns the folder of `vectors.npy` and `queries.npy`, written now if they are not there yet."""
    place = folder(n, dim)
    recipe = {"n": n, "dim": dim, "queries": queries, "seed": seed, "outside": [AVERAGED, SHIFT]}
    stamp = place / "recipe.json"
    if stamp.exists() and json.loads(stamp.read_text()) == recipe:
        return place
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    scale = (1 / np.sqrt(1 + np.arange(dim))).astype(np.float32)
    centres = rng.standard_normal((CLUSTERS, dim), dtype=np.float32) * scale
    vectors = np.lib.format.open_memmap(place / "vectors.npy", "w+", np.float32, (n, dim))
    for low in range(0, n, BLOCK):
        vectors[low : low + BLOCK] = _drawn(rng, centres, scale, min(BLOCK, n - low))
    vectors.flush()
    np.save(place / f"{FILES['inside']}.npy", _drawn(rng, centres, scale, queries))
    np.save(place / f"{FILES['outside']}.npy", _averaged(rng, vectors, queries))
    stamp.write_text(json.dumps(recipe))
    return place


def _drawn(rng: np.random.Generator, centres: np.ndarray, scale: np.ndarray, rows: int) -> np.ndarray:
    """Returns `rows` vectors around randomly chosen centres, `[rows, dim]`."""
    drawn = rng.standard_normal((rows, centres.shape[1]), dtype=np.float32)
    drawn *= np.float32(NOISE) * scale
    drawn += centres[rng.integers(0, len(centres), rows)]
    drawn *= np.exp(np.float32(SPREAD) * rng.standard_normal((rows, 1), dtype=np.float32))
    return drawn


def _averaged(rng: np.random.Generator, vectors: np.ndarray, rows: int) -> np.ndarray:
    """Returns `rows` means of five vectors, all shifted alike, `[rows, dim]`."""
    chosen = np.sort(rng.integers(0, len(vectors), rows * AVERAGED))
    means = rng.permutation(vectors[chosen]).reshape(rows, AVERAGED, -1).mean(axis=1)
    shift = rng.standard_normal(vectors.shape[1], dtype=np.float32)
    length = np.linalg.norm(vectors[chosen], axis=1).mean()
    return means + shift * np.float32(SHIFT * length / np.linalg.norm(shift))


def halves(place: Path, which: str = "inside") -> tuple[np.ndarray, np.ndarray]:
    """Returns the queries to tune on and those held out, of those "inside" or "outside" the distribution."""
    queries = np.load(place / f"{FILES[which]}.npy")
    return queries[: len(queries) // 2], queries[len(queries) // 2 :]


def truth(place: Path, k: int, which: str = "inside") -> tuple[np.ndarray, np.ndarray]:
    """Returns the score of each query's true k-th candidate, for both halves; measured by exact search once."""
    path = place / f"kth-{k}{'' if which == 'inside' else f'-{which}'}.npy"
    if not path.exists():
        from shortlist.index import BruteForce

        exact = BruteForce().build(np.load(place / "vectors.npy", mmap_mode="r"))
        np.save(path, np.stack([exact.search(half, k).scores.reshape(-1, k)[:, -1] for half in halves(place, which)]))
    tuning, held = np.load(path)
    return tuning, held
