"""``shortlist compare-logged``: a new bundle against lists that were shown."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json
from shortlist.errors import ConfigError

__all__ = ["command"]


@click.command("compare-logged")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("shown", type=click.Path(path_type=Path))
@click.option("--query", default="query", show_default=True, help="Column of query ids.")
@click.option("--candidate", default="candidate", show_default=True, help="Column of candidate ids.")
@click.option("--place", default="place", show_default=True, help="Column of places, from 1.")
@click.option("--clicked", default="clicked", show_default=True, help="Column that says whether it was clicked.")
@click.option("--propensity", help="Column with the chance that the candidate was in the list shown to this query.")
@click.option("--k", type=click.IntRange(1), help="Places of the new lists (default: those of the longest list shown).")
@click.option(
    "--examination",
    metavar="1,0.6,…",
    help="Chance that each place is looked at, comma-separated (default: estimated from pairs shown at several places).",
)
@click.option(
    "--least-support",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Refuse where less of the new lists was shown to the same query.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the intervals.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    bundle: Path,
    shown: Path,
    query: str,
    candidate: str,
    place: str,
    clicked: str,
    propensity: str | None,
    k: int | None,
    examination: str | None,
    least_support: float,
    seed: int,
    as_json: bool,
) -> None:
    """Estimate the clicks per list of BUNDLE from the lists in SHOWN, which another bundle showed.

    SHOWN is a table with a row per place shown, for example what shortlist impressions writes. BUNDLE must not have learned
    from these clicks. Estimates: inverse propensities (IPS), self-normalised (SNIPS), doubly robust, each with its 95%
    interval. Where too little of what BUNDLE would show was shown, the estimate is refused.

        shortlist compare-logged new.shortlist shown.parquet --k 10
    """
    import shortlist as sl

    result = sl.off_policy_evaluate(
        shown,
        sl.Recommender.load(bundle),
        query=query,
        candidate=candidate,
        place=place,
        clicked=clicked,
        propensity=propensity,
        k=k,
        examination=None if examination is None else _chances(examination),
        least_support=least_support,
        seed=seed,
    )
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(str(result))


def _chances(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--examination is {text!r}; numbers were expected, comma-separated.", hint="--examination 1,0.6,0.4"
        ) from None
