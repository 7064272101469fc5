"""Indexes by the names that the command line gives them."""

from __future__ import annotations

from shortlist.errors import ConfigError, did_you_mean
from shortlist.index import Index
from shortlist.index.databases.named import is_place, place_named

__all__ = ["index_named"]


def index_named(name: str) -> Index | None:
    """Unbuilt index settings for ``exact``, ``quantized``, ``scann``, ``faiss`` or a vector database; None for ``auto``.

    Raises:
        ConfigError: for another name, and an address that the database cannot have.
    """
    import shortlist as sl

    if name == "auto":
        return None
    kinds = {"exact": sl.BruteForce, "quantized": sl.Quantized, "scann": sl.ScaNN, "faiss": sl.Faiss}
    if is_place(name):
        return place_named(name)
    if name not in kinds:
        raise ConfigError(
            f"there is no index {name!r}.",
            hint=f"{did_you_mean(name, ['auto', *kinds])}; a vector database: qdrant:http://host:6333",
        )
    index: Index = kinds[name]()
    return index
