"""Exact search in its plain form."""

from __future__ import annotations

import numpy as np

__all__ = ["plain"]


def plain(vectors, query, k, barred):
    """The k best of what is not barred, by sorting everything: positions and scores."""
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    order = [i for i in np.argsort(-scores, kind="stable") if i not in barred]
    return order[:k], scores[order[:k]]
