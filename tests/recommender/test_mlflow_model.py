"""Bundles as models of MLflow: the package itself, over a tracking store in a folder. ``make clients`` brings it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shortlist as sl
from shortlist.recommender.mlflow_model import _Predictor

MLFLOW = Path(sys.prefix) / "mlflow"
PROGRAM = """
import json
import sys
import warnings

warnings.simplefilter("ignore")

import mlflow
import pandas

import shortlist as sl

data = sl.Dataset({"user": ["u", "u", "v", "w"], "film": ["a", "b", "b", "c"]}, "user", "film")
recommender = sl.Recommender(sl.popularity(data), seen=data)
said = {}
with mlflow.start_run() as run:
    said["uri"] = recommender.log_to_mlflow("films", registered="films")
recommender.log_to_mlflow("films", registered="films")  # without a run of the caller's
said["versions"] = len(mlflow.MlflowClient().search_model_versions("name='films'"))
for name, uri in (("logged", said["uri"]), ("registered", "models:/films/2")):
    said[name] = sl.Recommender.from_mlflow(uri).recommend(["u", "v"], k=2).to_dicts()
said["here"] = recommender.recommend(["u", "v"], k=2).to_dicts()
model = mlflow.pyfunc.load_model("models:/films/1")
said["inputs"] = model.metadata.get_input_schema().to_dict()
table = pandas.DataFrame({"user": ["v"]})
said["predicted"] = model.predict(table, params={"k": 1}).to_dict("records")
said["where"] = model.predict(table, params={"where": "film = 'c'"})["film"].tolist()
said["seen"] = model.predict(table, params={"exclude_seen": False, "k": 1})["film"].tolist()
for name, given in (
    ("lists", {"user": ["v", "w"]}), ("list", {"user": ["v"]}), ("values", {"user": "v"}),
    ("records", [{"user": "v"}, {"user": "w"}]), ("table", pandas.DataFrame({"user": ["v", "w"]}, index=[5, 9])),
    ("none", pandas.DataFrame({"user": pandas.Series([], dtype=str)})),
):  # fmt: skip
    said[f"given {name}"] = model.predict(given, params={"k": 1})["film"].tolist()
said["example"] = [model.input_example.to_dict("list"), model.metadata.load_input_example_params(model.metadata.artifact_path)]
users = {"user": ["u", "v", "w"], "city": ["x", "y", "x"]}
tower = sl.Tower(sl.StringLookup("city"), sl.History(), dim=4)
featured = sl.TwoTower(tower, sl.Tower(sl.StringLookup("film"), dim=4))
sl.fit(featured, sl.Dataset(data.interactions, "user", "film", queries=users), epochs=1)
featured = sl.Recommender(featured, index=sl.BruteForce())
reading = mlflow.pyfunc.load_model(featured.log_to_mlflow("featured"))
said["columns"] = [(column.name, column.required) for column in reading.metadata.get_input_schema()]
table = pandas.DataFrame({"user": ["new", "newer"], "city": ["x", "y"], "history": [["a"], ["b", "c"]]})
said["with columns"] = reading.predict(table).to_dict("list")
said["the same"] = featured.recommend(table).to_pandas().to_dict("list")
recommender.save("my.shortlist")
for name, call in (
    ("bundle", lambda: sl.Recommender.from_mlflow("my.shortlist")),
    ("model", lambda: sl.Recommender.load(mlflow.artifacts.download_artifacts("models:/films/1", dst_path="moved"))),
    ("unknown", lambda: sl.Recommender.from_mlflow("models:/nothing/1")),
    ("bare", lambda: sl.Recommender.from_mlflow("films")),
    ("foreign", lambda: sl.Recommender.from_mlflow(f"runs:/{run.info.run_id}/other")),
):
    try:
        with mlflow.start_run(run_id=run.info.run_id):
            mlflow.log_dict({}, "other/MLmodel")
        call()
    except sl.BundleError as error:
        said[name] = [error.message, error.hint]
mlflow.set_tracking_uri("sqlite:///runs.db")  # where MLflow keeps runs by default
said["incomplete"] = []
for call in (
    lambda: recommender.log_to_mlflow("films"),
    lambda: sl.Recommender.from_mlflow("models:/films/1"),
    lambda: sl.MLflow("films"),
):
    try:
        call()
    except sl.MissingExtraError as error:
        said["incomplete"].append([error.message, error.hint])
json.dump(said, open(sys.argv[1], "w"))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program found, in a process of its own: the package changes more than a test should."""
    if not MLFLOW.is_dir() and importlib.util.find_spec("mlflow") is None:
        pytest.skip("no MLflow here: make clients")
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(MLFLOW)]),
        "MLFLOW_TRACKING_URI": (folder / "runs").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    command = [sys.executable, "program.py", "said.json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "said.json").read_text())
    return found


def test_logged_registered_and_loaded_again(said: dict[str, Any]) -> None:
    assert said["uri"].startswith("models:/")
    assert said["versions"] == 2
    assert said["logged"] == said["registered"] == said["here"]


def test_a_pyfunc_answers_tables_with_tables(said: dict[str, Any]) -> None:
    (column,) = said["inputs"]
    assert (column["name"], column["type"]) == ("user", "string")
    (row,) = said["predicted"]
    assert row == {"user": "v", "rank": 1, "film": "a", "score": row["score"], "source": row["source"], "known": True}
    assert said["where"] == ["c"]
    assert said["seen"] == ["b"]


def test_queries_arrive_in_every_form_that_mlflow_takes(said: dict[str, Any]) -> None:
    both = ["given lists", "given records", "given table"]
    assert [said[name] for name in both] == [["a", "b"]] * 3
    assert said["given list"] == said["given values"] == ["a"]
    assert said["given none"] == []


def test_an_input_example_asks_for_a_known_query(said: dict[str, Any]) -> None:
    assert said["example"] == [{"user": ["u"]}, {"k": 10}]


def test_columns_that_the_query_tower_reads_reach_it(said: dict[str, Any]) -> None:
    """Not the id alone, as MLflow drops what the signature does not have."""
    assert said["columns"] == [["user", True], ["city", False], ["history", False]]
    assert said["with columns"] == said["the same"]
    answered = sorted(zip(said["with columns"]["user"], said["with columns"]["film"], strict=True))
    assert answered == [("new", "b"), ("new", "c"), ("newer", "a")]  # without each request's own history


def test_a_bundle_and_a_model_are_told_apart(said: dict[str, Any]) -> None:
    assert said["bundle"] == [
        "the model 'my.shortlist' holds no bundle.",
        "it is a bundle itself: Recommender.load('my.shortlist')",
    ]
    message, hint = said["model"]
    assert "has no manifest.json" in message
    assert re.fullmatch(r"it is a model of MLflow: Recommender.from_mlflow\('.*/moved.*'\)", hint)


def test_what_is_not_there_is_said(said: dict[str, Any]) -> None:
    assert said["unknown"][0].startswith("the model 'models:/nothing/1' cannot be loaded: ")
    assert said["unknown"][1] == "look for a typing error; MLFLOW_TRACKING_URI says which server is asked"
    assert said["bare"][1] == "a model is written as models:/films/1 or runs:/…/model"
    assert said["foreign"][0].endswith("/other' holds no bundle.")


def test_a_store_that_the_small_package_cannot_open_is_said(said: dict[str, Any]) -> None:
    if not MLFLOW.is_dir():
        pytest.skip("the whole package opens it")
    assert len(said["incomplete"]) == 3
    for message, hint in said["incomplete"]:
        assert re.fullmatch(r"MLflow needs the package '\w+', which is not installed\.", message)
        assert hint.startswith("mlflow-skinny works with a tracking server: set MLFLOW_TRACKING_URI")


def test_a_parameter_that_predict_does_not_have() -> None:
    data = sl.Dataset({"user": ["u"], "film": ["a"]}, "user", "film")
    served = sl.Recommender(sl.popularity(data), seen=data).served
    with pytest.raises(sl.ConfigError, match=r"predict\(\) got 'kk'") as refused:
        _Predictor(served).predict(["u"], {"kk": 1})
    assert refused.value.hint == "params: k, exclude_seen, where"


@pytest.mark.parametrize("wrong", [None, 3, b"films", ["films"], ""])
def test_a_name_and_an_address_are_texts(wrong: Any) -> None:
    data = sl.Dataset({"user": ["u"], "film": ["a"]}, "user", "film")
    recommender = sl.Recommender(sl.popularity(data), seen=data)
    with pytest.raises(sl.ConfigError, match=r"log_to_mlflow\(\) got name=.*; a name was expected") as refused:
        recommender.log_to_mlflow(wrong)
    assert refused.value.hint == 'name="films"'
    if wrong is not None:
        with pytest.raises(sl.ConfigError, match=r"log_to_mlflow\(\) got registered=.*; a name was expected"):
            recommender.log_to_mlflow("films", registered=wrong)
    if not isinstance(wrong, str):
        with pytest.raises(sl.ConfigError, match=r"from_mlflow\(\) got .*; the address of a model was expected"):
            sl.Recommender.from_mlflow(wrong)


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow imports without it, its models do not."""
    monkeypatch.setattr("shortlist.recommender.mlflow_model._mlflow", lambda: None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    data = sl.Dataset({"user": ["u"], "film": ["a"]}, "user", "film")
    with pytest.raises(sl.MissingExtraError, match="needs the package 'pandas'") as missing:
        sl.Recommender(sl.popularity(data), seen=data).log_to_mlflow("films")
    assert missing.value.hint == 'pip install "shortlist[pandas]"'


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    data = sl.Dataset({"user": ["u"], "film": ["a"]}, "user", "film")
    recommender = sl.Recommender(sl.popularity(data), seen=data)
    for call in (recommender.log_to_mlflow, lambda: sl.Recommender.from_mlflow("models:/a/1")):
        with pytest.raises(sl.MissingExtraError, match="MLflow needs the package 'mlflow'") as missing:
            call()
        assert missing.value.hint == 'pip install "shortlist[mlflow]"'
