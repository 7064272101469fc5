"""Vector databases: one contract for filling a collection and searching it, and an index of each database.

1. ``contract``: the few calls that a database answers, and the rows that a collection is filled with.
2. ``publish``: filled, checked against exact search, then the alias is switched; old versions are dropped.
3. ``base``: the index over such a collection; ``milvus``, ``qdrant``, ``lancedb`` and ``pgvector`` give the calls.
"""

from shortlist.index.databases.base import DatabaseIndex
from shortlist.index.databases.contract import Database
from shortlist.index.databases.lancedb import LanceDB
from shortlist.index.databases.milvus import Milvus
from shortlist.index.databases.named import place_named
from shortlist.index.databases.pgvector import Pgvector
from shortlist.index.databases.publish import Published, drop_versions, publish
from shortlist.index.databases.qdrant import Qdrant

__all__ = [
    "Database",
    "DatabaseIndex",
    "LanceDB",
    "Milvus",
    "Pgvector",
    "Published",
    "Qdrant",
    "drop_versions",
    "place_named",
    "publish",
]
