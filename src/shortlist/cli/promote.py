"""``shortlist promote``: which bundle is served."""

from __future__ import annotations

import sys
from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json, say, say_promoted
from shortlist.cli.judging import judged_of
from shortlist.cli.retraining import REFUSED

__all__ = ["command"]


@click.command("promote")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("link", type=click.Path(path_type=Path))
@click.option(
    "--if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help='Condition such as "top_100 >= yesterday - 0.002" on the figures in the bundle; exit code 3 if it fails.',
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(bundle: Path, link: Path, conditions: tuple[str, ...], as_json: bool) -> None:
    """Verify BUNDLE and point LINK, such as current, at it.

    A server started with LINK switches to it between two requests. `shortlist rollback LINK` undoes it.
    """
    import msgspec

    from shortlist.recommender.promotion import alone, promote

    with alone(link):
        if not all(one.passed for one in judged_of(bundle, conditions, link)):
            say(f"not promoted: {link} is unchanged")
            sys.exit(REFUSED)
        done = promote(bundle, link)
    say_promoted(link, done.bundle)
    if as_json:
        print_json(msgspec.to_builtins(done))
