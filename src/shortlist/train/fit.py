"""Training: the whole loop on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Literal

import numpy as np
import torch

from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError, DataError, TrainingError
from shortlist.evaluation import DEFAULT_KS, Validator
from shortlist.evaluation.diagnostics import loss_findings, warn_of
from shortlist.loss import Retrieval
from shortlist.model import TowerInputs, TwoTower, vectors_of
from shortlist.train.checkpoints import Best, Checkpoints, Keeper, Progress, facts_of, told_when_interrupted
from shortlist.train.distributed import joined, local_device
from shortlist.train.history import Epoch, TrainingHistory
from shortlist.train.negatives import Negatives
from shortlist.train.optimizers import Adagrad, Optimizer, Updater
from shortlist.train.ranks import check_divisible
from shortlist.train.streaming import interactions_of
from shortlist.train.temperature import LearnedTemperature
from shortlist.train.warm_start import Start, WarmStart, kept_state

__all__ = ["fit"]


def fit(
    model: TwoTower,
    train: Dataset | Shards,
    *,
    validation: Dataset | None = None,
    task: Retrieval | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 5,
    batch_size: int = 8192,
    seed: int = 42,
    device: str | torch.device = "auto",
    precision: Literal["float32", "bfloat16"] = "float32",
    ks: Sequence[int] = DEFAULT_KS,
    validate_every: int = 1,
    exclude_seen: bool = False,
    impressions: Dataset | None = None,
    patience: int | None = None,
    monitor: str | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    warm_start: WarmStart | TwoTower | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingHistory:
    """Train both towers on every interaction of ``train``, ``epochs`` times, and return what happened.

    train: a Dataset, or Shards, whose interactions are read from disk.

    validation: measured after every ``validate_every`` epochs: top-k accuracy for ``ks``, over the whole catalogue;
        with ``exclude_seen`` each query's training candidates do not compete.
    task: the loss; ``Retrieval()`` by default. optimizer: ``Adagrad(0.1)`` by default.
    batch_size: pairs of a batch; with in-batch negatives also how many candidates compete.
    seed: weights, shuffling and dropout follow from it; on one machine a run repeats bit for bit.
    device: "auto" takes a GPU where there is one.
    precision: "bfloat16" lets dense layers and the loss's matrix products run in bfloat16 (``torch.autocast``), for
        GPUs; tables, exponentials, sums and updates stay float32. About three digits of each product are kept, so
        results are no longer exactly those of the plain method.
    impressions: a row for each candidate that was shown to a query and not chosen, or disliked; such candidates are
        negatives of their query, ``task.impressions`` at most in a batch. Ids as in ``train``.
    patience: stop after so many validations without a better ``monitor`` (a metric, by default the one of the largest
        k), and give the model the weights of the best epoch.
    on_epoch: called with each epoch's record as soon as it is there. on_batch: called after each batch with how many
        examples are done and how many there will be.
    warm_start: a trained model of the same towers to begin from, see ``WarmStart``; what this run keeps of its optimizer
        goes with the model (``model.optimizer_state``) and into a bundle.
    checkpoints: where and how often the run writes what it needs to go on after a stop, and whether it goes on now.

    Under ``torchrun``, or in a process group of torch.distributed, all processes train this one model, each with a part
    of every batch of ``batch_size`` and of every table (``train/distributed.py``). The hooks are called by rank 0 alone,
    which has the whole model in the end.

    Raises ConfigError for options that cannot work, DataError for data that the towers cannot read, TrainingError when
    the loss is no longer finite (the model's weights are of no use then).
    """
    task = task or Retrieval()
    optimizer = optimizer or Adagrad()
    monitor = monitor or f"top_{max(ks)}"
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f'fit() got precision={precision!r}; "float32" or "bfloat16" was expected.')
    _check_options(train, epochs, batch_size, validate_every, patience, monitor, ks, validation)
    if exclude_seen and isinstance(train, Shards):
        raise ConfigError(
            "fit() got exclude_seen=True with Shards, whose interactions are not in memory.",
            hint="leave exclude_seen out, and call evaluate(seen=) on a part that fits",
        )
    start = Start(warm_start, model, train)
    train = start.train
    ranks = joined()
    place = _device(device)
    if ranks.size > 1:
        check_divisible(task, model, impressions)

    with (
        torch.random.fork_rng(devices=[place] if place.type == "cuda" else []),
        ranks,
        told_when_interrupted(checkpoints),
    ):
        ranks.agree({"seed": seed, "epochs": epochs, "batch_size": batch_size, "data": facts_of(train)})
        torch.manual_seed(seed)
        encoded = start.prepared(model, torch.Generator().manual_seed(seed))
        model.to(place)
        query_inputs = TowerInputs.of(encoded.query_columns, place)
        candidate_inputs = TowerInputs.of(encoded.candidate_columns, place)
        interactions = interactions_of(encoded, place, ranks, train.query_rows if isinstance(train, Dataset) else None)
        negatives = Negatives(task, train, encoded, impressions, seed, place, ranks)
        if ranks.size > 1:
            ranks.divide(model)
            torch.manual_seed(seed + ranks.rank)  # masks of dropout
        updater = Updater(optimizer, model, ranks)
        start.restore(updater, ranks)
        heat = LearnedTemperature(task.temperature, ranks).to(place) if task.learn_temperature else None
        seen = train if exclude_seen and isinstance(train, Dataset) else None
        validator = None if validation is None else Validator(model, validation, ks, seen)
        best = Best(model, monitor, patience)
        at = Progress.at_start(place)
        keeper = None
        if checkpoints is not None:
            facts = {"data": facts_of(train), "seed": seed, "batch_size": batch_size, "precision": precision}
            facts |= {
                "task": task,
                "optimizer": optimizer,
                "model": repr(model),
                "impressions": impressions is not None,
                "warm_start": warm_start is not None,
            }
            keeper = Keeper(checkpoints, facts, ranks, model, updater, heat, best, negatives)
            keeper.begin(at, epochs)

        for number in range(at.epoch, epochs + 1):
            at.begin()
            model.train()
            for chosen in islice(interactions.batches(seed, number, batch_size), at.batch, None):
                batch, columns, log_q = negatives.of(interactions.batch(chosen), chosen, at.step)
                with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    query = model.split_heads(
                        model.query(query_inputs.take(batch.query_rows))
                    )  # [distinct queries, dim]
                    candidate = ranks.vectors(
                        model.candidate, candidate_inputs, batch.candidate_rows
                    )  # [distinct candidates, dim]
                    loss = task(
                        query if heat is None else heat(query),
                        candidate,
                        batch.pair_query,
                        batch.pair_candidate,
                        weight=batch.weight,
                        log_q=log_q,
                        columns=columns,
                        temperature=None if heat is None else 1.0,
                        counts=batch.counts,
                    )
                loss.backward()
                updater.step()
                if heat is not None:
                    heat.step()
                at.total += loss.detach()
                at.weight += len(batch.pair_query) if batch.weight is None else batch.weight.sum()
                at.chance += len(chosen) * negatives.chance(batch, columns, log_q)
                at.done += len(chosen)
                at.batch += 1
                at.step += 1
                if on_batch is not None and ranks.first:
                    on_batch(at.done, epochs * len(interactions))
                if keeper is not None:
                    keeper.after_batch(at)
            ranks.add(at.total, at.weight)
            mean = float(at.total / at.weight)
            seconds = at.elapsed
            _check_finite(mean, number, optimizer)

            model.eval()
            due = validator is not None and (number % validate_every == 0 or number == epochs)
            metrics = validator.top_k() if validator is not None and due else {}
            temperature = None if heat is None else heat.value
            chance = at.chance / len(interactions)
            at.records.append(Epoch(number, mean, chance, seconds, len(interactions), metrics, temperature))
            if on_epoch is not None and ranks.first:
                on_epoch(at.records[-1])
            at.next_epoch()
            if metrics and best.stop_after(number, metrics):
                break
            if task.mined and number < epochs:
                negatives.mine(vectors_of(model.query, query_inputs), vectors_of(model.candidate, candidate_inputs))

        best.restore()
        model.optimizer_state = kept_state(updater, ranks)
        ranks.unite(model)
        if ranks.first:
            _warn(validator, at.records)
        return TrainingHistory(tuple(at.records), best.epoch or len(at.records), len(at.records) < epochs)


def _device(device: str | torch.device) -> torch.device:
    return local_device() if device == "auto" else torch.device(device)


def _check_options(
    train: Dataset | Shards,
    epochs: int,
    batch_size: int,
    validate_every: int,
    patience: int | None,
    monitor: str,
    ks: Sequence[int],
    validation: Dataset | None,
) -> None:
    if not isinstance(train, (Dataset, Shards)):
        raise DataError(
            f"fit() got {type(train).__name__}; a Dataset or Shards was expected.",
            hint='shortlist.Dataset(table, query="user_id", candidate="item_id")',
        )
    if isinstance(train, Dataset) and train.weights is not None and not train.weights.any():
        raise DataError(
            f"every weight in column {train.weight!r} is 0; there is nothing to learn from.",
            hint="leave weight out, or check the column",
        )
    whole = {
        "epochs": epochs,
        "batch_size": batch_size,
        "validate_every": validate_every,
        "patience": patience,
    }
    for name, value in whole.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f"fit() got {name}={value!r}; a whole number of at least 1 was expected.")
    if patience is not None and validation is None:
        raise ConfigError(
            "fit() got patience= without validation=; early stopping has nothing to watch.",
            hint="hold some rows back: train, validation = split_random(train)",
        )
    if monitor not in {f"top_{k}" for k in ks}:
        raise ConfigError(f"fit() got monitor={monitor!r}; it must be one of {', '.join(f'top_{k}' for k in ks)}.")


def _check_finite(loss: float, epoch: int, optimizer: Optimizer) -> None:
    if not np.isfinite(loss):
        raise TrainingError(
            f"the loss became {loss} in epoch {epoch}; training cannot go on.",
            hint=f"lower the learning rate (now {optimizer.learning_rate}), or raise the temperature",
        )


def _warn(validator: Validator | None, records: Sequence[Epoch]) -> None:
    """A ShortlistWarning for each thing that ``diagnose`` finds; without a validation set only the loss is looked at."""
    losses = [{"loss": epoch.loss, "chance": epoch.chance} for epoch in records]
    if validator is not None:
        validator.warn(losses)
    else:
        warn_of(loss_findings(losses), stacklevel=4)
