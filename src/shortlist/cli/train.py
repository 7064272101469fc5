"""``shortlist train``: a table of interactions in, a bundle out."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.choosing import SHARE, check_recipe_place, chooses, chosen_outcome, popular_outcome
from shortlist.cli.choosing import write_recipe as save_recipe
from shortlist.cli.console import INTERRUPTED, as_json_text, as_one, epoch_printer, print_json, progress, say, typed
from shortlist.cli.events import event_options
from shortlist.cli.on_ray import or_on_ray, train_on
from shortlist.cli.outcome import Outcome, check_outcome, figures_of, verdict_lines
from shortlist.cli.reading import reading_options, sql_options
from shortlist.cli.retraining import REFUSED, Daily, Verdict, daily_options
from shortlist.cli.room import Room
from shortlist.cli.tracking import curves
from shortlist.cli.training_data import training_data, warn_of_few_steps
from shortlist.errors import BundleError, ConfigError, ShortlistError
from shortlist.language import shown

if TYPE_CHECKING:
    from shortlist.cli.training_data import TrainingData
    from shortlist.data import Dataset, Events, Reading
    from shortlist.recommender import Recommender
    from shortlist.train.recipes import Recipe

__all__ = ["command", "trained"]

LEAST = 20  # interactions that a choice can be made on
MAX_SEED = (1 << 64) - 1


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
    from shortlist.choosing.trial import parsed_metric
    from shortlist.cli.checkpointing import checkpoints_of
    from shortlist.cli.indexes import index_named
    from shortlist.evaluation.testset import checked_weights
    from shortlist.recommender.folder import check_place
    from shortlist.train.device import chosen_device
    from shortlist.train.distributed import joined

    started = time.perf_counter()
    clock = Budget(seconds_of(budget), started)
    if by is not None:
        parsed_metric(by)
    place = chosen_device(device)
    if weighted_metrics and weight is None and events.weight_by is None:
        raise ConfigError(
            "--weighted-metrics was given, and no weights were.",
            hint="--weight COLUMN, or --weight-by COLUMN:VALUE=WEIGHT,…",
        )
    check_place(out, overwrite)
    if write_recipe is not None:
        check_recipe_place(write_recipe)
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
        rows = len(given.train) + (0 if given.held_out is None else len(given.held_out))
        if plan is None and rows < LEAST:
            say(f"{rows:,} interactions are too few to choose a model: everyone gets the most popular")
            outcome = popular_outcome(given, refit)
        elif plan is None:
            outcome = chosen_outcome(given, by, clock, refit, device, seed, weighted_metrics)
            Room(outcome.recipe, index, place, joined(), out, None, force).check(outcome.data)
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
        record = {"given": lineage.to_dict(), "shards": given.folder, "checkpoints": _absolute(checkpoint_dir)}
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


def _absolute(folder: Path | None) -> str | None:
    return None if folder is None else str(folder.absolute())


def work(options: dict[str, Any]) -> None:
    """The work of every worker of a Ray cluster: this command, in the process group that Ray Train has made."""
    from ray.train import report

    from shortlist.cli.on_ray import result_file
    from shortlist.train.distributed import joined
    from shortlist.train.processes import StoppedTrainingError

    try:
        result = trained(**options)
    except SystemExit as left:
        raise StoppedTrainingError(
            "another worker stopped with the same error.", hint="see the error of that worker"
        ) from left
    except ShortlistError as error:
        if joined().stopped_before(error):
            raise StoppedTrainingError(error.message, error.hint) from error
        raise
    if result is not None:
        result_file(options["out"]).write_text(as_json_text(result), encoding="utf-8")
    report({})


@click.command("train")
@click.argument("interactions", required=False)
@click.option("--query", required=True, help="Column of query ids (who chose).")
@click.option("--candidate", required=True, help="Column of candidate ids (what was chosen).")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The bundle to write, for example my.shortlist."
)
@click.option("--time", "timestamp", help="Column of timestamps; the latest rows are then held out.")
@click.option("--weight", help="Column of example weights.")
@click.option("--queries", type=click.Path(path_type=Path), help="Table of query features.")
@click.option(
    "--candidates", type=click.Path(path_type=Path), help="Table of candidate features; its ids are the catalogue."
)
@click.option(
    "--test", default=0.1, show_default=True, help="Share of rows held out for measuring; 0 trains on everything."
)
@click.option(
    "--stream/--in-memory",
    "stream",
    default=None,
    help="Train from disk or from memory. Default: from disk if the data is in an object store or larger than half of memory.",
)
@click.option(
    "--shards", type=click.Path(path_type=Path), metavar="FOLDER", help="Folder for the encoded data; implies --stream."
)
@click.option(
    "--recipe",
    default=None,
    metavar="NAME|FILE",
    help="auto (the default) tries several models and keeps the best. Or als, factorization, features, history, sequence, "
    "tutorial, or a .toml file. Default with --warm-start: yesterday's recipe.",
)
@click.option(
    "--budget", default="2min", show_default=True, help="Time for choosing and training without a recipe: 90s, 10min."
)
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=42,
    show_default=True,
    help="Seed of the choice: held-out rows, weights, shuffling.",
)
@click.option("--by", metavar="METRIC", help="Metric to choose by: recall@10 (the default), ndcg@20, …")
@click.option(
    "--refit/--no-refit",
    default=True,
    show_default=True,
    help="After the choice, train again on all rows, including held-out ones.",
)
@click.option(
    "--write-recipe", type=click.Path(path_type=Path), metavar="FILE", help="Write the chosen model as a recipe."
)
@click.option(
    "--cold-start",
    type=click.Choice(["auto", "unknown", "popularity", "refuse"]),
    default="auto",
    show_default=True,
    help="Answer for unknown queries. auto: popularity if the model reads only ids.",
)
@click.option(
    "--weighted-metrics",
    is_flag=True,
    help="Count held-out interactions by their weights, in every figure and in the choice.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Start even if index or bundle would not fit; save even if the model learned nothing or the index misses too much.",
)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe, e.g. --set model.dim=64."
)
@click.option(
    "--index",
    "index_name",
    default="auto",
    show_default=True,
    help="auto, exact, quantized, scann, faiss, or a vector database (as for `shortlist index --to`).",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, …")
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="FOLDER", help="Write live curves to FOLDER.")
@click.option("--mlflow", metavar="EXPERIMENT", help="Log live curves to an MLflow experiment.")
@click.option(
    "--checkpoint-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write checkpoints to FOLDER.",
)
@click.option(
    "--checkpoint-every", metavar="N", help="Time or steps between checkpoints: 500steps, 30s, 5min (the default), 1h."
)
@click.option("--resume", is_flag=True, help="Resume from the newest checkpoint in --checkpoint-dir, if there is one.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--max-failures",
    type=click.IntRange(0),
    metavar="N",
    help="With --on and --checkpoint-dir: start lost workers again, up to N times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@or_on_ray(partial(train_on, work))
@functools.wraps(trained, assigned=())  # its options, not its docstring
def command(as_json: bool, max_failures: int | None, **options: Any) -> None:
    """Train on INTERACTIONS (.parquet, .csv, .csv.gz, …, a folder, a Delta table, s3://…) and write a bundle.

    Without --recipe, several models are tried within --budget and compared on held-out interactions. The best is
    trained again on all interactions. The bundle is saved before the report's figures are measured.

    To train one recipe with several processes: torchrun --nproc-per-node 4 -m shortlist train …, or --on a Ray
    cluster (see docs/guides/cluster.md).
    """
    if max_failures is not None:
        raise ConfigError("--max-failures was given without --on.", hint="--on ADDRESS; torchrun has --max-restarts")
    result = trained(**options)
    if result is not None and as_json:
        print_json(result)
    if result is not None and not result["passed"]:
        sys.exit(REFUSED)


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
