"""A trained tower as ONNX: encoded columns in, vectors out.

The graph takes what the features encode to (see ``shortlist.features.onnx_inputs``), not raw values: hashes, n-grams and
calendars have no exact form in ONNX, and one encoder for training and serving cannot drift apart.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError, MissingExtraError
from shortlist.features import Encoded, Sequences, onnx_inputs
from shortlist.model.history_encoder import PaddedTensor
from shortlist.model.inputs import TensorColumn, TowerInputs
from shortlist.model.tower import Tower

if TYPE_CHECKING:
    import polars as pl

__all__ = ["tower_to_onnx"]

LIMIT = (1 << 31) - (1 << 20)  # bytes of a protobuf message


def tower_to_onnx(tower: Tower, table: pl.DataFrame, side: str) -> bytes:
    """The tower as an ONNX model whose inputs are those of ``onnx_inputs``, with any number of rows.

    Args:
        table: a few rows with the tower's columns, to trace it with.

    Raises:
        MissingExtraError: without onnx and onnxscript.
        ConfigError: for a tower that torch cannot export or that is too large for one file.
    """
    _need("onnx", "onnxscript")
    encoded = tower.encode(table, f"the {side} data")
    names = list(onnx_inputs(encoded))
    columns = {name: _exportable(name, column, encoded) for name, column in TowerInputs.of(encoded).columns.items()}
    arguments = tuple(value for column in columns.values() for value in _tensors(column))
    if len(arguments) != len(names):
        raise ConfigError(
            f"the {side} tower has a feature that cannot be exported: {', '.join(columns)}.",
            hint="serve this bundle where torch is installed, or train without the feature",
        )
    size = sum(value.nbytes for value in tower.state_dict().values())
    if size > LIMIT:
        raise ConfigError(
            f"the {side} tower holds {size:,} bytes; an ONNX file takes {LIMIT:,}.",
            hint="serve it with torch installed, or train it with a smaller dim or Hashing",
        )
    training = tower.training
    try:
        with _quiet():
            program = torch.onnx.export(
                _Flat(tower.eval(), columns),
                arguments,
                dynamo=True,
                dynamic_shapes=(tuple({0: torch.export.Dim.DYNAMIC} for _ in arguments),),
                input_names=names,
                output_names=["vectors"],
                verbose=False,
            )
    except Exception as error:  # torch's errors differ between versions
        raise ConfigError(
            f"torch cannot export the {side} tower: {str(error).splitlines()[0]}",
            hint="simplify the tower's module=, or serve this bundle where torch is installed",
        ) from error
    finally:
        tower.train(training)
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


class _Flat(nn.Module):
    """The tower over a flat list of tensors, as ONNX has it."""

    def __init__(self, tower: Tower, columns: Mapping[str, TensorColumn]) -> None:
        super().__init__()
        self.tower = tower
        self.like = columns
        self.training = False

    def forward(self, *tensors: Tensor) -> Tensor:
        left = list(tensors)
        columns: dict[str, TensorColumn] = {}
        for name, column in self.like.items():
            changes: dict[str, Any] = {field: left.pop(0) for field in _fields(column)}
            columns[name] = dataclasses.replace(column, **changes, **_maybe_repeated(column))
        first = next(iter(columns.values()))
        rows = len(first.offsets) - 1 if hasattr(first, "offsets") else len(_tensors(first)[0])
        return self.tower(TowerInputs(columns, rows))  # type: ignore[no-any-return]


def _exportable(name: str, column: TensorColumn, encoded: Mapping[str, Encoded]) -> TensorColumn:
    """The column as the graph takes it: sequences padded to one length."""
    sequences = encoded[name]
    return PaddedTensor(*map(torch.from_numpy, sequences.padded())) if isinstance(sequences, Sequences) else column


def _fields(column: TensorColumn) -> list[str]:
    return [field.name for field in dataclasses.fields(column) if isinstance(getattr(column, field.name), Tensor)]


def _tensors(column: TensorColumn) -> list[Tensor]:
    return [getattr(column, name) for name in _fields(column)]


def _maybe_repeated(column: TensorColumn) -> dict[str, Any]:
    return {"distinct": False} if hasattr(column, "distinct") else {}


def _need(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ModuleNotFoundError as missing:
            raise MissingExtraError(package, "export", "exporting a tower to ONNX") from missing


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that no tower needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
