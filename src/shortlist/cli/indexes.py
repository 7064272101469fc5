"""Indexes by the names that the command line gives them."""

from __future__ import annotations

from shortlist.errors import ConfigError, did_you_mean
from shortlist.index import Index

__all__ = ["index_named"]


def index_named(name: str) -> Index | None:
    """Unbuilt index settings for ``exact``, ``quantized``, ``scann`` or ``faiss``; None for ``auto``. ConfigError for others."""
    import shortlist as sl

    if name == "auto":
        return None
    kinds = {"exact": sl.BruteForce, "quantized": sl.Quantized, "scann": sl.ScaNN, "faiss": sl.Faiss}
    if name not in kinds:
        raise ConfigError(f"there is no index {name!r}.", hint=did_you_mean(name, ["auto", *kinds]))
    index: Index = kinds[name]()
    return index
