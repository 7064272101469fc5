"""``shortlist index``: a bundle's candidates into a vector database."""

from __future__ import annotations

import re
from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json, progress, say
from shortlist.language import counted

__all__ = ["command"]


@click.command("index")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "address",
    required=True,
    metavar="ADDRESS",
    help="Database: a file that ends in .db or http://host:19530 (Milvus), postgresql://…, qdrant:http://host:6333, lancedb:FOLDER.",
)
@click.option("--name", help="Alias of the newest version (default: the bundle's name).")
@click.option("--links", default=32, show_default=True, help="Neighbours per node of the graph.")
@click.option(
    "--build-effort", default=100, show_default=True, help="Candidates compared per node while building the graph."
)
@click.option(
    "--recall", default=0.8, show_default=True, help="Recall@10 that a sample must reach before the alias is switched."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    bundle: Path, address: str, name: str | None, links: int, build_effort: int, recall: float, as_json: bool
) -> None:
    """Copy the id, vector and columns of every candidate of BUNDLE into a vector database: Milvus, PostgreSQL, Qdrant, LanceDB.

    Each bundle has its own collection. The alias is switched to it when the copy is complete and a sample finds what exact
    search finds; an interrupted run leaves the alias unchanged. To go back, run the command with the earlier bundle: its
    collection is kept. Credentials are read from the environment: MILVUS_TOKEN, PGPASSWORD, QDRANT_API_KEY, LANCEDB_API_KEY.
    """
    import shortlist as sl
    from shortlist.index.databases import place_named

    recommender = sl.Recommender.load(bundle)
    alias = name or re.sub(r"\W", "_", bundle.absolute().stem, flags=re.ASCII)
    place = place_named(address, collection=alias, links=links, build_effort=build_effort)
    with progress("candidates") as bar:
        done = sl.publish(recommender, place, recall=recall, on_rows=bar)
    rows = counted(done.rows, "candidate")
    found = f"wrote {rows} to {done.collection}" if done.written else f"{done.collection} already had {rows}"
    say(f"{found} (recall@10 on a sample: {done.recall:.3f})")
    if done.left_out:
        say(f"columns that {place.title} cannot store were left out: {', '.join(done.left_out)}")
    before = "" if done.before in (None, done.collection) else f" (before: {done.before}, which is kept)"
    say(f"the alias {done.alias} at {done.uri} now points to it{before}")
    if as_json:
        print_json(done.to_dict())
