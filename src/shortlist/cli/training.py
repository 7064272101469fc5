"""The work of ``shortlist train`` once its options are read: data, one outcome, the bundle, its figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.choosing import SHARE, check_recipe_place, chooses, chosen_outcome, popular_outcome
from shortlist.cli.choosing import write_recipe as save_recipe
from shortlist.cli.console import INTERRUPTED, as_one, epoch_printer, progress, say, typed
from shortlist.cli.events import event_options
from shortlist.cli.outcome import Outcome, check_outcome, figures_of, verdict_lines
from shortlist.cli.reading import reading_options, sql_options
from shortlist.cli.retraining import Daily, Verdict, daily_options
from shortlist.cli.room import Room
from shortlist.cli.tracking import curves
from shortlist.cli.training_data import training_data, warn_of_few_steps
from shortlist.errors import BundleError, ConfigError
from shortlist.language import counted, shown

if TYPE_CHECKING:
    from shortlist.choosing import Budget
    from shortlist.cli.training_data import TrainingData
    from shortlist.data import Dataset, Events, Reading
    from shortlist.recommender import Recommender
    from shortlist.train.recipes import Recipe

__all__ = ["trained"]

LEAST = 20  # interactions that a choice can be made on


@daily_options
@event_options
@reading_options
@sql_options("interactions")
@as_one
def trained(
    interactions: str,
    query: str,
    candidate: str,
    out: Path,
    timestamp: str | None,
    weight: str | None,
    queries: Path | None,
    candidates: Path | None,
    test: float,
    stream: bool | None,
    shards: Path | None,
    recipe: str | None,
    budget: str,
    seed: int,
    by: str | None,
    refit: bool,
    write_recipe: Path | None,
    cold_start: str,
    weighted_metrics: bool,
    force: bool,
    changes: tuple[str, ...],
    index_name: str,
    device: str,
    tensorboard: Path | None,
    mlflow: str | None,
    checkpoint_dir: Path | None,
    checkpoint_every: str | None,
    resume: bool,
    overwrite: bool,
    daily: Daily,
    events: Events,
    reading: Reading,
    day: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """The work of the command: what it says under --json, or None in all processes but the first.

    Args:
        day: what ``shortlist daily`` keeps of its run in the bundle.
    """
    import shortlist as sl
    from shortlist.choosing import Budget, seconds_of
    from shortlist.cli.checkpointing import checkpoints_of
    from shortlist.cli.indexes import index_named
    from shortlist.evaluation.testset import checked_weights
    from shortlist.train.device import chosen_device
    from shortlist.train.distributed import joined

    started = time.perf_counter()
    clock = Budget(seconds_of(budget), started)
    place = chosen_device(device)
    weightless = weight is None and events.weight_by is None
    _check_options(out, overwrite, write_recipe, by, weighted_metrics and weightless)
    with daily.alone(joined().first), ExitStack() as held:
        daily.check(test, timestamp)
        one_recipe: dict[str, Any] = {"--set": changes, "--checkpoint-dir": checkpoint_dir, "--resume": resume}
        one_recipe |= {"--tensorboard": tensorboard, "--mlflow": mlflow}
        choosing = chooses(recipe, daily.bundle, joined().size, one_recipe)
        plan = None if choosing else daily.recipe(recipe, changes)
        checkpoints = checkpoints_of(checkpoint_dir, checkpoint_every, resume)
        index = index_named(index_name)
        columns: dict[str, Any] = {"query": query, "candidate": candidate, "timestamp": timestamp, "weight": weight}
        columns |= {"queries": queries, "candidates": candidates, "events": events, "reading": reading}
        share = test or SHARE if choosing else test
        room = Room(plan, index, place, joined(), out, checkpoint_dir, force)
        read = training_data(
            interactions,
            columns,
            share,
            stream,
            shards,
            plan,
            like_use=choosing,
            seed=seed,
            before=room.check_before_encoding,
        )
        held.enter_context(read.kept())
        given = daily.data(read)
        if given.held_out is not None:
            checked_weights(given.held_out, weighted_metrics)
        lineage = daily.lineage(given)
        room.check(given.train)
        if room.leaves_out_checkpoints(given.train):
            checkpoints = None
        if plan is None:
            outcome = _without_recipe(
                given,
                by,
                clock,
                refit,
                device,
                seed,
                weighted_metrics,
                lambda found: Room(found.recipe, index, place, joined(), out, None, force).check(found.data),
            )
        else:
            options = {
                "weighted": weighted_metrics,
                "device": device,
                "checkpoints": checkpoints,
                "warm_start": daily.warm_start(),
            }
            outcome = _by_recipe(plan, given, tensorboard, mlflow, options)
        if not joined().first:
            return None  # the first of several processes has the model
        recommender = sl.Recommender(outcome.model, index=index, seen=outcome.seen, cold_start=cold_start)
        check_outcome(outcome, recommender, force)
        if write_recipe is not None:
            save_recipe(outcome, write_recipe)
        record: dict[str, Any] = {"given": lineage.to_dict(), "shards": given.folder}
        record |= {"checkpoints": None if checkpoint_dir is None else str(checkpoint_dir.absolute())}
        record |= {"link": None if daily.promote is None else daily.promote.name}
        record |= {} if day is None else {"daily": dict(day)}
        metadata = _metadata(outcome, given, record)
        return _kept(
            out,
            outcome,
            given,
            given.held_out if test else None,
            recommender,
            metadata,
            daily,
            overwrite,
            weighted_metrics,
            started,
        )


def _check_options(out: Path, overwrite: bool, write_recipe: Path | None, by: str | None, lacks_weights: bool) -> None:
    """Refuse what cannot be written or measured, before anything is read.

    Args:
        lacks_weights: whether metrics are to count weights that there are not.

    Raises:
        ConfigError: for a figure that there is not, weights that there are not, and a recipe that cannot be written.
        BundleError: where no bundle can be put at ``out``.
    """
    from shortlist.choosing.trial import parsed_metric
    from shortlist.recommender.folder import check_place

    if by is not None:
        parsed_metric(by)
    if lacks_weights:
        raise ConfigError(
            "--weighted-metrics was given, and no weights were.",
            hint="--weight COLUMN, or --weight-by COLUMN:VALUE=WEIGHT,…",
        )
    check_place(out, overwrite)
    if write_recipe is not None:
        check_recipe_place(write_recipe)


def _metadata(outcome: Outcome, given: TrainingData, record: Mapping[str, Any]) -> dict[str, Any]:
    """How the model was made, for its bundle.

    Args:
        record: what only the command knows of the run.
    """
    from shortlist.train.record import run_record

    metadata: dict[str, Any] = {"recipe": outcome.recipe.to_dict(), "training": list(outcome.training)}
    metadata["run"] = {**run_record(outcome.data, outcome.recipe.fit.seed), **record}
    if given.account is not None:
        metadata["account"] = given.account.to_dict()
    if outcome.choice is not None:
        metadata["choice"] = outcome.choice.to_dict()
    return metadata


def _kept(
    out: Path,
    outcome: Outcome,
    given: TrainingData,
    held_out: Dataset | None,
    recommender: Recommender,
    metadata: dict[str, Any],
    daily: Daily,
    overwrite: bool,
    weighted: bool,
    started: float,
) -> dict[str, Any]:
    """Compare and judge the model, save it, measure it and promote it; what the command says under --json."""
    from shortlist.recommender.bundle import add_metadata

    measured = None
    if daily.conditions and held_out is not None:  # the figures decide whether the bundle is kept
        measured = figures_of(outcome, given, recommender, weighted)
    evaluation = None if measured is None else measured["evaluation"]

    def compared() -> Verdict:
        return daily.compared(recommender, held_out, given.seen, evaluation)

    verdict = compared()
    metadata["since"] = verdict.since
    result = {**metadata, **verdict.to_dict(), "bundle": None}
    if verdict.passed or not out.exists():
        recommender.save(out, overwrite=overwrite, metadata=metadata)
        result |= {"bundle": str(out), "seconds": time.perf_counter() - started}
        say(f"saved {out} after {result['seconds']:.1f} s")
        say(f"  {shown(repr(recommender))}")
    if outcome.choice is not None:  # before the figures are measured, which takes long on a large catalogue
        say(f"\n{outcome.choice}\n", made=True)
    try:
        if measured is None and held_out is not None:
            measured = figures_of(outcome, given, recommender, weighted)
        if measured is not None:
            result |= {"evaluation": measured["evaluation"], "findings": measured["findings"]}
        lines = verdict_lines(outcome, measured, given)
        result["verdict"] = lines
        if result["bundle"] is not None:
            kept = {} if measured is None else {"measured": measured, "evaluation": measured["evaluation"]}
            add_metadata(out, {**kept, "verdict": lines})
    except KeyboardInterrupt:
        say(f"\nstopped while measuring; {out} is complete, but without the report's figures")
        sys.exit(INTERRUPTED)
    except BundleError as error:
        raise BundleError(error.message, hint=f"{out} is complete, but without the report's figures") from error
    for line in [] if outcome.choice is not None else lines:
        say(line)
    if result["bundle"] is not None:
        say(f"to see the report: shortlist report {typed(out)} -o report.html")
    verdict = daily.finish(out, verdict, result["bundle"] is not None, compared)
    return result | verdict.to_dict()


def _without_recipe(
    given: TrainingData,
    by: str | None,
    clock: Budget,
    refit: bool,
    device: str,
    seed: int,
    weighted: bool,
    check: Callable[[Outcome], None],
) -> Outcome:
    """The best of several models; popularity where there are too few rows to choose by.

    Args:
        check: called with the best, before its index and bundle are made.
    """
    rows = len(given.train) + (0 if given.held_out is None else len(given.held_out))
    if rows < LEAST:
        say(f"{counted(rows, 'interaction')}, too few to choose a model: everyone gets the most popular")
        return popular_outcome(given, refit)
    outcome = chosen_outcome(given, by, clock, refit, device, seed, weighted)
    check(outcome)
    return outcome


def _by_recipe(
    plan: Recipe, given: TrainingData, tensorboard: Path | None, mlflow: str | None, options: dict[str, Any]
) -> Outcome:
    """One recipe's model, with live curves if they are asked for; with several processes the first one draws them."""
    from shortlist.train.callbacks import together
    from shortlist.train.distributed import joined

    plan = plan.for_data(given.train, options.get("warm_start") is not None)
    epochs = int(plan.fit.epochs)
    if plan.als is None and plan.towers == "trained":  # popularity is not trained in steps
        warn_of_few_steps(len(given.train), epochs, int(plan.fit.batch_size))
    if plan.joined:
        say(f"{1 + len(plan.joined)} models are trained one after another and joined; these lines belong to the first")
    if plan.ranker is not None:
        times = plan.ranker.settings().trainings(given.train)
        say(f"the first stage is trained {times} times, for [ranker]; these lines belong to the first")
    with ExitStack() as stack:
        logs = curves(tensorboard, mlflow, plan.to_dict(), options["checkpoints"]) if joined().first else []
        for log in logs:
            stack.enter_context(log)
        bar = stack.enter_context(progress("training"))
        model, history = plan.train(
            given.train,
            validation=given.held_out,
            on_epoch=together(epoch_printer(epochs), *(log.on_epoch for log in logs)),
            on_batch=together(bar, *(log.on_batch for log in logs)),
            **options,
        )
    return Outcome(model, model, plan, given.train, given.seen, history.to_frame().to_dicts())
