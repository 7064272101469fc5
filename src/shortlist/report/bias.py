"""Popularity bias: recommendations and choices by tenths of the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["by_popularity"]

PARTS = 10


def by_popularity(
    counts: NDArray[np.int64], listed: NDArray[np.int64], chosen: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """Shares of training interactions, recommendations and held-out choices by tenths of the catalogue.

    Candidates are ordered by ``counts`` (equal ones by row), most popular first, and cut into ten parts as equal as can be,
    fewer in a catalogue of fewer than ten. A row per part: its candidates, and its share of each.

    Args:
        counts: int64 ``[candidates]``, training interactions of each.
        listed: likewise, in how many lists each is.
        chosen: likewise, held-out choices.
    """
    order = np.argsort(-counts, kind="stable")
    parts = np.array_split(order, min(PARTS, len(order)))
    sources = {"training": counts, "recommended": listed} | ({} if chosen is None else {"held_out": chosen})
    return [
        {
            "part": number,
            "candidates": len(part),
            **{name: float(values[part].sum() / max(values.sum(), 1)) for name, values in sources.items()},
        }
        for number, part in enumerate(parts, start=1)
    ]
