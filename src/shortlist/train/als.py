"""Matrix factorisation by alternating least squares: one side's vectors in closed form while the other's stand still."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError
from shortlist.evaluation import Validator
from shortlist.features import Codes
from shortlist.model import EmbeddingTable, EncodedDataset, Tower, TwoTower
from shortlist.model.tower import IDS
from shortlist.train.history import Epoch

__all__ = ["ALS", "Chosen", "Measured", "not_from_disk", "solve", "solved"]

ROWS = 512
ELEMENTS = 1 << 22


@dataclass(frozen=True)
class ALS:
    """A task for ``fit``: matrix factorisation whose vectors are solved for, not descended to. An epoch is one sweep.

    With ŷ the dot product of a pair, w how often the pair was chosen (or the sum of its weights), n a row's sum of w and m
    the rows of the other side, each sweep finds the least

        Σ_chosen w (1 − ŷ)² + unobserved · Σ_all ŷ² + regularization · Σ_rows (n + unobserved · m)^exponent ‖row‖²

    for all queries, and then for all candidates. Both towers are one id feature each, and nothing else. A query that training
    never saw has the mean of all queries' vectors; a candidate that nobody chose scores 0, as the formula says.

    unobserved: what a pair that nobody chose weighs, against 1 for a chosen one. regularization, exponent: how strongly
    vectors are kept short, and how much more those of rows that are often met.

    Source: Hu, Koren, Volinsky 2008, "Collaborative filtering for implicit feedback datasets"; Rendle et al. 2022, "Revisiting
    the performance of iALS on item recommendation benchmarks". Raises ConfigError for options that cannot be.
    """

    unobserved: float = 0.1
    regularization: float = 0.003
    exponent: float = 1.0

    def __post_init__(self) -> None:
        for name in ("unobserved", "regularization"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"ALS got {name}={value!r}; a number above 0 was expected.")
        if (
            isinstance(self.exponent, bool)
            or not isinstance(self.exponent, (int, float))
            or not 0 <= self.exponent <= 2
        ):
            raise ConfigError(f"ALS got exponent={self.exponent!r}; a number from 0 to 2 was expected.")


class Chosen(NamedTuple):
    """Who chose what, row by row: ``offsets [rows + 1]`` into ``columns`` and ``weights`` ``[distinct pairs]``; width: columns
    in all."""

    offsets: Tensor
    columns: Tensor
    weights: Tensor
    width: int

    @classmethod
    def of(
        cls, rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float32], shape: tuple[int, int]
    ) -> Chosen:
        """Distinct pairs with the sums of their weights."""
        keys, pair = np.unique(rows * shape[1] + columns, return_inverse=True)
        sums = np.bincount(pair, weights, minlength=len(keys)).astype(np.float32)
        row, column = np.divmod(keys, shape[1])
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
        return cls(torch.from_numpy(offsets), torch.from_numpy(column), torch.from_numpy(sums), shape[1])

    @property
    def rows(self) -> Tensor:
        """The row of each pair."""
        lengths = self.offsets.diff()
        return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)

    def turned(self) -> Chosen:
        """Columns as rows."""
        order = torch.argsort(self.columns, stable=True)
        counts = torch.bincount(self.columns, minlength=self.width)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return Chosen(offsets, self.rows[order], self.weights[order], len(self.offsets) - 1)

    def to(self, device: torch.device) -> Chosen:
        """The same on another device."""
        return Chosen(self.offsets.to(device), self.columns.to(device), self.weights.to(device), self.width)


def solve(chosen: Chosen, other: Tensor, task: ALS) -> Tensor:
    """The best vectors of the rows ``[rows, dim]`` while those of the columns, ``other [columns, dim]``, stand still.

    A row with the vectors v of what it chose is ``(Σ w v vᵀ + unobserved · OᵀO + decay)⁻¹ Σ w v``; without any it is 0.
    """
    dim = other.shape[1]
    shared = task.unobserved * other.T @ other  # [dim, dim]
    lengths = chosen.offsets.diff()
    solved = other.new_zeros(len(lengths), dim)
    identity = torch.eye(dim, device=other.device)
    order = torch.argsort(lengths)
    for rows in order[lengths[order] > 0].split(ROWS):  # of about the same length, padded to the longest
        length = int(lengths[rows].max())
        within = torch.arange(length, device=rows.device)
        for part in rows.split(max(1, ELEMENTS // (max(length, dim) * dim))):
            inside = within < lengths[part].unsqueeze(1)  # [part, length]
            places = (chosen.offsets[part].unsqueeze(1) + within).clamp(max=len(chosen.columns) - 1)
            vectors = other[chosen.columns[places]]  # [part, length, dim]
            weighted = vectors * (chosen.weights[places] * inside).unsqueeze(2)
            total = (chosen.weights[places] * inside).sum(1)  # [part]
            decay = task.regularization * (total + task.unobserved * chosen.width) ** task.exponent
            left = weighted.transpose(1, 2) @ vectors + shared + decay[:, None, None] * identity
            solved[part] = torch.linalg.solve(left, weighted.sum(1))
    return solved


def objective(chosen: Chosen, turned: Chosen, query: Tensor, candidate: Tensor, task: ALS) -> float:
    """What the sweeps minimise, divided by the sum of all weights; 1 where every vector is 0."""
    total = 0.0
    rows = chosen.rows
    for part in torch.arange(len(rows), device=rows.device).split(max(1, ELEMENTS // query.shape[1])):
        score = (query[rows[part]] * candidate[chosen.columns[part]]).sum(1)
        total += float((chosen.weights[part] * (1 - score).square()).sum(dtype=torch.float64))
    total += task.unobserved * float(((query.T @ query) * (candidate.T @ candidate)).sum(dtype=torch.float64))
    for side, vectors in ((chosen, query), (turned, candidate)):
        sums = torch.zeros_like(vectors[:, 0]).index_add_(0, side.rows, side.weights)
        decay = task.regularization * (sums + task.unobserved * side.width) ** task.exponent
        total += float((decay * vectors.square().sum(1)).sum(dtype=torch.float64))
    return total / float(chosen.weights.sum(dtype=torch.float64))


class Measured(NamedTuple):
    """What a sweep is measured on: held-out interactions, cut-offs, what does not compete, and after how many sweeps."""

    validation: Dataset | None
    ks: tuple[int, ...]
    seen: Dataset | None
    every: int


@torch.no_grad()
def solved(
    model: TwoTower,
    train: Dataset | Shards,
    task: ALS,
    epochs: int,
    seed: int,
    place: torch.device,
    measured: Measured,
    on_epoch: Callable[[Epoch], None] | None,
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
    turned = chosen.turned()
    candidate = torch.randn(chosen.width, tables[1].dim, generator=generator).to(place) * (0.1 / tables[1].dim ** 0.5)
    validator = None
    if measured.validation is not None:
        validator = Validator(model, measured.validation, measured.ks, measured.seen)
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
        hint="train in memory (Dataset, --in-memory), or with another recipe",
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
        f"ALS solves for one vector per id; the {side} tower is more than that: {tower.extra_repr()}.",
        hint='a tower of one id feature, without layers, bias, heads or normalize: Tower(StringLookup("user_id"), dim=32)',
    )
