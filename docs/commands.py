"""The reference of the command line, made from the commands themselves: ``python docs/commands.py`` writes ``docs/commands.md``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from shortlist.cli.main import COMMANDS

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Every command and every option, as `shortlist COMMAND --help` prints them. Results go to stdout, messages to stderr. Exit codes: 0
done, 1 the command failed, 2 the command line was wrong, 3 a condition of `--promote-if` or `--if` does not hold, 130
interrupted; `daily` also has 4 (no new data) and 5 (another run is in progress).
"""


def page() -> str:
    """The page: a heading for each command, its text, and a table of its options."""
    return HEAD + "".join(_command(name) for name in COMMANDS)


def _command(name: str) -> str:
    command: click.Command = importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command
    context = click.Context(command, info_name=f"shortlist {name}")
    usage = " ".join(["shortlist", name, *command.collect_usage_pieces(context)])
    text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    lines = [f"\n## {name}\n", "```text", usage, "```\n", _escaped(text), ""]
    rows = [row for parameter in command.params for row in _row(parameter, context)]
    if rows:
        lines += ["| option | | default |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _row(parameter: click.Parameter, context: click.Context) -> Iterator[str]:
    """The line of an option that is shown in the help."""
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.secondary_opts:
        names += " / " + ", ".join(f"`{name}`" for name in parameter.secondary_opts)
    shown = "" if parameter.is_flag else f" `{_escaped(parameter.make_metavar(context))}`"
    help_text = _escaped(" ".join((parameter.help or "").split()))
    yield f"| {names}{shown} | {help_text} | {_default(parameter)} |"


def _default(parameter: click.Option) -> str:
    """The default, where there is one to show."""
    if parameter.required:
        return "required"
    value: Any = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    if parameter.is_flag or parameter.multiple or value is None or callable(value) or "UNSET" in repr(value):
        return ""
    return f"`{value}`"


def _escaped(text: str) -> str:
    """Text that stays in its cell, whatever it holds."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
