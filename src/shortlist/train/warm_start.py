"""Training that continues from another training: its features, weights and optimizer state."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.data.merged_tables import united_table
from shortlist.errors import ConfigError, DataError, ShortlistWarning, check_flags
from shortlist.model import Catalogue, EncodedDataset, OptimizerState, TwoTower
from shortlist.model.embedding import Division
from shortlist.model.growth import Origins, carry_weights, check_alike, grow_features
from shortlist.sources import Mixture
from shortlist.train.optimizers import Updater
from shortlist.train.processes import Processes

__all__ = ["Start", "WarmStart", "kept_state", "with_catalogue"]


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Start from the trained model ``before``, for ``fit(warm_start=…)``.

    1. Vocabularies grow: known ids keep their rows and optimizer state, bit for bit until a batch touches
       them. A lookup's ``min_count`` and ``evict_after`` say which ids are added and dropped.
    2. New ids start from a prediction by their features if those predict anything, otherwise from the mean of the known
       rows (``model/ridge.py``), without optimizer state.
    3. Bins, means and dense layers stay as they were learned, and training continues from there.

    Args:
        before: a trained model of the same towers.
        only_new: the training data has only the rows since then: the tables, counts and known queries of ``before``
            stay, and its counts are halved over time. Without it the data is a whole window, and counts are those of
            the window.
        half_life: the counts of ``before`` (so log Q and popularity too) halve with every so many trainings, rounded
            up.
        fingerprint: identifies ``before``, such as its bundle's; by default a checksum of its weights. A run resumes
            from a checkpoint only if it started from the same model.
    """

    before: TwoTower  # or a Mixture, of which the towers are taken
    only_new: bool = False
    half_life: float = 7.0
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.before, Mixture):  # the part of a mixture that is trained
            object.__setattr__(self, "before", self.before.towers)
        if not isinstance(self.before, TwoTower):
            raise ConfigError(
                f"a warm start got {type(self.before).__name__}; a TwoTower was expected.",
                hint='sl.Recommender.load("yesterday.shortlist").model',
            )
        check_flags("WarmStart", only_new=self.only_new)
        if not 0 < self.half_life < float("inf"):
            raise ConfigError(f"a warm start got half_life={self.half_life}; it must be more than zero, and finite.")
        if self.before.trained_on is None:
            raise ConfigError(
                "a warm start got a model that has not been trained.", hint="call fit(model, train) first"
            )


class Start:
    """How a run begins: from nothing, or from another one."""

    def __init__(self, warm: WarmStart | TwoTower | Mixture | None, model: TwoTower, train: Dataset | Shards) -> None:
        self._warm = WarmStart(warm) if isinstance(warm, (TwoTower, Mixture)) else warm  # type: ignore[arg-type]
        self._origins: Origins = {}
        self.train = train
        if self._warm is None:
            return
        check_alike(model, self._warm.before)
        if self._warm.only_new:
            self.train = with_catalogue(train, self._warm.before.catalogue, model)

    def facts(self) -> dict[str, Any] | Literal[False]:
        """A description of this start that differs from others, as JSON values; False for a start from nothing."""
        warm = self._warm
        if warm is None:
            return False
        known = warm.fingerprint or _checksum(warm.before)
        return {"fingerprint": known, "only_new": warm.only_new, "half_life": warm.half_life}

    def prepared(self, model: TwoTower, generator: torch.Generator, division: Division | None = None) -> EncodedDataset:
        """The training data as ``model.prepare`` encodes it, with features, weights and counts carried over.

        After a warm start every process has the tables whole, as it has those of the earlier model.
        """
        if self._warm is None:
            return model._prepare(self.train, generator, division)
        before = self._warm.before
        self._origins = grow_features(model, before, self.train)
        encoded = model.prepare(self.train, generator)
        carry_weights(model, before, self._origins, self.train)
        if not self._warm.only_new:
            return encoded
        now = model.catalogue
        model.trained_on = _aged(now, before.catalogue, self._warm.half_life)
        earlier = model.trained_on.counts - now.counts
        return replace(encoded, candidate_counts=encoded.candidate_counts + earlier)

    @torch.no_grad()
    def restore(self, updater: Updater, processes: Processes) -> None:
        """Give the optimizer its earlier state of each row and layer."""
        if self._warm is None:
            return
        state = self._warm.before.optimizer_state
        kind = type(updater.optimizer).__name__
        if state is None or state.kind != kind:
            was = "nothing of its optimizer was kept" if state is None else f"its optimizer was {state.kind}"
            warnings.warn(f"the earlier training: {was}; {kind} starts from zero.", ShortlistWarning, stacklevel=4)
            return
        for name, slot, table in updater.slots():
            old = state.slots[name].to(slot.device)
            if table is None:
                slot.copy_(old)
                continue
            origin = self._origins.get(name.rpartition(".weight.")[0])
            if origin is None:
                slot.copy_(processes.part.of(old))
                continue
            whole = slot[:1].expand(len(origin), *slot.shape[1:]).clone()  # as new rows begin
            kept = torch.from_numpy(np.flatnonzero(origin >= 0)).to(slot.device)
            whole[kept] = old[torch.from_numpy(origin[origin >= 0]).long().to(slot.device)]
            slot.copy_(processes.part.of(whole))


def kept_state(updater: Updater, processes: Processes) -> OptimizerState | None:
    """The optimizer's state at the end, of whole tables; None on all processes but the first."""
    slots: dict[str, Tensor] = {}
    for name, slot, table in updater.slots():
        rows = 0 if table is None else getattr(table.remote, "cardinality", len(table.weight))  # of the whole table
        whole = slot if table is None else processes.united(slot, rows)
        if whole is not None and processes.first:
            slots[name] = whole
    return OptimizerState(type(updater.optimizer).__name__, slots) if processes.first else None


def _checksum(model: TwoTower) -> str:
    """Of every weight, by name."""
    digest = 0
    for name, value in sorted(model.state_dict().items()):
        array = value.cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest = zlib.crc32(array, zlib.crc32(name.encode(), digest))
    return f"weights {digest:08x}"


def with_catalogue(train: Dataset | Shards, catalogue: Catalogue, model: TwoTower) -> Dataset | Shards:
    """``train`` over the tables of ``catalogue`` and its own: earlier rows first, then new ones.

    Values of today's row are kept; where one is null, the earlier value. ConfigError for features that need all interactions.
    """
    if model.query.histories:
        raise ConfigError(
            "the query tower reads histories, and only_new= data has only their ends.",
            hint="give the whole window without only_new",
        )
    if (train.query, train.candidate) != (catalogue.query, catalogue.candidate):
        raise DataError(
            f"the data's ids are {train.query!r} and {train.candidate!r}; the earlier model was trained on "
            f"{catalogue.query!r} and {catalogue.candidate!r}.",
            hint="use the column names of the earlier training",
        )
    queries = united_table(catalogue.queries, train.queries, train.query)
    candidates = united_table(catalogue.candidates, train.candidates, train.candidate)
    if isinstance(train, Shards):
        return train.over(queries, candidates)
    return Dataset._again(
        train.interactions,
        train.query,
        train.candidate,
        timestamp=train.timestamp,
        weight=train.weight,
        queries=queries,
        candidates=candidates,
    )


def _aged(now: Catalogue, before: Catalogue, half_life: float) -> Catalogue:
    """The catalogue with the earlier counts; its rows are first in both tables."""
    counts = now.counts.copy()
    counts[: len(before.counts)] += np.ceil(before.counts * 0.5 ** (1 / half_life)).astype(counts.dtype)
    known = now.known.copy()
    known[: len(before.known)] |= before.known
    return replace(now, counts=counts, known=known)
