"""What an answer turns into."""

import json

import pytest

import shortlist as sl


def test_what_the_answer_turns_into(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["ann", "eve"], k=1)
    assert json.loads(json.dumps(answer.to_dicts())) == [
        {"query": "ann", "known": True, "items": [{"id": "c", "score": 1.0, "source": "model"}]},
        {"query": "eve", "known": False, "items": [{"id": "b", "score": 3.0, "source": "popularity"}]},
    ]
    assert answer.to_frame().rows() == [("ann", 1, "c", 1.0, "model", True), ("eve", 1, "b", 3.0, "popularity", False)]
    assert str(answer) == "ann\n    1. c      1.0000\neve  (unknown to the model)\n    1. b           3  by popularity"
    assert repr(answer) == "Recommendations(2 queries, 1 of them unknown · 2 items)"
    assert answer[-1].query == "eve"
    assert answer[0:1] == [answer[0]]
    assert answer[0].sources == ["model"]
    with pytest.raises(IndexError):
        answer[2]
