"""Where each public name lives, and the version."""

from __future__ import annotations

__all__ = ["ROOMS", "__version__"]

__version__ = "0.1.0"

_NAMES = {
    "choosing": ("Choice", "choose"),
    "data": (
        "Dataset",
        "Events",
        "Reading",
        "Shards",
        "Split",
        "datasets",
        "k_core",
        "keep_at_least",
        "read_sql",
        "split_by_time",
        "split_last",
        "split_queries",
        "split_random",
    ),
    "errors": (
        "BundleError",
        "ConfigError",
        "DataError",
        "DownloadError",
        "MissingExtraError",
        "SearchError",
        "ShortlistError",
        "ShortlistWarning",
        "TrainingError",
        "UnknownQueryError",
    ),
    "evaluation": ("Comparison", "Evaluation", "Finding", "audit", "compare", "diagnose", "evaluate"),
    "features": (
        "Category",
        "Discretization",
        "Hashing",
        "History",
        "IntegerLookup",
        "MultiCategory",
        "Normalization",
        "StringLookup",
        "Text",
        "Timestamp",
        "Vector",
    ),
    "index": ("BruteForce", "Faiss", "Milvus", "ScaNN"),
    "loss": ("BPR", "BSL", "CCL", "InBatch", "Mixed", "Retrieval", "Sampled", "Softmax", "WholeCatalogue"),
    "model": ("Tower", "TwoTower", "from_tfrs", "join", "popularity"),
    "recommender": ("Recommendations", "Recommender", "TunedRecommender", "tune"),
    "sources": ("Blend", "Cooccurrence", "EASE", "Mixture", "Neighbours", "Transitions"),
    "train": (
        "ALS",
        "SGD",
        "Adagrad",
        "Adam",
        "AdamW",
        "Checkpoints",
        "MLflow",
        "RowwiseAdagrad",
        "TensorBoard",
        "TrainingHistory",
        "WarmStart",
        "als",
        "fit",
        "recipes",
    ),
}

ROOMS = {name: room for room, names in _NAMES.items() for name in names}
