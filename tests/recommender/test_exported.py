"""Towers as ONNX: the same vectors as torch's, from raw columns, without torch."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import shortlist as sl
from shortlist.errors import BundleError, ConfigError
from shortlist.recommender.exported import ExportedTower

PEOPLE = [f"u{number}" for number in range(12)]
THINGS = [f"i{number}" for number in range(9)]


@pytest.fixture(scope="module")
def trained() -> tuple[sl.TwoTower, sl.Dataset]:
    """A model that has every kind of feature, on made-up tables with nulls and empty lists."""
    pairs = {"who": PEOPLE * 5, "what": [THINGS[(7 * number) % 9] for number in range(60)]}
    rows = range(12)
    queries = {
        "who": PEOPLE,
        "age": [None, *(float(row) for row in rows[1:])],
        "town": ["Oslo", "Rome", None] * 4,
        "paid": [True, False] * 6,
        "joined": [1_500_000_000 + 86_400 * row for row in rows],
        "agent": [f"agent {row % 5}" for row in rows],
    }
    candidates = {
        "what": THINGS,
        "genres": [["x", "y"], [], ["y"]] * 3,
        "title": ["the old cat", "", "a dog"] * 3,
        "image": [[0.5, -1.0, float(row)] for row in range(9)],
        "price": [1.0, 20.0, 300.0] * 3,
    }
    data = sl.Dataset(pairs, "who", "what", queries=queries, candidates=candidates)
    model = sl.TwoTower(
        sl.Tower(
            sl.StringLookup("who"), sl.Normalization("age"), sl.Category("town"), sl.Category("paid"),
            sl.Timestamp("joined"), sl.Hashing("agent", 7), dim=6, hidden=[10],
        ),
        sl.Tower(
            sl.StringLookup("what"), sl.MultiCategory("genres"), sl.Text("title"), sl.Vector("image", 3),
            sl.Discretization("price", 3), dim=6, hidden=[10], normalize=True,
        ),
    )  # fmt: skip
    sl.fit(model, data, task=sl.Retrieval(), optimizer=sl.Adagrad(0.1), epochs=2, batch_size=32)
    return model, data


@pytest.fixture(scope="module")
def bundle(trained: tuple[sl.TwoTower, sl.Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "every.shortlist"
    recommender = sl.Recommender(trained[0], seen=trained[1])
    assert not recommender.is_exported
    recommender.export()
    assert recommender.is_exported
    recommender.save(path)
    return path


def test_both_towers_give_torchs_vectors(bundle: Path, trained: tuple[sl.TwoTower, sl.Dataset]) -> None:
    model, data = trained
    loaded = sl.Recommender.load(bundle)
    assert np.allclose(loaded.embed_queries(data.queries), model.query_vectors(data.queries), atol=1e-5)
    assert np.allclose(loaded.embed_candidates(data.candidates), model.candidate_vectors(data.candidates), atol=1e-5)
    nobody = data.queries[:1].clear(1)
    assert np.allclose(loaded.embed_queries(nobody), model.query_vectors(nobody), atol=1e-5)
    assert loaded.embed_candidates(data.candidates[:0]).shape == (0, 6)
    assert np.abs(loaded.embed_queries(data.queries) - loaded.embed_queries(nobody)).max() > 1e-2


def test_a_copy_of_a_bundle_has_its_towers(bundle: Path, trained: tuple[sl.TwoTower, sl.Dataset]) -> None:
    loaded = sl.Recommender.load(bundle)
    before = loaded.embed_candidates(trained[1].candidates)
    for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert again.is_exported
        assert np.array_equal(again.embed_candidates(trained[1].candidates), before)


def test_a_request_with_features_needs_no_torch(bundle: Path, trained: tuple[sl.TwoTower, sl.Dataset]) -> None:
    asked = {"who": ["u1", "new"], "age": [3.5, 9.0], "town": ["Rome", "Atlantis"]}
    expected = sl.Recommender(trained[0]).recommend(asked, k=3)
    code = (
        "import sys, json, shortlist as sl\n"
        "loaded = sl.Recommender.load(sys.argv[1])\n"
        "answer = loaded.recommend(json.loads(sys.argv[2]), k=3, exclude_seen=False)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "print(json.dumps(answer.to_dicts()))"
    )
    import json

    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), json.dumps(asked)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(json.loads(done.stdout), expected, strict=True):
        assert [item["id"] for item in ours["items"]] == theirs.ids
        assert np.allclose([item["score"] for item in ours["items"]], theirs.scores, atol=1e-4)
        assert ours["known"] == theirs.known


def test_an_export_survives_being_saved_again(bundle: Path, tmp_path: Path) -> None:
    sl.Recommender.load(bundle).save(tmp_path / "again")
    again = sl.Recommender.load(tmp_path / "again")
    assert again.is_exported
    assert (tmp_path / "again/model/query.onnx").read_bytes() == (bundle / "model/query.onnx").read_bytes()


@pytest.mark.parametrize("name", ["model/query.onnx", "model/candidate.onnx"])
def test_an_altered_export_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BundleError, match="was altered"):
        sl.Recommender.load(copy)


def test_a_file_that_is_no_onnx_is_a_bundle_error(trained: tuple[sl.TwoTower, sl.Dataset]) -> None:
    config = {"dim": 6, "features": []}
    with pytest.raises(BundleError, match="cannot be read"):
        ExportedTower("query", b"not a model", config, dict)


class Doubled(nn.Module):
    def forward(self, embedded: Mapping[str, Tensor]) -> Tensor:
        return 2 * next(iter(embedded.values()))


class Wild(nn.Module):
    """Answers differently each time: what no export can follow."""

    def forward(self, embedded: Mapping[str, Tensor]) -> Tensor:
        rows = next(iter(embedded.values()))
        return rows + torch.rand_like(rows)


def test_a_module_of_ones_own_is_exported_and_needs_no_code(train: sl.Dataset, tmp_path: Path) -> None:
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), dim=2, module=Doubled()), sl.Tower(sl.StringLookup("what"), dim=2)
    )
    model.prepare(train)
    fresh = sl.Recommender(model.eval())
    fresh.export()
    fresh.save(tmp_path / "b")
    loaded = sl.Recommender.load(tmp_path / "b")
    asked = pl.DataFrame({"who": ["ann", None]})
    assert np.array_equal(loaded.embed_queries(asked), model.query_vectors(asked))


def test_a_tower_that_export_would_change_is_refused(train: sl.Dataset) -> None:
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), dim=2, module=Wild()), sl.Tower(sl.StringLookup("what"), dim=2)
    )
    model.prepare(train)
    fresh = sl.Recommender(model.eval())
    with pytest.raises(ConfigError, match="differs from torch"):
        fresh.export()
    assert not fresh.is_exported


def test_a_bias_and_cross_layers_are_exported_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.recommender.exported.ROWS_AT_A_TIME", 4)
    data = sl.Dataset(
        {"who": PEOPLE * 5, "what": [THINGS[(7 * number) % 9] for number in range(60)]},
        "who",
        "what",
        candidates={"what": THINGS, "price": [1.0, 20.0, 300.0] * 3},
    )
    options = {"dim": 4, "combine": "sum", "cross": 1, "layer_norm": True, "hidden": (6,), "id_dropout": 0.1}
    candidate = sl.Tower(sl.StringLookup("what"), sl.Normalization("price"), bias=True, **options)
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), **options), candidate)
    sl.fit(model, data, epochs=2, batch_size=32)
    recommender = sl.Recommender(model, seen=data)
    recommender.export()
    recommender.save(tmp_path / "bias.shortlist")
    loaded = sl.Recommender.load(tmp_path / "bias.shortlist")
    found = loaded.embed_candidates(data.candidates)
    assert found.shape == (9, 5)
    np.testing.assert_allclose(found, model.candidate_vectors(data.candidates), atol=1e-5)
    np.testing.assert_allclose(loaded.embed_queries(data.queries), model.query_vectors(data.queries), atol=1e-5)
    assert loaded.embed_candidates(data.candidates[:0]).shape == (0, 5)
