"""A trained model to and from the plain values that a bundle stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl
from torch import Tensor, nn

from shortlist.errors import BundleError, ConfigError
from shortlist.features import Encoded, features_from_state
from shortlist.model.joined import JoinedTower, joined_at, part_name
from shortlist.model.optimizer_state import OptimizerState
from shortlist.model.tower import Tower
from shortlist.model.two_tower import Catalogue, TwoTower

__all__ = ["ModelState", "model_from_state", "state_of"]

SHAPE = ("combine", "cross", "hidden", "layer_norm", "dropout")


class ModelState(NamedTuple):
    """A trained model's stored form.

    Attributes:
        config: JSON values.
        tensors: weights by name.
        series: long feature states (vocabularies) by name.
        optimizer: the optimizer's state at the end, for a training that continues from there; None where it was not
            kept.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    series: dict[str, pl.Series]
    optimizer: OptimizerState | None = None


def state_of(model: TwoTower) -> ModelState:
    """Everything that ``model_from_state`` needs, except the catalogue. ConfigError before ``fit``."""
    if model.trained_on is None:
        raise ConfigError("this model has not been trained; there is nothing to save.", hint="call fit() first")
    series: dict[str, pl.Series] = {}
    config = {side: _tower_config(side, tower, series) for side, tower in _sides(model)}
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    kept = model.optimizer_state
    if kept is not None:
        kept = OptimizerState(kept.kind, {name: value.detach().cpu() for name, value in kept.slots.items()})
    return ModelState(config, tensors, series, kept)


def model_from_state(
    state: ModelState, catalogue: Catalogue, modules: Mapping[str, nn.Module] | None = None
) -> TwoTower:
    """The model that ``state`` came from.

    Args:
        modules: the torch modules of towers that were built with ``module=``, by side ("query", "candidate"); code is
            never stored.

    Raises:
        BundleError: where one is missing or the weights do not fit.
    """
    parts = len(state.config["query"].get("parts", ()))
    if parts:
        joined = [_two_tower(state, catalogue, {}, number) for number in range(parts)]
        model = joined_at(joined, state.config["query"]["scales"], catalogue)
    else:
        model = _two_tower(state, catalogue, modules or {})
    model.optimizer_state = state.optimizer
    try:
        model.load_state_dict(state.tensors)
    except RuntimeError as mismatch:
        raise BundleError(f"the stored weights do not fit the stored towers: {mismatch}") from mismatch
    return model.eval()


def _sides(model: TwoTower) -> tuple[tuple[str, Tower], ...]:
    return (("query", model.query), ("candidate", model.candidate))


def _two_tower(
    state: ModelState, catalogue: Catalogue, modules: Mapping[str, nn.Module], part: int | None = None
) -> TwoTower:
    """The model, or one part of a joined one, with tables to be filled."""
    query, candidate = (_tower(side, state, modules.get(side), part) for side in ("query", "candidate"))
    model = TwoTower(query, candidate)
    model.trained_on = catalogue
    model.lend_tables()
    return model


def _tower_config(side: str, tower: Tower, series: dict[str, pl.Series]) -> dict[str, Any]:
    """Features, and the options of the tower; of a joined one those of each part, and its scales."""
    features = []
    for name, feature in tower.features.items():
        values = {}
        for key, value in feature.state().items():
            if isinstance(value, pl.Series):
                series[f"{side}/{name}/{key}"] = value
            else:
                values[key] = value
        features.append({"kind": feature.kind, "name": name, "state": values})
    if isinstance(tower, JoinedTower):
        parts = [_options(part) for part in tower.parts if isinstance(part, Tower)]
        return {"features": features, "parts": parts, "scales": list(tower.scales)}
    return {"features": features, **_options(tower)}


def _options(tower: Tower) -> dict[str, Any]:
    return {
        "dim": tower.dim,
        **{name: getattr(tower.shape, name) for name in SHAPE},
        "normalize": tower.normalize,
        "bias": tower.bias,
        "id_dropout": tower.id_dropout,
        "heads": tower.heads,
        "init_scale": tower.init_scale,
        "table_dtype": tower.storage.dtype,
        "custom": tower.custom,
    }


def _tower(side: str, state: ModelState, module: nn.Module | None, part: int | None = None) -> Tower:
    """A tower from stored values; ``part`` is its number in a joined model, None for a model that is not joined."""
    config = state.config[side]
    features = features_from_state(side, config["features"], state.series)
    if part is not None:
        start = part_name(part, "")
        features = {name: feature for name, feature in features.items() if name.startswith(start)}
        config = config["parts"][part]
    if config["custom"] and module is None:
        raise BundleError(
            f"the {side} tower was built with your own torch module, and bundles never store code.",
            hint=f'pass it when loading the model: modules={{"{side}": YourModule()}}',
        )
    options = {name: config[name] for name in ("dim", *SHAPE, "normalize", "bias", "id_dropout", "init_scale")}
    added = {"heads": config.get("heads", 1), "table_dtype": config.get("table_dtype", "float32")}
    tower = Tower(*features.values(), **options, **added, module=module)
    tower.build(_probe(tower))
    return tower


def _probe(tower: Tower) -> dict[str, Encoded]:
    """The features' encoding of one null row: enough to know each table's size."""
    return {name: feature.encode(pl.Series(feature.column, [None])) for name, feature in tower.features.items()}
