"""TensorFlow Serving's form."""

from __future__ import annotations

from typing import Any


def test_tensorflow_servings_form(client: Any) -> None:
    rows = client.post("/v1/models/one:predict", {"instances": ["ann", {"who": "bob"}]}).json()
    assert rows == {
        "predictions": [
            {"output_1": [4.0, 3.0, 1.0, 0.5], "output_2": ["a", "b", "c", "d"]},
            {"output_1": [4.0, 2.0, 1.0, 0.0], "output_2": ["c", "d", "b", "a"]},
        ]
    }
    columns = client.post("/v1/models/one:predict", {"inputs": {"who": ["ann"]}}).json()
    assert columns == {"outputs": {"output_1": [[4.0, 3.0, 1.0, 0.5]], "output_2": [["a", "b", "c", "d"]]}}
    assert client.post("/v1/models/one:predict", {"inputs": ["bob"]}).json()["outputs"]["output_2"][0][0] == "c"
    assert client.get("/v1/models/one").json()["model_version_status"][0]["state"] == "AVAILABLE"
