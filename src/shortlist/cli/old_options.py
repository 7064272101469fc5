"""Options under the names that they had before: hidden, and still accepted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import rich_click as click

from shortlist.cli.console import say
from shortlist.errors import REMOVED_IN, ConfigError

__all__ = ["old_option"]


def old_option(old: str, new: str, argument: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the old name of the option ``new``, which fills ``argument``; using it prints a line on stderr.

    The command raises ConfigError where both names are given.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        hidden = "old_" + old.strip("-").replace("-", "_")

        @functools.wraps(command)
        def collected(**options: Any) -> None:
            value = options.pop(hidden)
            if value is not None and options[argument] is not None:
                raise ConfigError(f"{old} and {new} were both given.", hint=f"leave {old} out; it is the old name")
            if value is not None:
                say(f"{old} is deprecated and will be removed in {REMOVED_IN}; use {new}")
                options[argument] = value
            command(**options)

        return click.option(old, hidden, hidden=True)(collected)

    return decorated
