"""An index built afresh while another goes on, and brought to where that one is by then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.index import BruteForce, Index, caught_up, copied, rebuilt
from shortlist.index.base import LiveIndex
from shortlist.index.snapshot import Snapshot


class Unsettled(BruteForce):
    """Exact search that never folds its changes in, as approximate indexes do not."""

    kind = "unsettled"

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        return snapshot


def vectors(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 9, (rows, 3)).astype(np.float32)


def held(index: Index) -> dict[int, list[float]]:
    return dict(zip(index.ids.tolist(), index.vectors.tolist(), strict=True))


_changes = st.lists(st.tuples(st.booleans(), st.integers(0, 14), st.integers(0, 2**31)), max_size=6)


def changed(index: Index, changes: list[tuple[bool, int, int]]) -> None:
    for comes, one, seed in changes:
        if comes:
            index.upsert(np.array([one]), vectors(seed, 1))
        else:
            index.delete(np.array([one]))


@given(before=_changes, meanwhile=_changes)
def test_whatever_happened_meanwhile_is_made_again(before: list, meanwhile: list) -> None:
    index = Unsettled().build(vectors(1, 10))
    changed(index, before)
    then = copied(index)
    fresh = rebuilt(then)
    assert (held(fresh), fresh.churn) == (held(then), 0.0)
    changed(index, meanwhile)
    last = caught_up(fresh, then, index)
    assert held(last) == held(index)
    assert held(fresh) == held(then)  # none of the three changed
    asked = vectors(2, 4)
    assert np.array_equal(last.search(asked, 5).scores, index.search(asked, 5).scores)
    assert last.churn <= 2 * len(meanwhile) / max(1, fresh.size)


def test_another_rebuild_in_between_is_kept() -> None:
    index: LiveIndex = Unsettled().build(vectors(1, 10))
    then = copied(index)
    fresh = rebuilt(then)
    index.delete(np.array([3]))
    index.rebuild()
    assert held(caught_up(fresh, then, index)) == held(index)


def test_settings_stay() -> None:
    index = BruteForce("int8").build(vectors(1, 10))
    assert rebuilt(index).settings() == index.settings()


@pytest.mark.parametrize("everything", [True, False])
def test_an_index_whose_candidates_all_went(everything: bool) -> None:
    index = Unsettled().build(vectors(1, 4))
    then = copied(index)
    fresh = rebuilt(then)
    index.delete(np.arange(4 if everything else 3))
    assert caught_up(fresh, then, index).ids.tolist() == ([] if everything else [3])
