"""Candidates in a Milvus collection under their own ids, for clients that search there: versions, and an alias that switches."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.errors import SearchError
from shortlist.index.milvus import Milvus, _reported

__all__ = ["Published", "drop_versions", "publish"]

VERSION = re.compile(r"[0-9a-f]{16}")  # the start of a bundle's fingerprint
ROWS = 10_000
"""Rows in an insert, and in memory in addition to the vectors."""


@dataclass(frozen=True)
class Published:
    """The result of ``publish``: the alias leads to ``collection``, which has ``rows`` rows.

    Attributes:
        before: where it led until then, or None.
        written: whether the collection was filled now; False if it existed.
    """

    uri: str
    alias: str
    collection: str
    rows: int
    before: str | None
    written: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def publish(
    place: Milvus,
    version: str,
    ids: NDArray[Any],
    vectors: NDArray[np.float32],
    on_rows: Callable[[int, int], None] | None = None,
) -> Published:
    """Fills the collection ``<alias>_<version>`` with ``id`` and ``vector`` of each candidate, then lets the alias lead there.

    1. A collection of that version with all its rows stays as it is; one with fewer, of an interrupted run, is
       filled again.
    2. It is flushed, loaded and counted.
    3. Only then the alias switches, in one step. Earlier versions stay, so that the same call can go back to one.

    Args:
        place: uri, alias (its ``collection``) and the graph's settings.
        version: letters and digits.
        ids: integers or text, distinct, ``[candidates]``.

    Raises:
        SearchError: for a database that does not answer or that counts other rows.
    """
    client, settings = place._connected(), place._settings
    name = f"{settings.collection}_{version}"
    with _reported(settings.uri):
        before = _target(client, settings.collection)
        written = _rows(client, name) != len(ids)
        if written:
            _fill(client, name, ids, vectors, settings, on_rows)
        client.load_collection(name)
        rows = _rows(client, name)
        if rows != len(ids):
            raise SearchError(
                f"the collection {name!r} has {rows:,} rows; {len(ids):,} were written. The alias "
                f"{settings.collection!r} is unchanged.",
                hint="ids must be distinct; run it again",
            )
        if before is None:
            client.create_alias(name, settings.collection)
        elif before != name:
            client.alter_alias(name, settings.collection)
    return Published(settings.uri, settings.collection, name, rows, before, written)


def drop_versions(place: Milvus, wanted: Collection[str], dry_run: bool = False) -> list[str]:
    """Release and drop the versions that ``publish`` filled, but for those of ``wanted`` and the one that the alias leads to.

    Args:
        place: uri and alias (its ``collection``).
        wanted: versions that stay.
        dry_run: only name them.

    Returns:
        The names of the collections.

    Raises:
        SearchError: for a database that does not answer.
    """
    client, settings = place._connected(), place._settings
    start = f"{settings.collection}_"
    with _reported(settings.uri):
        current = _target(client, settings.collection)
        found = [str(name) for name in client.list_collections() if VERSION.fullmatch(str(name).removeprefix(start))]
        old = [
            name
            for name in sorted(found)
            if name.startswith(start) and name != current and name.removeprefix(start) not in wanted
        ]
        for name in [] if dry_run else old:
            client.release_collection(name)
            client.drop_collection(name)
    return old


def _target(client: Any, alias: str) -> str | None:
    """The collection that an alias leads to, if there is one."""
    for name in client.list_collections():
        if alias in client.list_aliases(name)["aliases"]:
            return str(name)
    return None


def _rows(client: Any, name: str) -> int:
    """How many rows a collection has; −1 where there is none."""
    if not client.has_collection(name):
        return -1
    return int(client.get_collection_stats(name)["row_count"])


def _fill(
    client: Any,
    name: str,
    ids: NDArray[Any],
    vectors: NDArray[np.float32],
    settings: Any,
    on_rows: Callable[[int, int], None] | None,
) -> None:
    from pymilvus import DataType

    if client.has_collection(name):
        client.drop_collection(name)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    if np.issubdtype(ids.dtype, np.integer):
        schema.add_field("id", DataType.INT64, is_primary=True)
    else:
        longest = max((len(text.encode()) for text in ids.tolist()), default=1)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=max(1, longest))
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    index = client.prepare_index_params()
    graph = {"M": settings.links, "efConstruction": settings.build_effort}
    index.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
    client.create_collection(name, schema=schema, index_params=index)
    for low in range(0, len(ids), ROWS):
        some, rows = ids[low : low + ROWS].tolist(), vectors[low : low + ROWS].tolist()
        client.insert(name, [{"id": key, "vector": row} for key, row in zip(some, rows, strict=True)])
        if on_rows is not None:
            on_rows(low + len(some), len(ids))
    client.flush(name)
