"""TensorFlow Serving's form."""

from __future__ import annotations

from typing import Any

import pytest

from shortlist.serve import predict

ANN = {"output_1": [4.0, 3.0, 1.0, 0.5], "output_2": ["a", "b", "c", "d"]}
BOB = {"output_1": [4.0, 2.0, 1.0, 0.0], "output_2": ["c", "d", "b", "a"]}
PATHS = ["/v1/models/one", "/v1/models/one/versions/7", "/v1/models/one/labels/stable"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "instances",
    [
        ["ann", {"who": "bob"}],
        [{"input_1": "ann"}, {"input_1": "bob"}],  # as every saved TFRS index has it
        [{"who": "ann"}, {"input_1": "bob"}],
    ],
)
def test_rows(client: Any, path: str, instances: list[Any]) -> None:
    assert client.post(f"{path}:predict", {"instances": instances}).json() == {"predictions": [ANN, BOB]}


@pytest.mark.parametrize("inputs", [["ann", "bob"], {"who": ["ann", "bob"]}, {"input_1": ["ann", "bob"]}])
def test_columns(client: Any, inputs: Any) -> None:
    reply = client.post("/v1/models/one:predict", {"inputs": inputs, "signature_name": "serving_default"})
    assert reply.json() == {"outputs": {name: [ANN[name], BOB[name]] for name in ("output_1", "output_2")}}


@pytest.mark.parametrize(("path", "version"), list(zip(PATHS, ("1", "7", "1"), strict=True)))
def test_state_and_metadata(client: Any, path: str, version: str) -> None:
    status = {"error_code": "OK", "error_message": ""}
    assert client.get(path).json() == {
        "model_version_status": [{"version": version, "state": "AVAILABLE", "status": status}]
    }
    found = client.get(f"{path}/metadata").json()
    assert found["model_spec"] == {"name": "one", "signature_name": "", "version": version}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert {name: one["dtype"] for name, one in signature["inputs"].items()} == {"input_1": "DT_STRING"}
    assert {name: one["dtype"] for name, one in signature["outputs"].items()} == {
        "output_1": "DT_FLOAT",
        "output_2": "DT_STRING",
    }
    assert [one["size"] for one in signature["outputs"]["output_2"]["tensor_shape"]["dim"]] == ["-1", "10"]


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"instances": [{"user": "ann"}]}, "$.instances[0]", "column: who; input_1 stands for it"),
        ({"inputs": {"user": ["ann"]}}, "$.inputs", "column: who; input_1 stands for it"),
        ({"instances": [{"who": "ann", "age": 3}]}, "$.instances[0]", "features: none"),
        ({"inputs": {"who": ["ann"], "age": [3]}}, "$.inputs", "features: none"),
        ({"instances": ["ann", 7]}, "$.instances[1]", "write numbers without quotes, strings with quotes"),
        (
            {"instances": [{"input_1": 7}]},
            "$.instances[0].input_1",
            "write numbers without quotes, strings with quotes",
        ),
        ({"inputs": {"who": ["ann", 7]}}, "$.inputs.who[1]", "write numbers without quotes, strings with quotes"),
        ({"inputs": [7]}, "$.inputs[0]", "write numbers without quotes, strings with quotes"),
        ({"instances": ["ann"] * 257}, "$.instances", None),
        ({"instances": ["ann"], "signature_name": "other"}, "$.signature_name", "leave signature_name out"),
    ],
)
def test_a_wrong_name_is_told_the_right_one(client: Any, body: Any, field: str, hint: str | None) -> None:
    reply = client.post("/v1/models/one:predict", body)
    assert reply.status_code == 422
    assert (reply.json()["field"], reply.json().get("hint")) == (field, hint)


@pytest.mark.parametrize(
    "path", ["/v1/models/two:predict", "/v1/models/two", "/v1/models/", "/v1/models/one/versions/x"]
)
def test_another_model_is_told_the_one_there_is(client: Any, path: str) -> None:
    reply = client.post(path, {"instances": ["ann"]}) if path.endswith("predict") else client.get(path)
    assert reply.status_code == 404
    assert "/v1/models/one" in reply.json()["hint"]
    assert client.post("/v1/models/one/metadata", {}).status_code == 405


@pytest.mark.parametrize("more", [{}, {"who": ["ann"]}, {"input_1": ["ann"]}])
def test_columns_that_the_model_lacks_are_refused_before_rows_are_made(
    client: Any, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """Of 60,000 columns no row has one: it would be made twice, in 30 milliseconds without a pause."""
    rows: list[int] = []
    query = predict._Names.query
    monkeypatch.setattr(predict._Names, "query", lambda *_: rows.append(len(_[1])) or query(*_))
    reply = client.post("/v1/models/one:predict", {"inputs": {f"c{number}": [1] for number in range(60_000)} | more})
    assert (reply.status_code, reply.json()["field"]) == (422, "$.inputs")
    assert sum(rows) == 0
