"""How the recorded calls are spelled today. A public spelling that changes is changed here, and nowhere else in the proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shortlist as sl

__all__ = [
    "als",
    "loss",
    "measured",
    "recommend_by_history",
    "serve_arguments",
]


def loss(kind: str = "softmax", negatives: str = "batch", count: int = 0, mined: int = 0, **options: Any) -> Any:
    """The retrieval task: a loss by name with its own options, where its negatives come from, and how many."""
    losses: dict[str, Any] = {"softmax": sl.Softmax, "bsl": sl.BSL, "bpr": sl.BPR, "ccl": sl.CCL}
    kinds: dict[str, Any] = {
        "batch": sl.InBatch,
        "sampled": sl.Sampled,
        "mixed": sl.Mixed,
        "catalogue": sl.WholeCatalogue,
    }
    drawn: dict[str, Any] = {"number": count} if count else {}
    if "sample_power" in options:
        drawn["power"] = options.pop("sample_power")
    own = {name: options.pop(name) for name in losses[kind].__dataclass_fields__ if name in options}
    return sl.Retrieval(loss=losses[kind](**own), negatives=kinds[negatives](**drawn), mined=mined, **options)


def als(model: sl.TwoTower, train: sl.Dataset, *, epochs: int, seed: int, **options: Any) -> sl.TrainingHistory:
    """Vectors solved for, not trained."""
    return sl.als(model, train, epochs=epochs, seed=seed, **options)


def recommend_by_history(recommender: sl.Recommender, histories: list[list[str]], k: int) -> sl.Recommendations:
    """Lists for queries that are known by what they chose alone."""
    return recommender.recommend([None] * len(histories), k=k, history=histories)


def measured(model: Any, test: sl.Dataset, seen: sl.Dataset) -> dict[str, Any]:
    """All that a report says of a model, as plain values."""
    from shortlist.report import measure

    return measure(model, test, seen=seen)


def serve_arguments(bundle: Path, state: Path) -> list[str]:
    """The words after ``shortlist serve``."""
    return [str(bundle), "--host", "127.0.0.1", "--port", "0", "--no-log", "--state", str(state), "--max-wait", "100"]
