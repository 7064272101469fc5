"""Training: the whole loop on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import (
    check_dataset,
    check_function,
    check_kind,
    check_methods,
    check_model,
    check_seed,
)
from shortlist.errors import ConfigError, check_flags, deprecated
from shortlist.evaluation import DEFAULT_KS, TestSet, check_ks
from shortlist.evaluation.testset import checked_weights
from shortlist.loss import ALS, Retrieval
from shortlist.model import Tower, TwoTower, fill_untrained, unknown_rows
from shortlist.sources import Mixture
from shortlist.store.allocation import trim
from shortlist.train.als import als, als_options
from shortlist.train.checkpoints import Best, Checkpoints, Keeper, facts_of, reported_interruption
from shortlist.train.checks import check_data, check_numbers, seen_of, warn_of_run
from shortlist.train.device import check_folders, chosen_device
from shortlist.train.distributed import joined
from shortlist.train.epochs import Epoch, TrainingHistory
from shortlist.train.memory import check_memory
from shortlist.train.optimizers import Adagrad, Optimizer, with_rate
from shortlist.train.pretrain import check_pretraining
from shortlist.train.processes import check_divisible
from shortlist.train.progress import Progress
from shortlist.train.room import check_room_for_checkpoints
from shortlist.train.run import Run
from shortlist.train.sizes import sizes_of
from shortlist.train.warm_start import Start, WarmStart, kept_state

__all__ = ["fit"]


def fit(
    model: TwoTower,
    train: Dataset | Shards,
    *,
    validation: Dataset | Callable[[TwoTower], Mapping[str, float]] | None = None,
    task: Retrieval | ALS | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 5,
    batch_size: int = 8192,
    seed: int = 42,
    device: str | torch.device = "auto",
    precision: Literal["float32", "bfloat16"] = "float32",
    ks: Sequence[int] = DEFAULT_KS,
    validate_every: int = 1,
    exclude_seen: bool = False,
    weighted: bool = False,
    impressions: Dataset | None = None,
    patience: int | None = None,
    monitor: str | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    warm_start: WarmStart | TwoTower | Mixture | None = None,
    checkpoints: Checkpoints | None = None,
    schedule: Literal["constant", "linear"] = "constant",
    pretrain: Literal["none", "als"] = "none",
) -> TrainingHistory:
    """Train both towers on every interaction of ``train``, ``epochs`` times, and return what happened.

    Under ``torchrun``, or in a process group of torch.distributed, all processes train this one model, each with a part
    of every batch of ``batch_size`` and of every table (``train/distributed.py``). The hooks are called by rank 0 alone,
    which has the whole model in the end.

    Args:
        model: the model to train.
        train: a Dataset, or Shards, whose interactions are read from disk.
        validation: data to measure top-k accuracy on, over the whole catalogue. Or a function of the model that returns
            figures by name, in one process; ``monitor`` is then the name of one of them.
        task: the loss and its negatives; ``Retrieval()`` by default. (``ALS()`` is deprecated here: call ``als``.)
        optimizer: ``Adagrad(0.1)`` by default.
        epochs: passes over the training data.
        batch_size: pairs of a batch; with in-batch negatives also how many candidates compete.
        seed: weights, shuffling and dropout follow from it; on one machine a run repeats bit for bit.
        device: "auto" takes a GPU if there is one.
        precision: "bfloat16" lets dense layers and the loss's matrix products run in bfloat16 (``torch.autocast``), for
            GPUs; tables, exponentials, sums and updates stay float32. About three digits of each product are kept, so
            results are no longer exactly those of the plain method.
        ks: the cut-offs of the accuracies.
        validate_every: epochs between two validations.
        exclude_seen: in the validation, each query's training candidates do not compete.
        weighted: in the validation, count each pair by the validation's weight column, which is not read otherwise.
        impressions: a row for each candidate that was shown to a query and not chosen, or disliked; such candidates are
            negatives of their query, ``task.impressions`` at most in a batch. Ids as in ``train``.
        patience: stop after this many validations without a better ``monitor``, and give the model the weights of the
            best epoch.
        monitor: a metric; by default the accuracy at the largest k.
        on_epoch: called with each epoch's record as soon as it exists; if it returns True, the training ends as it does
            by ``patience``.
        on_batch: called after each batch with how many examples are done and how many there will be.
        warm_start: a trained model of the same towers to begin from, see ``WarmStart``. The optimizer's state stays
            with the model (``model.optimizer_state``) and in its bundle.
        checkpoints: where and how often the run writes checkpoints, and whether it resumes now.
        schedule: of the learning rate: "constant", or "linear" to fall from the optimizer's rate to zero over all epochs.
        pretrain: "als" starts the vectors of ids from the directions that alternating least squares finds for the same pairs
            (``als``), which takes fewer epochs than random vectors; for towers of one vector per id, or of a sum with it, in
            memory. Not together with ``warm_start``, which has vectors already; a recipe leaves it out then.

    Raises:
        ConfigError: for options that cannot work, for tables that do not fit in memory, and for checkpoints that do not fit on their disk.
        DataError: for data that the towers cannot read, and where all weights, of the training or of a weighted validation, are 0.
        TrainingError: when the loss is no longer finite (the model's weights are useless then).
    """
    check_model(model, "fit(model)", "TwoTower")
    if isinstance(task, ALS):
        return _by_als(**locals())
    check_kind(task, "fit(task=)", "Retrieval", optional=True, hint="task=shortlist.Retrieval()")
    check_flags("fit()", exclude_seen=exclude_seen, weighted=weighted)
    check_methods(
        optimizer,
        "fit(optimizer=)",
        ("slots", "update"),
        "an optimizer",
        optional=True,
        hint="optimizer=shortlist.Adam()",
    )
    check_kind(warm_start, "fit(warm_start=)", "WarmStart", "TwoTower", "Mixture", optional=True)
    check_kind(
        checkpoints, "fit(checkpoints=)", "Checkpoints", optional=True, hint='checkpoints=shortlist.Checkpoints("runs")'
    )
    check_function(on_epoch, "fit(on_epoch=)", optional=True)
    check_function(on_batch, "fit(on_batch=)", optional=True)
    task = task or Retrieval()
    check_ks(ks)
    monitor = monitor or f"top_{max(ks)}"
    check_data(train, "fit")
    held_out, measure_by = _parted(validation)
    check_dataset(impressions, "fit(impressions=)", optional=True)
    if held_out is not None:
        checked_weights(held_out, weighted)
    seed = check_seed(seed, "fit()", least=-(1 << 63))
    place = chosen_device(device)
    names = None if measure_by is not None else [f"top_{k}" for k in ks]
    check_numbers("fit", epochs=epochs, batch_size=batch_size, validate_every=validate_every, patience=patience)
    _check_options(patience, validation is None, precision)
    if names is not None and monitor not in names:
        raise ConfigError(f"fit() got monitor={monitor!r}; it must be one of {', '.join(names)}.")
    optimizer = optimizer or Adagrad()
    if schedule not in ("constant", "linear"):
        raise ConfigError(f'fit() got schedule={schedule!r}; "constant" or "linear" was expected.')
    if schedule == "linear":
        with_rate(optimizer, 1.0)
    start = Start(warm_start, model, train)
    train = start.train
    processes = joined()
    check_pretraining(pretrain, model, train, warm_start is not None)
    if processes.size > 1:
        check_divisible(task, model, impressions)

    with (
        torch.random.fork_rng(devices=[place] if place.type == "cuda" else []),
        processes,
        reported_interruption(checkpoints),
    ):
        check_folders(model, place)
        check_memory(model, train, optimizer, processes, place)
        if checkpoints is not None and processes.first:
            sizes = sizes_of(model, train, optimizer, place, processes.size, guess=True)
            check_room_for_checkpoints(sizes, Path(checkpoints.folder))
        facts = {"seed": seed, "batch_size": batch_size, "data": facts_of(train)}
        processes.agree({**facts, "epochs": epochs})
        run = Run(model, start, task, optimizer, impressions, seed, place, precision, processes, pretrain)
        untrained = unknown_rows(model) if processes.first else {}
        seen = seen_of(train, held_out, exclude_seen)
        test = None if held_out is None else TestSet.of(model, held_out, seen, weighted=weighted)
        measure = _measure(test, ks, measure_by, model, monitor)
        best = Best(model, monitor, patience)
        at = Progress.at_start(place)
        facts |= {"precision": precision, "impressions": impressions is not None}
        facts |= {"schedule": schedule} if schedule != "constant" else {}
        facts |= {"pretrain": pretrain} if pretrain != "none" else {}
        keeper = None
        if checkpoints is not None:
            keeper = Keeper(checkpoints, {**facts, "warm_start": start.facts()}, run, best)
        if keeper is not None:
            keeper.begin(at, epochs)

        for number in range(at.epoch, epochs + 1):
            at.begin()
            model.train()
            for chosen in islice(run.interactions.batches(seed, number, batch_size), at.batch, None):
                rate = 1.0 if schedule == "constant" else 1.0 - at.done / (epochs * len(run.interactions))
                run.step(chosen, at, rate)
                if on_batch is not None and processes.first:
                    on_batch(at.done, epochs * len(run.interactions))
                if keeper is not None:
                    keeper.after_batch(at)
            epoch = run.epoch(at)
            model.eval()
            if measure is not None and (number % validate_every == 0 or number == epochs):
                epoch = replace(epoch, metrics=measure())
            at.next_epoch(epoch)
            ended = processes.of_first(partial(_ends, on_epoch, epoch))
            if (epoch.metrics and best.stop_after(number, epoch.metrics)) or ended:
                break
            if task.mined and number < epochs:
                run.mine()

        best.restore()
        model.optimizer_state = kept_state(run.updater, processes)
        processes.unite(model)
        trim()
        if processes.first:
            fill_untrained(model, untrained)
            if held_out is not None and model.device.type != place.type:  # whole tables are on the processor
                test = TestSet.of(model, held_out, seen, weighted=weighted)
            warn_of_run(model, test, at.records)
        return TrainingHistory(tuple(at.records), best.epoch or len(at.records), len(at.records) < epochs)


def _parted(
    validation: Dataset | Callable[[TwoTower], Mapping[str, float]] | None,
) -> tuple[Dataset | None, Callable[[TwoTower], Mapping[str, float]] | None]:
    """The held-out rows, or the function that measures. ConfigError for options that a function does not allow."""
    if validation is None or isinstance(validation, Dataset):
        return validation, None
    if isinstance(validation, (TwoTower, Tower, type)) or not callable(validation):  # a module is callable too
        check_dataset(validation, "fit(validation=)")
    if joined().size > 1:
        raise ConfigError(
            "a training in several processes is measured on a Dataset; fit(validation=) got a function.",
            hint="validation=test",
        )
    return None, validation


def _measure(
    test: TestSet | None,
    ks: Sequence[int],
    measure_by: Callable[[TwoTower], Mapping[str, float]] | None,
    model: TwoTower,
    monitor: str,
) -> Callable[[], dict[str, float]] | None:
    """A function that measures the model as it is, or None."""
    if measure_by is None:
        return None if test is None else partial(test.top_k, ks)

    def own() -> dict[str, float]:
        figures = {name: float(value) for name, value in measure_by(model).items()}
        if monitor not in figures:
            raise ConfigError(
                f"fit() got monitor={monitor!r}, and validation= returned {', '.join(figures) or 'nothing'}.",
                hint="monitor= one of those",
            )
        return figures

    return own


def _ends(on_epoch: Callable[[Epoch], object] | None, epoch: Epoch) -> bool:
    """Call the hook; whether it asks to end the training."""
    return on_epoch is not None and on_epoch(epoch) is True


def _by_als(model: TwoTower, train: Dataset | Shards, task: ALS, **options: Any) -> TrainingHistory:
    """``fit(task=ALS())``, the old way to call ``als``."""
    deprecated("fit(task=ALS())", "als(model, train)")
    return als(model, train, **asdict(task), **als_options(options))


def _check_options(
    patience: int | None,
    unmeasured: bool,
    precision: str,
) -> None:
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f'fit() got precision={precision!r}; "float32" or "bfloat16" was expected.')
    if patience is not None and unmeasured:
        raise ConfigError(
            "fit() got patience= without validation=; early stopping needs validation figures.",
            hint="hold out some rows: train, validation = split_random(train)",
        )
