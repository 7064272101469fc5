"""``shortlist evaluate``: a bundle against test interactions."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json
from shortlist.errors import ConfigError

__all__ = ["command"]


@click.command("evaluate")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("test", type=click.Path(path_type=Path))
@click.option("--k", "ks", default="1,5,10,50,100", show_default=True, help="Cut-offs, separated by commas.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(bundle: Path, test: Path, ks: str, as_json: bool) -> None:
    """Measure BUNDLE on the interactions in TEST, over its whole catalogue, beside popularity.

    The table needs the id columns that the bundle was trained on. What a query chose in training is left out of its
    competition in the rows "seen items excluded".
    """
    import shortlist as sl
    from shortlist.evaluation.diagnostics import warn_of

    try:
        cuts = tuple(int(k) for k in ks.split(","))
    except ValueError:
        raise ConfigError(
            f"--k is {ks!r}; whole numbers separated by commas were expected.", hint="--k 1,10,100"
        ) from None
    recommender = sl.Recommender.load(bundle)
    catalogue = recommender.model.catalogue
    data = sl.Dataset(
        test, catalogue.query, catalogue.candidate, queries=catalogue.queries, candidates=catalogue.candidates
    )
    evaluation = sl.evaluate(recommender.model, data, seen=recommender.seen, ks=cuts)
    findings = sl.diagnose(recommender.model, data, training=recommender.metadata.get("training", ()))
    warn_of(findings)
    if as_json:
        print_json({**evaluation.to_dict(), "findings": [finding.to_dict() for finding in findings]})
    else:
        click.echo(str(evaluation))
