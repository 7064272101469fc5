"""The rules of a list: what they accept."""

from __future__ import annotations

from typing import Any

import pytest

import shortlist as sl
from shortlist.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"diversify": 1.5}, "from 0 to 1"),
        ({"diversify": float("nan")}, "from 0 to 1"),
        ({"diversify": True}, "from 0 to 1"),
        ({"diversify": "much"}, "from 0 to 1"),
        ({"at_most": {"genre": 0}}, "at least 1"),
        ({"at_most": {"genre": 1.5}}, "at least 1"),
        ({"at_most": {3: 1}}, "names of columns"),
        ({"at_most": 2}, "a mapping"),
        ({"boost": {"a = 1": float("inf")}}, "from -100 to 100"),
        ({"boost": {"a = 1": 1e9}}, "from -100 to 100"),
        ({"boost": {1: 1.0}}, "conditions as text"),
        ({"boost": ["a = 1"]}, "a mapping"),
        ({"boost": {f"a = {one}": 1.0 for one in range(5)}}, "at most 4"),
        ({"pin": "A"}, "ids for the first places"),
        ({"pin": 3}, "ids for the first places"),
        ({"pin": {0: "A"}}, "places from 1"),
        ({"pin": {1001: "A"}}, "places from 1"),
        ({"pin": {True: "A"}}, "places from 1"),
        ({"pin": ["A", "A"]}, "each candidate at one place"),
        ({"pin": [1.5]}, "raw candidate ids"),
        ({"explore": 0.1}, "without a rule"),
        ({"explore_rarer_than": 5}, "no share"),
        ({"explore": 0.1, "explore_rarer_than": 0}, "at least 1"),
        ({"explore": 0.1, "explore_where": 3}, "a condition as text"),
        ({"explore": -0.1, "explore_rarer_than": 5}, "from 0 to 1"),
        ({"seed": -1}, "from 0"),
        ({"seed": 2**63}, "from 0"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sl.Rerank(**options)


def test_ids_alone_are_for_the_first_places() -> None:
    assert sl.Rerank(pin=["B", "A"]) == sl.Rerank(pin={1: "B", 2: "A"})
