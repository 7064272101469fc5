"""``shortlist report``: a bundle as a page to look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from shortlist.cli.console import names_in, print_json, say
from shortlist.cli.events import event_options
from shortlist.cli.reading import reading_options, sql_options, tables_of_bundle
from shortlist.language import shown, translated

if TYPE_CHECKING:
    from shortlist.data import Events, Reading

__all__ = ["command"]


@click.command("report")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("test", required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="File to write.",
)
@click.option(
    "--map", "method", default="pca", show_default=True, help="Projection of the map: pca or pacmap (an extra)."
)
@click.option("--baselines", help="Baselines, comma-separated (default: all that take seconds).")
@click.option("--weight", help="Column of TEST with the weight of each pair; see also --weight-by.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@event_options
@reading_options
@sql_options("test", required=False)
def command(
    bundle: Path,
    test: str | None,
    out: Path,
    method: str,
    baselines: str | None,
    weight: str | None,
    as_json: bool,
    events: Events,
    reading: Reading,
) -> None:
    """Write an HTML report for BUNDLE, one page that opens offline.

    With TEST, a table of interactions, every figure is measured on it. Without it, the page shows the figures measured
    when the bundle was trained.
    """
    import shortlist as sl
    from shortlist.recommender.manifest import MANIFEST, decoded
    from shortlist.report.facts import gathered
    from shortlist.report.summary import finding_name
    from shortlist.report.verdict import judged
    from shortlist.report.write import check_report_place, saved

    check_report_place(out)
    started = time.perf_counter()
    recommender = sl.Recommender.load(bundle)
    manifest = decoded(bundle / MANIFEST)
    data = None
    if test is not None:
        catalogue = recommender.towers.catalogue
        with tables_of_bundle():
            data = sl.Dataset(
                test,
                catalogue.query,
                catalogue.candidate,
                weight=weight,
                queries=catalogue.queries,
                candidates=catalogue.candidates,
                events=events,
                keep=recommender.towers.query.columns,
                reading=reading,
            )
    facts = gathered(
        recommender,
        data,
        name=bundle.resolve().name,
        method=method,
        baselines=None if baselines is None else names_in(baselines),
        weighted=data is not None and data.weight is not None,
        about={
            translated("Made"): translated(
                "{time} by shortlist {version}", time=manifest.created, version=manifest.library
            )
        },
    )
    size = saved(facts, out)
    verdict = judged(facts.measured, facts.findings, facts.choice)
    seconds = time.perf_counter() - started
    say(f"wrote {out} ({size / 1e6:.2f} MB) in {seconds:.1f} s; open it in a browser")
    if as_json:
        print_json({"report": str(out), "bytes": size, **verdict._asdict(), "findings": list(facts.findings)})
    else:
        click.echo(f"{verdict.headline}. {verdict.reason}")
        for finding in facts.findings:
            click.echo(f"{translated('warning')}: {finding_name(finding)}: {shown(finding['message'])}.")
