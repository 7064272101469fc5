"""``shortlist tune``: the fastest index that keeps a promised recall, into a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import print_json, say, show
from shortlist.cli.events import event_options
from shortlist.cli.reading import reading_options, sql_options
from shortlist.cli.result_files import check_result_file, write_result_file
from shortlist.errors import BundleError, ConfigError
from shortlist.language import counted, shown

if TYPE_CHECKING:
    from shortlist.data import Events, Reading
    from shortlist.recommender import Recommender

__all__ = ["command"]


@click.command("tune")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--recall",
    default=0.95,
    show_default=True,
    help="Recall to reach, 0 to 1: the share of the true top k that is found.",
)
@click.option("--k", default=100, show_default=True, help="The k of --recall.")
@click.option(
    "--backend",
    "backends",
    help="Backends to try, comma-separated: exact, quantized, scann, faiss, hnsw, ivfpq (default: all).",
)
@click.option("--test", help="Table of test interactions, to measure what the index costs in accuracy.")
@click.option("--out", type=click.Path(path_type=Path), help="Bundle to write (default: replace BUNDLE).")
@click.option(
    "--curve", type=click.Path(path_type=Path), help="Write the curve to NAME.json and NAME.svg (default: OUT.tuning)."
)
@click.option("--minutes", type=float, help="Start no further build after this many minutes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the sample of queries.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@event_options
@reading_options
@sql_options("test", option="--test", required=False)
def command(
    bundle: Path,
    recall: float,
    k: int,
    backends: str | None,
    test: str | None,
    out: Path | None,
    curve: Path | None,
    minutes: float | None,
    seed: int,
    as_json: bool,
    events: Events,
    reading: Reading,
) -> None:
    """Give BUNDLE the fastest index that reaches a recall of the true top k on its own queries.

    Settings are chosen on half of a sample of the bundle's queries and checked on the other half, allowing for
    sampling error. If no setting reaches the recall, or exact search is no slower, the bundle gets exact search. The
    bundle is replaced in one step. The recall–latency curve is written next to it.
    """
    import shortlist as sl
    from shortlist.recommender.folder import check_place
    from shortlist.tuning.picture import curve_svg

    place = (out or bundle).absolute()
    stem = curve or place.with_name(f"{place.name}.tuning")
    if minutes is not None and not minutes >= 0:
        raise ConfigError(f"--minutes is {minutes}; a number of at least 0 was expected.")
    if out is not None and out.exists():
        raise BundleError(f"{str(out)!r} already exists.", hint="choose another --out, or omit --out to replace BUNDLE")
    recommender = sl.Recommender.load(bundle)
    check_place(place, overwrite=out is None)
    files = {"json": f"{stem}.json", "svg": f"{stem}.svg"}
    for name in files.values():
        check_result_file(Path(name), _unwritable)
    tuned = sl.tune(
        recommender,
        recall=recall,
        k=k,
        backends=None if backends is None else [name.strip() for name in backends.split(",")],
        test=None if test is None else _test(test, recommender, events, reading),
        seconds=None if minutes is None else minutes * 60,
        seed=seed,
        say=say,
    )
    measured = tuned.to_dict()
    tuned.recommender.save(place, overwrite=out is None)
    write_result_file(Path(files["json"]), json.dumps(measured, indent=1) + "\n", _unwritable)
    write_result_file(Path(files["svg"]), curve_svg(measured), _unwritable)
    if as_json:
        print_json(
            {
                "bundle": str(out or bundle),
                "files": files,
                **{name: value for name, value in measured.items() if name != "points"},
            }
        )
        return
    _show(measured)
    say(f"wrote {out or bundle}, {files['json']} and {files['svg']}")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the curve could not be written to {str(path)!r}: {error.strerror or error}.", hint="choose another --curve"
    )


def _test(path: str, recommender: Recommender, events: Events, reading: Reading) -> Any:
    import shortlist as sl

    state = recommender.served.state
    keep = recommender.towers.query.columns
    return sl.Dataset(path, state.query, state.candidate, events=events, keep=keep, reading=reading)


def _show(measured: Mapping[str, Any]) -> None:
    """The result as text."""
    from shortlist.tuning.spaces import TITLES

    chosen = measured["chosen"]
    show(
        f"{TITLES[chosen['backend']]} · {counted(measured['candidates'], 'candidate')}, {counted(measured['dim'], 'number')} each"
    )
    settings = {name: value for name, value in chosen["settings"].items() if value is not None and name != "kind"}
    if settings:
        click.echo("  " + "  ".join(f"{name} {value}" for name, value in settings.items()))
    click.echo("")
    show("recall on held-out queries     mean  at least  worst 5%  worst 1%")
    for entry in chosen["recalls"]:
        promised = shown("  (promised)") if entry["k"] == measured["k"] else ""
        figures = (entry["mean"], max(0.0, entry["lower"]), entry["worst_5"], entry["worst_1"])
        click.echo(f"  top {entry['k']:<24}" + "".join(f"{value:>9.4f} " for value in figures).rstrip() + promised)
    click.echo("")
    median, tail, exact = (chosen[name] for name in ("milliseconds", "milliseconds_99", "exact_milliseconds"))
    show(f"a query   {median:.3g} ms (99th percentile {tail:.3g}); exact search {exact:.3g} ms")
    show(f"memory    {chosen['nbytes'] / 1e6:,.1f} MB; built in {chosen['build_seconds']:.1f} s")
    if "accuracy" in measured:
        accuracy = measured["accuracy"]
        show(f"accuracy  on {counted(accuracy['pairs'], 'test pair')}, seen items excluded")
        for name, value in accuracy["exact"].items():
            show(f"  {name.replace('_', '-'):<10} {accuracy['index'][name]:.4f}; exact search {value:.4f}")
    for name, reason in measured["missing"].items():
        say(f"left out: {name}: {reason}")
    show(measured["reason"])
