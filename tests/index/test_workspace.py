"""A thread's arrays and their addresses: none is noted of memory that is gone, whatever is interrupted."""

from __future__ import annotations

import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.index.libraries import interrupted

from shortlist.index import workspace
from shortlist.index.library import addresses
from shortlist.index.workspace import Workspace


class Given(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("limit", "n", "dim")),
        *((name, ctypes.c_void_p) for name in ("vectors", "found", "places")),
    )


class Owner:
    def __init__(self, rows: int) -> None:
        self.vectors = np.ones((rows, 2), np.float32)


def put(work: Workspace, size: int) -> None:
    work.put(found=np.arange(size), places=np.arange(size))


def borrow(work: Workspace, owner: Owner) -> None:
    work.borrow(owner, {"vectors": owner.vectors}, n=len(owner.vectors), dim=2)


def test_what_is_put_is_kept_and_what_is_borrowed_is_not() -> None:
    work, owner = Workspace(Given, limit=7), Owner(3)
    assert (work.given.limit, work.given.found, work.owner()) == (7, None, None)
    put(work, 4)
    borrow(work, owner)
    assert work.found.tolist() == work.places.tolist() == [0, 1, 2, 3]
    assert (work.given.found, work.given.places) == addresses(work.found, work.places)
    assert work.owner() is owner
    assert (work.given.n, work.given.dim, (work.given.vectors,)) == (3, 2, addresses(owner.vectors))
    del owner
    gc.collect()
    assert work.owner() is None


def test_each_thread_has_its_own() -> None:
    work, owner = Workspace(Given, limit=7), Owner(3)
    put(work, 4)
    borrow(work, owner)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (work.given.limit, work.given.found, work.owner())).result() == (7, None, None)
        assert not pool.submit(hasattr, work, "found").result()
    assert work.owner() is owner


@pytest.mark.parametrize("line", range(40))
def test_an_interrupt_on_any_line_leaves_no_address_of_what_is_gone(line: int) -> None:
    work, before, after = Workspace(Given), Owner(3), Owner(5)
    put(work, 4)
    borrow(work, before)

    def change() -> None:
        put(work, 6)
        borrow(work, after)

    if not interrupted(line, workspace, change):
        assert line > 20  # all lines were interrupted
    if work.places.size:
        assert work.found.size == work.places.size
        assert (work.given.found, work.given.places) == addresses(work.found, work.places)
    if (owner := work.owner()) is not None:
        assert isinstance(owner, Owner)
        assert (work.given.n, (work.given.vectors,)) == (len(owner.vectors), addresses(owner.vectors))
    put(work, 8)
    borrow(work, after)
    assert (work.given.found, work.given.places) == addresses(work.found, work.places)
    assert (work.given.n, work.owner()) == (5, after)
