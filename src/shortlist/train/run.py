"""The parts of one training run, its step over a batch, and its record of an epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from shortlist.data import Dataset
from shortlist.errors import TrainingError
from shortlist.loss import Retrieval
from shortlist.model import TowerInputs, TwoTower, vectors_of
from shortlist.store.allocation import trim
from shortlist.train.epochs import Epoch
from shortlist.train.negatives import Negatives
from shortlist.train.optimizers import Optimizer, Updater
from shortlist.train.pretrain import pretrain_by_als
from shortlist.train.processes import Processes
from shortlist.train.progress import Progress
from shortlist.train.streaming import interactions_of
from shortlist.train.temperature import LearnedTemperature
from shortlist.train.warm_start import Start

__all__ = ["Run"]

TRIM_EVERY = 8  # steps between two returns of unused memory to the system, of several processes


class Run:
    """A model that is built for its data, the data encoded on a device, and everything else that a step needs.

    Random numbers are drawn in one order: weights, then the masks of dropout, separately in each process.
    """

    def __init__(
        self,
        model: TwoTower,
        start: Start,
        task: Retrieval,
        optimizer: Optimizer,
        impressions: Dataset | None,
        seed: int,
        device: torch.device,
        precision: str,
        processes: Processes,
        pretrain: str = "none",
    ) -> None:
        self.model, self.task, self.optimizer, self.processes = model, task, optimizer, processes
        self.device, self.rounded = device, precision == "bfloat16"
        torch.manual_seed(seed)
        division = processes.division if pretrain == "none" else None  # ALS finds all rows in each process
        encoded = start.prepared(model, torch.Generator().manual_seed(seed), division)
        model.to(device)
        if pretrain != "none":
            pretrain_by_als(model, encoded, seed, device)
        self.query_inputs = (
            TowerInputs.crossed(encoded.query_columns, encoded.contexts, [*model.query.features], device)
            if encoded.contexts
            else TowerInputs.of(encoded.query_columns, device)
        )
        self.candidate_inputs = TowerInputs.of(encoded.candidate_columns, device)
        owner = start.train.query_rows if isinstance(start.train, Dataset) else None
        self.interactions = interactions_of(encoded, device, processes, owner, task.needs_whole_queries)
        self.negatives = Negatives(task, start.train, encoded, impressions, seed, device, processes)
        if processes.size > 1:
            processes.divide(model)
            torch.manual_seed((seed + processes.rank) % (1 << 64))  # masks of dropout
        self.updater = Updater(optimizer, model, processes)
        start.restore(self.updater, processes)
        self.temperature = (
            LearnedTemperature(task.temperature, processes).to(device) if task.learn_temperature else None
        )
        trim()

    def step(self, chosen: Tensor, at: Progress, rate: float = 1.0) -> None:
        """Learns from the interactions ``chosen``, int64 ``[B]``, at ``rate`` times the learning rate, and counts them."""
        batch, columns, log_q = self.negatives.of(self.interactions.batch(chosen), chosen, at.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.rounded):
            query = self.model.split_heads(self.model.query(self.query_inputs.take(batch.query_rows)))  # [queries, dim]
            candidate = self.processes.vectors(self.model.candidate, self.candidate_inputs, batch.candidate_rows)
            loss = self.task(
                query if self.temperature is None else self.temperature(query),
                candidate,  # [candidates, dim]
                batch.pair_query,
                batch.pair_candidate,
                weight=batch.weight,
                log_q=log_q,
                columns=columns,
                temperature=None if self.temperature is None else 1.0,
                counts=batch.counts,
            )
        loss.backward()
        self.updater.step(rate)
        if self.temperature is not None:
            self.temperature.step()
        at.total += loss.detach()
        at.weight += len(batch.pair_query) if batch.weight is None else batch.weight.sum()
        at.chance += len(chosen) * self.negatives.chance(batch, columns, log_q)
        at.done += len(chosen)
        at.batch += 1
        at.step += 1
        if self.processes.size > 1 and at.step % TRIM_EVERY == 0:  # they are there to hold less
            trim()

    def epoch(self, at: Progress) -> Epoch:
        """The record of the epoch that has ended, without validation. TrainingError where its loss is not finite."""
        self.processes.add(at.total, at.weight)
        mean, seconds = float(at.total / at.weight), at.elapsed
        if not np.isfinite(mean):
            raise TrainingError(
                f"the loss became {mean} in epoch {at.epoch}; training cannot continue.",
                hint=f"lower the learning rate (now {self.optimizer.learning_rate}), or raise the temperature",
            )
        examples = len(self.interactions)
        temperature = None if self.temperature is None else self.temperature.value
        return Epoch(at.epoch, mean, at.chance / examples, seconds, examples, temperature=temperature)

    def mine(self) -> None:
        """Takes new hard negatives, from the current vectors."""
        query, candidate = self.model.query, self.model.candidate

        def query_vectors(rows: Tensor | None) -> Tensor:
            return vectors_of(query, self.query_inputs if rows is None else self.query_inputs.take(rows))

        self.negatives.mine(query_vectors, vectors_of(candidate, self.candidate_inputs))
