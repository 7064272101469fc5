"""Training by alternating least squares: both towers' tables are solved for in turn, once in every sweep."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError
from shortlist.evaluation import Validator
from shortlist.features import Codes
from shortlist.loss import ALS, Chosen, objective, solve
from shortlist.model import EmbeddingTable, EncodedDataset, Tower, TwoTower
from shortlist.model.tower import IDS
from shortlist.train.epochs import Epoch

__all__ = ["Measured", "not_from_disk", "solved"]


class Measured(NamedTuple):
    """What a sweep is measured on: held-out interactions, cut-offs, what does not compete, after how many sweeps, and
    whether pairs count by their weight."""

    validation: Dataset | None
    ks: tuple[int, ...]
    seen: Dataset | None
    every: int
    weighted: bool = False


@torch.no_grad()
def solved(
    model: TwoTower,
    train: Dataset | Shards,
    task: ALS,
    epochs: int,
    seed: int,
    place: torch.device,
    measured: Measured,
    on_epoch: Callable[[Epoch], object] | None,
    on_batch: Callable[[int, int], None] | None,
) -> tuple[Validator | None, list[Epoch]]:
    """Solve for both towers' tables, ``epochs`` times, with a record of each; arguments as those of ``fit``.

    Returns what measured them too.

    Raises ConfigError for towers that are more than a table of ids, and for shards.
    """
    if isinstance(train, Shards):
        raise not_from_disk()
    for side, tower in (("query", model.query), ("candidate", model.candidate)):
        _check(side, tower)
    generator = torch.Generator().manual_seed(seed)
    encoded = model.prepare(train, generator)
    model.to(place).eval()
    tables = [_table(model.query), _table(model.candidate)]
    chosen = _chosen(encoded, tables).to(place)
    turned, task = chosen.turned(), task.on(chosen)
    candidate = torch.randn(chosen.width, tables[1].dim, generator=generator).to(place) * (0.1 / tables[1].dim ** 0.5)
    validator = None
    if measured.validation is not None:
        validator = Validator(model, measured.validation, measured.ks, measured.seen, measured.weighted)
    records = []
    for number in range(1, epochs + 1):
        started = time.perf_counter()
        query = solve(chosen, candidate, task)
        candidate = solve(turned, query, task)
        _write(tables[0], _met(query, chosen))
        _write(tables[1], candidate)
        epoch = Epoch(
            number, objective(chosen, turned, query, candidate, task), 1.0, time.perf_counter() - started, len(train)
        )
        if on_batch is not None:
            on_batch(number * len(train), epochs * len(train))
        if validator is not None and (number % measured.every == 0 or number == epochs):
            epoch = replace(epoch, metrics=validator.top_k())
        records.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    return validator, records


def not_from_disk() -> ConfigError:
    """Why ALS does not train from shards."""
    return ConfigError(
        "ALS reads all interactions in every sweep; shards are read in blocks.",
        hint="train in memory (Dataset, --in-memory), or use another recipe",
    )


def _chosen(encoded: EncodedDataset, tables: list[EmbeddingTable]) -> Chosen:
    (query,), (candidate,) = encoded.query_columns.values(), encoded.candidate_columns.values()
    assert isinstance(query, Codes)
    assert isinstance(candidate, Codes)
    weights = np.ones(len(encoded), np.float32) if encoded.weights is None else encoded.weights
    counted = weights > 0
    rows = query.values[encoded.query_rows[counted]].astype(np.int64)
    columns = candidate.values[encoded.candidate_rows[counted]].astype(np.int64)
    return Chosen.of(rows, columns, weights[counted], (tables[0].cardinality, tables[1].cardinality))


def _met(query: Tensor, chosen: Chosen) -> Tensor:
    """The vectors, with the mean of all in place of those of rows without a choice."""
    there = chosen.offsets.diff() > 0
    return torch.where(there.unsqueeze(1), query, query[there].mean(0))


def _table(tower: Tower) -> EmbeddingTable:
    (table,) = tower.tables.values()
    assert isinstance(table, EmbeddingTable)
    return table


def _write(table: EmbeddingTable, rows: Tensor) -> None:
    table.write(torch.arange(len(rows), device=rows.device), rows)


def _check(side: str, tower: Tower) -> None:
    """ConfigError for a tower that is more than one table of ids."""
    features = list(tower.features.values())
    plain = tower.shape.plain and not (tower.custom or tower.normalize or tower.bias or tower.heads > 1)
    if len(features) == 1 and features[0].kind in IDS and features[0].dim in (None, tower.dim) and plain:
        return
    raise ConfigError(
        f"ALS solves for one vector per id; the {side} tower has more: {tower.extra_repr()}.",
        hint='a tower of one id feature, without layers, bias, heads or normalize: Tower(StringLookup("user_id"), dim=32)',
    )
