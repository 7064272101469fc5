"""Arrays that the first process makes and all others map."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import shortlist as sl
from shortlist.recommender import bundle as room
from shortlist.serve.processes import sharing
from shortlist.serve.processes.sharing import Shared, shared_of


def test_the_first_makes_it_and_forked_processes_see_it() -> None:
    shared = Shared(3)
    pid = os.fork()
    if pid == 0:
        made = shared("counts", lambda: np.array([7, 8, 9]))
        os._exit(int(made.tolist() != [7, 8, 9]))
    assert os.waitpid(pid, 0)[1] == 0

    def never() -> np.ndarray:
        raise AssertionError

    assert shared("counts", never).tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="read-only"):
        shared("counts", never)[0] = 1
    with pytest.raises(AssertionError):
        shared("order", never)


def test_arrays_of_another_bundle_are_not_mixed_up_with_it() -> None:
    shared = Shared(3)
    assert shared("counts", lambda: np.array([1, 2])).tolist() == [1, 2]
    assert shared("counts", lambda: np.array([4, 5, 6])).tolist() == [4, 5, 6]


def test_a_bundle_that_took_the_place_of_another_has_its_own_counts(bundles: Path, tmp_path: Path) -> None:
    """As many candidates, chosen by others: a process that starts later reads it from the same place."""
    shared = shared_of(bundles / "one")
    room.load(bundles / "one", share=shared)
    data = sl.Dataset({"who": ["ann", "bob"], "what": ["d", "d"]}, "who", "what", candidates={"what": list("abcd")})
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    model.prepare(data)
    sl.Recommender(model.eval(), index=sl.BruteForce(), seen=data).save(tmp_path / "other")
    served = room.load(tmp_path / "other", share=shared)
    assert served.state.counts.tolist() == [0, 0, 0, 2]
    assert served.state.popular.tolist() == [3, 0, 1, 2]


def test_a_bundle_answers_the_same_with_them(bundles: Path, tmp_path: Path) -> None:
    shared = shared_of(bundles / "one")
    assert shared is not None
    alone, first, second = (room.load(bundles / "one", share=share) for share in (None, shared, shared))
    for served in (first, second):
        assert served.state.counts.tolist() == alone.state.counts.tolist() == [1, 3, 1, 0]
        assert served.state.popular.tolist() == alone.state.popular.tolist() == [1, 0, 2, 3]
    assert first.state.counts.ctypes.data == second.state.counts.ctypes.data or not np.shares_memory(
        first.state.counts, alone.state.counts
    )
    assert shared_of(tmp_path) is None


@pytest.mark.parametrize("rows", [-1, 10**6, 10**12, 2**62, 2**63, 10**30])
def test_a_manifest_that_counts_too_many_takes_no_memory(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """The supervisor reads it before anybody has checked it: a bundle that is to be refused must not end the server."""
    monkeypatch.setattr(sharing, "Shared", lambda rows: pytest.fail("it takes memory"))
    manifest = SimpleNamespace(candidates=SimpleNamespace(rows=rows))
    monkeypatch.setattr(sharing, "decoded", lambda path: manifest)
    assert shared_of(bundles / "one") is None
