"""``shortlist recommend``: query ids in, the top k out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import print_json, say
from shortlist.errors import REMOVED_IN, DataError

if TYPE_CHECKING:
    from shortlist.recommender import Recommendations, Recommender, Rerank

__all__ = ["command"]


class _OfIds(click.RichCommand):
    """A command whose arguments are ids: one that begins with "-" looks like an option, and the error says what to do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            raise click.UsageError(
                f"{error.format_message()} If {name!r} is an id, write -- before the ids: "
                f"{ctx.command_path} BUNDLE -- {name}",
                ctx=ctx,
            ) from None


@click.command("recommend", cls=_OfIds)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("ids", nargs=-1, required=True)
@click.option("--k", default=10, show_default=True, help="Length of each list.")
@click.option("--include-seen", is_flag=True, help="Include items that the query has already chosen.")
@click.option(
    "--where",
    metavar="CONDITION",
    help="Return only candidates that meet a condition on their table's columns, in SQL: \"country = 'KR' and stock > 0\".",
)
@click.option(
    "--history", multiple=True, metavar="CANDIDATE", help="A candidate that every ID has chosen; can be repeated."
)
@click.option("--diversify", default=0.0, metavar="D", help="From 0 (off) to 1: prefer items unlike those above them.")
@click.option(
    "--at-most",
    nargs=2,
    type=(str, int),
    multiple=True,
    metavar="COLUMN N",
    help="At most N items of a list have one value of COLUMN; can be repeated.",
)
@click.option(
    "--pin",
    nargs=2,
    type=(int, str),
    multiple=True,
    metavar="PLACE CANDIDATE",
    help="Put CANDIDATE at PLACE, counted from 1; can be repeated.",
)
@click.option(
    "--boost",
    nargs=2,
    type=(str, float),
    multiple=True,
    metavar="CONDITION FACTOR",
    help="Lift candidates that meet CONDITION by FACTOR times the list's span; below 0 buries them. Up to 4 times.",
)
@click.option("--explore", default=0.0, metavar="SHARE", help="Give this share of the places to candidates to explore.")
@click.option(
    "--explore-rarer-than", type=int, metavar="N", help="Explore candidates with fewer training interactions."
)
@click.option("--explore-where", metavar="CONDITION", help="Explore candidates that meet CONDITION.")
@click.option("--seed", default=0, show_default=True, help="Of what is drawn to explore.")
@click.option("--chosen", multiple=True, hidden=True, help="The old name of --history.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    bundle: Path,
    ids: tuple[str, ...],
    k: int,
    include_seen: bool,
    where: str | None,
    history: tuple[str, ...],
    chosen: tuple[str, ...],
    as_json: bool,
    **rules: Any,
) -> None:
    """Print the top k of BUNDLE for query IDS, best first.

    Ids are read as the type they had in training. An unknown id gets an answer too and is reported as unknown; with
    --history the answer follows from its choices.
    """
    import shortlist as sl

    recommender = sl.Recommender.load(bundle)
    if chosen:
        say(f"--chosen is deprecated and will be removed in {REMOVED_IN}; use --history")
    own = typed_ids((*history, *chosen), recommender.candidate_ids.dtype.is_integer(), "candidate")
    found = recommender.recommend(
        typed_ids(ids, recommender.query_ids.dtype.is_integer()),
        k,
        exclude_seen=not include_seen,
        where=where,
        history=[own] * len(ids) if own else None,
        rerank=_rerank(recommender, **rules),
    )
    if as_json:
        print_json(found.to_dicts())
        return
    click.echo(str(found))
    unknown = [query for query, known in zip(found.queries, found.known, strict=True) if not known]
    if unknown:
        how = "from what they chose" if own else _how_answered(found)
        say(f"unknown to the model: {', '.join(map(str, unknown))} (answered {how})")


def _rerank(
    recommender: Recommender,
    at_most: tuple[tuple[str, int], ...],
    pin: tuple[tuple[int, str], ...],
    boost: tuple[tuple[str, float], ...],
    **options: Any,
) -> Rerank:
    """The rules that the options name. UsageError for an option that says two things of one place, column or condition."""
    import shortlist as sl

    for name, given in (("--at-most", at_most), ("--pin", pin), ("--boost", boost)):
        keys = [key for key, _ in given]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise click.UsageError(f"{name} was given twice for {twice[0]!r}.")
    pinned = typed_ids(tuple(one for _, one in pin), recommender.candidate_ids.dtype.is_integer(), "candidate")
    places = dict(zip([place for place, _ in pin], pinned, strict=True))
    return sl.Rerank(at_most=dict(at_most), pin=places, boost=dict(boost), **options)


def _how_answered(found: Recommendations) -> str:
    """A line on how queries that the model never saw were answered."""
    sources = {source for one in found if not one.known for source in one.sources}
    return "by popularity" if sources == {"popularity"} else "by what else the request says, or an average"


def typed_ids(ids: tuple[str, ...], integers: bool, side: str = "query") -> list[str] | list[int]:
    """Ids from the command line in the bundle's type; DataError where an integer was expected and another text was given."""
    from shortlist.data.ids import integer_id

    if not integers:
        return list(ids)
    numbers: list[int] = []
    for text in ids:
        number = integer_id(text)
        if number is None:
            raise DataError(
                f"the bundle's {side} ids are integers; {text!r} was given.",
                hint="write an id as it is in the data, digits alone: 42, not +42, 4_2 or 42.0",
            )
        numbers.append(number)
    return numbers
