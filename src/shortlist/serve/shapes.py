"""Replies that need no types to be written: for the OpenAPI document, and for the clients generated from it."""

from __future__ import annotations

from typing import Any

import msgspec

from shortlist.serve.schema import Cell

__all__ = [
    "Alive",
    "CandidatesReply",
    "Card",
    "EventsReply",
    "HistoryReply",
    "ImpressionsReply",
    "MapReply",
    "ModelMetadata",
    "ModelStatus",
    "PredictReply",
    "QueriesReply",
    "Ready",
]


class Alive(msgspec.Struct):
    """The process lives."""

    status: str


class Ready(msgspec.Struct):
    """Whether the server answers.

    Attributes:
        status: "ready" or "not ready".
        bundle: the one that answers, if it is ready.
    """

    status: str
    bundle: str | None = None


class EventsReply(msgspec.Struct):
    """Sent when events are on the disk.

    Attributes:
        recorded: how many.
    """

    recorded: int


class ImpressionsReply(msgspec.Struct):
    """Sent when lists are on the disk.

    Attributes:
        recorded: how many.
    """

    recorded: int


class FoundQuery(msgspec.Struct):
    """A query, and how many candidates it chose."""

    id: int | str
    count: int


class QueriesReply(msgspec.Struct):
    """Queries, those that chose most first."""

    items: list[FoundQuery]


class FoundCandidate(msgspec.Struct):
    """A candidate with its columns."""

    id: int | str
    columns: dict[str, Cell]


class CandidatesReply(msgspec.Struct):
    """Candidates, those that were chosen most first."""

    items: list[FoundCandidate]


class HistoryReply(msgspec.Struct):
    """The candidates that a query chose, the latest events first.

    Attributes:
        total: how many, of which ``items`` has the first.
    """

    items: list[FoundCandidate]
    total: int


class MapReply(msgspec.Struct):
    """The catalogue in two dimensions: the same position in each list belongs to one candidate.

    Attributes:
        values: of ``column``.
        column: whose values are given.
        columns: those that may be asked for.
    """

    x: list[float]
    y: list[float]
    ids: list[int | str]
    labels: list[str]
    values: list[Cell] | None
    column: str | None
    columns: list[str]
    note: str


class MetricRow(msgspec.Struct):
    """The figures of one scorer, by name."""

    name: str
    values: dict[str, float]


class MetricTable(msgspec.Struct):
    """Figures measured in one way."""

    title: str
    rows: list[MetricRow]


class Card(msgspec.Struct):
    """A description of the bundle."""

    name: str
    bundle: str
    created: str | None
    version: str
    fingerprint: str
    query_column: str
    candidate_column: str
    queries: int
    candidates: int
    seen: int
    index: str
    exact: bool
    reason: str | None
    dim: int
    columns: list[str]
    features: list[str]
    title_column: str | None
    colour_column: str | None
    histories: bool
    cold_start: str
    example_query: int | str | None
    recipe: Any
    metrics: list[MetricTable]


class Prediction(msgspec.Struct):
    """The list of one instance: scores, and the ids that they belong to."""

    output_1: list[float]
    output_2: list[int | str]


class Outputs(msgspec.Struct):
    """The lists of all inputs: scores, and the ids that they belong to."""

    output_1: list[list[float]]
    output_2: list[list[int | str]]


class PredictReply(msgspec.Struct):
    """The lists.

    Attributes:
        predictions: for ``instances``.
        outputs: for ``inputs``.
    """

    predictions: list[Prediction] | None = None
    outputs: Outputs | None = None


class VersionError(msgspec.Struct):
    """No error."""

    error_code: str
    error_message: str


class Version(msgspec.Struct):
    """A version of the model, and whether it answers."""

    version: str
    state: str
    status: VersionError


class ModelStatus(msgspec.Struct):
    """The versions of the model."""

    model_version_status: list[Version]


class ModelSpec(msgspec.Struct):
    """Which model: one signature, and the version that was asked for."""

    name: str
    signature_name: str
    version: str


class Dimension(msgspec.Struct):
    """The length of one dimension, as text; -1 for any."""

    size: str
    name: str


class TensorShape(msgspec.Struct):
    """The dimensions of an input or output."""

    dim: list[Dimension]
    unknown_rank: bool


class TensorInfo(msgspec.Struct):
    """The type of an input or output, such as DT_STRING, and its shape."""

    dtype: str
    tensor_shape: TensorShape
    name: str


class Signature(msgspec.Struct):
    """Inputs and outputs by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str
    defaults: dict[str, str]


class Signatures(msgspec.Struct):
    """Signatures by name: serving_default alone."""

    signature_def: dict[str, Signature]


class SignatureDefinition(msgspec.Struct):
    """The signatures, one level deeper, as TensorFlow Serving nests them."""

    signature_def: Signatures


class ModelMetadata(msgspec.Struct):
    """Inputs and outputs, as TensorFlow Serving gives them."""

    model_spec: ModelSpec
    metadata: SignatureDefinition
