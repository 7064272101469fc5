"""``shortlist train``: a table of interactions in, a bundle out."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import as_one, epoch_printer, print_json, progress, say
from shortlist.cli.daily import REFUSED, Daily, daily_options
from shortlist.cli.events import event_options
from shortlist.cli.on_ray import or_on_ray, train_on
from shortlist.cli.reading import reading_options, sql_options
from shortlist.cli.tracking import curves
from shortlist.cli.training_data import say_where_steps_are_few, training_data
from shortlist.errors import BundleError

if TYPE_CHECKING:
    from shortlist.cli.training_data import TrainingData
    from shortlist.data import Events, Reading
    from shortlist.model import TwoTower
    from shortlist.recommender import Recommender
    from shortlist.train import TrainingHistory
    from shortlist.train.recipes import Recipe

__all__ = ["command"]


@click.command("train")
@click.argument("interactions", required=False)
@click.option("--query", required=True, help="Column of query ids (who chose).")
@click.option("--candidate", required=True, help="Column of candidate ids (what was chosen).")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The bundle to write, for example my.shortlist."
)
@click.option("--time", "timestamp", help="Column of timestamps; the held-out part is then the latest.")
@click.option("--weight", help="Column of example weights.")
@click.option("--queries", type=click.Path(path_type=Path), help="Table of query features.")
@click.option("--candidates", type=click.Path(path_type=Path), help="Table of candidate features; also the catalogue.")
@click.option("--test", default=0.1, show_default=True, help="Share held out and measured; 0 trains on everything.")
@click.option(
    "--stream/--in-memory",
    "stream",
    default=None,
    help="Train from disk or from memory; by default from disk what is in an object store or would fill half the memory.",
)
@click.option(
    "--shards", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to encode to; implies --stream."
)
@click.option(
    "--recipe", help="A recipe's name, or a .toml file; by default yesterday's with --warm-start, else factorization."
)
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe, e.g. --set model.dim=64."
)
@click.option("--index", "index_name", default="auto", show_default=True, help="auto, exact, scann or faiss.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, …")
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="FOLDER", help="Write live curves to FOLDER.")
@click.option("--mlflow", metavar="EXPERIMENT", help="Log live curves to an MLflow experiment.")
@click.option(
    "--checkpoint-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep what is needed to go on after a stop.",
)
@click.option("--checkpoint-every", metavar="N", help="How often: 500steps, 30s, 5min (the default), 1h.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint of --checkpoint-dir, if there is one.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@or_on_ray(train_on)
@daily_options
@event_options
@reading_options
@sql_options("interactions")
@as_one
def command(
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
    changes: tuple[str, ...],
    index_name: str,
    device: str,
    tensorboard: Path | None,
    mlflow: str | None,
    checkpoint_dir: Path | None,
    checkpoint_every: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    daily: Daily,
    events: Events,
    reading: Reading,
) -> None:
    """Train on INTERACTIONS (.parquet, .csv, .csv.gz, …, a folder, a Delta table, s3://…) and write a bundle.

    A part of the interactions is held out and measured, beside popularity, so that the figures are honest.

    Several processes train as one: torchrun --nproc-per-node 4 -m shortlist train …, or --on a Ray
    cluster (see docs/guides/cluster.md).
    """
    from shortlist.cli.checkpointing import checkpoints_of
    from shortlist.cli.indexes import index_named
    from shortlist.train.device import chosen_device
    from shortlist.train.distributed import joined

    chosen_device(device)
    if out.exists() and not overwrite:
        raise BundleError(f"{str(out)!r} is there already.", hint="choose another --out, or add --overwrite")
    daily.check(test, timestamp)
    plan = daily.recipe(recipe, changes)
    checkpoints = checkpoints_of(checkpoint_dir, checkpoint_every, resume)
    index = index_named(index_name)
    started = time.perf_counter()
    columns: dict[str, Any] = {"query": query, "candidate": candidate, "timestamp": timestamp, "weight": weight}
    columns |= {"queries": queries, "candidates": candidates, "events": events, "reading": reading}
    given = daily.data(training_data(interactions, columns, test, stream, shards, plan))
    if plan.als is None:  # which takes no steps
        say_where_steps_are_few(len(given.train), plan.fit.epochs, plan.fit.batch_size)
    options = {"device": device, "checkpoints": checkpoints, "warm_start": daily.warm_start()}
    model, history = _trained(plan, given, tensorboard, mlflow, options)
    if not joined().first:
        return  # the first of several processes has the model
    recommender, result, metadata = _measured(plan, given, model, history, index)
    result["since"] = metadata["since"] = daily.since(recommender, given.held_out, given.seen)
    judged = daily.judged(result["since"], result.get("evaluation"))
    passed = all(one.passed for one in judged)
    result |= {"passed": passed, "conditions": [asdict(one) for one in judged], "bundle": None}
    if passed or not out.exists():
        recommender.save(out, overwrite=overwrite, metadata=metadata)
        result |= {"bundle": str(out), "seconds": time.perf_counter() - started}
        say(f"wrote {out} in {result['seconds']:.1f} s: {recommender!r}")
        say(f"to look at it: shortlist report {out} -o report.html")
    daily.finish(out, passed, result["bundle"] is not None)
    if as_json:
        print_json(result)
    if not passed:
        sys.exit(REFUSED)


def _trained(
    plan: Recipe, given: TrainingData, tensorboard: Path | None, mlflow: str | None, options: dict[str, Any]
) -> tuple[TwoTower, TrainingHistory]:
    """The model, with live curves where they were asked for; of several processes the first one draws them."""
    from shortlist.train.callbacks import together
    from shortlist.train.distributed import joined

    if plan.joined:
        say(f"{1 + len(plan.joined)} models, one after another, to be joined; the lines are of the first")
    with ExitStack() as stack:
        logs = curves(tensorboard, mlflow, plan.to_dict(), options["checkpoints"]) if joined().first else []
        for log in logs:
            stack.enter_context(log)
        bar = stack.enter_context(progress("training"))
        return plan.train(
            given.train,
            validation=given.held_out,
            on_epoch=together(epoch_printer(plan.fit.epochs), *(log.on_epoch for log in logs)),
            on_batch=together(bar, *(log.on_batch for log in logs)),
            **options,
        )


def _measured(
    plan: Recipe, given: TrainingData, model: TwoTower, history: TrainingHistory, index: Any
) -> tuple[Recommender, dict[str, Any], dict[str, Any]]:
    """What serves the model, what the command says of it, and what its bundle keeps."""
    import shortlist as sl
    from shortlist.report import measure
    from shortlist.train.record import run_record

    result: dict[str, Any] = {"training": history.to_frame().to_dicts()}
    if given.held_out is not None:
        evaluation = sl.evaluate(model, given.held_out, seen=given.seen)
        say(f"\n{evaluation}\n")
        result["evaluation"] = evaluation.to_dict()
    recommender = sl.Recommender(model, index=index, seen=given.seen)
    result["run"] = run_record(given.train, plan.fit.seed)
    if given.account is not None:
        result["account"] = given.account.to_dict()
    metadata = {"recipe": plan.to_dict(), **result}
    if given.held_out is not None:
        say("measuring baselines and segments for the report")
        measured = measure(model, given.held_out, seen=given.seen, training=result["training"], index=recommender.index)
        metadata["measured"] = measured
        result["findings"] = measured["findings"]  # fit has warned of them
    return recommender, result, metadata
