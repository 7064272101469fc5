"""The heaviest neighbours by the compiled library against numpy's: the same candidates, and scores equal to the last bit."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.libraries import BUILT, in_threads, interrupted, library, needs_library

from shortlist.index.library import addresses
from shortlist.sources import Neighbours, heaviest, neighbours

AGES = [0.7, 1.0, 1e-3, 0.999]


def table_of(seed: int, size: int, most: int, age: float, length: int, whole: bool = False) -> Neighbours:
    """A table in which a candidate has up to ``most`` neighbours, some of them twice."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, most + 1, size))])
    columns = rng.integers(0, size, offsets[-1], dtype=np.int32)
    weights = rng.random(offsets[-1], dtype=np.float32) + np.float32(0.01)
    weights = np.ceil(3 * weights) if whole else weights  # many equal sums
    return Neighbours(offsets, columns, weights, age=age, length=length)


def history_of(seed: int, size: int, count: int) -> np.ndarray:
    """Rows, some of them twice, and some that the table has not."""
    rng = np.random.default_rng(seed)
    outside = np.array([-1, -(2**62), size, size + 1, 2**62])
    rows = rng.integers(0, size, count)
    return np.where(rng.random(count) < 0.1, rng.choice(outside, count), rows)


def both(name: str, table: Neighbours, history: np.ndarray, most: int, also: np.ndarray) -> tuple[Any, Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(heaviest, "index_library", lambda: library(name))
        compiled = table.heaviest(history, most, also)
        patched.setattr(heaviest, "index_library", lambda: None)
        return compiled, table.heaviest(history, most, also)


def same(one: Any, other: Any) -> bool:
    return (
        one[2] == other[2]
        and one[0].dtype == other[0].dtype == np.int64
        and one[1].dtype == other[1].dtype == np.float32
        and np.array_equal(one[0], other[0])
        and np.array_equal(one[1], other[1])
    )


@needs_library
@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    size=st.sampled_from([1, 2, 40, 3000]),
    each=st.sampled_from([0, 1, 5, 60]),
    count=st.sampled_from([0, 1, 2, 9, 50, 300]),
    age=st.sampled_from(AGES),
    length=st.sampled_from([1, 3, 50, 500, 1 << 40]),
    most=st.sampled_from([1, 16, 64, 200]),
    also=st.sampled_from([0, 1, 10, 100]),
    whole=st.booleans(),
)
def test_the_library_adds_up_as_numpy_does(name, seed, size, each, count, age, length, most, also, whole) -> None:
    table = table_of(seed, size, each, age, length, whole)
    more = np.random.default_rng(seed).integers(0, size, also)
    compiled, plain = both(name, table, history_of(seed, size, count), most, more)
    assert same(compiled, plain)


@needs_library
@pytest.mark.parametrize("name", BUILT)
def test_the_library_is_asked_and_the_comparison_can_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, history = table_of(1, 500, 60, 0.7, 50), history_of(1, 500, 50)
    compiled, _ = both(name, table, history, 64, np.zeros(0, np.int64))
    table.weights[table.offsets[history[history >= 0][-1]]] *= np.float32(1.5)
    after, plain = both(name, table, history, 64, np.zeros(0, np.int64))
    assert same(after, plain)
    assert not same(after, compiled)
    monkeypatch.setattr(heaviest, "index_library", lambda: library(name))
    monkeypatch.setattr(Neighbours, "_entries", None)
    assert same(table.heaviest(history, 64, np.zeros(0, np.int64)), after)


@needs_library
def test_what_it_does_not_take_is_added_up_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaviest, "index_library", lambda: library(BUILT[0]))
    table, nothing = table_of(1, 500, 60, 0.7, 50), np.zeros(0, np.int64)
    history = history_of(1, 500, 50)

    def taken(table: Neighbours, history: np.ndarray, brief: int) -> bool:
        return heaviest.heaviest(table, history, brief, 16, 1, nothing) is not None

    assert taken(table, history, 4096)
    assert not taken(table, history, 4097)
    assert not taken(table, np.zeros(1 << 15, np.int64), 64)
    wide = Neighbours(table.offsets, table.columns, table.weights.astype(np.float64))
    assert not taken(wide, history, 64)
    apart = Neighbours(table.offsets, np.repeat(table.columns, 2)[::2], table.weights)
    assert not taken(apart, history, 64)
    full = Neighbours(np.array([0, 5000]), np.zeros(5000, np.int32), np.ones(5000, np.float32))
    assert not taken(full, np.zeros(1, np.int64), 64)  # one bucket of more weights than there is room for
    assert full.heaviest(np.zeros(1, np.int64), 16, nothing)[1].tolist() == [5000]


@needs_library
def test_results_outlive_the_next_call_and_tables_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaviest, "index_library", lambda: library(BUILT[0]))
    also, history = np.arange(5), history_of(1, 400, 40)
    kept = table_of(1, 400, 60, 0.7, 50).heaviest(history, 32, also)
    before = [kept[0].copy(), kept[1].copy(), kept[2]]
    for seed in range(2, 10):  # other tables, which may take the place of those before in memory
        table = table_of(seed, 400, 60, AGES[seed % 4], 50)
        compiled, plain = both(BUILT[0], table, history, 32, also)
        assert same(compiled, plain)
        del table
        gc.collect()
    assert same(kept, before)


@needs_library
def test_threads_do_not_share_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaviest, "index_library", lambda: library(BUILT[0]))
    cases = [(table_of(seed, 600, 60, 0.7, 50), history_of(seed, 600, 50)) for seed in range(6)]
    wanted = [both(BUILT[0], *case, 32, np.arange(3))[1] for case in cases]

    def right(number: int) -> bool:
        table, history = cases[number]
        return same(table.heaviest(history, 32, np.arange(3)), wanted[number])

    assert in_threads([partial(right, number) for number in range(len(cases))])


@needs_library
@pytest.mark.parametrize("line", range(80))
def test_after_an_interrupt_on_any_line_the_next_search_is_right(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread's memory is never left with an address of what is not there, or with those of another table."""
    few = (table_of(1, 50, 5, 0.7, 50), history_of(1, 50, 3), 16, np.arange(2))
    many = (table_of(2, 4000, 60, 0.999, 500), history_of(2, 4000, 400), 64, np.arange(300))
    nothing = (few[0], np.zeros(0, np.int64), 16, np.arange(1))
    wanted = [both(BUILT[0], *case)[1] for case in (few, many, nothing)]
    monkeypatch.setattr(heaviest, "index_library", lambda: library(BUILT[0]))
    work: Any = heaviest._Workspace()
    monkeypatch.setattr(heaviest, "_workspace", work)
    few[0].heaviest(*few[1:])
    if not interrupted(line, heaviest, lambda: many[0].heaviest(*many[1:])):
        assert line > 20  # all lines were interrupted
    for array, address in ((work.also, work.given.also), (work.ages, work.given.ages)):
        assert array.size == 0 or addresses(array) == (address,)
    for case, expected in zip((nothing, few, many), (wanted[2], wanted[0], wanted[1]), strict=True):
        assert same(case[0].heaviest(*case[1:]), expected)


def test_a_machine_without_the_library_adds_up_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heaviest, "index_library", lambda: None)
    table = Neighbours(np.array([0, 1, 1]), np.array([1], np.int32), np.array([2], np.float32))
    assert heaviest.heaviest(table, np.array([0]), 4, 16, 1, np.zeros(0, np.int64)) is None
    rows, scores, rest = table.heaviest(np.array([0]), 1, np.zeros(0, np.int64))
    assert (rows.tolist(), scores.tolist(), rest, neighbours.BRIEF) == ([1], [2.0], 0.0, 4)
