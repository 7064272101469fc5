"""Indexes over the candidates of another one: shared, or rebuilt while the other is in use."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from shortlist.index.base import LiveIndex
from shortlist.index.brute_force import BruteForce
from shortlist.index.contract import Index
from shortlist.index.snapshot import Snapshot
from shortlist.index.values import Floats, Ints

__all__ = ["caught_up", "copied", "exact_copy", "rebuilt"]


def copied(index: Index) -> Index:
    """The same index; later changes to one do not affect the other. Vectors and native index are shared."""
    live = cast(LiveIndex, index)
    return live._like(live._now())


def exact_copy(index: Index) -> Index:
    """Exact search over the same candidates, which shares their vectors; later changes to one do not affect the other."""
    if index.exact:
        return copied(index)
    return BruteForce()._like(replace(cast(LiveIndex, index)._now(), native=None))


def rebuilt(index: Index) -> Index:
    """An index with the same settings, rebuilt from its current candidates; the one given stays as it is."""
    live = cast(LiveIndex, index)
    return live._like(live._renewed(live._now()))


def caught_up(fresh: Index, before: Index, now: Index) -> Index:
    """``fresh``, which was built from ``before``, with the changes between ``before`` and ``now``.

    A copy of ``now`` where that was itself rebuilt in between. None of the three changes.
    """
    old, new = cast(LiveIndex, before)._now(), cast(LiveIndex, now)._now()
    if new.base.vectors is not old.base.vectors:
        return copied(now)
    after = copied(fresh)
    ids, vectors = _added(old, new)
    after.delete(np.setdiff1d(_removed(old, new), ids))
    after.upsert(ids, vectors)
    return after


def _removed(old: Snapshot, new: Snapshot) -> Ints:
    """Ids of ``old`` that ``new`` lacks or has with another vector."""
    dead = [np.zeros(0, np.int64) if one.base.dead is None else one.base.dead for one in (old, new)]
    return np.concatenate([new.base.ids[np.setdiff1d(dead[1], dead[0])], np.setdiff1d(old.extra.ids, new.extra.ids)])


def _added(old: Snapshot, new: Snapshot) -> tuple[Ints, Floats]:
    """The arrays that ``new`` holds in addition to its index and that ``old`` did not."""
    ids, vectors = new.extra.living[::-1]
    at = old.extra.positions.find(ids)
    same = at >= 0
    same[same] = (old.extra.vectors[at[same]] == vectors[same]).all(axis=1)
    return ids[~same], vectors[~same]
