"""Exported towers: ONNX on onnxruntime, fed by the features of the bundle; none of it needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.ids import frame_of
from shortlist.errors import BundleError, ConfigError, DataError, MissingExtraError, did_you_mean
from shortlist.features import features_from_state, onnx_inputs

if TYPE_CHECKING:
    from shortlist.model import TwoTower
    from shortlist.recommender.state import ModelFiles

__all__ = ["SIDES", "ExportedTower", "exported", "tower_of"]

SIDES = ("query", "candidate")
TOLERANCE = 1e-5
CHECKED = 20_000  # rows of each table that an export is checked on, evenly spread
ROWS_AT_A_TIME = 1 << 14


class ExportedTower:
    """One tower of a bundle: raw columns in, vectors out.

    Args:
        side: "query" or "candidate".
        content: the ONNX file.
        config: the tower's stored configuration.
        series: long states of features by name.

    Raises:
        MissingExtraError: without onnxruntime.
    """

    def __init__(
        self, side: str, content: bytes, config: Mapping[str, Any], series: Callable[[], Mapping[str, pl.Series]]
    ) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as missing:
            raise MissingExtraError("onnxruntime", "onnx", "running an exported tower") from missing
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # requests are small, and the server's cores are for other requests
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.side = side
        self.features = features_from_state(side, config["features"], series())
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors differ between versions
            raise BundleError(f"the exported {side} tower cannot be read: {str(error).splitlines()[0]}") from error
        self._names = [one.name for one in self._session.get_inputs()]
        self.width = int(self._session.get_outputs()[0].shape[1])  # the tower's dim, and one more with a bias

    def vectors(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """Vectors ``[rows, width]`` of rows that have the tower's columns. DataError where one is missing or of another
        type than in training."""
        parts = [self._vectors(part) for part in table.iter_slices(ROWS_AT_A_TIME)]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros((0, self.width), np.float32), *parts])

    def _vectors(self, table: pl.DataFrame) -> NDArray[np.float32]:
        encoded = {}
        for name, feature in self.features.items():
            if feature.column not in table.columns:
                raise DataError(
                    f"the {self.side} tower reads column {feature.column!r}, which is missing.",
                    hint=did_you_mean(feature.column, table.columns),
                )
            encoded[name] = feature.encode(table[feature.column])
        inputs = onnx_inputs(encoded)
        (vectors,) = self._session.run(["vectors"], {name: inputs[name] for name in self._names})
        return vectors  # type: ignore[no-any-return]


def exported(model: TwoTower) -> dict[str, bytes]:
    """Both towers of a trained model as ONNX, by side.

    Each is compared with torch on rows of the training tables and on a row of nulls.

    Raises:
        MissingExtraError: without onnx, onnxscript or onnxruntime.
        ConfigError: for a tower that cannot be exported, or whose vectors differ from torch's by more than 1e-5 of their
            length.
    """
    from shortlist.model import state_of, tower_to_onnx

    stored = state_of(model)
    towers = {}
    for side in SIDES:
        table = _table(model, side)
        torch_tower = getattr(model, side)
        towers[side] = tower_to_onnx(torch_tower, _example(table), side)
        run = ExportedTower(side, towers[side], stored.config[side], lambda: stored.series)
        of_torch = model.query_vectors if side == "query" else model.candidate_vectors
        _check(side, of_torch(table), run.vectors(table))
        single = table[:1]
        _check(side, of_torch(single), run.vectors(single))
    return towers


def tower_of(files: ModelFiles, side: str) -> ExportedTower | None:
    """The exported tower of one side; None where there is none, or no onnxruntime to run it."""
    if side not in files.onnx:
        return None
    try:
        return ExportedTower(side, bytes(files.onnx[side]), files.config[side], files.series)
    except MissingExtraError:
        return None


def _table(model: TwoTower, side: str) -> pl.DataFrame:
    """Rows of one side's training table, evenly spread, with every column that its tower reads, and a row of nulls."""
    catalogue, tower = model.catalogue, getattr(model, side)
    table = catalogue.queries if side == "query" else catalogue.candidates
    rows = np.unique(np.linspace(0, len(table) - 1, min(CHECKED, len(table))).astype(np.int64))
    nothing = pl.Series([None], dtype=pl.UInt32)
    at = pl.concat([nothing, pl.Series(rows, dtype=pl.UInt32)])
    columns = [
        table[name].gather(at) if name in table.columns else pl.Series(name, [None] * len(at)) for name in tower.columns
    ]
    return frame_of(columns)


def _example(table: pl.DataFrame) -> pl.DataFrame:
    """A few rows for the tracer: more than one, from the table's end, since it takes sizes of 0 and 1 for constants."""
    return table[-min(len(table), 5) :] if len(table) >= 5 else pl.concat([table] * 5)


def _check(side: str, torchs: NDArray[np.float32], onnxs: NDArray[np.float32]) -> None:
    scale = max(1.0, float(np.abs(torchs).max(initial=0.0)))
    worst = float(np.abs(torchs - onnxs).max(initial=0.0)) / scale if torchs.shape == onnxs.shape else float("inf")
    if not worst <= TOLERANCE:
        raise ConfigError(
            f"the exported {side} tower differs from torch's by {worst:.1e}; at most {TOLERANCE:.0e} is allowed.",
            hint="a module that works differently in export cannot be served without torch",
        )
