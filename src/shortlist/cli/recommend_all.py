"""``shortlist recommend-all``: every query's top k, as Parquet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rich_click as click

from shortlist.cli.console import print_json, progress, say
from shortlist.cli.on_ray import or_on_ray, recommend_all_on
from shortlist.cli.rules import rules_of, with_rules
from shortlist.language import counted

__all__ = ["command"]


@click.command("recommend-all")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Folder of Parquet files to write.")
@click.option("--k", default=100, show_default=True, help="Length of each list.")
@click.option("--include-seen", is_flag=True, help="Include items that the query has already chosen.")
@click.option(
    "--where", help="Return only candidates that meet a condition, in SQL: \"year > 1990 and genre = 'Drama'\"."
)
@with_rules
@click.option("--vectors", is_flag=True, help="Write each candidate's vector too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@or_on_ray(recommend_all_on)
def command(
    bundle: Path, out: Path, k: int, include_seen: bool, where: str | None, vectors: bool, as_json: bool, **rules: Any
) -> None:
    """Write the top k of BUNDLE for every query in its training data.

    An interrupted run resumes where it stopped. manifest.json is written last.
    """
    import shortlist as sl

    recommender = sl.Recommender.load(bundle)
    started = time.perf_counter()
    with progress("queries") as bar:
        done = recommender.recommend_all(
            out,
            k,
            exclude_seen=not include_seen,
            where=where,
            rerank=rules_of(recommender, rules),
            vectors=vectors,
            on_part=bar,
        )
    again = f" ({done.found:,} of {counted(done.parts, 'file')} there already)" if done.found else ""
    say(
        f"wrote {counted(done.rows, 'row')} for {counted(done.queries, 'query')} to {out} in {time.perf_counter() - started:.1f} s{again}"
    )
    if as_json:
        print_json(done.to_dict())
