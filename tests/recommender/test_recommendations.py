"""What an answer turns into."""

import json

import pytest

import shortlist as sl
from shortlist.data import titles
from shortlist.language import columns
from shortlist.recommender.recommendations import Item, Recommendation


def test_titles_are_shown_with_the_items() -> None:
    films = {"film": ["a", "b", "c"], "full_name": ["Alpha\nOne", None, "Gamma"]}
    pairs = {"who": ["x", "x", "y"], "film": ["a", "c", "b"]}
    data = sl.Dataset(pairs, "who", "film", candidates=films)
    found = sl.Recommender(sl.popularity(data), index=sl.BruteForce(), seen=data).recommend(["x", "y"], k=2)
    assert str(found[1]).splitlines()[1].split()[:2] == ["1.", "a"]
    assert str(found[1]).splitlines()[1].endswith("  Alpha One")
    assert [list(one.titles or ()) for one in found] == [[""], ["Alpha One", "Gamma"]]
    assert found[1] == found[1:2][0]
    assert found[1].titles is not None
    assert list(found[1].titles[1:]) == ["Gamma"]
    assert "Gamma" in found._repr_html_()
    ids_alone = sl.Dataset(pairs, "who", "film", candidates={"film": ["a", "b", "c"], "kind": ["x", "y", "z"]})
    assert sl.Recommender(sl.popularity(ids_alone), index=sl.BruteForce()).recommend(["x"])[0].titles is None


def test_titles_are_looked_for_once_for_a_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests there are: looking takes a tenth of the time of an answer."""
    pairs = {"who": ["x", "x", "y"], "film": ["a", "b", "c"]}
    data = sl.Dataset(pairs, "who", "film", candidates={"film": ["a", "b", "c"], "title": ["One", "Two", "Three"]})
    recommender = sl.Recommender(sl.popularity(data), index=sl.BruteForce())
    looked: list[int] = []
    plain = titles.title_column
    monkeypatch.setattr(titles, "title_column", lambda table: (looked.append(1), plain(table))[1])
    for _ in range(3):
        assert list(recommender.recommend(["x"], k=1, exclude_seen=False)[0].titles or ()) == ["One"]
    assert len(looked) == 1


def test_what_the_answer_turns_into(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["ann", "eve"], k=1)
    assert json.loads(json.dumps(answer.to_dicts())) == [
        {"query": "ann", "known": True, "items": [{"id": "c", "score": 1.0, "source": "model"}]},
        {"query": "eve", "known": False, "items": [{"id": "b", "score": 3.0, "source": "popularity"}]},
    ]
    assert answer.to_frame().rows() == [("ann", 1, "c", 1.0, "model", True), ("eve", 1, "b", 3.0, "popularity", False)]
    assert str(answer) == "ann\n    1. c      1.0000\neve  (unknown to the model)\n    1. b           3  by popularity"
    assert repr(answer) == "Recommendations(2 queries, 1 unknown · 2 items)"
    assert repr(recommender.recommend(["ann"], k=1)) == "Recommendations(1 query, 0 unknown · 1 item)"
    for nothing in (
        recommender.recommend(["ann"], allow=[]),
        recommender.recommend(["ann"], deny=["a", "b", "c", "d"]),
    ):
        assert "filters leave nothing, or all of it was seen" in str(nothing)  # it cannot tell which of the two
        assert "--include-seen" in str(nothing)
    assert answer[-1].query == "eve"
    assert answer[0:1] == [answer[0]]
    assert answer[0].sources == ["model"]
    with pytest.raises(IndexError):
        answer[2]


def test_scores_are_below_each_other_whatever_letters_ids_have() -> None:
    """A Korean letter takes two columns of a terminal."""
    items = (Item("밤의 도시", 2.5, "model"), Item("Fargo", 1.25, "model"), Item(7, 0.5, "model"))
    lines = str(Recommendation("x", True, items)).splitlines()[1:]
    assert [columns(line) for line in lines] == [28] * 3  # 7 before the id, 9, and 12 for the score
    assert [line[-6:] for line in lines] == ["2.5000", "1.2500", "0.5000"]
