"""``shortlist clean``: what a link no longer needs is removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from shortlist.cli.console import print_json, say
from shortlist.errors import ConfigError

__all__ = ["cleaned", "command"]


@click.command("clean")
@click.argument("link", type=click.Path(path_type=Path))
@click.option("--keep", default=7, show_default=True, help="How many promoted bundles to keep, with the served one.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option(
    "--collections",
    "uri",
    metavar="ADDRESS",
    help="Also drop old collections in this vector database (as for `shortlist index --to`).",
)
@click.option("--name", help="With --collections: the alias that they belong to.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(link: Path, keep: int, dry_run: bool, uri: str | None, name: str | None, as_json: bool) -> None:
    """Remove the bundles, cached shards and checkpoints that LINK no longer needs.

    Kept are the bundle that LINK points to, the newest of its record, whatever another link or record names, and whatever a
    server or a training is using. `shortlist rollback LINK` steps over what is gone.
    """
    if (uri is None) != (name is None):
        raise ConfigError("--collections and --name belong together.", hint="--collections movies.db --name movies")
    done = cleaned(link, keep, dry_run, uri, name)
    if as_json:
        print_json(done)


def cleaned(
    link: Path, keep: int, dry_run: bool = False, uri: str | None = None, name: str | None = None
) -> dict[str, Any]:
    """Clean, print each item, and return the result as JSON values."""
    from shortlist.recommender.cleaning import clean, remaining

    done = clean(link, keep, dry_run)
    for one in done.removed:
        say(f"{'would remove' if dry_run else 'removed'} {one.kind} {one.path} ({one.bytes / 1e6:,.1f} MB)")
    result = done.to_dict()
    if uri is not None and name is not None:
        from shortlist.index.databases import drop_versions, place_named

        olds = {one.path for one in done.removed}
        wanted = remaining(link) if not dry_run else remaining(link, without=olds)
        database = place_named(uri, collection=name).database()
        dropped = drop_versions(database, name, wanted, dry_run)
        for collection in dropped:
            say(f"{'would remove' if dry_run else 'removed'} collection {collection}")
        result["removed"] += [{"kind": "collection", "path": collection} for collection in dropped]
    if not result["removed"]:
        say("nothing to remove")
    for path, reason in done.kept:
        say(f"kept {path}: {reason}")
    return result
