"""One more source for a mixture that was found: its weights, its figure, and the recipe that repeats it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from shortlist.choosing.blending import best_addition
from shortlist.choosing.choice import Tried
from shortlist.choosing.trial import Figure, Trial
from shortlist.errors import ShortlistWarning
from shortlist.sources import Mixture, Weights, towers_of
from shortlist.train.recipe import Recipe, SourceSection, TowersSection

__all__ = ["TEMPERATURES", "Addition", "added", "further", "one_more", "temperatures_of"]

TEMPERATURES = (0.5, 1, 2, 4, 8)  # times the one of the loss, in a mixture
OF_ALS = 0.15
DIGITS = 6  # of a share in a recipe
TRAINED_AGAIN = 1.15  # times the seconds of the first time
LATER = 20  # ranks after a mixture of two


class Addition(NamedTuple):
    """A mixture with one more source.

    Attributes:
        recipe: trains it.
        figure: with weights that other queries chose.
    """

    name: str
    recipe: Recipe
    mixture: Mixture
    figure: Figure


def temperatures_of(recipe: Recipe) -> list[float]:
    """The temperatures at which towers are tried in a mixture."""
    base = recipe.loss.temperature if recipe.als is None else OF_ALS
    return [base * times for times in TEMPERATURES]


def further(measured: list[Tried], towers: Tried, table: Tried) -> list[Tried]:
    """Sources to add to a mixture of these two: the best other towers, and the best table of another kind.

    Args:
        measured: best first.
    """
    kinds = {"towers": towers, "neighbours": table}
    found = []
    for kind, own in kinds.items():
        others = [one for one in measured if one.kind == kind and one.name != own.name and _kind(one) != _kind(table)]
        found += others[:1]
    return found


def added(best: Tried, towers: Tried, table: Tried, other: Tried, trial: Trial) -> Addition:
    """The mixture ``best``, of ``towers`` and ``table``, with another source: the towers or the table of ``other``."""
    mixture = best.model
    assert isinstance(mixture, Mixture)
    assert other.model is not None
    source = towers_of(other.model) if other.kind == "towers" else _table(other)
    blended = best_addition(mixture, source, trial, temperatures_of(other.recipe))
    recipe = _recipe(best.recipe, other, blended.mixture.weights)
    weights, temperatures = recipe.mixing()
    sources: list[Any] = [mixture.towers, mixture.neighbours, source]
    found = Mixture(sources, blended.mixture.histories, weights=weights, temperatures=temperatures)
    return Addition(f"{best.name} + {other.name}", recipe, found, blended.measure(trial))


def one_more(
    chosen: Tried,
    pair: tuple[Tried, Tried],
    measured: list[Tried],
    trial: Trial,
    left: Callable[[], float],
    refits: bool,
) -> Tried | None:
    """The chosen mixture with one more source: other towers or another kind of table, whichever has the higher figure.

    Args:
        pair: the towers and the table that it has.
        measured: what could be added, best first.
        left: seconds of the budget that are left.
        refits: whether all of it will be trained again.

    Returns:
        None where there is nothing to add, or no time for it.
    """
    assert chosen.figure is not None
    found = []
    for other in further(measured, *pair):
        started = time.perf_counter()
        fits = sum(one.seconds for one in (*pair, other))
        if fits * TRAINED_AGAIN * refits + 2 * chosen.seconds + 4 * chosen.figure.seconds > left():
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ShortlistWarning)
            name, recipe, mixture, figure = added(chosen, *pair, other, trial)
        seconds = time.perf_counter() - started
        found.append(Tried(name, "mixture", chosen.rank + LATER, recipe, figure, seconds, model=mixture))
    return max(found, key=lambda one: one.figure.value, default=None)  # type: ignore[union-attr]


def _kind(one: Tried) -> str | None:
    """The kind of a table; None of towers."""
    return None if one.kind == "towers" or one.recipe.neighbours is None else one.recipe.neighbours.kind


def _table(one: Tried) -> Any:
    assert isinstance(one.model, Mixture)
    return one.model.neighbours


def _recipe(recipe: Recipe, other: Tried, weights: Weights) -> Recipe:
    """The recipe of the mixture with one more source.

    Args:
        weights: of towers, tables; the new one is the last of its kind.
    """
    section = recipe.neighbours
    assert section is not None
    total = sum(weights.values)
    first = weights.values[0]
    if other.kind == "towers":
        own, neighbours = weights.values[1], weights.values[2]
        fields = {name: getattr(other.recipe, name) for name in TowersSection.__struct_fields__}
        towers = TowersSection(**fields)
        source = SourceSection(
            kind="towers", weight=_rounded(own / total), temperature=weights.temperatures[1], towers=towers
        )
    else:
        neighbours, own = weights.values[1], weights.values[2]
        its = other.recipe.neighbours
        assert its is not None
        options: dict[str, int | float | str] = {**its.options}
        source = SourceSection(kind=its.kind, weight=_rounded(own / total), options=options)
    share = neighbours / (first + neighbours) if first + neighbours > 0 else section.share
    again = msgspec.structs.replace(section, share=_rounded(share), temperature=weights.temperatures[0])
    return msgspec.structs.replace(recipe, neighbours=again, sources=[source])


def _rounded(share: float) -> float:
    return round(share, DIGITS)
