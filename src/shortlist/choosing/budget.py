"""How long a contender would take on this machine and this table, and what is left of the time given."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from shortlist.choosing.contenders import Contender
from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import shown
from shortlist.errors import ConfigError, DataError
from shortlist.sources import EASE, ease_products
from shortlist.train.pretrain import SWEEPS
from shortlist.train.recipe import Recipe

__all__ = ["Budget", "Speed", "seconds_of"]

UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
PROBE = 8_000  # interactions that are timed to estimate an epoch
SAFETY = 1.2
PAIR, ROW = 15, 400  # multiplications of a large product in the time of ALS's work on one number of a pair, of a row


@dataclass
class Budget:
    """Seconds in all, counted from ``started``."""

    seconds: float
    started: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> float:
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        return self.seconds - self.spent


def seconds_of(budget: str | float) -> float:
    """A budget in seconds: a number of them, or text such as "90s", "2min", "1h". ConfigError for anything else.

    Example:
        >>> seconds_of("2min"), seconds_of(90)
        (120.0, 90.0)
    """
    if isinstance(budget, (int, float)) and not isinstance(budget, bool) and 0 < budget < float("inf"):
        return float(budget)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", budget) if isinstance(budget, str) else None
    if match is None or (match.group(2) or "s") not in UNITS or float(match.group(1)) <= 0:
        raise ConfigError(f"the budget is {shown(budget)}; a time above 0 was expected.", hint="90s, 2min or 1h")
    return float(match.group(1)) * UNITS[match.group(2) or "s"]


class Speed:
    """The work that this machine does in a second, measured once, to estimate contenders before they start."""

    def __init__(self) -> None:
        one = torch.rand(768, 768)
        one @ one
        started = time.perf_counter()
        for _ in range(4):
            one @ one
        self.products = 4 * 768**3 / max(time.perf_counter() - started, 1e-6)
        self._per_row: dict[
            tuple[str, str | None], float
        ] = {}  # by name and note, which differs where fewer columns are read

    def estimate(
        self, contender: Contender, data: Dataset | Shards, epochs: int, seconds: float = float("inf")
    ) -> float:
        """About how many seconds it would take to fit a contender on ``data``; for trained towers by a short run.

        Args:
            seconds: the run ends at the first batch after them, but not before the second batch.
        """
        recipe = contender.recipe
        found = 0.05
        if recipe.neighbours is not None and isinstance(data, Dataset):
            counts = np.minimum(np.bincount(data.query_rows), 500).astype(np.float64)
            if recipe.neighbours.kind == "ease":
                taken = min(len(data.candidates), EASE().candidates)
                found += 4 * ease_products(len(data.queries), taken, len(data)) / self.products
            elif recipe.neighbours.kind == "cooccurrence":
                found += 0.2 + float((counts**2).sum()) / 2e7
            elif recipe.neighbours.kind == "transitions":
                found += 0.2 + len(data) * 20 / 1.5e7
        if recipe.towers != "trained":
            return found
        if recipe.als is not None:
            return found + epochs * self._seconds_of_sweep(data, recipe.model.dim)
        if recipe.for_data(data).fit.pretrain == "als":
            found += SWEEPS * self._seconds_of_sweep(data, recipe.model.dim)
        return found + epochs * len(data) * self._seconds_per_row(contender, data, seconds) * SAFETY

    def _seconds_of_sweep(self, data: Dataset | Shards, dim: int) -> float:
        """Of one sweep of ALS."""
        both = np.concatenate([data.query_counts, data.candidate_counts])
        return SAFETY * _als_products(both, dim) / self.products

    def _seconds_per_row(self, contender: Contender, data: Dataset | Shards, seconds: float) -> float:
        """Of training for one epoch, from an epoch over a sample of the interactions."""
        key = contender.name, contender.note
        if key not in self._per_row:
            recipe = contender.recipe.for_data(data)
            sample = _sample(data, max(PROBE, 4 * int(recipe.fit.batch_size)))
            try:
                self._per_row[key] = _timed(recipe, sample, seconds)
            except DataError:
                if sample is data:
                    raise
                self._per_row[key] = _timed(recipe, data, seconds)  # a column may be null in all rows of the sample
        return self._per_row[key]


def _timed(recipe: Recipe, data: Dataset | Shards, seconds: float) -> float:
    """Seconds per row of two epochs that end after so many seconds: of the last batches, or of the second epoch."""
    run = _ShortRun(seconds)
    try:
        _, history = recipe.train_towers(data, epochs=2, pretrain="none", on_batch=run.on_batch)
    except _OutOfTimeError:
        return run.seconds_per_row
    last = history.epochs[-1]
    return last.seconds / max(last.examples, 1)


class _OutOfTimeError(Exception):
    """Ends a short run."""


class _ShortRun:
    """Times batches, the first one left out, since it takes longer; ends after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.last_moment = time.perf_counter() + seconds
        self.first: tuple[float, int] | None = None
        self.seconds_per_row = 0.0

    def on_batch(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if self.first is None:
            self.first = now, done
            return
        started, before = self.first
        self.seconds_per_row = (now - started) / max(done - before, 1)
        if now > self.last_moment:
            raise _OutOfTimeError


def _als_products(counts: NDArray[np.int64], dim: int) -> float:
    """As many multiplications of a large matrix product as take the time of a sweep of ALS, see ``loss/sweeps.py``.

    Args:
        counts: how many choices each row of both sides has.
    """
    return float(dim * (PAIR * counts.sum() + (4 * dim + ROW) * len(counts)))


def _sample(data: Dataset | Shards, rows: int) -> Dataset:
    """Some interactions in memory, over the same tables."""
    if isinstance(data, Shards):
        drawn = np.random.default_rng(0).permutation(np.flatnonzero(data.query_counts))
        enough = int(np.searchsorted(np.cumsum(data.query_counts[drawn]), rows)) + 1
        return data.of_queries(data.queries[data.query].gather(np.sort(drawn[:enough])))
    whole = data
    if len(whole) <= rows:
        return whole
    drawn = np.zeros(len(whole), np.bool_)
    drawn[np.random.default_rng(0).choice(len(whole), rows, replace=False)] = True
    return whole.with_interactions(whole.interactions.filter(pl.Series(drawn)))
