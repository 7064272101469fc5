"""Test pairs that repeat choices of training, counted by hand."""

from __future__ import annotations

import pytest

import shortlist as sl
from shortlist.errors import DataError
from shortlist.evaluation.repeats import repeats

TRAIN = {"who": ["ann", "ann", "bob"], "what": [1, 2, 1], "event": ["view", "buy", "buy"]}
TEST = {"who": ["ann", "ann", "ann", "bob", "cat"], "what": [1, 2, 3, 2, 1]}


def test_pairs_that_repeat_are_counted() -> None:
    """ann chose 1 and 2 before; bob did not choose 2, and cat is new: 2 of 5."""
    found = repeats(sl.Dataset(TEST, "who", "what"), sl.Dataset(TRAIN, "who", "what"))
    assert (found.repeated, found.pairs, found.share, found.ceiling) == (2, 5, 0.4, 0.6)
    assert "2 of 5 test pairs (40.0%) repeat" in found.notes[0]
    assert "at most 60.0%" in found.notes[0]


def test_only_what_counts_as_seen_can_be_repeated() -> None:
    seen = sl.Dataset(TRAIN, "who", "what", events=sl.Events(seen_where="event = 'buy'"))
    assert repeats(sl.Dataset(TEST, "who", "what"), seen).repeated == 1


def test_names_of_columns_and_widths_of_integers_do_not_matter() -> None:
    test = sl.Dataset({"candidate": [1, 2], "query": [5, 6]}, "candidate", "query")
    seen = sl.Dataset({"candidate": [1, 9], "query": [5, 6]}, "candidate", "query")
    assert repeats(test, seen).repeated == 1
    with pytest.raises(DataError, match="Int64 in the test and String in training"):
        repeats(test, sl.Dataset({"candidate": ["1"], "query": [5]}, "candidate", "query"))


def test_an_evaluation_says_what_the_ceiling_is() -> None:
    train = sl.Dataset(TRAIN, "who", "what", candidates={"what": [1, 2, 3]})
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.IntegerLookup("what"), dim=2))
    sl.fit(model, train, epochs=1, batch_size=4)
    found = sl.evaluate(model, sl.Dataset(TEST, "who", "what"), seen=train, ks=(3,))
    assert found.figures["model"]["seen_out"]["top_3"] == 0.6  # the ceiling: all 3 candidates are listed
    assert found.to_dict()["repeated"] == 2
    assert found.notes[0].split(" with")[0] in " ".join(str(found).split())
    alone = sl.evaluate(model, sl.Dataset(TEST, "who", "what"), ks=(3,))
    assert (alone.notes, "repeated" in alone.to_dict()) == ((), False)
