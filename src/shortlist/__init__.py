"""The retrieval stage of a recommender: train a two-tower model, measure it, index and serve the top k.

Public names load their room on first use: importing ``shortlist`` imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from shortlist._public import ROOMS, __version__

if TYPE_CHECKING:
    from shortlist.choosing import Choice, choose
    from shortlist.data import (
        Dataset,
        Events,
        Reading,
        Shards,
        Split,
        datasets,
        k_core,
        keep_at_least,
        read_sql,
        split_by_time,
        split_last,
        split_queries,
        split_random,
    )
    from shortlist.errors import (
        BundleError,
        ConfigError,
        DataError,
        DownloadError,
        MissingExtraError,
        SearchError,
        ShortlistError,
        ShortlistWarning,
        TrainingError,
        UnknownQueryError,
    )
    from shortlist.evaluation import Comparison, Evaluation, Finding, audit, compare, diagnose, evaluate
    from shortlist.features import (
        Category,
        Discretization,
        Hashing,
        History,
        IntegerLookup,
        MultiCategory,
        Normalization,
        StringLookup,
        Text,
        Timestamp,
        Vector,
    )
    from shortlist.index import BruteForce, Faiss, Milvus, ScaNN
    from shortlist.loss import BPR, BSL, CCL, InBatch, Mixed, Retrieval, Sampled, Softmax, WholeCatalogue
    from shortlist.model import Tower, TwoTower, from_tfrs, join, popularity
    from shortlist.recommender import Recommendations, Recommender, TunedRecommender, tune
    from shortlist.sources import EASE, Blend, Cooccurrence, Mixture, Neighbours, Transitions
    from shortlist.train import (
        ALS,
        SGD,
        Adagrad,
        Adam,
        AdamW,
        Checkpoints,
        MLflow,
        RowwiseAdagrad,
        TensorBoard,
        TrainingHistory,
        WarmStart,
        als,
        fit,
        recipes,
    )

__all__ = [
    "ALS",
    "BPR",
    "BSL",
    "CCL",
    "EASE",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Blend",
    "BruteForce",
    "BundleError",
    "Category",
    "Checkpoints",
    "Choice",
    "Comparison",
    "ConfigError",
    "Cooccurrence",
    "DataError",
    "Dataset",
    "Discretization",
    "DownloadError",
    "Evaluation",
    "Events",
    "Faiss",
    "Finding",
    "Hashing",
    "History",
    "InBatch",
    "IntegerLookup",
    "MLflow",
    "Milvus",
    "MissingExtraError",
    "Mixed",
    "Mixture",
    "MultiCategory",
    "Neighbours",
    "Normalization",
    "Reading",
    "Recommendations",
    "Recommender",
    "Retrieval",
    "RowwiseAdagrad",
    "Sampled",
    "ScaNN",
    "SearchError",
    "Shards",
    "ShortlistError",
    "ShortlistWarning",
    "Softmax",
    "Split",
    "StringLookup",
    "TensorBoard",
    "Text",
    "Timestamp",
    "Tower",
    "TrainingError",
    "TrainingHistory",
    "Transitions",
    "TunedRecommender",
    "TwoTower",
    "UnknownQueryError",
    "Vector",
    "WarmStart",
    "WholeCatalogue",
    "__version__",
    "als",
    "audit",
    "choose",
    "compare",
    "datasets",
    "diagnose",
    "evaluate",
    "fit",
    "from_tfrs",
    "join",
    "k_core",
    "keep_at_least",
    "popularity",
    "read_sql",
    "recipes",
    "split_by_time",
    "split_last",
    "split_queries",
    "split_random",
    "tune",
]


def __getattr__(name: str) -> Any:
    room = ROOMS.get(name)
    if room is None:
        from shortlist.errors import did_you_mean

        raise AttributeError(f"shortlist has no {name!r}; {did_you_mean(name, __all__)}")
    try:
        value = getattr(importlib.import_module(f"shortlist.{room}"), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        from shortlist.errors import MissingExtraError

        raise MissingExtraError("torch", "train", f"shortlist.{name}") from missing
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
