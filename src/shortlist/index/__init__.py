"""One contract, several indexes: arrays in, arrays out, maximum inner product.

>>> import numpy as np
>>> from shortlist.index import BruteForce
>>> index = BruteForce().build(np.eye(4, dtype=np.float32))
>>> index.search(np.ones((1, 4), dtype=np.float32), k=2, deny=[0]).row(0)[0].tolist()
[1, 2]
"""

from shortlist.index import tuning
from shortlist.index.brute_force import BruteForce
from shortlist.index.choose import choose_index
from shortlist.index.contract import Index
from shortlist.index.databases import LanceDB, Milvus, Pgvector, Qdrant
from shortlist.index.faiss import Faiss
from shortlist.index.halves import Halves, accepts_halves, held_vectors, whole
from shortlist.index.heads import score_heads, search_heads
from shortlist.index.quantized import Quantized
from shortlist.index.registry import exact_from, index_from_settings, load_index
from shortlist.index.scann import ScaNN
from shortlist.index.storage import Verify
from shortlist.index.upkeep import Checkup, Upkeep, checkup
from shortlist.index.values import Hits, Lists
from shortlist.index.versions import caught_up, copied, exact_copy, rebuilt

__all__ = [
    "BruteForce",
    "Checkup",
    "Faiss",
    "Halves",
    "Hits",
    "Index",
    "LanceDB",
    "Lists",
    "Milvus",
    "Pgvector",
    "Qdrant",
    "Quantized",
    "ScaNN",
    "Upkeep",
    "Verify",
    "accepts_halves",
    "caught_up",
    "checkup",
    "choose_index",
    "copied",
    "exact_copy",
    "exact_from",
    "held_vectors",
    "index_from_settings",
    "load_index",
    "rebuilt",
    "score_heads",
    "search_heads",
    "tuning",
    "whole",
]
