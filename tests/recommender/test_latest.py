"""The latest values: how many, which are forgotten, and copies."""

from __future__ import annotations

import copy
import pickle

from shortlist.recommender.latest import Latest


def test_what_was_not_asked_for_the_longest_time_is_forgotten() -> None:
    latest = Latest(3)
    for key in range(3):
        latest.put(key, -key)
    assert latest.get(0) == 0
    latest.put(3, -3)
    assert [latest.get(key) for key in range(4)] == [0, None, -2, -3]
    latest.put(2, 7)
    assert (latest.get(2), len(latest)) == (7, 3)


def test_copies_are_empty() -> None:
    latest = Latest(3)
    latest.put("a", 1)
    for other in (copy.deepcopy(latest), pickle.loads(pickle.dumps(latest))):
        assert (other.most, len(other)) == (3, 0)
