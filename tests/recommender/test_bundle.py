"""The bundle on disk: whole, or refused by name before anything of it is parsed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.recommender.saved import files_of, rewrite, trust

import shortlist as sl
from shortlist.errors import BundleError, ConfigError, MissingExtraError, SearchError, ShortlistWarning
from shortlist.recommender import bundle as room

FILES = [
    "candidates.parquet",
    "model/config.json",
    "model/series-0.parquet",
    "model/series-1.parquet",
    "model/weights.safetensors",
    "queries.parquet",
    "seen.safetensors",
    "vectors.safetensors",
]
ASK = ["ann", "bob", "cat", "eve"]


def test_what_it_holds(bundle: Path, recommender: sl.Recommender) -> None:
    held = files_of(bundle)
    index = [name for name in held if name.startswith("index/")]
    assert set(held) == {*FILES, *index, "manifest.json"}
    assert "index/index.json" in index
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert set(manifest["files"]) == {*held} - {"manifest.json"}
    assert manifest["format"] == 2
    assert manifest["library"] == sl.__version__
    assert manifest["fingerprint"] == recommender.fingerprint
    assert manifest["queries"] == {
        "id": "who",
        "rows": 4,
        "columns": {"who": "String", "known": "Boolean"},
        "added": "known",
    }
    assert manifest["candidates"]["columns"] == {"what": "String", "training_count": "Int64"}
    assert manifest["files"]["vectors.safetensors"]["tensors"]["queries"] == {"dtype": "F32", "shape": [4, 2]}
    assert set(manifest["files"]["vectors.safetensors"]["tensors"]) == {"golden", "queries", "unknown"}
    assert str(bundle.parent) not in "".join((bundle / name).read_bytes().decode("latin-1") for name in held)


def test_it_answers_as_before(bundle: Path, recommender: sl.Recommender) -> None:
    loaded = sl.Recommender.load(bundle)
    for options in ({}, {"exclude_seen": False}, {"deny": ["c"]}, {"allow": ["a", "d"]}):
        assert loaded.recommend(ASK, **options) == recommender.recommend(ASK, **options)
    assert loaded.similar(["a"]) == recommender.similar(["a"])
    assert loaded.ann_overlap() == 1.0
    assert repr(loaded) == repr(recommender)
    assert loaded.fingerprint == recommender.fingerprint


def test_the_model_comes_back(bundle: Path, model: sl.TwoTower) -> None:
    again = sl.Recommender.load(bundle).model
    assert {name: value.tolist() for name, value in again.state_dict().items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }
    assert again.catalogue.counts.tolist() == [1, 3, 1, 0]
    assert again.catalogue.known.tolist() == [True, True, True, False]
    assert again.catalogue.queries.equals(model.catalogue.queries)


def test_settings_and_metadata_come_back(model: sl.TwoTower, tmp_path: Path) -> None:
    recommender = sl.Recommender(model, cold_start="refuse", fallback=())
    metadata = {"recipe": {"dim": 2}, "top_10": np.float64(0.5), "ranks": np.array([1, 2]), "notes": ("a",), 7: None}
    recommender.save(tmp_path / "b", metadata=metadata)
    loaded = sl.Recommender.load(tmp_path / "b")
    assert (loaded.cold_start, loaded.fallback, loaded.reason) == ("refuse", (), recommender.reason)
    assert loaded.metadata == {"recipe": {"dim": 2}, "top_10": 0.5, "ranks": [1, 2], "notes": ["a"], "7": None}
    loaded.save(tmp_path / "again")
    assert sl.Recommender.load(tmp_path / "again").metadata == loaded.metadata
    with pytest.raises(ConfigError, match="JSON"):
        recommender.save(tmp_path / "c", metadata={"model": model})


def test_a_fresh_process_gives_the_same_bits_without_torch(bundle: Path, recommender: sl.Recommender) -> None:
    code = (
        "import json, sys, shortlist as sl\n"
        "loaded = sl.Recommender.load(sys.argv[1])\n"
        f"answer = loaded.recommend({ASK!r}, k=3).to_dicts()\n"
        "loaded.similar(['a']); loaded.ann_overlap()\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps(answer))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == recommender.recommend(ASK, k=3).to_dicts()


def test_without_torch_the_model_says_what_to_install(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = sl.Recommender.load(bundle)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"shortlist\[train\]"):
        _ = loaded.model


def test_it_can_be_moved_copied_and_linked_to(bundle: Path, recommender: sl.Recommender, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "copy")
    (tmp_path / "far").mkdir()
    bundle.rename(tmp_path / "far" / "moved")
    (tmp_path / "current").symlink_to(tmp_path / "copy")
    for name in ("copy", "far/moved", "current"):
        assert sl.Recommender.load(tmp_path / name).recommend(ASK) == recommender.recommend(ASK)


def test_a_loaded_recommender_outlives_its_bundle(bundle: Path, recommender: sl.Recommender) -> None:
    loaded = sl.Recommender.load(bundle)
    shutil.rmtree(bundle)
    assert loaded.recommend(ASK) == recommender.recommend(ASK)
    assert loaded.model.catalogue.query == "who"
    loaded.save(bundle)
    assert sl.Recommender.load(bundle).recommend(ASK) == recommender.recommend(ASK)


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty", "remove", "link"])
def test_each_file_is_guarded(bundle: Path, damage: str, tmp_path: Path) -> None:
    for name in files_of(bundle):
        shutil.copytree(bundle, tmp_path / "damaged")
        file = tmp_path / "damaged" / name
        content = file.read_bytes()
        if damage == "flip":
            middle = len(content) // 2
            file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        elif damage == "link":
            file.unlink()
            file.symlink_to(bundle / name)
        elif damage == "remove":
            file.unlink()
        else:
            file.write_bytes({"cut": content[:-1], "grow": content + b"\0", "empty": b""}[damage])
        with pytest.raises(BundleError) as caught:
            sl.Recommender.load(tmp_path / "damaged")
        assert Path(name).name in str(caught.value), name
        shutil.rmtree(tmp_path / "damaged")


@pytest.fixture
def two_trainings(tmp_path: Path) -> tuple[Path, Path]:
    """Bundles of the same shape, with weights that are nobody's vectors."""
    data = sl.Dataset({"who": ["ann", "bob", "cat"], "what": ["a", "b", "c"]}, "who", "what")
    places = []
    for name in ("one", "another"):
        model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2))
        model.prepare(data)
        sl.Recommender(model.eval(), index=sl.BruteForce(), seen=data).save(tmp_path / name)
        places.append(tmp_path / name)
    return places[0], places[1]


@pytest.mark.parametrize("part", ["index", "vectors.safetensors", "model/weights.safetensors"])
def test_parts_of_two_trainings_do_not_mix(two_trainings: tuple[Path, Path], part: str) -> None:
    bundle, foreign = two_trainings
    if (bundle / part).is_dir():
        shutil.rmtree(bundle / part)
        shutil.copytree(foreign / part, bundle / part)
    else:
        shutil.copy(foreign / part, bundle / part)
    with pytest.raises(BundleError, match=r"missing|altered|does not name"):
        sl.Recommender.load(bundle)
    trust(bundle)
    with pytest.raises(BundleError, match="do not belong to one training"):
        sl.Recommender.load(bundle)


def test_seen_items_out_of_range_are_refused(bundle: Path) -> None:
    file = bundle / "seen.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-8] + (99).to_bytes(8, "little"))
    trust(bundle)
    with pytest.raises(BundleError, match="seen"):
        sl.Recommender.load(bundle)


def test_counts_that_changed_change_an_answer(model: sl.TwoTower, tmp_path: Path) -> None:
    sl.Recommender(model, cold_start="popularity").save(tmp_path / "b")
    table = pl.read_parquet(tmp_path / "b" / "candidates.parquet")
    table.with_columns(pl.lit(1).cast(pl.Int64).alias("training_count")).write_parquet(
        tmp_path / "b" / "candidates.parquet"
    )
    trust(tmp_path / "b")
    with pytest.raises(BundleError, match="differently"):
        sl.Recommender.load(tmp_path / "b")


@given(data=st.data())
def test_random_damage_is_always_refused(bundle: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(files_of(bundle)))
    content = (bundle / name).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(1, 255))
    (bundle / name).write_bytes(content[:place] + bytes([content[place] ^ byte]) + content[place + 1 :])
    with pytest.raises(BundleError):
        sl.Recommender.load(bundle)
    (bundle / name).write_bytes(content)


@given(data=st.data())
def test_trusted_damage_never_escapes_as_another_error(bundle: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in FILES if not name.endswith("parquet")]))
    content, manifest = (bundle / name).read_bytes(), (bundle / "manifest.json").read_bytes()
    low = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(max_size=8))
    (bundle / name).write_bytes(content[:low] + new + content[low + len(new) :])
    trust(bundle)
    try:
        sl.Recommender.load(bundle)
    except BundleError:
        pass
    finally:
        (bundle / name).write_bytes(content)
        (bundle / "manifest.json").write_bytes(manifest)


@pytest.mark.parametrize("trouble", [MissingExtraError("scann", "scann", "ScaNN"), SearchError("no AVX2.")])
def test_without_the_indexs_package_exact_search_stands_in(
    bundle: Path, recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise trouble

    monkeypatch.setattr(room, "load_index", missing)
    with pytest.warns(ShortlistWarning, match="used instead") as caught:
        loaded = sl.Recommender.load(bundle)
    assert caught[0].filename == __file__
    assert loaded.recommend(ASK) == recommender.recommend(ASK)
    assert "used instead" in repr(loaded)
    rewrite(bundle, lambda manifest: manifest["golden"][0]["scores"].reverse())
    with pytest.warns(ShortlistWarning), pytest.raises(BundleError, match="differently"):
        sl.Recommender.load(bundle)


def test_scann_in_a_bundle(id_model: Any, tmp_path: Path) -> None:
    pytest.importorskip("scann")
    model, train = id_model(list(range(50)), list(range(400)))
    recommender = sl.Recommender(model, index=sl.ScaNN(), seen=train)
    recommender.save(tmp_path / "s")
    (tmp_path / "s").rename(tmp_path / "t")
    loaded = sl.Recommender.load(tmp_path / "t")
    assert loaded.recommend(list(range(60))) == recommender.recommend(list(range(60)))
    assert type(loaded.index).__name__ == "ScaNN"
    assert 0.5 < loaded.ann_overlap() <= 1.0


@pytest.mark.parametrize("name", ["nowhere", "a_file"])
def test_no_bundle(tmp_path: Path, name: str) -> None:
    (tmp_path / "a_file").write_text("x")
    with pytest.raises(BundleError, match="no bundle"):
        sl.Recommender.load(tmp_path / name)


# What is not stored twice.


def weights_of(path: Path) -> dict[str, list[int]]:
    manifest = json.loads((path / "manifest.json").read_text())
    return {
        name: entry["shape"]
        for name, entry in manifest["files"]["model/weights.safetensors"]["tensors"].items()
        if ".tables." in name
    }


def test_tables_that_are_vectors_are_not_stored_again(bundle: Path, model: sl.TwoTower, tmp_path: Path) -> None:
    """Each table has a row per id that training had, and the unknown row. dan and d, which training lacks, have that one too,
    so that every row is somebody's vector."""
    assert weights_of(bundle) == {"query.tables.who:StringLookup.weight": [0, 2]} | {
        "candidate.tables.what:StringLookup.weight": [0, 2]
    }
    loaded = sl.Recommender.load(bundle)
    loaded.save(tmp_path / "again")
    assert weights_of(tmp_path / "again") == weights_of(bundle)
    for recommender in (loaded, sl.Recommender.load(tmp_path / "again", mmap=True)):
        assert {name: value.tolist() for name, value in recommender.model.state_dict().items()} == {
            name: value.tolist() for name, value in model.state_dict().items()
        }


def test_rows_that_are_nobodys_vector_are_stored(id_model: Callable[..., Any], tmp_path: Path) -> None:
    """All ids occur, so that the unknown row is nobody's."""
    model, train = id_model(["p", "q"], [1, 2, 3])
    sl.Recommender(model, seen=train).save(tmp_path / "b")
    assert set(map(tuple, weights_of(tmp_path / "b").values())) == {(1, 4)}
    loaded = sl.Recommender.load(tmp_path / "b")
    loaded.upsert(pl.DataFrame({"c": [4]}))  # the model is that of the training, whatever came since
    for name, value in loaded.model.state_dict().items():
        assert value.tolist() == model.state_dict()[name].tolist()


@pytest.mark.parametrize("options", [{"hidden": [3]}, {"normalize": True}, {"bias": True}], ids=str)
def test_tables_that_are_no_vectors_are_stored(train: sl.Dataset, options: dict[str, Any], tmp_path: Path) -> None:
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=2), sl.Tower(sl.StringLookup("what"), dim=2, **options))
    model.prepare(train)
    sl.Recommender(model.eval(), seen=train).save(tmp_path / "b")
    assert weights_of(tmp_path / "b")["candidate.tables.what:StringLookup.weight"][0] == 4  # a, b, c, unknown
    loaded = sl.Recommender.load(tmp_path / "b").model.state_dict()
    assert {name: value.tolist() for name, value in loaded.items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }


def test_tables_of_bfloat16_are_stored_as_that(train: sl.Dataset, tmp_path: Path) -> None:
    options = {"dim": 2, "table_dtype": "bfloat16"}
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), **options), sl.Tower(sl.StringLookup("what"), **options, hidden=[3])
    )
    model.prepare(train)
    recommender = sl.Recommender(model.eval(), seen=train)
    recommender.save(tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    tensors = manifest["files"]["model/weights.safetensors"]["tensors"]
    assert tensors["candidate.tables.what:StringLookup.weight"]["dtype"] == "BF16"
    assert tensors["query.tables.who:StringLookup.weight"]["shape"] == [0, 2]  # its rows are the queries' vectors
    loaded = sl.Recommender.load(tmp_path / "b")
    assert {name: (value.dtype, value.tolist()) for name, value in loaded.model.state_dict().items()} == {
        name: (value.dtype, value.tolist()) for name, value in model.state_dict().items()
    }
    loaded.save(tmp_path / "again")
    assert sl.Recommender.load(tmp_path / "again").recommend(ASK) == recommender.recommend(ASK)


def test_vectors_of_bfloat16_tables_are_half_as_large_and_answer_as_in_float32(
    train: sl.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("who"), dim=2, table_dtype="bfloat16"),
        sl.Tower(sl.StringLookup("what"), dim=2, table_dtype="bfloat16"),
    )
    model.prepare(train)
    half = sl.Recommender(model.eval(), index=sl.BruteForce(), seen=train)
    with monkeypatch.context() as patch:
        patch.setattr("shortlist.recommender.state._kept", lambda tower, vectors: vectors)
        plain = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    assert half.fingerprint == plain.fingerprint
    half.save(tmp_path / "half")
    plain.save(tmp_path / "plain")
    formats, sizes = [], []
    for name in ("half", "plain"):
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        formats.append((manifest["format"], manifest["files"]["vectors.safetensors"]["tensors"]["queries"]["dtype"]))
        sizes.append(sum(file["bytes"] for key, file in manifest["files"].items() if key.startswith("index/vectors-")))
    assert formats == [(3, "BF16"), (2, "F32")]
    assert sizes[1] - sizes[0] == len(train.candidates) * 2 * 2
    for mmap in (True, False):
        loaded = sl.Recommender.load(tmp_path / "half", mmap=mmap)
        assert loaded.recommend(ASK) == half.recommend(ASK) == plain.recommend(ASK)
        assert loaded.recommend(["new"], history=[["a", "b"]]) == plain.recommend(["new"], history=[["a", "b"]])
        assert {name: value.tolist() for name, value in loaded.model.state_dict().items()} == {
            name: value.tolist() for name, value in model.state_dict().items()
        }
        loaded.save(tmp_path / f"again-{mmap}")
        assert json.loads((tmp_path / f"again-{mmap}" / "manifest.json").read_text())["format"] == 3
    old = sl.Recommender.load(tmp_path / "plain")
    old.save(tmp_path / "old")
    assert json.loads((tmp_path / "old" / "manifest.json").read_text())["format"] == 2


@pytest.mark.parametrize("tables", [[], ["query.tables.who:StringLookup.weight"]])
def test_a_bundle_that_lacks_a_table_has_no_model(bundle: Path, tables: list[str]) -> None:
    rewrite(bundle, lambda manifest: manifest.update(tables=tables))
    with pytest.raises(BundleError, match="do not fit the stored towers"):
        _ = sl.Recommender.load(bundle).model


FORMAT_1 = Path(__file__).parent / "written" / "format-1"


@pytest.mark.parametrize("mmap", [True, False])
def test_format_1_is_read(mmap: bool, model: sl.TwoTower, recommender: sl.Recommender, tmp_path: Path) -> None:
    """Written by version 0.1.0 of the model and data of ``conftest.py``, with cold_start="unknown"."""
    shutil.copytree(FORMAT_1, tmp_path / "b")
    loaded = sl.Recommender.load(tmp_path / "b", mmap=mmap)
    answers = loaded.recommend(ASK)
    assert [one.ids for one in answers] == [["c", "d"], ["d", "a"], ["c", "a", "d"], ["d", "c", "b", "a"]]
    assert [one.scores for one in answers][2:] == [[5.0, 4.0, 2.5], [-0.5, -1.0, -3.0, -4.0]]
    assert loaded.fingerprint == recommender.fingerprint
    assert {name: value.tolist() for name, value in loaded.model.state_dict().items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }
    loaded.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "manifest.json").read_text())["format"] == 2
    assert sl.Recommender.load(tmp_path / "again").recommend(ASK) == answers


def test_vectors_of_format_1_are_compared_with_those_of_its_index(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_1, tmp_path / "b")
    file = tmp_path / "b" / "vectors.safetensors"
    content = bytearray(file.read_bytes())
    place = content.index(np.array([4, 0, 3, 1], np.float32).tobytes())
    content[place + 3] ^= 1
    file.write_bytes(content)
    trust(tmp_path / "b")
    for mmap in (True, False):
        with pytest.raises(BundleError, match="do not belong to one training"):
            sl.Recommender.load(tmp_path / "b", mmap=mmap)
