"""Options that state rules for whole lists (``Rerank``), of ``recommend`` and ``recommend-all``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from shortlist.errors import DataError

if TYPE_CHECKING:
    from shortlist.recommender import Recommender, Rerank

__all__ = ["NAMES", "rules_of", "typed_ids", "with_rules"]

T = TypeVar("T", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--diversify", default=0.0, metavar="D", help="From 0 (off) to 1: prefer items unlike those above them."
    ),
    click.option(
        "--at-most",
        nargs=2,
        type=(str, int),
        multiple=True,
        metavar="COLUMN N",
        help="At most N items of a list have one value of COLUMN; can be repeated.",
    ),
    click.option(
        "--pin",
        nargs=2,
        type=(int, str),
        multiple=True,
        metavar="PLACE CANDIDATE",
        help="Put CANDIDATE at PLACE, counted from 1; can be repeated.",
    ),
    click.option(
        "--boost",
        nargs=2,
        type=(str, float),
        multiple=True,
        metavar="CONDITION FACTOR",
        help="Lift candidates that meet CONDITION by FACTOR times the list's span; below 0 buries them. Up to 4 times.",
    ),
    click.option(
        "--explore", default=0.0, metavar="SHARE", help="Give this share of the places to candidates to explore."
    ),
    click.option(
        "--explore-rarer-than", type=int, metavar="N", help="Explore candidates with fewer training interactions."
    ),
    click.option("--explore-where", metavar="CONDITION", help="Explore candidates that meet CONDITION."),
    click.option("--seed", default=0, show_default=True, help="Of what is drawn to explore."),
)
NAMES = ("diversify", "at_most", "pin", "boost", "explore", "explore_rarer_than", "explore_where", "seed")
"""The options' names."""


def with_rules(command: T) -> T:
    """The command with the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rules_of(recommender: Recommender, options: dict[str, Any]) -> Rerank | None:
    """The rules that the options state; None for none. UsageError for two values of one place, column or condition."""
    import shortlist as sl

    given = {name: value for name, value in options.items() if name in NAMES}
    if not any(value for name, value in given.items() if name != "seed"):
        return None
    for name in ("at_most", "pin", "boost"):
        keys = [key for key, _ in given[name]]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise click.UsageError(f"--{name.replace('_', '-')} was given twice for {twice[0]!r}.")
        given[name] = dict(given[name])
    pinned = typed_ids(tuple(given["pin"].values()), recommender.candidate_ids.dtype.is_integer(), "candidate")
    return sl.Rerank(**given | {"pin": dict(zip(given["pin"], pinned, strict=True))})


def typed_ids(ids: tuple[str, ...], integers: bool, side: str = "query") -> list[str] | list[int]:
    """Ids from the command line in the bundle's type; DataError where an integer was expected and another text was given."""
    if not integers:
        return list(ids)
    from shortlist.data.ids import integer_id

    numbers: list[int] = []
    for text in ids:
        number = integer_id(text)
        if number is None:
            raise DataError(
                f"the bundle's {side} ids are integers; {text!r} was given.",
                hint="write an id as it is in the data, digits alone: 42, not +42, 4_2 or 42.0",
            )
        numbers.append(number)
    return numbers
