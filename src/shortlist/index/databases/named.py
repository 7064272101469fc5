"""Databases by their addresses, as the command line writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shortlist.index.databases.base import DatabaseIndex
from shortlist.index.databases.lancedb import LanceDB
from shortlist.index.databases.milvus import Milvus
from shortlist.index.databases.pgvector import Pgvector
from shortlist.index.databases.qdrant import Qdrant
from shortlist.index.halves import whole
from shortlist.index.storage import Reader

__all__ = ["DATABASES", "collection_version", "is_place", "place_named"]

DATABASES: dict[str, type[DatabaseIndex]] = {kind.kind: kind for kind in (Milvus, Pgvector, Qdrant, LanceDB)}


def is_place(address: str) -> bool:
    """Whether the text is an address with a kind, or one that can only be a database's."""
    return address.partition(":")[0] in (*DATABASES, "postgresql", "postgres") or address.endswith(".db")


def place_named(address: str, **options: Any) -> DatabaseIndex:
    """The unbuilt index of a database at ``KIND:ADDRESS``, such as ``qdrant:http://host:6333``.

    Without a kind, ``postgresql://…`` is PostgreSQL, and everything else is Milvus.

    Raises:
        ConfigError: for an address that the database cannot have.
    """
    kind, _, rest = address.partition(":")
    if kind in DATABASES:
        return DATABASES[kind](rest, **options)
    if kind in ("postgresql", "postgres"):
        return Pgvector(address, **options)
    return Milvus(address, **options)


def collection_version(folder: Path) -> str | None:
    """The version of the collection that the index saved in ``folder`` searches; None for other kinds of index.

    Raises:
        BundleError: for a folder without a whole index.
    """
    header = Reader(folder, verify=False).header
    kind = DATABASES.get(str(header.get("kind")))
    if kind is None:
        return None
    options = {name: value for name, value in header["settings"].items() if name != "kind"}
    snapshot = DatabaseIndex._read(Reader(folder, verify=False, mmap=True), strict=False)
    return kind(**options)._version(whole(snapshot.base.vectors))
