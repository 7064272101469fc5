"""``shortlist train``: a table of interactions in, a bundle out."""

from __future__ import annotations

import functools
import sys
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click

from shortlist.cli.console import as_json_text, print_json
from shortlist.cli.on_ray import or_on_ray, train_on
from shortlist.cli.retraining import REFUSED
from shortlist.cli.training import trained
from shortlist.errors import ConfigError, ShortlistError

__all__ = ["command"]

MAX_SEED = (1 << 64) - 1


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
