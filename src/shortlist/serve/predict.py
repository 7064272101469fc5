"""TensorFlow Serving's REST form, so that a client of a TFRS index needs only a new address.

https://www.tensorflow.org/tfx/serving/api_rest: ``instances`` (rows) are answered by ``predictions``, ``inputs``
(columns) by ``outputs``. As the index layers of TensorFlow Recommenders have it, the input is called ``input_1``,
``output_1`` is the scores and ``output_2`` the ids, nothing that the query chose is left out, and k is 10. One bundle
answers: it is every version and every label.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import polars as pl

from shortlist.recommender import Recommendation
from shortlist.serve.answers import COPIED
from shortlist.serve.http import Incoming, Reply, decoded
from shortlist.serve.loaded import Loaded
from shortlist.serve.problems import Problem
from shortlist.serve.reading import check_features, check_known, check_request, read_queries
from shortlist.serve.reply_parts import ReplyParts
from shortlist.serve.schema import Id, Query, RecommendRequest, Value
from shortlist.serve.service import Asked, Service

__all__ = ["INPUT", "PredictRequest", "metadata", "predict", "status"]

K = 10
INPUT = "input_1"  # what a saved index calls its query
SIGNATURE = "serving_default"
_VERSION = re.compile(r"/versions/(\d{1,18})(?:[:/]|$)")
_PLACE = re.compile(r"^\$\.queries(?:\[(\d+)\](?:\.(id|features)(?:\.(.+))?)?)?$")


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Instances or inputs; the column of the id may be called input_1.

    Attributes:
        instances: ids, or rows of the query's columns.
        inputs: ids, or columns of them.
    """

    instances: list[Id | dict[str, Value | Id]] | None = None
    inputs: list[Id] | dict[str, list[Value | Id]] | None = None
    signature_name: str = SIGNATURE


async def predict(service: Service, incoming: Incoming) -> Reply:
    """The ten best of each instance."""
    loaded, body, light = service.loaded, incoming.body, service.light(len(incoming.body))
    rows, asked = await service.read(service.size_of(body, b","), _asked, service, loaded, body)
    count = len(asked.asks)
    ids, scores = ReplyParts(count, service.reply_memory), ReplyParts(count, service.reply_memory)

    def take(number: int, found: Recommendation) -> None:
        ids.put(number, service.ids.all_shown(found.ids))
        scores.put(number, found.scores)

    await service.recommend(asked._replace(light=light), take, asked.request.k)
    if rows:
        pairs = zip(scores.parts, ids.parts, strict=True)
        reply: Any = {"predictions": [{"output_1": one, "output_2": other} for one, other in pairs]}
    else:
        reply = {"outputs": {"output_1": scores.parts, "output_2": ids.parts}}
    size = ids.size + scores.size
    return _reply(reply) if size <= COPIED else await service.read(size, _reply, reply)


def _asked(service: Service, loaded: Loaded, body: bytes) -> tuple[bool, Asked]:
    """Whether rows were given, and the request.

    Raises:
        Problem: when it does not fit, with places as the client names them.
    """
    request = decoded(PredictRequest, body, service.turns.yield_to_loop, loaded.about.names, service.settings.limits)
    if request.signature_name != SIGNATURE:
        raise Problem(422, f"there is one signature: {SIGNATURE}.", "$.signature_name", hint="leave signature_name out")
    if (request.instances is None) == (request.inputs is None):
        raise Problem(422, "either instances or inputs were expected.", "$")
    rows = request.instances if request.instances is not None else _rows(loaded, request.inputs)
    names = _Names(loaded, request.instances is not None, bool(rows) and isinstance(rows[0], dict))
    queries = [names.query(row, number) for number, row in enumerate(rows)]
    limits = service.settings.limits
    asked = service.ids.read(RecommendRequest(queries, k=min(K, limits.k), exclude_seen=False), loaded)
    try:
        check_request(asked, loaded, limits)
        asks = read_queries(loaded, service.events, asked.queries, False, service.turns.yield_to_loop)
        check_known(loaded, asks)
    except Problem as problem:
        problem.field = None if problem.field is None else names.place(problem.field)
        problem.fields = [names.place(one) for one in problem.fields]
        raise
    return request.instances is not None, Asked(asked, loaded, asks, size=len(body))


async def status(service: Service, incoming: Incoming) -> Reply:
    """Whether the model answers, in the same form."""
    state = {"version": _version(incoming.path), "state": "AVAILABLE"}
    return _reply({"model_version_status": [{**state, "status": {"error_code": "OK", "error_message": ""}}]})


async def metadata(service: Service, incoming: Incoming) -> Reply:
    """The names and types of inputs and outputs, in the same form."""
    loaded = service.loaded
    state, k = loaded.state, min(K, service.settings.limits.k)
    inputs = {INPUT: _tensor(INPUT, _dtype(state.query_ids.ids.dtype))}
    if loaded.about.readable:
        inputs = {
            name: _tensor(name, _dtype(state.queries.schema.get(name, pl.Float32())))
            for name in (state.query, *sorted(loaded.about.readable))
        }
    outputs = {
        "output_1": _tensor("output_1", "DT_FLOAT", k),
        "output_2": _tensor(
            "output_2", "DT_STRING" if service.settings.string_ids else _dtype(state.candidate_ids.ids.dtype), k
        ),
    }
    signature = {"inputs": inputs, "outputs": outputs, "method_name": "tensorflow/serving/predict", "defaults": {}}
    spec = {"name": loaded.name, "signature_name": "", "version": _version(incoming.path)}
    return _reply({"model_spec": spec, "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}}})


class _Names:
    """The names that a request uses.

    Args:
        loaded: the bundle that answers.
        instances: whether it has rows, not columns.
        named: whether values have names.
    """

    def __init__(self, loaded: Loaded, instances: bool, named: bool) -> None:
        self._column = loaded.state.query
        self._instances, self._named = instances, named
        self._id = loaded.state.query

    def query(self, row: Any, number: int) -> Query:
        """The query of a row.

        Raises:
            Problem: when it has no id.
        """
        if not isinstance(row, dict):
            return Query(row)
        name = self._column if self._column in row or INPUT not in row else INPUT
        if name not in row:
            field = f"$.instances[{number}]" if self._instances else "$.inputs"
            hint = f"column: {self._column}; {INPUT} stands for it"
            raise Problem(422, "the id's column is missing.", field, hint=hint)
        self._id, value = name, row[name]
        if value is not None and type(value) not in (int, str):
            raise Problem(422, "an id was expected.", self.place(f"$.queries[{number}].id"))
        return Query(value, {key: one for key, one in row.items() if key != name})

    def place(self, field: str) -> str:
        """The place in the request of a field of its queries."""
        found = _PLACE.match(field)
        if found is None:
            return field
        number, _, feature = found.groups()
        whole = "$.instances" if self._instances else "$.inputs"
        name = feature or (self._id if found[2] == "id" else None)
        if number is None:
            return whole
        if not self._named:
            return f"{whole}[{number}]"
        if self._instances:
            return f"{whole}[{number}]" + (f".{name}" if name else "")
        return f"{whole}.{name}[{number}]" if name else whole


def _rows(loaded: Loaded, inputs: Any) -> list[Any]:
    """Columns as rows.

    Raises:
        Problem: for columns that the model does not have, or of different lengths.
    """
    if isinstance(inputs, list):
        return inputs
    lengths = {len(values) for values in inputs.values()}
    if len(lengths) != 1:
        raise Problem(422, "columns of one length were expected.", "$.inputs")
    ids = (loaded.state.query, INPUT)
    if not any(name in inputs for name in ids):
        return [{}]  # which has no id
    check_features((name for name in inputs if name not in ids), loaded, "$.inputs")
    return [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]


def _version(path: str) -> str:
    """The version that a path names; without one the first."""
    found = _VERSION.search(path)
    return "1" if found is None else found[1]


def _dtype(kind: pl.DataType) -> str:
    inner = kind.inner if isinstance(kind, (pl.List, pl.Array)) else kind
    if inner == pl.String or isinstance(inner, (pl.Categorical, pl.Enum)):
        return "DT_STRING"
    if inner == pl.UInt64:
        return "DT_UINT64"
    return "DT_INT64" if inner.is_integer() else "DT_BOOL" if inner == pl.Boolean else "DT_FLOAT"


def _tensor(name: str, dtype: str, *sizes: int) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in (-1, *sizes)]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": f"{SIGNATURE}_{name}:0"}


def _reply(value: Any) -> Reply:
    return Reply(msgspec.json.encode(value))
