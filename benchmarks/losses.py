"""What each loss and each kind of negatives costs and brings: factorization without pretraining, all else equal.

``python -m benchmarks.losses --data-dir DIR`` trains every combination on MovieLens-100k and on Last.fm and writes
``benchmarks/results/losses.json``, from which ``docs/which-loss.md`` has its table.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean

import polars as pl

import shortlist as sl
from benchmarks.machine import environment

RESULT = Path(__file__).parent / "results" / "losses.json"
OF_LOG_Q = {"loss.log_q": "counts"}
COMBINATIONS: dict[str, dict[str, object]] = {
    "softmax, in the batch": OF_LOG_Q,
    "softmax, in the batch, without log_q": {},
    "softmax, 1,024 sampled": {**OF_LOG_Q, "loss.negatives": "sampled"},
    "softmax, in the batch and 1,024 sampled": {**OF_LOG_Q, "loss.negatives": "mixed"},
    "softmax, whole catalogue": {"loss.negatives": "catalogue"},
    "BSL, in the batch": {**OF_LOG_Q, "loss.loss": "bsl"},
    "BSL, whole catalogue": {"loss.loss": "bsl", "loss.negatives": "catalogue"},
    "BPR, in the batch": {**OF_LOG_Q, "loss.loss": "bpr"},
    "CCL, in the batch": {"loss.loss": "ccl", "loss.temperature": 1.0},
}
"""The loss, the negatives, and the changes to the recipe."""


def tables(data: Path) -> dict[str, tuple[sl.Dataset, sl.Dataset]]:
    """Training and test rows of each table; of Last.fm the artists with at least five listeners in training."""
    movielens = sl.datasets.movielens("100k")
    split = sl.split_random(sl.Dataset(movielens.interactions, "user_id", "movie_title"), test=0.2, seed=42)
    parts = [pl.read_parquet(data / "lastfm" / f"{name}.parquet") for name in ("train", "test")]
    often = parts[0].group_by("item").len().filter(pl.col("len") >= 5)
    parts = [part.join(often, on="item", how="semi") for part in parts]
    both = sl.Dataset(pl.concat(parts).select("user", "item"), "user", "item")
    rows = both.interactions
    train, test = (both.with_interactions(rows.join(part, on=["user", "item"], how="semi")) for part in parts)
    return {"MovieLens-100k": (split.train, split.test), "Last.fm": (train, test)}


def measured(
    train: sl.Dataset, test: sl.Dataset, changes: dict[str, object], seed: int, epochs: int
) -> dict[str, float]:
    """One training: processor seconds an epoch, and recall on the test rows with seen items excluded."""
    values = sl.recipes.load("factorization").to_dict()
    values["loss"]["log_q"] = None
    more = {"fit.pretrain": "none", "fit.epochs": epochs, "fit.seed": seed}
    recipe = sl.recipes.load(values, {**changes, **more})
    started = time.process_time()
    model, _ = recipe.train(train)
    seconds = (time.process_time() - started) / epochs
    found = sl.evaluate(model, test, seen=train, ks=(10, 100), metrics=("recall",), baselines=())["model"]["seen_out"]
    return {"seconds": seconds, **found}


def main() -> None:
    """Train every combination and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that has lastfm/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    result = {
        "quick": False,
        "command": f"python -m benchmarks.losses --data-dir DIR --seeds {given.seeds} --epochs {given.epochs}",
        "environment": environment(),
        "tables": {},
    }
    for table, (train, test) in tables(given.data_dir).items():
        rows = {}
        for name, changes in COMBINATIONS.items():
            runs = [measured(train, test, changes, seed, given.epochs) for seed in range(given.seeds)]
            rows[name] = {key: [run[key] for run in runs] for key in runs[0]}
            print(table, name, {key: round(mean(values), 4) for key, values in rows[name].items()}, flush=True)
        result["tables"][table] = {"rows": len(train), "candidates": len(train.candidates), "results": rows}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
