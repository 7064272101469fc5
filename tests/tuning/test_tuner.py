"""The tuner keeps its promise on queries it has not seen, says so when it cannot, and leaves alone what it is given."""

import importlib.util
import json
import warnings
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pytest

from shortlist.errors import ConfigError, MissingExtraError, SearchError, ShortlistWarning
from shortlist.index import BruteForce, Faiss, ScaNN, index_from_settings
from shortlist.index.scann import scann_trouble
from shortlist.tuning import spaces, tune_index
from shortlist.tuning.latency import latencies
from shortlist.tuning.picture import curve_svg
from shortlist.tuning.tuner import worth_it

needs_scann = pytest.mark.skipif(scann_trouble() is not None, reason="ScaNN cannot run here")
needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


def clustered(rows: int, seed: int, dim: int = 8) -> np.ndarray:
    centres = np.random.default_rng(99).standard_normal((40, dim))
    rng = np.random.default_rng(seed)
    near = centres[rng.integers(0, 40, rows)] + 0.6 * rng.standard_normal((rows, dim))
    return (near * np.exp(0.3 * rng.standard_normal((rows, 1)))).astype(np.float32)


VECTORS, QUERIES, FRESH = clustered(3000, 1), clustered(240, 2), clustered(300, 3)


def recall_at(index, queries: np.ndarray, k: int) -> float:
    """By ids and plain sorting."""
    true = np.argsort(-(queries @ VECTORS.T), axis=1)[:, :k]
    found = index.search(queries, k)
    return float(np.mean([np.intersect1d(found.row(i)[0], row).size / k for i, row in enumerate(true)]))


@pytest.fixture(scope="module")
def tuning():
    if scann_trouble() is not None:
        pytest.skip("ScaNN cannot run here")
    return tune_index(VECTORS, QUERIES, recall=0.9, k=10, backends=["scann"])


def test_the_promise_holds_on_queries_that_nobody_has_seen(tuning) -> None:
    assert tuning.chosen.backend == "scann"
    assert recall_at(tuning.index, FRESH, 10) >= 0.88
    held = tuning.chosen.recalls[10]
    assert held.lower >= 0.9
    assert set(tuning.chosen.recalls) == {10, 100}
    assert 0 < held.least <= held.worst_1 + 1e-9
    assert held.worst_1 <= held.worst_5 + 1e-9 <= held.mean + 1e-9
    assert (tuning.tune_queries, tuning.held_out_queries) == (120, 120)


def test_the_chosen_setting_is_the_fastest_that_was_seen_to_keep_it(tuning) -> None:
    keeping = [point for point in tuning.points if point.keeps and point.backend == "scann"]
    fastest = min(keeping, key=lambda point: point.milliseconds)
    assert tuning.index.settings() == {**fastest.settings, "recall": 0.9, "k": 10}
    assert tuning.chosen.milliseconds == fastest.milliseconds < tuning.chosen.exact_milliseconds == 3
    assert all(point.recall.lower >= 0.9 for point in keeping)
    assert {point.build for point in tuning.points} >= {1, 2}
    assert any(not point.keeps for point in tuning.points)


def test_curves_rise(tuning) -> None:
    curve = tuning.curve("scann")
    assert len(curve) >= 3
    assert all(a.recall.mean <= b.recall.mean and a.milliseconds <= b.milliseconds for a, b in pairwise(curve))


def test_the_report_is_json_and_the_picture_xml(tuning) -> None:
    measured = json.loads(json.dumps(tuning.to_dict()))
    assert measured["chosen"]["recalls"][0]["k"] == 10
    root = ElementTree.fromstring(curve_svg(measured))
    words = " ".join(root.itertext())
    assert "promise 0.9" in words
    assert "ScaNN" in words
    assert "recall@10" in words
    for place in root.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(place.get("cx")) <= 760
        assert 0 <= float(place.get("cy")) <= 460


@needs_scann
def test_what_settings_give_stays_and_the_rest_is_tuned() -> None:
    index = ScaNN(leaves=30, dims_per_code=2, recall=0.9, k=10).build(VECTORS, queries=QUERIES)
    settings = index.settings()
    assert (settings["leaves"], settings["dims_per_code"], settings["recall"], settings["k"]) == (30, 2, 0.9, 10)
    assert settings["leaves_to_search"] >= 1
    assert settings["reorder"] >= 10
    assert recall_at(index, FRESH, 10) >= 0.88
    again = index_from_settings(settings)
    assert again.settings() == settings


@needs_faiss
@pytest.mark.parametrize("method", ["hnsw", "ivfpq"])
def test_faiss_keeps_a_promise_too(method) -> None:
    index = Faiss(method, recall=0.85, k=5).build(VECTORS, np.arange(3000) * 7, QUERIES)
    assert index.settings()["method"] == method
    assert index.ids[-1] == 2999 * 7
    tuned = index.tuning
    assert tuned.chosen.recalls[5].lower >= 0.85


@needs_scann
def test_a_promise_that_no_setting_keeps_ends_in_exact_search_and_says_so() -> None:
    stingy = ScaNN(leaves=60, leaves_to_search=1, reorder=20, soar=0, recall=0.99, k=10)
    with pytest.warns(ShortlistWarning, match=r"cannot keep recall@10 ≥ 0\.99.*exact search"):
        index = stingy.build(VECTORS, queries=QUERIES)
    assert type(index) is BruteForce
    assert "nothing else keeps recall@10 ≥ 0.99" in index.tuning.reason
    assert index.tuning.chosen.recalls[10].mean == 1.0


@needs_scann
def test_a_rebuild_keeps_what_was_tuned() -> None:
    index = ScaNN(recall=0.9, k=10).build(VECTORS, queries=QUERIES)
    before = index.settings()
    index.delete(np.arange(300))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.rebuild()
    assert index.settings() == before
    assert index.size == 2700


def test_exact_search_wins_where_it_is_no_slower() -> None:
    small = VECTORS[:60]
    found = tune_index(small, QUERIES, recall=0.95, k=100)
    assert type(found.index) is BruteForce
    assert found.k == 60
    assert found.chosen.recalls.keys() == {10, 60}
    assert found.chosen.recalls[60].mean == 1.0


def test_exact_alone() -> None:
    found = tune_index(VECTORS, QUERIES, backends=["exact"])
    assert type(found.index) is BruteForce
    assert found.reason.startswith("exact search: asked for")


@needs_scann
def test_no_time_left_names_what_was_left_out() -> None:
    found = tune_index(VECTORS, QUERIES, recall=0.5, k=10, backends=["scann"], seconds=0)
    assert "no time left" in found.missing["scann"]
    assert found.chosen.backend == "exact"


def test_exact_search_is_left_only_for_what_is_really_faster() -> None:
    assert not worth_it(0.0271, 0.0270)  # as good as equal
    assert not worth_it(0.050, 0.010)  # five times as fast, of nothing
    assert not worth_it(1.0, 0.8)
    assert worth_it(0.5, 0.3)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"recall": 0.0}, ConfigError, "recall is 0"),
        ({"recall": 1.5}, ConfigError, "at most 1"),
        ({"recall": True}, ConfigError, "recall is True"),
        ({"k": 0}, SearchError, "k is 0"),
        ({"backends": ["scan"]}, ConfigError, "did you mean 'scann'"),
        ({"sample": 30}, SearchError, "30 queries were given; at least 40"),
    ],
)
def test_what_is_refused(options, error, says) -> None:
    with pytest.raises(error, match=says):
        tune_index(VECTORS, QUERIES, **options)


def test_queries_must_fit() -> None:
    with pytest.raises(SearchError, match="queries has dim 7"):
        tune_index(VECTORS, QUERIES[:, :7].copy())
    with pytest.raises(SearchError, match="39 queries were given"):
        tune_index(VECTORS, QUERIES[:39])
    with pytest.raises(SearchError, match="needs queries to keep its promise; none were given"):
        ScaNN(recall=0.9).build(VECTORS)


@pytest.mark.parametrize("kind", [ScaNN, Faiss])
@pytest.mark.parametrize("options", [{"recall": 2}, {"recall": "0.9"}, {"k": 0}, {"k": None}, {"dims_per_code": 0}])
def test_settings_that_cannot_be(kind, options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        kind(**options)


@needs_scann
def test_search_settings_change_on_one_build() -> None:
    index = ScaNN(leaves=50, leaves_to_search=2, reorder=20).build(VECTORS)
    wide = index.with_search(leaves_to_search=50, reorder=400)
    assert wide._snapshot is index._snapshot
    assert recall_at(index, FRESH, 10) < recall_at(wide, FRESH, 10)
    with pytest.raises(ConfigError, match="leaves cannot be changed without a build"):
        index.with_search(leaves=3)


def test_a_missing_backend_is_named_and_the_others_go_on(monkeypatch) -> None:
    monkeypatch.setattr(spaces, "quantized_trouble", lambda: "the package 'turbovec' is not installed")
    monkeypatch.setattr(spaces, "scann_trouble", lambda: "the package 'scann' is not installed")
    monkeypatch.setattr(spaces, "faiss_trouble", lambda: "the package 'faiss-cpu' is not installed")
    found = tune_index(VECTORS, QUERIES)
    assert type(found.index) is BruteForce
    assert found.missing["quantized"].endswith('(pip install "shortlist[quantized]")')
    assert found.missing["scann"].endswith('(pip install "shortlist[scann]")')
    assert "shortlist[faiss]" in found.missing["hnsw"]


def test_a_promise_without_its_package_names_the_extra(monkeypatch) -> None:
    monkeypatch.setattr("shortlist.index.faiss.faiss_trouble", lambda: "the package 'faiss-cpu' is not installed")
    with pytest.raises(MissingExtraError, match=r"shortlist\[faiss\]"):
        Faiss(recall=0.9).build(VECTORS, queries=QUERIES)


def test_timings_take_turns() -> None:
    order = []

    class Noted:
        def __init__(self, name: str) -> None:
            self.name = name

        def search(self, queries, k) -> None:
            assert queries.shape == (1, 8)
            order.append(self.name)

    times = latencies([Noted("a"), Noted("b")], QUERIES, 10, rounds=2, seconds=0)
    assert order == ["a", "a", "b", "b", "a", "b", "b", "a"]  # two warm-ups each, then there and back
    assert len(times) == 2


@needs_scann
def test_many_partitions_survive_a_save(tmp_path) -> None:
    index = ScaNN(leaves=1000, leaves_to_search=60, dims_per_code=1).build(VECTORS)  # centres as 8-bit numbers
    index.save(tmp_path / "index")
    again = ScaNN.load(tmp_path / "index")
    assert np.array_equal(again.search(FRESH, 20).ids, index.search(FRESH, 20).ids)
    assert recall_at(again, FRESH, 10) > 0.9
