"""The command line in another language: its commands, their options, and click's own words."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import rich_click as click
from rich_click import rich_click

from shortlist.errors import ConfigError
from shortlist.language import from_environment, language, shown, speaking, translated
from shortlist.language.catalogue import ENGLISH

__all__ = ["HEADINGS", "asked_language", "in_language", "in_words", "speaking_commands", "texts_of"]

OPTION = "--lang"
TITLES = {
    "OPTIONS_PANEL_TITLE": "Options",
    "ARGUMENTS_PANEL_TITLE": "Arguments",
    "COMMANDS_PANEL_TITLE": "Commands",
    "ERRORS_PANEL_TITLE": "Error",
    "DEFAULT_STRING": "[default: {}]",
    "REQUIRED_LONG_STRING": "[required]",
}
SUGGESTION = "Try the command with --help."
USAGE = "Usage:"
HELP = "Show this message and exit."
HEADINGS = (*TITLES.values(), SUGGESTION, USAGE, HELP)
"""The words of click and rich-click in every command's help."""

T = TypeVar("T", bound=click.Command)


def asked_language(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The language that the arguments ask for, or else the locale; and the arguments without ``--lang``.

    Raises:
        ConfigError: where nothing follows it.
    """
    code, rest = None, list(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    for place in reversed(range(end)):
        name, given, value = rest[place].partition("=")
        if name != OPTION:
            continue
        if not given and place + 1 >= end:
            raise ConfigError(f"{OPTION} was given without a language.", hint=f"{OPTION} ko")
        code = value if given else rest[place + 1]
        del rest[place : place + (1 if given else 2)]
    return from_environment() if code is None else code, rest


@contextmanager
def speaking_commands(code: str) -> Iterator[None]:
    """Within it, messages are in the language ``code``, and so are the headings of help.

    Raises:
        ConfigError: where there is no such language.
    """
    with speaking(code):
        if language() == ENGLISH:
            yield
            return
        before = {name: getattr(rich_click, name) for name in (*TITLES, "ERRORS_SUGGESTION")}
        for name, title in TITLES.items():
            setattr(rich_click, name, translated(title))
        rich_click.ERRORS_SUGGESTION = translated(SUGGESTION)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(rich_click, name, value)


def in_language(command: T) -> T:
    """The command, with its help in the language in force."""
    if language() == ENGLISH:
        return command
    there = copy.copy(command)
    there.help = None if command.help is None else translated(_joined(command.help))
    there.params = [copy.copy(one) for one in command.params]
    for one in there.params:
        if isinstance(one, click.Option) and one.help:
            one.help = translated(_joined(one.help))
    own_help = command.get_help_option

    def get_help_option(ctx: click.Context) -> click.Option | None:
        found = own_help(ctx)
        if found is None:
            return None
        option: click.Option = copy.copy(found)
        option.help = translated(HELP)
        return option

    def format_usage(ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, " ".join(there.collect_usage_pieces(ctx)), prefix=translated(USAGE))

    there.get_help_option, there.format_usage = get_help_option, format_usage  # type: ignore[method-assign]
    return there


def texts_of(command: click.Command) -> Iterator[str]:
    """The texts of a command that ``in_language`` translates."""
    if command.help:
        yield _joined(command.help)
    for one in command.params:
        if isinstance(one, click.Option) and one.help and not one.hidden:
            yield _joined(one.help)


def in_words(error: click.UsageError) -> click.UsageError:
    """A mistake on the command line, in the language in force."""
    if language() == ENGLISH:
        return error
    return click.UsageError(shown(error.format_message()), ctx=error.ctx)


def _joined(text: str) -> str:
    """Paragraphs of help, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))
