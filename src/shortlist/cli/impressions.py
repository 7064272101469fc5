"""``shortlist impressions``: a server's log of impressions as one table."""

from __future__ import annotations

import io
from pathlib import Path

import rich_click as click

from shortlist.cli.console import print_json, say
from shortlist.errors import ConfigError
from shortlist.language import counted
from shortlist.store import write_file

__all__ = ["command"]

DAY = 86_400.0


@click.command("impressions")
@click.argument("state", type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Parquet file to write.")
@click.option(
    "--within",
    default=DAY,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds after a list was shown within which an event counts as its click.",
)
@click.option("--query", default="query", show_default=True, help="Name of the column of query ids.")
@click.option("--candidate", default="candidate", show_default=True, help="Name of the column of candidate ids.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(state: Path, out: Path, within: float, query: str, candidate: str, as_json: bool) -> None:
    """Write the impressions in STATE, the --state folder of a server, as a table.

    One row per place shown: request, bundle, query, candidate, place, clicked, at. An event counts as a click on the last
    list that showed its candidate to its query. The table is what fit(impressions=), compare-logged and
    off_policy_evaluate read.

        shortlist impressions state/ --out shown.parquet --within 3600
    """
    from shortlist.serve.impression_table import impression_table

    if out.suffix != ".parquet":
        raise ConfigError(f"--out is {str(out)!r}; a .parquet file was expected.", hint=f"--out {out.stem}.parquet")
    table = impression_table(state, within, query, candidate)
    content = io.BytesIO()
    table.write_parquet(content)  # not to the file: Polars calls a full disk "Invalid thrift: transport error"
    try:
        write_file(out, content.getvalue())
    except OSError as error:
        raise ConfigError(f"cannot write {str(out)!r}: {error.strerror}.", hint="choose another --out") from None
    clicked = int(table["clicked"].sum())
    queries = table[query].n_unique()
    say(f"wrote {counted(len(table), 'place')} shown to {counted(queries, 'query')}, {clicked:,} clicked, to {out}")
    if as_json:
        print_json({"rows": len(table), "queries": queries, "clicked": clicked, "out": str(out)})
