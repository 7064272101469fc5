"""What can be kept can be copied: pickle, ``copy.deepcopy`` and joblib give back what answers alike."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest
from tests.congruence.results import SHOWN
from tests.sources.plain_stage import stage_of

import shortlist as sl
from shortlist.index.faiss import faiss_trouble
from shortlist.index.quantized import quantized_trouble
from shortlist.index.scann import scann_trouble

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(300, 8)).astype(np.float32)
QUERIES = RNG.normal(size=(5, 8)).astype(np.float32)
PAIRS = [(f"u{query}", f"i{(query * 5 + place * place) % 15}", place) for query in range(12) for place in range(6)]
FRAME = pl.DataFrame(PAIRS, schema=["user", "item", "at"], orient="row")
TABLE = pl.DataFrame({"item": [f"i{number}" for number in range(15)], "price": [float(n) for n in range(15)]})
DATA = sl.Dataset(FRAME, query="user", candidate="item", timestamp="at", candidates=TABLE)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def by_joblib(value: Any) -> Any:
    stream = io.BytesIO()
    joblib.dump(value, stream)
    stream.seek(0)
    return joblib.load(stream)


WAYS: dict[str, Callable[[Any], Any]] = {"pickle": pickled, "deepcopy": copy.deepcopy}


def towers(seed: int = 0) -> sl.TwoTower:
    query = sl.Tower(sl.StringLookup("user"), sl.History("history"), dim=4)
    model = sl.TwoTower(query, sl.Tower(sl.StringLookup("item"), sl.Normalization("price"), dim=4, hidden=(4,)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sl.fit(model, DATA, epochs=1, batch_size=32, seed=seed)
    return model


@pytest.fixture(scope="module")
def model() -> sl.TwoTower:
    return towers()


@pytest.fixture(scope="module")
def mixture(model: sl.TwoTower) -> sl.Mixture:
    return sl.Mixture([model, sl.Transitions().fit(DATA), sl.Popular().fit(DATA)], DATA)


@pytest.fixture(scope="module")
def staged(mixture: sl.Mixture) -> sl.Mixture:
    return mixture.with_stage(stage_of(DATA, 3, depth=4), DATA)


def asked(recommender: sl.Recommender) -> Any:
    """Answers by every way to ask."""
    return [
        recommender.recommend(["u1", "new"], k=3, history=[["i1"], ["i2", "i3"]]).to_dicts(),
        recommender.recommend(["u1", "u2"], k=3, where="price > 4", explain=True).to_dicts(),
        recommender.similar(["i3"], k=2).to_dicts(),
        recommender.embed_candidates(TABLE[:2]).tolist(),
        recommender.fingerprint,
    ]


INDEXES = {
    "BruteForce": (sl.BruteForce, None),
    "BruteForce in int8": (lambda: sl.BruteForce("int8"), None),
    "ScaNN": (lambda: sl.ScaNN(leaves=4), scann_trouble()),
    "Faiss": (sl.Faiss, faiss_trouble()),
    "Quantized": (sl.Quantized, quantized_trouble()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", INDEXES)
def test_an_index_answers_as_before(name: str, way: str) -> None:
    make, trouble = INDEXES[name]
    if trouble is not None:
        pytest.skip(trouble)
    unbuilt = WAYS[way](make())
    assert unbuilt.settings() == make().settings()
    assert not unbuilt.built
    index = unbuilt.build(VECTORS)
    index.search(QUERIES, 10)
    index.upsert(np.array([7, 400]), QUERIES[:2])
    index.delete(np.array([9]))
    again = WAYS[way](index)
    for filters in ({}, {"allow": np.arange(50)}, {"deny": np.arange(250)}):
        one, other = (made.search(QUERIES, 10, **filters) for made in (index, again))
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.scores, other.scores)
    again.delete(np.array([400]))
    again.rebuild()
    assert 400 in index.ids
    assert 400 not in again.ids


@pytest.mark.parametrize("way", [*WAYS, "joblib"])
def test_a_recommender_answers_as_before(
    model: sl.TwoTower, mixture: sl.Mixture, staged: sl.Mixture, way: str, tmp_path: Path
) -> None:
    copied = by_joblib if way == "joblib" else WAYS[way]
    for kind in (model, mixture, staged):
        recommender = sl.Recommender(kind, index=sl.BruteForce(), seen=DATA)
        recommender.upsert(pl.DataFrame({"item": ["i99"], "price": [3.0]}))
        assert asked(copied(recommender)) == asked(recommender)
    recommender.save(tmp_path / "saved.shortlist")
    loaded = sl.Recommender.load(tmp_path / "saved.shortlist", mmap=True)
    again = copied(loaded)
    assert asked(again) == asked(loaded)
    again.delete(["i99"])  # it has a lock of its own
    assert "i99" not in again.recommend(["u1"], k=20)[0].ids
    assert "i99" in loaded.recommend(["u1"], k=20)[0].ids


def test_a_copy_looks_after_its_index_too(model: sl.TwoTower) -> None:
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=DATA)
    recommender.keep_up(k=3, recall=0.9, churn=0.25, rebuild=False)
    again = pickled(recommender)
    assert again._upkeep.settings == {"k": 3, "recall": 0.9, "churn": 0.25, "rebuild": False}
    assert pickled(sl.Recommender(model))._upkeep is None


@pytest.mark.parametrize("way", WAYS)
def test_a_model_gives_the_vectors_that_it_gave(
    model: sl.TwoTower, mixture: sl.Mixture, staged: sl.Mixture, way: str
) -> None:
    for kind in (model, sl.join([model, copy.deepcopy(model)])):
        again = WAYS[way](kind)
        before = kind.candidate_vectors(TABLE)
        assert np.array_equal(again.candidate_vectors(TABLE), before)
    own, again = model.candidate_vectors(TABLE), WAYS[way](model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sl.fit(again, DATA, epochs=1, batch_size=32)
    assert np.array_equal(model.candidate_vectors(TABLE), own)  # training a copy leaves the model as it was
    for kind in (mixture, staged):
        figures = [sl.evaluate(one, DATA, baselines=())["model"] for one in (kind, WAYS[way](kind))]
        assert figures[0] == figures[1]


@pytest.mark.parametrize("way", WAYS)
def test_data_are_what_they_were(way: str, tmp_path: Path) -> None:
    assert DATA.seen is DATA
    for data in (DATA, sl.split_random(DATA, test=0.25).train):
        again = WAYS[way](data)
        assert again.interactions.equals(data.interactions)
        assert np.array_equal(again.candidate_rows, data.candidate_rows)
        assert again.account == data.account
    FRAME.write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="user", candidate="item")
    train, _ = shards.split(test=0.25, seed=1)
    for part in (shards, train):
        again = WAYS[way](part)
        assert len(again) == len(part)
        assert again.to_dataset().interactions.equals(part.to_dataset().interactions)


VALUES = [
    sl.StringLookup("a", ["x", "y"]), sl.IntegerLookup("a"), sl.Category("a"), sl.Hashing("a", 8), sl.MultiCategory("a", "|"),
    sl.Normalization("a"), sl.Discretization("a", 4), sl.Timestamp("a"), sl.Text("a"), sl.Vector("a"), sl.History("a"),
    sl.Retrieval(loss=sl.BSL(), negatives=sl.Mixed(64)), sl.Retrieval(loss=sl.BPR(), negatives=sl.Sampled(8)),
    sl.Retrieval(loss=sl.CCL(), negatives=sl.Sampled(8)), sl.ALS(), sl.Adagrad(0.1), sl.Adam(), sl.AdamW(), sl.SGD(),
    sl.RowwiseAdagrad(), sl.Rerank(0.5), sl.Events(), sl.Reading(), sl.Checkpoints("c"), sl.recipes.load("tutorial"),
    sl.Cooccurrence(), sl.EASE(), sl.Transitions(), sl.Popular(), sl.Recent(), sl.Newest(), sl.WarmStart(sl.popularity(DATA)),
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_settings_are_what_they_were(value: Any, way: str) -> None:
    again = WAYS[way](value)
    assert type(again) is type(value)
    if "object at 0x" not in repr(value) and not isinstance(value, sl.WarmStart):
        assert repr(again) == repr(value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHOWN)
def test_results_are_what_they_were(name: str, way: str) -> None:
    value = SHOWN[name]()
    again = WAYS[way](value)
    assert str(again) == str(value)
    assert again._repr_html_() == value._repr_html_()
