"""The peers' indexes: hnswlib, usearch, Faiss, SVS, ScaNN, turbovec, each in several recipes and tuned as ours is.

A build is kept beside the data, so that timings can be repeated without it. Setting up a side finds, on the tuning
queries, the least effort whose mean recall, less two standard errors, reaches the promise; of several recipes of a
peer the fastest is kept. A run times the held-out queries one at a time, on one core, and measures their recall.
"""

import contextlib
import json
import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

LADDER = [round(10 * 1.2**step) for step in range(40)]  # 10 to 12,248
PACKAGES = ("hnswlib", "usearch", "faiss-cpu", "scalable-vs", "scann", "turbovec")


def describe() -> dict:
    """Returns versions and thread counts."""
    versions = {}
    for name in PACKAGES:  # some have no wheels for this machine
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {"versions": versions, "threads": {"search": 1}}


def hnswlib(data: Path, parameters: dict):
    """hnswlib: a graph over inner products, or over distances of vectors made equally long."""
    return _side(data, parameters, [recipe for recipe in RECIPES() if isinstance(recipe, _Hnswlib)])


def usearch(data: Path, parameters: dict):
    """usearch: a graph over inner products, or over distances of vectors made equally long; float32."""
    return _side(data, parameters, [recipe for recipe in RECIPES() if isinstance(recipe, _Usearch)])


def faiss(data: Path, parameters: dict):
    """Faiss: inverted lists of 4-bit codes re-ranked exactly, of 8-bit numbers re-ranked exactly, of the vectors themselves."""
    return _side(data, parameters, [recipe for recipe in RECIPES() if isinstance(recipe, _FaissLists)])


def svs(data: Path, parameters: dict):
    """SVS: a Vamana graph over inner products, float32."""
    return _side(data, parameters, [recipe for recipe in RECIPES() if isinstance(recipe, _Svs)])


def scann(data: Path, parameters: dict):
    """ScaNN by hand: partitions, codes, and its own re-ranking."""
    return _side(data, parameters, [recipe for recipe in RECIPES() if isinstance(recipe, _Scann)])


def turbovec(data: Path, parameters: dict):
    """turbovec by hand: a scan of all codes, the best re-ranked by numpy."""
    return _side(data, parameters, [recipe for recipe in RECIPES() if isinstance(recipe, _Turbovec)])


def _side(data: Path, parameters: dict, recipes: list):
    """Returns the run of the fastest recipe that keeps the promise; of none, that of the one with the best recall."""
    place = Path(parameters["data"])
    k, recall = parameters["k"], parameters["recall"]
    suffix = "" if parameters["queries"] == "inside" else f"-{parameters['queries']}"
    queries = np.load(place / f"queries{suffix}.npy")
    half = len(queries) // 2
    tuning, held = queries[:half], queries[half:]
    kth_tuning, kth_held = np.load(place / f"kth-{k}{suffix}.npy")
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    ready = []
    names = {recipe.name for recipe in tried(len(vectors))}
    for recipe in (recipe for recipe in recipes if recipe.name in names):
        recipe.built = _built(recipe, place, vectors)
        setting, reached = _tuned(recipe, vectors, tuning, kth_tuning, k, recall)
        spent = _timed(recipe, setting, tuning[:300], k)[0]
        ready.append((reached < recall, spent if reached >= recall else -reached, recipe, setting))
    _, _, recipe, setting = min(ready, key=lambda entry: entry[:2])

    def run() -> dict:
        milliseconds, positions = _timed(recipe, setting, held, k)
        recalls = _recalls(vectors, held, positions, kth_held)
        return {
            "milliseconds": milliseconds,
            "missed": 1 - float(recalls.mean()),
            "recall_lower": _lower(recalls),
            "build_seconds": recipe.built["seconds"],
            "build_memory_gb": recipe.built["peak_rss_gb"],
            "setting": float(setting),
            "recipe": recipe.name + (f", {recipe.factor}·k re-ranked" if getattr(recipe, "factor", 0) else ""),
        }

    return run


def build(place: Path, name: str) -> None:
    """Builds and keeps one recipe: `python -m benchmarks.peers.index FOLDER NAME`."""
    recipe = next(recipe for recipe in RECIPES() if recipe.name == name)
    vectors = np.load(place / "vectors.npy")
    started = time.perf_counter()
    recipe.build(vectors)
    seconds = time.perf_counter() - started
    recipe.save(place / f"{name}.bin")
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    (place / f"{name}.json").write_text(json.dumps({"seconds": seconds, "peak_rss_gb": peak}))
    print(f"{name}: built in {seconds:.1f} s", flush=True)


def _built(recipe, place: Path, vectors: np.ndarray) -> dict:
    """Returns what is known of a recipe's build, which is loaded, or made now in a process of its own."""
    path = place / f"{recipe.name}.bin"
    if not path.with_suffix(".json").exists():
        import subprocess
        import sys

        subprocess.run([sys.executable, "-m", "benchmarks.peers.index", str(place), recipe.name], check=True, stdout=2)
    recipe.load(path, vectors)
    return json.loads(path.with_suffix(".json").read_text())


def _tuned(recipe, vectors, queries, kth, k: int, recall: float) -> tuple[int, float]:
    """Returns the least setting that keeps the promise (else the largest), and the recall it surely has."""
    low, high, sure = -1, len(LADDER), {}
    while high - low > 1:
        middle = (low + high) // 2
        recipe.set(LADDER[middle], k)
        sure[middle] = _lower(_recalls(vectors, queries, recipe.search(queries, k), kth))
        low, high = (low, middle) if sure[middle] >= recall else (middle, high)
    at = min(high, len(LADDER) - 1)
    return LADDER[at], sure[at]


def _timed(recipe, setting: int, queries: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """Returns the median milliseconds of a query alone on one core, and the positions found."""
    recipe.set(setting, k)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        rows = [query[None, :] for query in queries]
        for row in rows[:50]:
            recipe.search(row, k)
        times, found = [], []
        for row in rows:
            started = time.perf_counter()
            positions = recipe.search(row, k)
            times.append(time.perf_counter() - started)
            found.append(positions)
    finally:
        os.sched_setaffinity(0, cores)
    return float(np.median(times)) * 1e3, np.concatenate(found)


def _recalls(vectors, queries, positions, kth) -> np.ndarray:
    """Returns the part of each query's true top k among the positions, by float64 scores; equals count as found."""
    recalls = np.empty(len(queries))
    for row, (query, found) in enumerate(zip(queries, positions, strict=True)):
        found = np.unique(found[found >= 0]).astype(np.int64)
        scores = (vectors[found].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        recalls[row] = (scores >= kth[row]).sum() / positions.shape[1]
    return recalls


def _lower(recalls: np.ndarray) -> float:
    return float(recalls.mean() - 2 * recalls.std(ddof=1) / np.sqrt(len(recalls)))


def _level(vectors: np.ndarray) -> np.ndarray:
    """Returns the vectors with one more coordinate that makes all as long as the longest: near is then a large product."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    last = np.sqrt(np.maximum(squares.max() - squares, 0.0)).astype(np.float32)
    return np.concatenate([vectors, last[:, None]], axis=1)


def _asked(queries: np.ndarray, level: bool) -> np.ndarray:
    """Returns the queries as a graph over such vectors takes them."""
    return np.pad(queries, ((0, 0), (0, 1))) if level else queries


class _Hnswlib:
    def __init__(self, links: int, effort: int, level: bool) -> None:
        self.links, self.effort, self.level = links, effort, level
        self.name = f"hnswlib-{'l2' if level else 'ip'}-{links}-{effort}"

    def _new(self, dim: int):
        import hnswlib

        return hnswlib.Index(space="l2" if self.level else "ip", dim=dim)

    def build(self, vectors) -> None:
        vectors = _level(vectors) if self.level else vectors
        self.index = self._new(vectors.shape[1])
        self.index.init_index(max_elements=len(vectors), M=self.links, ef_construction=self.effort, random_seed=0)
        self.index.add_items(vectors)

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: Path, vectors) -> None:
        self.index = self._new(vectors.shape[1] + self.level)
        self.index.load_index(str(path))

    def set(self, effort: int, k: int) -> None:
        self.index.set_ef(max(effort, k))

    def search(self, queries, k: int):
        queries = _asked(queries, self.level)
        return self.index.knn_query(queries, k, num_threads=1 if len(queries) == 1 else -1)[0].astype(np.int64)


class _Usearch:
    def __init__(self, links: int, effort: int, level: bool) -> None:
        self.links, self.effort, self.level = links, effort, level
        self.name = f"usearch-{'l2' if level else 'ip'}-{links}-{effort}"

    def _new(self, dim: int):
        from usearch.index import Index

        options = {"connectivity": self.links, "expansion_add": self.effort, "expansion_search": 64}
        return Index(ndim=dim, metric="l2sq" if self.level else "ip", dtype="f32", **options)

    def build(self, vectors) -> None:
        vectors = _level(vectors) if self.level else vectors
        self.index = self._new(vectors.shape[1])
        self.index.add(np.arange(len(vectors)), vectors)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, vectors) -> None:
        self.index = self._new(vectors.shape[1] + self.level)
        self.index.load(str(path))

    def set(self, effort: int, k: int) -> None:
        self.index.expansion_search = max(effort, k)

    def search(self, queries, k: int):
        queries = _asked(queries, self.level)
        if len(queries) == 1:
            return self.index.search(queries[0], k).keys.astype(np.int64)[None, :]
        return self.index.search(queries, k).keys.astype(np.int64)


class _FaissLists:
    """4·√n inverted lists; the ``factor``·k best of their codes re-ranked by their vectors (0: the lists hold vectors)."""

    def __init__(self, codes: str, factor: int = 0) -> None:
        self.codes, self.factor, self.name = codes, factor, f"faiss-ivf-{codes.lower()}"

    def build(self, vectors) -> None:
        import faiss

        n, dim = vectors.shape
        codes = {"PQ": f"PQ{dim}x4fs,RFlat", "SQ": "SQ8,RFlat", "Flat": "Flat"}[self.codes]
        self.index = faiss.index_factory(dim, f"IVF{round(4 * n**0.5)},{codes}", faiss.METRIC_INNER_PRODUCT)
        if self.codes == "PQ":
            faiss.downcast_index(self.index.base_index).by_residual = True
        rows = np.sort(np.random.default_rng(0).permutation(len(vectors))[:200_000])
        self.index.train(vectors[rows])
        self.index.add(vectors)

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(path))

    def load(self, path: Path, vectors) -> None:
        import faiss

        self.index = faiss.read_index(str(path))

    def set(self, effort: int, k: int) -> None:
        import faiss

        if self.factor:
            self.index.k_factor = self.factor
        faiss.ParameterSpace().set_index_parameter(self.index, "nprobe", min(effort, round(2 * self.index.ntotal**0.5)))

    def search(self, queries, k: int):
        return self.index.search(queries, k)[1]


class _Svs:
    """A Vamana graph over inner products; effort is its search window."""

    def __init__(self, degree: int, window: int) -> None:
        self.degree, self.window, self.name = degree, window, f"svs-{degree}-{window}"

    def build(self, vectors) -> None:
        import svs

        options = svs.VamanaBuildParameters(graph_max_degree=self.degree, window_size=self.window, alpha=0.95)
        self.index = svs.Vamana.build(options, np.array(vectors), svs.DistanceType.MIP, num_threads=os.cpu_count())

    def save(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.index.save(*(str(path / part) for part in ("config", "graph", "data")))

    def load(self, path: Path, vectors) -> None:
        import svs

        stored = svs.VectorDataLoader(str(path / "data"), svs.DataType.float32)
        graph = svs.GraphLoader(str(path / "graph"))
        self.index = svs.Vamana(str(path / "config"), graph, stored, svs.DistanceType.MIP, num_threads=1)

    def set(self, effort: int, k: int) -> None:
        self.index.search_window_size = max(effort, k)

    def search(self, queries, k: int):
        return self.index.search(queries, k)[0].astype(np.int64)


class _Scann:
    """2·√n partitions of codes of one or two coordinates, the ``factor``·k best re-ranked; effort is the partitions searched."""

    def __init__(self, coordinates: int, factor: int) -> None:
        self.coordinates, self.factor, self.name = coordinates, factor, f"scann-{coordinates}"

    def build(self, vectors) -> None:
        from scann.scann_ops.py import scann_ops_pybind

        leaves = round(2 * len(vectors) ** 0.5)
        builder = scann_ops_pybind.builder(np.array(vectors), 10, "dot_product").tree(
            leaves, leaves // 40, soar_lambda=1.5
        )
        self.index = builder.score_ah(self.coordinates, anisotropic_quantization_threshold=0.2).reorder(100).build()

    def save(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.index.serialize(str(path.resolve()))

    def load(self, path: Path, vectors) -> None:
        from scann.scann_ops.py import scann_ops_pybind

        self.index = scann_ops_pybind.load_searcher(str(path.resolve()))

    def set(self, effort: int, k: int) -> None:
        self.leaves = effort

    def search(self, queries, k: int):
        if len(queries) == 1:
            return self.index.search(queries[0], k, self.factor * k, self.leaves)[0].astype(np.int64)[None, :]
        return self.index.search_batched(queries, k, self.factor * k, self.leaves)[0].astype(np.int64)


class _Turbovec:
    """Codes of all vectors, scanned; effort is how many are re-ranked by their vectors."""

    def __init__(self, bits: int) -> None:
        self.bits, self.name = bits, f"turbovec-{bits}"

    def build(self, vectors) -> None:
        import turbovec

        self.index = turbovec.TurboQuantIndex(dim=vectors.shape[1], bit_width=self.bits)
        self.index.add(np.array(vectors))

    def save(self, path: Path) -> None:
        self.index.write(str(path))

    def load(self, path: Path, vectors) -> None:
        import turbovec

        self.index, self.vectors = turbovec.TurboQuantIndex.load(str(path)), np.array(vectors)
        self.index.prepare()

    def set(self, effort: int, k: int) -> None:
        self.wide = max(effort, k)

    def search(self, queries, k: int):
        found = self.index.search(queries, self.wide)[1]
        scores = np.einsum("qwd,qd->qw", self.vectors[found], queries)
        return np.take_along_axis(found, np.argsort(-scores, axis=1)[:, :k], axis=1)


def tried(rows: int) -> list:
    """Returns the recipes for so many vectors: graphs over inner products take as long to build as those over distances, and
    kept no promise at a million."""
    return [recipe for recipe in RECIPES() if rows < 1_000_000 or getattr(recipe, "level", True)]


def RECIPES() -> list:  # noqa: N802 - a list of instances, made where the libraries are
    """Returns every recipe of every peer."""
    return [
        *(_FaissLists("PQ", factor) for factor in (16, 64, 256)),
        _FaissLists("SQ", 4),
        _FaissLists("Flat"),
        *(_Hnswlib(16, 200, level) for level in (False, True)),
        *(_Usearch(16, 128, level) for level in (False, True)),
        _Svs(64, 128),
        *(_Scann(2, factor) for factor in (4, 16, 64, 256)),
        *(_Scann(1, factor) for factor in (4, 16, 64)),
        *(_Turbovec(bits) for bits in (4, 2)),
    ]
