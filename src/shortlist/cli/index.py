"""``shortlist index``: a bundle's candidates into Milvus."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import rich_click as click

from shortlist.cli.console import print_json, progress, say

__all__ = ["command"]


@click.command("index")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--to", "uri", required=True, help="Address of a Milvus cluster (http://host:19530), or a file that ends in .db."
)
@click.option("--name", help="Alias of the newest version (default: the bundle's name).")
@click.option("--links", default=32, show_default=True, help="Neighbours per node of the graph.")
@click.option(
    "--build-effort", default=100, show_default=True, help="Candidates compared per node while building the graph."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(bundle: Path, uri: str, name: str | None, links: int, build_effort: int, as_json: bool) -> None:
    """Copy the id and vector of every candidate of BUNDLE into a Milvus collection.

    Each bundle has its own collection. The alias is switched to it when the copy is complete; an interrupted run leaves
    the alias unchanged. To go back, run the command with the earlier bundle: its collection is kept. The token is read
    from MILVUS_TOKEN.
    """
    import shortlist as sl
    from shortlist.index.publish import publish

    recommender = sl.Recommender.load(bundle)
    alias = name or re.sub(r"\W", "_", bundle.absolute().stem, flags=re.ASCII)
    place = sl.Milvus(uri, collection=alias, links=links, build_effort=build_effort)
    index = recommender.index
    ids = recommender.candidate_ids.gather(index.ids).to_numpy()
    with progress("candidates") as bar:
        done = publish(place, recommender.fingerprint[:16], ids, np.asarray(index.vectors), bar)
    what = f"wrote {done.rows:,} candidates to" if done.written else f"{done.rows:,} candidates were already in"
    say(f"{what} {done.collection}")
    before = "" if done.before in (None, done.collection) else f" (before: {done.before}, which is kept)"
    say(f"the alias {done.alias} at {uri} now points to it{before}")
    if as_json:
        print_json(done.to_dict())
