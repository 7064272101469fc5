"""``shortlist plan``: the time and memory of a training, from a sample."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import facts, print_json, say, say_account
from shortlist.cli.events import event_options
from shortlist.cli.reading import reading_options, sql_options
from shortlist.errors import ConfigError
from shortlist.language import counted, sized

if TYPE_CHECKING:
    from shortlist.data import Events, Reading
    from shortlist.data.shards import Source
    from shortlist.train.forecast import Forecast
    from shortlist.train.phases import PhaseForecast

__all__ = ["command"]

LIKELY = {
    "query": ("user", "query", "customer", "visitor", "reader", "member", "session"),
    "candidate": ("item", "candidate", "movie", "product", "article", "track", "film", "book", "song", "video"),
}


@click.command("plan")
@click.argument("interactions", required=False)
@click.argument("recipe", default="factorization")
@click.option("--query", help="Column of query ids (default: a column with a usual name, such as user_id).")
@click.option("--candidate", help="Column of candidate ids (default: a column with a usual name, such as item_id).")
@click.option("--time", "timestamp", help="Column of timestamps.")
@click.option("--weight", help="Column of example weights.")
@click.option("--queries", type=click.Path(path_type=Path), help="Table of query features.")
@click.option("--candidates", type=click.Path(path_type=Path), help="Table of candidate features.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe, e.g. --set model.dim=64."
)
@click.option("--sample", default=2_000_000, show_default=True, help="Number of rows to sample.")
@click.option("--count", is_flag=True, help="Count distinct ids over all rows; reads both columns once.")
@click.option(
    "--index",
    "index_name",
    default="auto",
    show_default=True,
    help="auto, exact, quantized, scann, faiss, or a vector database (as for `shortlist index --to`).",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, …")
@click.option(
    "--processes", default=1, show_default=True, help="Number of processes that divide the tables (torchrun)."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@event_options
@reading_options
@sql_options("interactions", follows="recipe")
def command(
    interactions: str,
    recipe: str,
    query: str | None,
    candidate: str | None,
    timestamp: str | None,
    weight: str | None,
    changes: tuple[str, ...],
    sample: int,
    count: bool,
    index_name: str,
    device: str,
    processes: int,
    as_json: bool,
    events: Events,
    reading: Reading,
    **tables: Path | None,
) -> None:
    """Forecast the memory and time of training RECIPE on INTERACTIONS (a file, a folder, s3://…).

    Prints rows, ids, memory of tables and optimizer, the most memory of each phase (build, steps, checkpoint, index, save,
    serving, swap) for the largest process, and time per epoch on this machine. Writes nothing.

        shortlist plan log/ recipe.toml --query user_id --candidate item_id
    """
    import shortlist as sl
    from shortlist.cli.indexes import index_named
    from shortlist.data.shards import find, interactions_of
    from shortlist.train.device import chosen_device
    from shortlist.train.forecast import forecast

    chosen_device(device)
    plan = sl.recipes.load(recipe, changes)
    index = index_named(index_name)
    head = find(interactions, reading=reading)
    query = query or _guessed(head, "query")
    candidate = candidate or _guessed(head, "candidate")
    columns: dict[str, str | None] = {"query": query, "candidate": candidate, "timestamp": timestamp, "weight": weight}
    times = [] if timestamp is None else [timestamp]
    given: dict[str, Any] = {**tables, "reading": reading.of_features()}
    with tempfile.TemporaryDirectory() as copies:  # of text files
        files = find(
            interactions,
            reading=reading,
            ids=[query, candidate],
            times=times,
            columns=_read(head, [*columns.values(), *events.mentioned(), *plan.interaction_columns]),
            copies=Path(copies),
        )
        source, columns["weight"] = interactions_of(files, columns, events)
        found = forecast(
            source, plan, columns, given, sample=sample, count=count, index=index, device=device, processes=processes
        )
        notes = _left_out(files, found.rows)
    found = replace(found, account=replace(found.account, files=found.files, notes=(*found.account.notes, *notes)))
    if as_json:
        print_json(found.to_dict())
        return
    say_account(found.account, "looked at")
    click.echo("\n".join(lines(found)))


def _read(head: Source, named: Sequence[str | None]) -> list[str]:
    """Those of these columns that exist."""
    there = head.names()
    return [column for column in dict.fromkeys(named) if column is not None and column in there]


def _left_out(files: Source, kept: int) -> list[str]:
    """How many rows are not interactions, as a note."""
    rows = sum(files.rows(file) for file in files.files)
    return [f"left out {rows - kept:,} of {counted(rows, 'row')} that are not interactions"] if kept < rows else []


def _guessed(source: Source, role: str) -> str:
    """The one column with a usual name for such ids. ConfigError where there is none, or several."""
    names = source.names()
    found = [name for name in names if any(word in name.lower() for word in LIKELY[role])]
    if len(found) != 1:
        raise ConfigError(
            f"it is not clear which column has the {role} ids: there are {', '.join(map(repr, names))}.",
            hint=f"name it: --{role} COLUMN",
        )
    say(f"taking {found[0]!r} for the {role} ids")
    return found[0]


def lines(found: Forecast) -> list[str]:
    """A forecast as a person reads it."""
    rows: list[tuple[str, str]] = [
        ("interactions", f"{found.rows:,}{_files(found.files)}, {found.sampled:,} looked at"),
        ("queries", str(found.queries)),
        ("candidates", str(found.candidates)),
        ("", ""),
    ]
    rows += [
        (table.name, f"{sized(table.weights)}, optimizer {sized(table.optimizer)} ({table.rows:,} × {table.dim})")
        for table in found.tables
    ]
    rows += [
        ("dense layers", sized(found.dense)),
        ("ids and codes", sized(found.ids)),
        ("", ""),
        (
            "training in memory",
            f"{sized(found.training_in_memory)}, {sized(found.interactions_in_memory)} of it interactions",
        ),
        ("training from disk", f"{sized(found.training_from_disk)}, and {sized(found.shards)} of shards on the disk"),
        (f"index ({found.index_kind})", sized(found.index)),
        ("", ""),
        *((phase.name, _phase(phase)) for phase in found.phases),
        ("memory there is", f"{sized(found.memory)}: {_advice(found)}"),
        ("", ""),
        ("speed here", f"{found.examples_per_second:,.0f} examples/s on the sample"),
        (
            "an epoch",
            f"{_duration(found.seconds_per_epoch)}; {found.epochs} of them {_duration(found.seconds_per_epoch * found.epochs)}",
        ),
    ]
    return list(facts(rows))


def _files(count: int | None) -> str:
    return "" if count is None else f" in {count:,} {'file' if count == 1 else 'files'}"


def _phase(phase: PhaseForecast) -> str:
    return f"{sized(phase.memory)} of memory" + (f", {sized(phase.disk)} on the disk" if phase.disk else "")


def _advice(found: Forecast) -> str:
    peak = found.peak
    if peak.memory > found.memory:
        return (
            f"too little for the phase {peak.name!r}, {sized(peak.memory)}; a smaller dim, RowwiseAdagrad, model.table_dtype, "
            "model.table_folder or min_count take less, and each of several processes (torchrun) takes its part"
        )
    return "train from memory" if found.from_memory else "train from disk (--stream)"


def _duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
