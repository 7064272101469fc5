"""A model that continues from another one: vocabularies grow and keep their rows, new rows are estimated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError
from shortlist.features import Feature, History
from shortlist.features.growth import grown, sighted
from shortlist.language import counted
from shortlist.model.embedding import EmbeddingTable
from shortlist.model.inputs import TowerInputs
from shortlist.model.ridge import estimated
from shortlist.model.tower import IDS, Tower, column_of
from shortlist.model.two_tower import TwoTower, context_of, query_table

__all__ = ["Origins", "carry_weights", "check_alike", "grow_features", "table_names"]

Origins = dict[str, NDArray[np.int32]]
"""By name of a table: the code ``[cardinality]`` that each code had before; −1 for a new one. Absent: as it was."""

LEARN_FROM = 100_000
SHAPE = ("combine", "cross", "hidden", "layer_norm")


def check_alike(model: TwoTower, before: TwoTower) -> None:
    """ConfigError, which names the difference, for a model that cannot continue from ``before``."""
    if model.trained_on is not None:
        raise ConfigError(
            "warm_start= needs a model that has not been trained yet.",
            hint="declare a new TwoTower with the same towers",
        )
    found = []
    for side in ("query", "candidate"):
        now, then = getattr(model, side), getattr(before, side)
        found += [f"the {side} tower's {line}" for line in _differences(_declared(now), _declared(then))]
    if found:
        raise ConfigError(
            f"this model cannot start from the other one: {'; '.join(found)}.",
            hint="declare the same towers, or train without warm_start",
        )


def grow_features(model: TwoTower, before: TwoTower, train: Dataset | Shards) -> Origins:
    """Give ``model`` the features of ``before`` as they were learned, and let vocabularies take in the values of ``train``."""
    if isinstance(train, Shards):
        if context := context_of(model.query, train):
            raise ConfigError(
                f"the query tower reads {', '.join(map(repr, context))} of the interactions; from shards it cannot start "
                "from another model.",
                hint="train without a warm start, or in memory (Dataset)",
            )
        queries, counts = train.queries, train.query_counts
    else:
        queries, query_of = query_table(model.query, train)
        counts = np.bincount(query_of, minlength=len(queries))
    tables = {"query": (queries, counts), "candidate": (train.candidates, train.candidate_counts)}
    origins: Origins = {}
    for side, (table, sightings) in tables.items():
        tower, old = getattr(model, side), getattr(before, side)
        rows = np.flatnonzero(sightings)
        for name, declared in tower.features.items():
            feature = _renewed(declared, old.features[name])
            tower.features[name] = feature
            if isinstance(feature, History):
                if not feature.share:
                    origins[f"{side}.encoders.{name}.table"] = _grown_history(feature, train)
                continue
            values = column_of(table, feature.column, f"the {side} data")[rows]
            origin = _grown(feature, declared, values, sightings[rows])
            if origin is not None:
                origins[f"{side}.tables.{name}"] = origin
    return origins


@torch.no_grad()
def carry_weights(model: TwoTower, before: TwoTower, origins: Origins, train: Dataset | Shards) -> None:
    """Give ``model``, which is built, every weight of ``before``; rows of new codes are estimated.

    An id's new row comes from the other features of its tower (see ``ridge.estimated``), or is the mean of the known
    rows; new rows of other tables are such means.
    """
    _complete(model, origins)
    tables, old = table_names(model), table_names(before)
    rest = before.state_dict()
    for name, value in model.state_dict().items():
        if name.removesuffix(".weight") not in tables:
            if value.shape != rest[name].shape:
                raise ConfigError(
                    f"{name} has shape {list(value.shape)}; before it had {list(rest[name].shape)}.",
                    hint="declare the layers as in the earlier model, or train without a warm start",
                )
            value.copy_(rest[name])
    for name, table in tables.items():
        origin = _origin(name, table, old[name], origins)
        kept = torch.from_numpy(np.flatnonzero(origin >= 0)).to(table.weight.device)
        taken = torch.from_numpy(origin[origin >= 0]).long().to(old[name].weight.device)
        table.weight[kept] = old[name].weight[taken].to(table.weight)
        known, new = np.flatnonzero(origin > 0), np.flatnonzero(origin < 0)
        if len(known) and len(new):
            table.weight[torch.from_numpy(new)] = table.rows(torch.from_numpy(known)).mean(0).to(table.weight)
    for side, source in (("query", train.queries), ("candidate", train.candidates)):
        _from_features(getattr(model, side), side, source, origins, tables)


def table_names(model: TwoTower) -> dict[str, EmbeddingTable]:
    """Every embedding table by its name in the model."""
    return {name: part for name, part in model.named_modules() if isinstance(part, EmbeddingTable)}


def _declared(tower: Tower) -> dict[str, object]:
    shape = {name: getattr(tower.shape, name) for name in SHAPE}
    options = {name: getattr(tower, name) for name in ("dim", "normalize", "bias", "heads", "custom")}
    return {"features": {name: one.dim for name, one in tower.features.items()}, **options, **shape}


def _differences(now: Mapping[str, object], then: Mapping[str, object]) -> Iterator[str]:
    for name, value in now.items():
        if value != then[name]:
            if name == "features":
                value, other = (", ".join(map(str, one)) for one in (value, then[name]))  # type: ignore[call-overload]
                yield f"features are {value} and were {other}"
            else:
                yield f"{name} is {value} and was {then[name]}"


def _renewed(declared: Feature, learned: Feature) -> Feature:
    """A copy of ``learned``, with the options of ``declared`` that say how it grows."""
    feature = type(learned).restore(learned.state())
    for option in ("min_count", "evict_after"):
        if hasattr(declared, option):
            setattr(feature, option, getattr(declared, option))
    if isinstance(feature, History):
        feature.context = declared.context  # type: ignore[attr-defined]
    return feature


def _grown(
    feature: Feature, declared: Feature, values: pl.Series, sightings: NDArray[np.integer]
) -> NDArray[np.int32] | None:
    """The origin of each code of a feature with a vocabulary, which has grown; None for other features."""
    if not hasattr(feature, "grow"):
        return None
    given = getattr(declared, "vocabulary", None)
    if given is None:
        return feature.grow(values, sightings)  # type: ignore[no-any-return]
    found = feature.vocabulary.encode(given.ids)  # type: ignore[attr-defined]
    feature.vocabulary = given  # type: ignore[attr-defined]
    return np.concatenate([[0], np.where(found > 0, found, -1)]).astype(np.int32)


def _grown_history(history: History, train: Dataset | Shards) -> NDArray[np.int32]:
    assert history.vocabulary is not None
    ids = train.candidates[train.candidate].filter(pl.Series(train.candidate_counts > 0))
    later = grown(history.vocabulary, None, sighted(ids, None), 1, None)
    history.vocabulary = later.vocabulary
    return later.origin


def _complete(model: TwoTower, origins: Origins) -> None:
    """Add the bias, which grows with its ids."""
    if model.candidate.bias:
        ids = f"candidate.tables.{model.candidate.biased}"
        if ids in origins:
            origins["candidate.tables.bias"] = origins[ids]


def _origin(name: str, table: EmbeddingTable, old: EmbeddingTable, origins: Origins) -> NDArray[np.int32]:
    origin = origins.get(name)
    if origin is None:
        if len(table.weight) != len(old.weight):
            raise ConfigError(
                f"the table {name} has {counted(len(table.weight), 'row')}, before it had {len(old.weight):,}.",
                hint="declare the tower's features with the sizes of the earlier model, or train without a warm start",
            )
        return np.arange(len(table.weight), dtype=np.int32)
    return origin


def _from_features(
    tower: Tower, side: str, source: pl.DataFrame, origins: Origins, tables: Mapping[str, EmbeddingTable]
) -> None:
    """Estimate the new rows of the tower's ids from its other features, of which ``source`` has the columns."""
    others = [
        name
        for name, one in tower.features.items()
        if one.kind not in IDS and not isinstance(one, History) and one.column in source.columns
    ]
    for name, feature in tower.features.items():
        origin = origins.get(f"{side}.tables.{name}")
        if feature.kind not in IDS or origin is None or not others or not (origin < 0).any():
            continue
        codes = feature.encode(source[feature.column]).values  # type: ignore[union-attr]
        former = origin[codes]
        known, new = np.flatnonzero((former > 0) & (codes > 0)), np.flatnonzero(former < 0)
        if not len(known) or not len(new):
            continue
        known = known[np.linspace(0, len(known) - 1, min(len(known), LEARN_FROM)).astype(np.int64)]
        described = [_embedded(tower, others, source[rows]) for rows in (known, new)]
        names = [f"{side}.tables.{name}"]
        if tower.bias and tower.biased == name:
            names.append(f"{side}.tables.bias")
        for each in names:
            table = tables[each]
            rows = estimated(described[0], table.rows(torch.from_numpy(codes[known]).long()), described[1])
            table.weight[torch.from_numpy(codes[new]).long()] = rows.to(table.weight)


def _embedded(tower: Tower, names: list[str], table: pl.DataFrame) -> Tensor:
    """The tower's numbers for these features of the table's rows, one after another ``[rows, widths]``."""
    encoded = {name: tower.features[name].encode(table[tower.features[name].column]) for name in names}
    columns = TowerInputs.of(encoded, tower.device).columns
    training = tower.training
    tower.eval()
    try:
        return torch.cat([tower._embed(name, columns[name]) for name in names], dim=1)
    finally:
        tower.train(training)
