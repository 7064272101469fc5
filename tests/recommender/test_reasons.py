"""Why an item is in a list: by towers, by a mixture, and because of which choices."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.recommender import test_many_sources as many

import shortlist as sl
from shortlist.data.id_map import IdMap
from shortlist.errors import MissingExtraError
from shortlist.recommender import Cause, Part, reasons
from shortlist.recommender.embedding import Embedder
from shortlist.recommender.recommendations import _names

MODEL = many.mixture()


def test_towers_without_a_history_have_their_score_alone(recommender: sl.Recommender) -> None:
    found = recommender.recommend(["ann", "nobody"], k=2, explain=True)
    assert found[0].ids == ["c", "d"]
    assert [one.parts for one in found[0].reasons or ()] == [
        (Part("towers", 1.0, 1.0, True, ()),),
        (Part("towers", 0.5, 1.0, True, ()),),
    ]
    assert [one.parts for one in found[1].reasons or ()] == [  # b was chosen three times; a once, as c
        (Part("popularity", 3.0, 1.0, True, ()),),
        (Part("popularity", 1.0, 1.0, True, ()),),
    ]
    assert str((found[0].reasons or ())[0]) == "towers 100%"
    assert recommender.recommend(["ann"], k=2)[0].reasons is None


def test_reasons_change_no_list(recommender: sl.Recommender) -> None:
    for options in ({}, {"history": [["a"], ["b", "c"]]}, {"rerank": sl.Rerank(pin=["d"], boost={"what = 'c'": 1.0})}):
        plain, explained = (
            recommender.recommend(["ann", "nobody"], k=4, exclude_seen=False, explain=explain, **options)
            for explain in (False, True)
        )
        assert [list(one) for one in plain] == [list(one) for one in explained]
        assert all(len(one.reasons or ()) == len(one) for one in explained)


def test_a_query_that_is_folded_in_is_explained_by_what_it_chose(recommender: sl.Recommender) -> None:
    (found,) = recommender.recommend(["new"], k=2, history=[["a", "b"]], explain=True)
    vectors = recommender.served.vectors
    whole, without_a, without_b = (
        recommender.query_vectors(["new"], [history])[0][0] for history in (["a", "b"], ["b"], ["a"])
    )
    for item, reason in zip(found, found.reasons or (), strict=True):
        vector = vectors[["a", "b", "c", "d"].index(item.id)]
        lost = {"a": float((whole - without_a) @ vector), "b": float((whole - without_b) @ vector)}
        lost = {one: value for one, value in lost.items() if value > 0}
        (part,) = reason.parts
        assert {one.id: one.share for one in part.because} == pytest.approx(
            {one: value / sum(lost.values()) for one, value in lost.items()}, rel=1e-4
        )
        assert reason.because == sorted(lost, key=lambda one: -lost[one])


@pytest.fixture(scope="module")
def reader() -> sl.Recommender:
    """A tower that reads the mean of a history; who chose what is in ``many.data``."""
    torch.manual_seed(1)
    tower = sl.Tower(sl.History(encoder="mean", share=False, dropout=0.0), dim=4)
    model = sl.TwoTower(tower, sl.Tower(sl.IntegerLookup("film"), dim=4))
    sl.fit(model, many.data(), epochs=3, batch_size=16)
    return sl.Recommender(model, sl.BruteForce(), many.data())


@pytest.mark.parametrize("given", [None, [3, 4, 5], [3, 4, 3, 9, 404]], ids=["stored", "given", "repeated"])
def test_a_history_tower_is_explained_by_what_it_loses(reader: sl.Recommender, given: list[int] | None) -> None:
    query: dict[str, Any] = {"who": ["p0"]} | ({} if given is None else {"history": [given]})
    (found,) = reader.recommend(query, k=3, explain=True)
    past = many.data().interactions.filter(pl.col("who") == "p0").sort("at")["film"].to_list()
    past = past if given is None else given
    distinct = [one for one in dict.fromkeys(past) if one != 404]

    def vector(history: list[int]) -> np.ndarray[Any, Any]:
        return reader.embed_queries(pl.DataFrame({"history": [history]}, schema={"history": pl.List(pl.Int64)}))[0]

    for item, reason in zip(found, found.reasons or (), strict=True):
        of_item = reader.served.vectors[item.id]
        lost = {
            one: float((vector(past) - vector([other for other in past if other != one])) @ of_item) for one in distinct
        }
        lost = {one: value for one, value in lost.items() if value > 0}
        best = sorted(lost, key=lambda one: -lost[one])[:3]
        assert reason.because == best
        (part,) = reason.parts
        assert [one.share for one in part.because] == pytest.approx(
            [lost[one] / sum(lost.values()) for one in best], rel=1e-4
        )


def test_without_the_query_tower_there_are_no_causes(reader: sl.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(self: Embedder, side: str, table: pl.DataFrame) -> Any:
        raise MissingExtraError("torch", "train", "embedding")

    monkeypatch.setattr(Embedder, "vectors", absent)
    (found,) = reader.recommend(["p0"], k=3, explain=True)
    assert [one.because for one in found.reasons or ()] == [[]] * 3


def test_only_the_latest_choices_are_left_out(reader: sl.Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "LATEST", 2)
    (found,) = reader.recommend({"who": ["p0"], "history": [[1, 2, 3, 4]]}, k=5, explain=True)
    because = {one for reason in found.reasons or () for one in reason.because}
    assert because
    assert because <= {3, 4}


@pytest.fixture
def mixed() -> sl.Recommender:
    return sl.Recommender(MODEL, sl.BruteForce(), many.data())


def test_a_mixtures_shares_make_up_the_score(mixed: sl.Recommender) -> None:
    names = ["towers", "towers 2", "transitions", "popular", "new", "new 2"]
    table = MODEL.tables[0]
    for found in mixed.recommend(many.ASK, k=many.FILMS, explain=True):
        past = many.data().interactions.filter(pl.col("who") == found.query).sort("at")["film"].to_list()
        best = table.scores(sl.index.Lists.of([np.array(past, np.int64)])).row(0)
        scores = {int(row): float(score) for row, score in zip(*best, strict=True) if int(row) in found.ids}
        for item, reason in zip(found, found.reasons or (), strict=True):
            assert [part.source for part in reason.parts] == names
            assert sum(reason.shares.values()) == pytest.approx(1)
            part = reason.parts[2]
            assert part.score == pytest.approx(scores.get(item.id, 0.0))
            assert part.found == (item.id in scores)
            if item.id in scores:  # weight 0.2 of the best; the score is the sum of all parts
                assert part.share * item.score == pytest.approx(0.2 * scores[item.id] / max(scores.values()), rel=1e-4)
                assert {one.id for one in part.because} <= {*past}
            assert {*reason.because} <= {*past}


def test_reasons_of_deleted_choices_are_not_given(mixed: sl.Recommender) -> None:
    past = many.data().interactions.filter(pl.col("who") == "p0")["film"].to_list()
    mixed.delete([past[0]])
    (found,) = mixed.recommend(["p0"], k=5, explain=True)
    assert any(reason.because for reason in found.reasons or ())
    assert all(past[0] not in reason.because for reason in found.reasons or ())


def test_causes_are_weighed_by_the_shares_of_their_sources() -> None:
    # a: .75 · .4 = .3; b: .75 · .6 + .25 · .2 = .5; c: .25 · .8 = .2; e: nothing
    parts = (
        Part("transitions", 2.0, 0.75, True, (Cause("b", 0.6), Cause("a", 0.4))),
        Part("towers", 1.0, 0.25, False, (Cause("c", 0.8), Cause("b", 0.2))),
        Part("ease", 0.0, 0.0, False, (Cause("e", 1.0),)),
    )
    reason = reasons.Reason(parts)
    assert reason.because == ["b", "a", "c"]
    assert reason.found_by == ["transitions"]
    assert reason.shares == {"transitions": 0.75, "towers": 0.25, "ease": 0.0}
    assert str(reason) == "transitions 75%, towers 25%, because of b, a, c"
    assert reason.to_dict()["parts"][0] == {
        "source": "transitions",
        "score": 2.0,
        "share": 0.75,
        "found": True,
        "because": [{"id": "b", "share": 0.6}, {"id": "a", "share": 0.4}],
    }


def test_reasons_in_frames_and_dicts(mixed: sl.Recommender) -> None:
    found = mixed.recommend(["p0", "p1"], k=3, explain=True)
    frame = found.to_frame()
    assert frame.columns[-2:] == ["because", "shares"]
    reasons_ = [reason for one in found for reason in one.reasons or ()]
    assert frame["because"].to_list() == [one.because for one in reasons_]
    assert frame["shares"].to_list() == [one.shares for one in reasons_]
    dicts = found.to_dicts()
    assert [item["reason"] for one in dicts for item in one["items"]] == [one.to_dict() for one in reasons_]
    assert "because of" in str(found)
    assert mixed.recommend([], k=3, explain=True).to_frame().height == 0


def test_choices_are_named_by_their_titles() -> None:
    """In print and in notebooks; ids stay in frames and in JSON, and name a choice without a title."""
    rows = [{"who": f"p{n}", "what": f"i{(n + step) % 5}", "at": step} for n in range(5) for step in range(3)]
    goods = {"what": [f"i{n}" for n in range(5)], "title": ["Heat", "Fargo", None, "Casino", "Alien"]}
    data = sl.Dataset(rows, "who", "what", timestamp="at", candidates=goods)
    towers = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
    sl.fit(towers, data, epochs=1)
    model = sl.Mixture.of(towers, sl.Transitions().fit(data), data, share=0.5)
    (found,) = answers = sl.Recommender(model, seen=data).recommend(["p0"], k=2, explain=True)
    named = {"i0": "Heat", "i1": "Fargo", "i2": "i2", "i3": "Casino", "i4": "Alien"}
    assert {one for reason in found.reasons or () for one in reason.because} == {"i0", "i1", "i2"}
    shown = answers._repr_html_()
    for reason in found.reasons or ():
        assert reason.because_of == [named[one] for one in reason.because]
        assert str(reason).endswith(f"because of {', '.join(reason.because_of)}")
        assert str(reason) in str(answers)
        assert f">{', '.join(reason.because_of)}</td>" in shown
    assert answers.to_dicts()[0]["items"][0]["reason"]["because"] == (found.reasons or ())[0].because
    assert pickle.loads(pickle.dumps(found)).reasons == found.reasons


def test_a_choice_that_was_deleted_is_named_by_its_id() -> None:
    """Never by the title of another candidate."""
    titles = pl.Series("title", ["Heat", "Fargo", None, "Casino"])
    known = IdMap(pl.Series("what", ["i0", "i1", "i2", "i3"]))
    assert _names(titles, known, ["i1", "gone", "i2", "i3"]) == ["Fargo", "gone", "i2", "Casino"]
