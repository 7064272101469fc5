"""``shortlist recommend``: query ids in, the top k out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import ESCAPED, print_json, say
from shortlist.cli.rules import rules_of, typed_ids, with_rules
from shortlist.errors import REMOVED_IN

if TYPE_CHECKING:
    from shortlist.recommender import Recommendations

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
@with_rules
@click.option("--explain", is_flag=True, help="Say which sources each item comes from, and because of which choices.")
@click.option("--chosen", multiple=True, hidden=True, help="The old name of --history.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    bundle: Path,
    ids: tuple[str, ...],
    k: int,
    include_seen: bool,
    where: str | None,
    history: tuple[str, ...],
    explain: bool,
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
        rerank=rules_of(recommender, rules),
        explain=explain,
    )
    if as_json:
        print_json(found.to_dicts())
        return
    click.echo(str(found).translate(ESCAPED))
    candidates = recommender.candidate_ids
    found_ids = set(candidates.filter(candidates.is_in(own))) if own else set()
    absent = [one for one in own if one not in found_ids]
    if absent:
        say(f"--history: the catalogue does not have {', '.join(map(str, absent))}; nothing follows from that")
    unknown = [query for query, known in zip(found.queries, found.known, strict=True) if not known]
    if unknown:
        how = "from what they chose" if own else _how_answered(found)
        say(f"unknown to the model: {', '.join(map(str, unknown))} (answered {how})")


def _how_answered(found: Recommendations) -> str:
    """A line on how queries that the model never saw were answered."""
    sources = {source for one in found if not one.known for source in one.sources}
    return "by popularity" if sources == {"popularity"} else "by what else the request says, or an average"
