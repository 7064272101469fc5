"""The same numbers however they were measured: in training or after, in one tile or many, in any order, by ranks or lists."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest
import torch

import shortlist as sl
from shortlist.errors import ConfigError
from shortlist.evaluation.metrics import AT_K

KS = (1, 3, 10)
METRICS = (*AT_K, "auc")


@pytest.fixture(scope="module")
def parts() -> tuple[sl.Dataset, sl.Dataset]:
    generator = np.random.default_rng(5)
    frame = pl.DataFrame(
        {"u": generator.integers(40, size=900), "c": (generator.random(900) ** 2 * 60).astype(np.int64)}
    )
    frame = frame.unique(maintain_order=True).with_columns(at=pl.int_range(pl.len()))
    train, test = sl.split_by_time(sl.Dataset(frame, "u", "c", timestamp="at"), test=0.3)
    return train, test


@pytest.fixture(scope="module")
def trained(parts: tuple[sl.Dataset, sl.Dataset]) -> tuple[sl.TwoTower, sl.TrainingHistory]:
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("u"), dim=8), sl.Tower(sl.IntegerLookup("c"), dim=8))
    history = sl.fit(model, parts[0], validation=parts[1], epochs=3, batch_size=128, seed=1, ks=KS)
    return model, history


@pytest.fixture(scope="module")
def model(trained: tuple[sl.TwoTower, sl.TrainingHistory]) -> sl.TwoTower:
    return trained[0]


def figures(model: sl.TwoTower, parts: tuple[sl.Dataset, sl.Dataset], **options: object) -> dict[str, dict[str, float]]:
    found = sl.evaluate(model, parts[1], seen=parts[0], ks=KS, metrics=METRICS, **options)  # type: ignore[arg-type]
    return {
        scorer: {f"{seen} {k}": v for seen in by for k, v in by[seen].items()} for scorer, by in found.figures.items()
    }


def test_in_training_and_after(
    trained: tuple[sl.TwoTower, sl.TrainingHistory], parts: tuple[sl.Dataset, sl.Dataset]
) -> None:
    model, history = trained
    assert dict(history[-1].metrics) == sl.evaluate(model, parts[1], ks=KS)["model"]["seen_in"]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (7, 3, 2, 5), (1 << 12, 16, 64, 64)])
def test_in_one_tile_or_many(
    monkeypatch: pytest.MonkeyPatch, model: sl.TwoTower, parts, sizes: tuple[int, ...]
) -> None:
    whole = figures(model, parts, baselines=("popularity", "ease"))
    module = sys.modules["shortlist.evaluation.ranks"]
    for name, size in zip(("TILE_ELEMENTS", "COLUMNS", "PAIRS", "PRODUCTS"), sizes, strict=True):
        monkeypatch.setattr(module, name, size)
    assert figures(model, parts, baselines=("popularity", "ease")) == whole


def test_in_any_order_and_in_parts(model: sl.TwoTower, parts: tuple[sl.Dataset, sl.Dataset]) -> None:
    train, test = parts
    whole = figures(model, parts)["model"]
    shuffled = test.with_interactions(test.interactions.sample(fraction=1.0, shuffle=True, seed=3))
    assert figures(model, (train, shuffled))["model"] == pytest.approx(whole, abs=1e-12)
    halves = [test.with_interactions(half) for half in (test.interactions[:100], test.interactions[100:])]
    tops = [figures(model, (train, half))["model"]["seen_out top_10"] for half in halves]
    together = (100 * tops[0] + (len(test) - 100) * tops[1]) / len(test)
    assert together == pytest.approx(whole["seen_out top_10"], abs=1e-12)


def test_by_lists_of_exact_search_and_by_ranks(model: sl.TwoTower, parts: tuple[sl.Dataset, sl.Dataset]) -> None:
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=parts[0])
    found = figures(model, parts, index=recommender.index)
    for name, value in found["index"].items():
        assert value == pytest.approx(found["model"][name], abs=1e-12), name
    assert len(found["index"]) == 2 * len(AT_K) * len(KS)


def test_by_what_the_recommender_answers(model: sl.TwoTower, parts: tuple[sl.Dataset, sl.Dataset]) -> None:
    """Ids in, ids out: the share of test pairs among the ten recommended, seen items left out."""
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=parts[0])
    users = parts[1].interactions["u"].unique(maintain_order=True).to_list()
    lists = dict(zip(users, recommender.recommend({"u": users}, k=10), strict=True))
    hits = [c in list(lists[u].ids) for u, c in parts[1].interactions.select("u", "c").rows()]
    assert np.mean(hits) == pytest.approx(figures(model, parts)["model"]["seen_out top_10"], abs=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_another_device(parts: tuple[sl.Dataset, sl.Dataset]) -> None:
    made = []
    for device in ("cpu", "cuda"):
        model = sl.TwoTower(sl.Tower(sl.IntegerLookup("u"), dim=8), sl.Tower(sl.IntegerLookup("c"), dim=8))
        sl.fit(model, parts[0], epochs=1, batch_size=128, seed=1, device=device)
        made.append(figures(model, parts)["model"])
    assert made[0] == pytest.approx(made[1], abs=0.01)


@pytest.mark.filterwarnings("ignore:loss at chance")
def test_a_planted_tie_gets_no_credit(parts: tuple[sl.Dataset, sl.Dataset]) -> None:
    """Candidates that all have one vector: worst ties miss every top k, expected ones have every place alike."""
    flat = sl.TwoTower(sl.Tower(sl.IntegerLookup("u"), dim=8), sl.Tower(sl.IntegerLookup("c"), dim=8))
    sl.fit(flat, parts[0], epochs=1, batch_size=128, seed=1)
    with torch.no_grad():
        for table in flat.candidate.buffers():
            if table.is_floating_point() and table.ndim == 2:
                table.copy_(table[:1].expand_as(table).clone())
    candidates = len(flat.catalogue.candidates)
    ks = (1, candidates // 2 - 1, candidates // 2 + 1, candidates)
    worst, expected = (
        sl.evaluate(flat, parts[1], ks=ks, baselines=(), ties=ties)["model"]["seen_in"]
        for ties in ("worst", "expected")
    )
    assert list(worst.values()) == [0.0, 0.0, 0.0, 1.0]
    assert list(expected.values()) == pytest.approx([k / candidates for k in ks])


@pytest.mark.parametrize(
    ("options", "what"), [({"metrics": ("top", "auc")}, "auc"), ({"metrics": ("coverage",)}, "coverage")]
)
def test_what_release_times_cannot_be_measured_with(model: sl.TwoTower, parts, options, what: str) -> None:
    with pytest.raises(ConfigError, match=f"{what} .*released"):
        sl.evaluate(model, parts[1], released="out", **options)
