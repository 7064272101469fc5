"""Exact search: every candidate is scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from shortlist.index.base import LiveIndex, Snapshot
from shortlist.index.exact import Found
from shortlist.index.segment import Filters, Request
from shortlist.index.values import Floats

__all__ = ["BruteForce"]

# Changes are folded in once they are this many, and this part of the candidates.
_FEW, _PART = 4096, 0.1


@dataclass(frozen=True)
class _Settings:
    pass


class BruteForce(LiveIndex):
    """The true top k, by blocked matrix products over all candidates.

    A single query reads the vectors once, at the speed of memory; a batch shares each read. Right for
    catalogues up to some tens of thousands, for large batches, and as the measure of every other index.

    Example:
        >>> import numpy as np
        >>> index = BruteForce().build(np.eye(3, dtype=np.float32), ids=np.array([10, 20, 30]))
        >>> index.search(np.array([[0.0, 2.0, 1.0]], dtype=np.float32), k=2).row(0)
        (array([20, 30]), array([2., 1.], dtype=float32))
    """

    kind: ClassVar[str] = "brute_force"
    exact: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(_Settings())

    def _train(self, vectors: Floats) -> Any:
        return None

    def _search_base(self, snapshot: Snapshot, request: Request, filters: Filters) -> Found:
        return snapshot.base.search(request, filters)

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        few = max(_FEW, _PART * snapshot.base.ids.size)
        return snapshot if snapshot.changes <= few else self._renewed(snapshot)
