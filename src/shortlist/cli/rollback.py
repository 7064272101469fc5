"""``shortlist rollback``: the bundle before."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json, say
from shortlist.language import shown

__all__ = ["command"]


@click.command("rollback")
@click.argument("link", type=click.Path(path_type=Path))
@click.option("--list", "only_list", is_flag=True, help="Only list what was promoted, newest last.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(link: Path, only_list: bool, as_json: bool) -> None:
    """Point LINK at the bundle that was promoted before the current one, after verifying it.

    A server started with LINK switches to it between two requests.
    """
    import msgspec

    from shortlist.recommender.promotion import promotions, rollback

    if only_list:
        found = promotions(link)
        if as_json:
            print_json(msgspec.to_builtins(found))
        else:
            click.echo(
                "\n".join(f"{one.at or shown('before'):25}  {one.bundle}" for one in found)
                or shown("nothing was promoted")
            )
        return
    done = rollback(link)
    say(f"{link} → {done.bundle}")
    if as_json:
        print_json(msgspec.to_builtins(done))
