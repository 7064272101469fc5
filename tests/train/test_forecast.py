"""What ``shortlist plan`` says beforehand, beside what comes of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.train.log import COLUMNS, ROWS, ids, written

import shortlist as sl
from shortlist.data.shards import find
from shortlist.data.shards.estimate import counted_distinct, distinct, sample_of
from shortlist.model import EmbeddingTable
from shortlist.train.forecast import Forecast, TableForecast, forecast
from shortlist.train.optimizers import Updater


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("plan") / "log")


@pytest.mark.parametrize("kind", ["even", "sorted", "few", "zipf"])
@pytest.mark.parametrize(("share", "factor"), [(10, 1.5), (50, 2)])
def test_distinct_ids_are_estimated(kind: str, share: int, factor: float, tmp_path: Path) -> None:
    """From a tenth within a factor of 1.5, from a fiftieth within 2; and the range holds the truth."""
    values = ids(kind)
    truth = len(np.unique(values))
    pl.DataFrame({"id": values}).write_parquet(tmp_path / "a.parquet")
    source = find(tmp_path)
    found = distinct(sample_of(source, ROWS // share), "id")
    assert truth / factor < found.value < truth * factor
    assert found.low <= truth * 1.2
    assert found.high >= truth / 1.2
    assert not found.exact
    whole = distinct(sample_of(source, ROWS), "id")
    assert (whole.value, whole.exact, str(whole)) == (truth, True, f"{truth:,}")
    assert counted_distinct(source, "id") == whole


def test_a_sample_is_spread_over_all_files(log: Path) -> None:
    source = find(log)
    drawn = sample_of(source, 640)
    assert (len(drawn.pieces), drawn.rows, drawn.whole) == (64, ROWS, False)
    assert 620 <= len(drawn.frame) <= 640  # a piece ends with its file
    users = drawn.frame["user_id"]
    assert users.min() < 100  # sorted over all three files
    assert users.max() > 3900
    with pytest.raises(sl.ConfigError, match="sample"):
        sample_of(source, 0)


def truth(log: Path, recipe: sl.recipes.Recipe, folder: Path) -> tuple[dict[str, int], sl.Shards]:
    """What training, its index and its shards really take."""
    shards = sl.Shards.encode(log, folder / "shards", **COLUMNS)
    model, _ = recipe.train(shards, epochs=1)
    updater = Updater(recipe.build_optimizer(), model)
    tables = [part for part in model.modules() if isinstance(part, EmbeddingTable)]
    recommender = sl.Recommender(model, seen=shards.to_dataset())
    recommender.save(folder / "my.shortlist")
    return {
        "weights": sum(table.weight.nbytes for table in tables),
        "optimizer": sum(slot.nbytes for slots in updater.table_slots for slot in slots),
        "index": recommender.index.nbytes,
        "shards": sum(file.stat().st_size for file in (folder / "shards").glob("0*.npy")),
        "stored": sum(file.stat().st_size for file in (folder / "my.shortlist").rglob("*") if "seen" not in file.name),
        "serving": sum(file.stat().st_size for file in (folder / "my.shortlist").rglob("*") if file.is_file()),
    }, shards


def test_a_forecast_is_near_what_comes(log: Path, tmp_path: Path) -> None:
    """From everything: tables to the byte, the rest within a tenth, serving within half. From a tenth: within a half."""
    recipe = sl.recipes.load("factorization")
    real, shards = truth(log, recipe, tmp_path)
    whole = forecast(find(log), recipe, COLUMNS, sample=ROWS)
    assert (whole.rows, whole.files, whole.sampled) == (ROWS, 3, ROWS)
    assert whole.queries.value == len(shards.queries)
    assert whole.candidates.value == len(shards.candidates)
    assert (whole.weights, whole.optimizer) == (real["weights"], real["optimizer"])
    assert whole.index == pytest.approx(real["index"], rel=0.1)
    assert whole.shards == pytest.approx(real["shards"], rel=0.1)
    assert real["serving"] / 2 < whole.serving < 2 * real["serving"]
    assert whole.stored == pytest.approx(real["stored"], rel=0.1)
    assert whole.seconds_per_epoch == pytest.approx(ROWS / whole.examples_per_second)
    part = forecast(find(log), recipe, COLUMNS, sample=ROWS // 10)
    assert part.sampled < ROWS / 9
    for name in ("weights", "optimizer", "index"):
        assert real[name] / 2 < getattr(part, name) < 2 * real[name], name
    counted = forecast(find(log), recipe, COLUMNS, sample=ROWS // 10, count=True)
    assert counted.weights == real["weights"]


def test_memory_from_disk_does_not_grow_with_rows(log: Path) -> None:
    found = forecast(find(log), sl.recipes.load("factorization"), COLUMNS, sample=2_000)
    many = Forecast(**{**vars(found), "rows": 10**9})
    assert many.training_from_disk == found.training_from_disk
    assert found.training_in_memory > found.weights + found.optimizer


@pytest.mark.parametrize(
    ("name", "more", "told", "hint"),
    [
        ("als", {}, r"\[als\]", "one by one"),
        ("factorization", {"joined": [{}]}, r"\[\[joined\]\]", "one by one"),
        ("factorization", {"ranker": {}}, r"\[ranker\]", r"without \[ranker\]"),
    ],
)
def test_what_is_not_one_model_of_batches_is_refused(
    name: str, more: dict[str, object], told: str, hint: str, log: Path
) -> None:
    with pytest.raises(sl.ConfigError, match=f"the recipe has {told}") as raised:
        forecast(find(log), sl.recipes.load(name, more), COLUMNS)
    assert re.search(hint, str(raised.value.hint))


def test_what_takes_less_is_seen_to(log: Path) -> None:
    """dim 64: Adagrad keeps 256 bytes a row, row by row 4; a table of bfloat16 is half of one of float32."""
    plain, small = (
        forecast(find(log), sl.recipes.load("factorization", changes), COLUMNS, sample=2_000)
        for changes in (
            {"optimizer": {"name": "Adagrad"}},
            {"optimizer": {"name": "RowwiseAdagrad"}, "model.table_dtype": "bfloat16"},
        )
    )
    rows = sum(table.rows for table in plain.tables)
    assert (plain.weights, plain.optimizer) == (rows * 256, rows * 256)
    assert (small.weights, small.optimizer) == (rows * 128, rows * 4)
    assert (plain.vectors, small.vectors) == (
        (rows - 2) * 256,
        (rows - 2) * 256,
    )  # of length 1, which bfloat16 does not hold
    small = forecast(
        find(log),
        sl.recipes.load(
            "factorization",
            {"optimizer": {"name": "RowwiseAdagrad"}, "model.table_dtype": "bfloat16", "model.normalize": False},
        ),
        COLUMNS,
        sample=2_000,
    )
    assert (plain.vectors, small.vectors) == ((rows - 2) * 256, (rows - 2) * 128)  # without the rows of unknown ids
    assert plain.index / 2 <= small.index < 0.6 * plain.index
    assert (small.serving - small.index) - (plain.serving - plain.index) == -(2 * rows - 2) * 128
    with pytest.raises(sl.ConfigError, match="processes is 0; an integer of at least 1"):
        forecast(find(log), sl.recipes.load("factorization"), COLUMNS, processes=0)


def test_every_phase_has_its_peak(log: Path) -> None:
    """Worked by hand, in bytes: the process, 300 MB, and the parts that a phase holds."""
    found = forecast(
        find(log), sl.recipes.load("factorization", {"optimizer": {"name": "Adagrad"}}), COLUMNS, sample=2_000
    )
    tables = (TableForecast("query: a", 10, 4, 160, 160), TableForecast("candidate: b", 5, 4, 80, 80))
    sizes = {
        "tables": tables,
        "dense": 7,
        "ids": 1000,
        "interactions_in_memory": 20_000,
        "interactions_from_disk": 3_000,
    }
    sizes |= {"shards": 500, "vectors": 240, "stored": 817, "index": 90, "serving": 2_000}
    small = Forecast(**{**vars(found), **sizes, "memory": 10**9})
    assert [(phase.name, phase.memory - 300_000_000, phase.disk) for phase in small.phases] == [
        ("build", 21_480, 0),
        ("steps", 21_487, 0),
        ("checkpoint", 21_487, 3 * 487),
        ("index", 21_577, 240),
        ("save", 22_667, 487 + 240 + 90),
        ("serving", 2_000, 0),
        ("swap", 4_000, 0),
    ]
    assert small.peak.name == "save"
    large = Forecast(**{**vars(small), "memory": 500_000_000})  # interactions would take more than half
    assert [(phase.memory - 300_000_000, phase.disk) for phase in large.phases[:2]] == [(4_480, 500), (4_487, 0)]
    four = Forecast(**{**vars(small), "processes": 4})  # tables and state of 480 bytes: 120 in each
    assert [(phase.name, phase.memory - 300_000_000, phase.disk) for phase in four.phases] == [
        ("build", 21_120, 0),
        ("steps", 21_127, 0),
        ("checkpoint", 21_127, 3 * 487),
        ("end", 21_127, 480),
        ("index", 21_217, 240),
        ("save", 22_307, 487 + 240 + 90),
        ("serving", 2_000, 0),
        ("swap", 4_000, 0),
    ]
    assert four.peak.name == "save"


def test_histories_from_disk_have_their_files_and_lists(tmp_path: Path) -> None:
    """8 bytes of ids and 20 of a window an interaction; of each query's last choices, 50 at most, one id of 8 bytes each."""
    rng = np.random.default_rng(4)
    frame = pl.DataFrame({"user_id": rng.integers(0, 10, 900), "item_id": rng.integers(0, 40, 900), "time": range(900)})
    frame.write_parquet(tmp_path / "log.parquet")
    columns = {**COLUMNS, "timestamp": "time"}
    found = {
        name: forecast(find(str(tmp_path)), sl.recipes.load(name, {"model.dim": 4}), columns)
        for name in ("history", "factorization")
    }
    assert (found["history"].ordered, found["factorization"].ordered) == (900 * 28, 0)
    assert found["history"].ids - found["factorization"].ids == 10 * 50 * 8
    assert found["history"].phases[0].disk == 0  # in memory here
    on_disk = Forecast(**{**vars(found["history"]), "memory": 1})
    assert on_disk.phases[0].disk == on_disk.shards + 900 * 28
