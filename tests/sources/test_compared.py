"""What is compared: the k best by all sources are those of all candidates, and vectors that cannot matter are not read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.sources import Weights, compared
from shortlist.sources.compared import looked_up

SIZE = 12
scores = st.lists(st.integers(-4, 4), min_size=SIZE, max_size=SIZE)
near = st.dictionaries(st.integers(0, SIZE - 1), st.sampled_from([0.25, 1.0, 1.5, 2.0]))


def found(values, depth: int):
    """The best of towers, best first."""
    array = np.array(values, np.float32)
    rows = np.argsort(-array, kind="stable")[:depth]
    return rows, array[rows]


@given(st.lists(scores, min_size=1, max_size=2), st.lists(near, max_size=2), st.integers(1, 6), st.integers(0, 2))
def test_the_best_are_those_of_all_candidates(towers, others, k, deeper) -> None:
    depth = k + deeper
    weights = Weights((1.0, 0.5, 0.75, 2.0)[: len(towers) + len(others)], (1.0, 0.5)[: len(towers)])
    score = [np.array(values, np.float32).__getitem__ for values in towers]
    of_near = [
        (np.array(sorted(one), np.int64), np.array([one[row] for row in sorted(one)], np.float32)) for one in others
    ]
    arguments = (score, [found(values, depth) for values in towers], of_near, depth, weights, None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compared, "FEW", 0)
        some = compared.compared(*arguments, k)
    every = compared.compared(*arguments, None)
    assert some.best.tolist() == every.best.tolist()
    assert some.bound == every.bound
    first, second = (dict(zip(one.rows.tolist(), one.totals.tolist(), strict=True)) for one in (some, every))
    assert first == {row: second[row] for row in first}
    assert sorted(first.values(), reverse=True)[:k] == sorted(second.values(), reverse=True)[:k]
    plain = [sum(
        weight * np.exp((values[row] - max(values)) / temperature)
        for values, weight, temperature in zip(towers, weights.of_towers, weights.temperatures, strict=True)
    ) + sum(
        weight * one.get(row, 0.0) / max(one.values()) for one, weight in zip(others, weights.of_others, strict=True) if one
    ) for row in range(SIZE)]  # fmt: skip
    assert second == pytest.approx({row: plain[row] for row in second})
    unseen = [plain[row] for row in range(SIZE) if row not in second]
    assert not unseen or max(unseen) <= every.bound


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # of the towers 0 is found, with 4; any other has at most half of its part, 1/4. Of the table 3 has 2, 4 has 1, 5 has 1/4:
    # at least 1/2, 1/4, 1/16, and at most 3/4, 1/2, 5/16. The second best so far is 3, with 1/2 and its own 1/8: 4 and 5 are less
    monkeypatch.setattr(compared, "FEW", 0)
    read = []

    def score(rows):
        read.append(sorted(rows.tolist()))
        return np.array([0, 3, 3, 2, 1, 3], np.float32)[rows]

    half = 1 / np.log(2)
    weights = Weights((0.5, 0.5), (half,))
    near_ = (np.array([3, 4, 5]), np.array([2, 1, 0.25], np.float32))
    one = compared.compared([score], [(np.array([0, 1]), np.array([4, 3], np.float32))], [near_], 2, weights, None, 2)
    assert read == [[3, 4]]
    assert dict(zip(one.rows.tolist(), one.totals.tolist(), strict=True)) == pytest.approx(
        {0: 1 / 2, 1: 1 / 4, 3: 1 / 8 + 1 / 2, 4: 1 / 16 + 1 / 4}
    )
    assert one.best.tolist() == [4, 2]
    assert one.bound == pytest.approx(1 / 4)


def test_what_the_others_lack_counts_in_the_bound() -> None:
    weights = Weights((0.5, 0.5), (1.0,))
    near_ = (np.array([1]), np.array([2], np.float32))
    towers = [(np.array([0]), np.array([4], np.float32))]
    score = np.array([4, 4, 4], np.float32).__getitem__
    one = compared.compared([score], towers, [near_], 1, weights, None, 1, [0.5])
    assert one.bound == pytest.approx(1 / 2 + 1 / 8)
    assert compared.compared([score], towers, [near_], 2, weights, None, 1, [0.5]).bound is None  # there is no other


def test_looked_up() -> None:
    there, values = looked_up(np.array([2, 5, 9]), np.array([1, 2, 3], np.float32), np.array([9, 1, 10, 2]))
    assert (there.tolist(), values.tolist()) == ([True, False, False, True], [3, 0, 0, 1])
