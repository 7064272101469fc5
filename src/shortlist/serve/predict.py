"""TensorFlow Serving's REST form, so that a client of a TFRS index needs only a new address.

https://www.tensorflow.org/tfx/serving/api_rest: ``instances`` (rows) are answered by ``predictions``, ``inputs``
(columns) by ``outputs``. As the index layers of TensorFlow Recommenders have it, ``output_1`` is the scores and
``output_2`` the ids, nothing that the query chose is left out, and k is 10.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shortlist.serve.http import Incoming, Reply, decoded
from shortlist.serve.problems import Problem
from shortlist.serve.reading import check_request
from shortlist.serve.schema import Id, Query, RecommendRequest, Value
from shortlist.serve.service import Service

__all__ = ["PredictRequest", "predict", "status"]

K = 10


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """instances: ids, or rows of the query's columns. inputs: ids, or columns of them."""

    instances: list[Id | dict[str, Value | Id]] | None = None
    inputs: list[Id] | dict[str, list[Value | Id]] | None = None
    signature_name: str = "serving_default"


_DECODER = msgspec.json.Decoder(PredictRequest)


async def predict(service: Service, incoming: Incoming) -> Reply:
    """The ten best of each instance."""
    request, loaded = decoded(_DECODER, incoming.body), service.loaded
    if request.signature_name != "serving_default":
        raise Problem(
            422, "there is one signature: serving_default.", "$.signature_name", hint="leave signature_name out"
        )
    if (request.instances is None) == (request.inputs is None):
        raise Problem(422, "either instances or inputs were expected.", "$")
    name = loaded.state.query
    rows = request.instances if request.instances is not None else _rows(request.inputs)
    queries = [_query(row, name, number) for number, row in enumerate(rows)]
    asked = RecommendRequest(queries, k=min(K, service.settings.limits.k), exclude_seen=False)
    check_request(asked, loaded, service.settings.limits)
    lists = await service.recommend(loaded, asked)
    if request.instances is not None:
        return _reply({"predictions": [{"output_1": one.scores, "output_2": one.ids} for one in lists]})
    return _reply({"outputs": {"output_1": [one.scores for one in lists], "output_2": [one.ids for one in lists]}})


async def status(service: Service, incoming: Incoming) -> Reply:
    """Whether the model can be asked, in the same form."""
    version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return _reply({"model_version_status": [version]})


def _rows(inputs: Any) -> list[Any]:
    """Columns as rows. Raises Problem where they are not of one length."""
    if isinstance(inputs, list):
        return inputs
    lengths = {len(values) for values in inputs.values()}
    if len(lengths) != 1:
        raise Problem(422, "columns of one length were expected.", "$.inputs")
    return [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]


def _query(row: Any, name: str, number: int) -> Query:
    if not isinstance(row, dict):
        return Query(row)
    if name not in row:
        raise Problem(422, "the id's column is missing.", f"$.instances[{number}]", hint=f"column: {name}")
    value = row[name]
    if value is not None and type(value) not in (int, str):
        raise Problem(422, "an id was expected.", f"$.instances[{number}].{name}")
    return Query(value, {key: one for key, one in row.items() if key != name})


def _reply(value: Any) -> Reply:
    return Reply(msgspec.json.encode(value))
