"""Cost per pair as one thing grows and the others stay: batch, dim, vocabulary, catalogue, interactions."""

from benchmarks.harness import Benchmark, Row
from benchmarks.sides import KERAS_RS, keras_rs_sides, ours_side, tfrs_side

BASE = {"batch_size": 4096, "dim": 32, "queries": 100_000, "candidates": 100_000, "pairs": 65_536}
QUICK = {"queries": 1_000, "candidates": 1_000, "pairs": 2_048}
CAVEATS = (
    "Uniform queries and Zipf candidates, pareto(1.05) * 20; Adagrad 0.1, in-batch softmax, accidental hits left in.",
    "An epoch over encoded (ours) or batched (peers) integer rows, after one that is not timed.",
)
EVALUATE_CAVEATS = (
    "TFRS: model.evaluate. keras-rs: model.predict of the top 100 and a comparison. Ours: evaluate(baselines=()).",
)
FIT_CAVEATS = (
    "Ours is the whole call of fit for one epoch, encoding included; the peers' is the epoch alone, on at most 100,000 "
    "pairs, since their cost per pair does not depend on the number.",
)


def _curve(
    what: str,
    points: list[dict],
    ours: str = "curve",
    peers: str = "curve",
    caveats: tuple[str, ...] = CAVEATS,
) -> Benchmark:
    """A benchmark with a row for each point and peer; a point with `peers` False is ours alone."""
    points = [_point(**point) for point in points]
    return Benchmark(
        what=what,
        dataset=None,
        data={},
        parameters={"points": points},
        sides={"ours": ours_side(ours), "tfrs": tfrs_side(peers), **keras_rs_sides(peers)},
        rows=tuple(
            Row(point["label"], point["label"], "ns/pair", None, peers=("tfrs", *KERAS_RS) if point["peers"] else ())
            for point in points
        ),
        runs=3,
        quick={"points": [{**point, "data": {**point["data"], **_quick(point)}} for point in points]},
        caveats=caveats,
    )


def _point(label: str, peers: bool = True, **changes: int) -> dict:
    values = {**BASE, **changes}
    data = {name: values[name] for name in ("queries", "candidates", "pairs")}
    return {
        "label": label,
        "peers": peers,
        "batch_size": values["batch_size"],
        "dim": values["dim"],
        "data": {**data, "seed": 42},
    }


def _quick(point: dict) -> dict:
    return {name: min(QUICK[name], point["data"][name]) for name in ("queries", "candidates", "pairs")}


def _batch(size: int, peers: bool = True) -> dict:
    return {"label": f"batch {size:,}", "batch_size": size, "pairs": max(65_536, 2 * size), "peers": peers}


CURVES = {
    "curve_batch": _curve(
        "training: cost per pair as the batch grows",
        [_batch(512), _batch(2_048), _batch(8_192), _batch(32_768, peers=False), _batch(131_072, peers=False)],
    ),
    "curve_dim": _curve(
        "training: cost per pair as the vectors grow",
        [{"label": f"dim {dim}", "dim": dim} for dim in (8, 32, 128, 256)],
    ),
    "curve_vocabulary": _curve(
        "training: cost per pair as the number of queries grows",
        [
            *({"label": f"queries {queries:,}", "queries": queries} for queries in (1_000, 30_000, 1_000_000)),
            {"label": "queries 5,000,000", "queries": 5_000_000, "peers": False},
        ],
    ),
    "curve_catalogue": _curve(
        "training: cost per pair as the number of candidates grows",
        [
            *({"label": f"candidates {count:,}", "candidates": count} for count in (1_000, 30_000, 1_000_000)),
            {"label": "candidates 5,000,000", "candidates": 5_000_000, "peers": False},
        ],
    ),
    "curve_interactions": _curve(
        "a whole fit of one epoch: cost per pair as the number of interactions grows",
        [
            {"label": "interactions 30,000", "pairs": 30_000},
            {"label": "interactions 100,000", "pairs": 100_000},
            {"label": "interactions 1,000,000", "pairs": 1_000_000, "peers": False},
            {"label": "interactions 10,000,000", "pairs": 10_000_000, "peers": False},
        ],
        ours="curve_fit",
        caveats=(*CAVEATS[:1], *FIT_CAVEATS),
    ),
    "curve_evaluate": _curve(
        "evaluation: cost per test pair as the catalogue grows",
        [
            {"label": "candidates 2,000", "candidates": 2_000, "pairs": 4_096, "queries": 1_000},
            {"label": "candidates 20,000", "candidates": 20_000, "pairs": 4_096, "queries": 1_000, "batch_size": 1_024},
            {"label": "candidates 200,000", "candidates": 200_000, "pairs": 4_096, "queries": 1_000, "batch_size": 256},
            {
                "label": "candidates 1,000,000",
                "candidates": 1_000_000,
                "pairs": 4_096,
                "queries": 1_000,
                "peers": False,
            },
        ],
        ours="curve_evaluate",
        peers="curve_evaluate",
        caveats=EVALUATE_CAVEATS,
    ),
}
