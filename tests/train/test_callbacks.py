"""Curves as the tools themselves read them back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pytest

import shortlist as sl
from shortlist.cli.train import command
from shortlist.train import Epoch
from shortlist.train.callbacks import _dotted, _Speed, scalars, together

EPOCH = Epoch(3, loss=2.5, chance=4.0, seconds=2.0, examples=100, metrics={"top_10": 0.25})


def test_an_epochs_figures() -> None:
    assert scalars(EPOCH) == {
        "train/loss": 2.5,
        "train/chance": 4.0,
        "train/examples_per_second": 50.0,
        "validation/top_10": 0.25,
    }
    warm = Epoch(1, 1.0, 1.0, 1.0, 1, temperature=0.5)
    assert scalars(warm)["train/temperature"] == 0.5


def test_hooks_together_are_called_in_turn() -> None:
    said: list[Any] = []
    together(said.append, None, lambda value: said.append(-value))(7)
    assert said == [7, -7]


def test_speed_is_told_no_more_often_than_asked() -> None:
    seldom, often = _Speed(every=1e9), _Speed(every=0.0)
    for speed in (seldom, often):
        assert speed.after(100) is None  # how many of them were done before a stop, nobody knows
    assert seldom.after(200) is None
    assert (often.after(200) or 0) > 0
    assert often.after(200) is None  # nothing more was done


def test_nested_parameters_get_dotted_names() -> None:
    assert _dotted({"a": 1, "b": {"c": {"d": [2]}, "e": None}}) == [("a", 1), ("b.c.d", [2]), ("b.e", None)]


def trained(**hooks: Any) -> sl.TrainingHistory:
    data = sl.Dataset({"who": [r % 9 for r in range(90)], "what": [r % 7 for r in range(90)]}, "who", "what")
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("who"), dim=4), sl.Tower(sl.IntegerLookup("what"), dim=4))
    return sl.fit(model, data, validation=data, epochs=3, batch_size=45, ks=(1, 2), **hooks)


def test_tensorboard_reads_the_curves_back(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with sl.TensorBoard(tmp_path / "run", every=0.0) as board:
        history = trained(on_epoch=board.on_epoch, on_batch=board.on_batch)
    events = accumulator.EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    for epoch in history:
        for name, value in scalars(epoch).items():
            found = {event.step: event.value for event in events.Scalars(name)}
            assert found[epoch.number] == pytest.approx(value, rel=1e-6), name
    assert [event.step for event in events.Scalars("batch/examples_per_second")] == [90, 135, 180, 225, 270]


def test_the_command_writes_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    pl.DataFrame({"who": [r % 9 for r in range(90)], "what": [r % 7 for r in range(90)]}).write_csv(tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path)
    words = ["t.csv", "--query", "who", "--candidate", "what", "--out", "a.shortlist", "--tensorboard", "runs/a"]
    command.main(words, standalone_mode=False)
    assert list((tmp_path / "runs" / "a").glob("events.out.*"))


def test_mlflow_reads_the_curves_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real package, which is too large for the workshop (28 packages): pip install mlflow-skinny."""
    tracking = pytest.importorskip("mlflow.tracking", reason="no MLflow here: pip install mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    with sl.MLflow("films", run="first", parameters={"fit": {"seed": 1}}, uri=uri, every=0.0) as log:
        history = trained(on_epoch=log.on_epoch, on_batch=log.on_batch)
    client = tracking.MlflowClient(tracking_uri=uri)
    run = client.get_run(log.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert run.data.params == {"fit.seed": "1"}
    for epoch in history:
        for name, value in scalars(epoch).items():
            assert {one.step: one.value for one in client.get_metric_history(log.run_id, name)}[epoch.number] == value
    with pytest.raises(KeyError), sl.MLflow("films", uri=uri) as failed:
        raise KeyError
    assert client.get_run(failed.run_id).info.status == "FAILED"
    assert client.get_run(failed.run_id).info.experiment_id == run.info.experiment_id


class Recorder:
    """The part of MlflowClient that is used, with its own signatures, remembering what it was told."""

    told: list[tuple[Any, ...]]

    def __init__(self, tracking_uri: str | None = None) -> None:
        Recorder.told = [("client", tracking_uri)]

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        self.told.append(("experiment", name))
        return "7"

    def create_run(self, experiment_id: str, run_name: str | None = None) -> Any:
        self.told.append(("run", experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def update_run(self, run_id: str, status: str | None = None) -> None:
        if run_id != "r1":
            raise RuntimeError(f"no run {run_id}")
        self.told.append(("update", run_id, status))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        self.told.append(("batch", run_id, [one[::3] for one in metrics], list(params)))

    def set_terminated(self, run_id: str, status: str | None = None) -> None:
        self.told.append(("end", run_id, status))


def module(name: str, values: Mapping[str, Any]) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(values)
    return made


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow that remembers what it was told."""
    parts = {
        "mlflow": {"active_run": lambda: None},
        "mlflow.entities": {"Metric": lambda *values: values, "Param": lambda *values: values},
        "mlflow.exceptions": {"MlflowException": RuntimeError},
        "mlflow.tracking": {"MlflowClient": Recorder},
    }
    for name, values in parts.items():
        monkeypatch.setitem(sys.modules, name, module(name, values))


def test_what_mlflow_is_told(stand_in: None) -> None:
    with sl.MLflow("films", run="first", parameters={"seed": 1}, uri="somewhere") as log:
        log.on_epoch(Epoch(3, 2.5, 4.0, 2.0, 100))
    assert Recorder.told == [
        ("client", "somewhere"),
        ("experiment", "films"),
        ("run", "7", "first"),
        ("batch", "r1", [], [("seed", "1")]),
        ("batch", "r1", [("train/loss", 3), ("train/chance", 3), ("train/examples_per_second", 3)], []),
        ("end", "r1", "FINISHED"),
    ]


def test_mlflow_joins_the_callers_run_and_leaves_it_open(stand_in: None) -> None:
    active = SimpleNamespace(info=SimpleNamespace(run_id="theirs"))
    sys.modules["mlflow"].active_run = lambda: active  # type: ignore[attr-defined]
    with sl.MLflow("films", parameters={"seed": 1}) as log:
        log.on_epoch(Epoch(3, 2.5, 4.0, 2.0, 100))
    assert log.run_id == "theirs"
    assert [one[:2] for one in Recorder.told] == [("client", None), ("batch", "theirs"), ("batch", "theirs")]
    for own in ({"run": "mine"}, {"uri": "elsewhere"}, {"run_id": "r1"}):
        with sl.MLflow("films", **own) as log:
            pass
        assert log.run_id == "r1"
        assert Recorder.told[-1] == ("end", "r1", "FINISHED")


def test_mlflow_goes_on_in_a_run(stand_in: None) -> None:
    with sl.MLflow("films", parameters={"seed": 1}, run_id="r1") as log:
        log.on_epoch(Epoch(3, 2.5, 4.0, 2.0, 100))
    assert [one[0] for one in Recorder.told] == ["client", "update", "batch", "end"]
    assert Recorder.told[1] == ("update", "r1", "RUNNING")
    assert log.run_id == "r1"
    with pytest.raises(sl.ShortlistError, match="no run r2") as refusal:
        sl.MLflow("films", run_id="r2")
    assert "the server of the MLflow run to continue" in str(refusal.value)


@pytest.mark.parametrize(("package", "make"), [("tensorboard", sl.TensorBoard), ("mlflow", sl.MLflow)])
def test_a_missing_package_names_the_extra(
    package: str, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == package or one == "torch.utils.tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(sl.MissingExtraError, match=package) as refusal:
        make(str(tmp_path / "x"))
    assert f"shortlist[{package}]" in str(refusal.value)
