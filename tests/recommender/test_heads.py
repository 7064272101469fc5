"""A query tower of several vectors, from training to a loaded bundle: everything goes by the best of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl


def two_tastes() -> sl.Dataset:
    """Reader r chose all three books of two shelves, r mod 4 and (r + 1 + r // 4 mod 3) mod 4: tastes side by side."""
    rows = [
        (reader, 3 * shelf + book)
        for reader in range(24)
        for shelf in {reader % 4, (reader + 1 + reader // 4 % 3) % 4}
        for book in range(3)
    ]
    readers, books = zip(*rows, strict=True)
    return sl.Dataset({"reader": readers, "book": books}, "reader", "book")


def trained(normalize: bool = False, bias: bool = False, **query) -> sl.TwoTower:
    torch.manual_seed(0)
    options = {"dim": 4, "normalize": normalize}
    model = sl.TwoTower(
        sl.Tower(sl.IntegerLookup("reader"), heads=3, **options, **query),
        sl.Tower(sl.IntegerLookup("book"), bias=bias, **options),
    )
    task = sl.Retrieval(negatives=sl.WholeCatalogue(), mask_known=True, temperature=0.2 if normalize else 1.0)
    sl.fit(model, two_tastes(), task=task, optimizer=sl.Adam(0.05), epochs=40, batch_size=32)
    return model


@pytest.mark.parametrize("options", [{}, {"normalize": True}, {"bias": True}, {"hidden": (8,)}], ids=str)
def test_it_trains_and_is_measured_and_asked_by_the_best_head(options, tmp_path: Path) -> None:
    model, data = trained(**options), two_tastes()
    width = 4 + options.get("bias", False)
    vectors = model.query_vectors(data.queries)
    assert vectors.shape == (24, 3 * width)
    if options.get("normalize"):
        np.testing.assert_allclose(np.linalg.norm(vectors.reshape(-1, 4), axis=1), 1, rtol=1e-5)
    books = model.candidate_vectors(data.candidates)
    scores = (vectors.reshape(24, 3, width) @ books.T).max(1)
    chosen = np.zeros((24, 12), bool)
    chosen[data.query_rows, data.candidate_rows] = True
    lowest = np.where(chosen, scores, np.inf).min(1)
    highest = np.where(chosen, -np.inf, scores).max(1)
    assert (lowest > highest).mean() > 0.7
    found = sl.evaluate(model, data, ks=(6,), index=sl.BruteForce().build(books))
    assert found["model"]["seen_in"]["top_6"] > 0.85
    assert found["index"]["seen_in"]["top_6"] == pytest.approx(found["model"]["seen_in"]["top_6"], abs=0.02)

    recommender = sl.Recommender(model, index=sl.BruteForce())
    before = recommender.recommend({"reader": [3, 20]}, k=5)
    for place, reader in enumerate((3, 20)):
        wanted = np.argsort(-scores[reader], kind="stable")[:5]
        answer = before.to_frame().filter(pl.col("reader") == reader)
        assert answer["book"].to_list() == wanted.tolist(), place
        np.testing.assert_allclose(answer["score"].to_numpy(), scores[reader, wanted], rtol=1e-5)
    recommender.save(tmp_path / "heads.shortlist")
    loaded = sl.Recommender.load(tmp_path / "heads.shortlist")
    assert loaded.recommend({"reader": [3, 20]}, k=5).to_frame().equals(before.to_frame())
    assert loaded.ann_overlap(k=5) == 1.0
    again = loaded.model
    assert again.query.heads == 3
    np.testing.assert_array_equal(again.query_vectors(data.queries), vectors)


def test_hard_negatives_are_mined_by_the_best_head() -> None:
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("reader"), dim=4, heads=2), sl.Tower(sl.IntegerLookup("book"), dim=4))
    history = sl.fit(model, two_tastes(), task=sl.Retrieval(mined=2), optimizer=sl.Adam(0.05), epochs=10, batch_size=32)
    assert history[-1].loss < history[0].loss


@pytest.mark.parametrize("heads", [0, 1.5, True])
def test_heads_are_counted(heads) -> None:
    with pytest.raises(sl.ConfigError, match="heads="):
        sl.Tower(sl.IntegerLookup("reader"), heads=heads)


def test_a_candidate_has_one_vector() -> None:
    towers = (sl.Tower(sl.IntegerLookup(name), dim=4, heads=2) for name in ("reader", "book"))
    with pytest.raises(sl.ConfigError, match="candidate tower got heads=2"):
        sl.TwoTower(*towers)


def test_what_is_chosen_moves_the_head_that_likes_it(tmp_path: Path) -> None:
    recommender = sl.Recommender(trained(), index=sl.BruteForce(), seen=two_tastes())
    shelf = recommender.recommend([-1], k=2, history=[[6]])[
        0
    ]  # nobody that training knew: books 6, 7, 8 stand together
    assert {*shelf.ids} == {7, 8}
    before, _ = recommender.query_vectors([3])
    after, _ = recommender.query_vectors([3], history=[[6]])
    changed = (before != after).reshape(3, -1).any(1)
    assert changed.sum() == 1  # its other tastes stay
    scores = before.reshape(3, -1) @ recommender.served.vectors[recommender.candidate_ids.to_list().index(6)]
    assert changed[scores.argmax()]
    assert recommender.fold_in([[6]]).shape == (1, 4)
