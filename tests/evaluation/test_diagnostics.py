"""Each way for a model to be useless is planted and named; a healthy model raises nothing."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence

import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.evaluation import FINDINGS

READERS, BOOKS = 30, 40
TRAINING = [{"loss": 4.0, "chance": 4.16}, {"loss": 3.1, "chance": 4.16}]


def choices() -> sl.Dataset:
    """Reader r chose books r, r + 1 and r + 2; books 0 to 3 were chosen by readers 0 to 3 over and over."""
    pairs = [(f"r{r}", f"b{(r + step) % BOOKS}") for r in range(READERS) for step in range(3)]
    pairs += [(f"r{book}", f"b{book}") for book in range(4) for _ in range(20)]
    frame = pl.DataFrame(pairs, schema=["reader", "book"], orient="row")
    return sl.Dataset(frame, "reader", "book", candidates={"book": [f"b{book}" for book in range(BOOKS)]})


def model_of(query: torch.Tensor, candidate: torch.Tensor, data: sl.Dataset) -> sl.TwoTower:
    """A model over ``data`` with these vectors, by number of reader ``[30, dim]`` and book ``[40, dim]``."""
    dim = query.shape[1]
    model = sl.TwoTower(sl.Tower(sl.StringLookup("reader"), dim=dim), sl.Tower(sl.StringLookup("book"), dim=dim))
    model.prepare(data)
    for tower, vectors, letter in ((model.query, query, "r"), (model.candidate, candidate, "b")):
        (table,), (feature,) = tower.tables.values(), tower.features.values()
        codes = feature.encode(pl.Series([f"{letter}{number}" for number in range(len(vectors))])).values
        table.weight[torch.from_numpy(codes.astype("int64"))] = vectors
    return model.eval()


def own_taste(scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Readers and books around a circle: everyone likes the books near them."""
    angles = [2 * torch.pi * torch.arange(count) / count for count in (READERS, BOOKS)]
    return tuple(scale * torch.stack([angle.cos(), angle.sin()], 1) for angle in angles)  # type: ignore[return-value]


def names(findings: Sequence[sl.Finding]) -> list[str]:
    return [finding.name for finding in findings]


def test_a_healthy_model_raises_nothing() -> None:
    data = choices()
    model = model_of(*own_taste(), data)
    assert sl.diagnose(model, data, training=TRAINING) == ()
    assert sl.diagnose(model) == ()


def test_the_same_list_for_everyone_is_a_collapse() -> None:
    data = choices()
    query, candidate = own_taste()
    query[:] = query[20]  # everyone is reader 20
    (finding,) = sl.diagnose(model_of(query, candidate, data), data, training=TRAINING)
    assert finding.name == "collapsed"
    assert finding.figures == {"shared": 1.0, "same_list": 1.0, "queries": 30, "k": 4}
    assert "100% of 30 queries get exactly the same ones" in finding.message


def test_scores_that_are_all_alike_are_a_collapse() -> None:
    data = choices()
    query, _ = own_taste()
    (finding,) = sl.diagnose(model_of(query, torch.ones(BOOKS, 2), data), data)
    assert finding.name == "collapsed"
    assert "scores all candidates alike" in finding.message


def test_half_of_the_queries_sharing_a_list_is_no_collapse_yet() -> None:
    data = choices()
    query, candidate = own_taste()
    query[::2] = query[20]
    assert "collapsed" not in names(sl.diagnose(model_of(query, candidate, data)))


def test_bestsellers_for_everyone_are_popularity() -> None:
    data = choices()
    query, candidate = own_taste()
    candidate = torch.cat([candidate, torch.zeros(BOOKS, 1)], 1)
    candidate[:4, 2] = 10.0  # books 0 to 3 are chosen most
    query = torch.cat([query, torch.ones(READERS, 1)], 1)
    found = sl.diagnose(model_of(query, candidate, data), data, training=TRAINING)
    assert names(found) == ["collapsed", "popularity_dominates"]
    assert found[1].figures == {"share": 1.0, "expected_by_chance": 4 / 40, "k": 4}
    unpopular = candidate.clone()
    unpopular[:, 2] = 0
    unpopular[20:24, 2] = 10.0  # the same list for everyone, of books that few chose
    assert names(sl.diagnose(model_of(query, unpopular, data))) == ["collapsed"]


@pytest.mark.parametrize("towers", ["popularity", "recent"])
def test_counts_have_no_norms_that_explode(towers: str) -> None:
    pairs = [(f"r{n % READERS}", f"b{n % BOOKS}", n) for n in range(40 * BOOKS)]
    pairs += [("r0", "b0", 10_000 + n) for n in range(400)]  # of late everyone reads one book, the others are near zero
    frame = pl.DataFrame(pairs, schema=["reader", "book", "day"], orient="row")
    data = sl.Dataset(frame, "reader", "book", timestamp="day")
    model, _ = sl.recipes.load({"towers": towers}).train(data)
    assert sl.diagnose(model) == ()


def test_long_vectors_are_named() -> None:
    data = choices()
    (finding,) = sl.diagnose(model_of(*own_taste(scale=200.0), data), data)
    assert finding.name == "norms_explode"
    assert finding.figures["largest_score"] == pytest.approx(40_000)
    query, candidate = own_taste()
    query[7] *= 300  # one reader has run away; the scores are still small
    (finding,) = sl.diagnose(model_of(query, candidate, data), data)
    assert finding.name == "norms_explode"
    assert finding.figures["ratio_query"] == pytest.approx(300, rel=1e-4)
    assert "300 times the median query vector" in finding.message


def test_a_loss_at_chance_is_named() -> None:
    data = choices()
    model = model_of(*own_taste(), data)
    (finding,) = sl.diagnose(model, data, training=[{"loss": 1.0, "chance": 2.0}, {"loss": 1.9999, "chance": 2.0}])
    assert finding.name == "loss_at_chance"
    assert finding.figures == {"loss": 1.9999, "chance": 2.0, "epochs": 2}
    assert finding.message.startswith("after 2 epochs the loss is 1.9999")
    (finding,) = sl.diagnose(model, data, training=[{"loss": 1.9999, "chance": 2.0}])
    assert finding.message.startswith("after 1 epoch the loss is 1.9999")
    assert sl.diagnose(model, data, training=[{"loss": 2.0, "chance": 2.0}, {"loss": 1.9, "chance": 2.0}]) == ()


def test_ids_written_in_another_way_are_named() -> None:
    data = choices()
    model = model_of(*own_taste(), data)
    other = sl.Dataset({"reader": ["r1", "r2", "r3"], "book": ["B1", "B2", "b3"]}, "reader", "book")
    (finding,) = sl.diagnose(model, other)
    assert finding.name == "unknown_ids"
    assert finding.figures == {"unknown": 2, "values": 3, "share": 2 / 3}
    assert "test candidates' 'book'" in finding.message


def test_queries_that_training_never_saw_are_named() -> None:
    data = choices()
    model = model_of(*own_taste(), data)
    rows = {"reader": ["r1", "r1", "new", "r2", "new too"], "book": ["b1", "b2", "b3", "b4", "b5"]}
    (finding,) = sl.diagnose(model, sl.Dataset(rows, "reader", "book"))
    assert finding.name == "unseen_queries"
    assert finding.figures == {"share": 2 / 5, "pairs": 2}
    rows = {"reader": ["r1"] * 4 + ["new"], "book": ["b1", "b2", "b3", "b4", "b5"]}  # a fifth is not more than a fifth
    assert "unseen_queries" not in names(sl.diagnose(model, sl.Dataset(rows, "reader", "book")))


def test_strangers_are_not_a_collapse() -> None:
    data = choices()
    model = model_of(*own_taste(), data)
    strangers = sl.Dataset({"reader": [f"s{n}" for n in range(9)], "book": ["b1"] * 9}, "reader", "book")
    assert names(sl.diagnose(model, strangers)) == ["unknown_ids", "unseen_queries"]


def test_findings_are_plain_values_and_known_names() -> None:
    data = choices()
    query, candidate = own_taste(scale=200.0)
    query[:] = query[20]
    found = sl.diagnose(model_of(query, candidate, data), data, training=[{"loss": 2.0, "chance": 2.0}])
    assert names(found) == ["collapsed", "norms_explode", "loss_at_chance"]
    for finding in found:
        assert json.loads(json.dumps(finding.to_dict()))["name"] in FINDINGS
        assert finding.hint


def test_fit_warns_of_what_it_finds() -> None:
    data = choices()
    model = sl.TwoTower(sl.Tower(sl.StringLookup("reader"), dim=4), sl.Tower(sl.StringLookup("book"), dim=4))
    options = {"epochs": 1, "batch_size": 64, "task": sl.Retrieval(remove_accidental_hits=False)}
    with pytest.warns(sl.ShortlistWarning, match="loss at chance: after 1 epoch the"):
        sl.fit(model, data, optimizer=sl.SGD(1e-9), **options)
    with pytest.warns(sl.ShortlistWarning, match="loss at chance"):
        sl.fit(model, data, validation=data, optimizer=sl.SGD(1e-9), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sl.ShortlistWarning)
        sl.fit(model, data, validation=data, optimizer=sl.Adagrad(0.5), epochs=30, batch_size=16)
