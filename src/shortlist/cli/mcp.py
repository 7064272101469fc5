"""``shortlist mcp``: a bundle's tools for an assistant, over standard input and output."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from shortlist.errors import MissingExtraError

__all__ = ["command"]


@click.command("mcp")
@click.argument("bundle", type=click.Path(path_type=Path))
def command(bundle: Path) -> None:
    """Offer BUNDLE to an assistant as tools of the Model Context Protocol, over standard input and output.

    The tools recommend, explain, list similar candidates, look candidates up by title, and describe the bundle. They only read.
    An assistant starts the command itself: give it "shortlist" with the arguments "mcp" and the bundle's absolute path.
    """
    try:
        from shortlist.serve.tools import tool_server
    except ModuleNotFoundError as missing:
        raise MissingExtraError(missing.name or "prometheus_client", "mcp", "shortlist mcp") from missing
    from shortlist.serve.loaded import Loaded

    tool_server(Loaded.read(bundle)).run("stdio")
