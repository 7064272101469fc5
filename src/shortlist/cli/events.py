"""Options of every command that reads interactions: which rows count, how much, and which count as seen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.errors import ConfigError

if TYPE_CHECKING:
    pass

__all__ = ["event_options"]

WEIGHTS = "event_type:view=1,cart=3,purchase=10"
OPTIONS = (
    click.option(
        "--where",
        metavar="CONDITION",
        help="Use only interactions that meet a condition, in SQL: \"event_type = 'purchase'\".",
    ),
    click.option("--weight-by", metavar="COLUMN:VALUE=WEIGHT,…", help=f"Weight interactions by a column: {WEIGHTS}."),
    click.option(
        "--seen-where",
        metavar="CONDITION",
        help="Which interactions count as seen and are excluded from lists (default: all).",
    ),
    click.option("--strip-ids", is_flag=True, help="Strip blanks from both ends of ids, and .0 from whole numbers."),
    click.option("--drop-null-ids", is_flag=True, help="Drop rows whose id is missing, empty, NaN, None or null."),
)


def event_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command these options, as one argument ``events``."""

    @functools.wraps(command)
    def collected(
        where: str | None,
        weight_by: str | None,
        seen_where: str | None,
        strip_ids: bool,
        drop_null_ids: bool,
        **others: Any,
    ) -> Any:
        from shortlist.data import Events

        weights = None if weight_by is None else _weights(weight_by)
        return command(events=Events(where, weights, seen_where, strip_ids, drop_null_ids), **others)

    for option in reversed(OPTIONS):
        collected = option(collected)
    return collected


def _weights(text: str) -> dict[str, dict[str, float]]:
    """``event_type:view=1,cart=3`` as ``{"event_type": {"view": 1.0, "cart": 3.0}}``. ConfigError for other text."""
    column, _, listed = text.partition(":")
    weights: dict[str, float] = {}
    for one in listed.split(","):
        value, _, weight = one.rpartition("=")
        try:
            number = float(weight)
        except ValueError:
            number = -1.0
        if not column or not value or not number >= 0:
            raise ConfigError(
                f"--weight-by is {text!r}; expected a column and the weight of each of its values, but got {one!r}.",
                hint=f"--weight-by {WEIGHTS}",
            )
        if value in weights:
            raise ConfigError(f"--weight-by lists {value!r} twice.", hint="give each value one weight")
        weights[value] = number
    return {column: weights}
