"""Indexes over the candidates of another one, without building them again."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from shortlist.index.base import LiveIndex
from shortlist.index.brute_force import BruteForce
from shortlist.index.contract import Index

__all__ = ["copied", "exact_beside"]


def copied(index: Index) -> Index:
    """The same index; later changes of one are not the other's. Vectors and native index are shared."""
    live = cast(LiveIndex, index)
    return live._like(live._now())


def exact_beside(index: Index) -> Index:
    """Exact search over the same candidates, which shares their vectors; later changes of one are not the other's."""
    if index.exact:
        return copied(index)
    return BruteForce()._like(replace(cast(LiveIndex, index)._now(), native=None))
