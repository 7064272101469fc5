"""From tables to vectors: by the exported towers of a bundle, else by the model on torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist._importing import load_torch_libraries
from shortlist.errors import MissingExtraError
from shortlist.features import Feature, features_from_state
from shortlist.recommender.cells import Columns
from shortlist.recommender.exported import ExportedTower, tower_of
from shortlist.recommender.state import State
from shortlist.recommender.tensors import widened
from shortlist.sources import Mixture, towers_of

if TYPE_CHECKING:
    from shortlist.model import TwoTower

__all__ = ["Embedder"]


class Embedder:
    """A trained model in its stored form; towers are built when they are first needed, and kept.

    Args:
        state: as training left it.
        model: the model itself; None to build it on first use.
        modules: the torch modules of towers that were built with ``module=``, by side.
        others: those of a mixture's further towers.
    """

    def __init__(
        self,
        state: State,
        model: TwoTower | Mixture | None = None,
        modules: Mapping[str, Any] | None = None,
        others: Sequence[Embedder] = (),
    ) -> None:
        self._state = replace(state)  # without the caches that requests have filled
        self._model, self._modules, self._others = model, modules, others
        self._exported: dict[str, ExportedTower | None] = {}
        self._columns: dict[str, Columns] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_exported": {}, "_columns": {}}  # without running towers

    @property
    def model(self) -> TwoTower | Mixture:
        """The model, towers alone or a mixture.

        Raises:
            MissingExtraError: without torch.
            BundleError: where a tower's own module was not given.
        """
        if self._model is None:
            self._model = _built(self._state, self._modules, self._others)
        return self._model

    @property
    def towers(self) -> TwoTower:
        """The two towers of ``model``."""
        return towers_of(self.model)

    def vectors(self, side: str, table: pl.DataFrame) -> NDArray[np.float32]:
        """Vectors ``[rows, dim]`` of rows that have the columns of the tower of ``side``, "query" or "candidate"."""
        tower = self._tower(side)
        if tower is not None:
            return tower.vectors(table)
        return self.towers.query_vectors(table) if side == "query" else self.towers.candidate_vectors(table)

    def columns(self, side: str) -> Columns:
        """The features of the tower of ``side``, by column."""
        if side not in self._columns:
            tower = self._tower(side)
            self._columns[side] = Columns(self.features(side) if tower is None else tower.features)
        return self._columns[side]

    def _tower(self, side: str) -> ExportedTower | None:
        """The exported tower of ``side``, where that is what embeds."""
        if self._model is None and side not in self._exported:
            self._exported[side] = tower_of(self._state.model, side)
        return self._exported.get(side)

    def import_runtime(self, side: str) -> None:
        """Import what embeds rows of ``side``, onnxruntime or torch, which takes seconds; nothing where it is missing."""
        with contextlib.suppress(ModuleNotFoundError):
            if side in self._state.model.onnx:
                import onnxruntime  # noqa: F401
            else:
                load_torch_libraries()
                import torch  # noqa: F401

                import shortlist.model  # noqa: F401

    def features(self, side: str) -> Mapping[str, Feature]:
        """The features of the tower of ``side``, by name; those of the model if it is built."""
        if self._model is not None:
            return getattr(self.towers, side).features  # type: ignore[no-any-return]
        files = self._state.model
        return features_from_state(side, files.config[side]["features"], files.series())

    def with_exports(self, onnx: Mapping[str, bytes], others: Sequence[Embedder] = ()) -> Embedder:
        """The same model with its towers as ONNX, by side.

        Args:
            others: those of further towers, with theirs.
        """
        files = replace(self._state.model, onnx=onnx)
        return Embedder(replace(self._state, model=files), self._model, self._modules, others)


def _built(state: State, modules: Mapping[str, Any] | None, others: Sequence[Embedder]) -> TwoTower | Mixture:
    """The stored model, on torch."""
    try:
        import torch
    except ModuleNotFoundError as missing:
        purpose = "the two-tower model itself (a bundle that `shortlist export` wrote needs none to serve)"
        raise MissingExtraError("torch", "train", purpose) from missing
    from shortlist.model import Catalogue, ModelState, OptimizerState, model_from_state

    tensors = {name: torch.from_numpy(np.array(widened(value))) for name, value in state.model.tensors.items()}
    catalogue = Catalogue(state.query, state.candidate, state.queries, state.candidates, state.counts, state.known)
    slots = {name: torch.from_numpy(np.array(value)) for name, value in state.model.slots.items()}
    optimizer = OptimizerState(state.model.optimizer, slots) if state.model.optimizer else None
    stored = ModelState(state.model.config, tensors, state.model.series(), optimizer)
    towers = model_from_state(stored, catalogue, modules)
    added = state.near
    if added is None:
        return towers
    sources: list[Any] = [towers, *(one.towers for one in others), *added.tables, *added.lists]
    weights = added.weights
    return Mixture(
        sources,
        added.histories,
        weights=weights.values,
        temperatures=weights.temperatures,
        by_history={most: other.values for most, other in added.by_history},
        quotas=added.quotas or None,
        stage=added.stage,
    )
