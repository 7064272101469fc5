"""The contenders of one choice: each is fitted and measured in its turn, the best are mixed, and one wins."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from shortlist.choosing.blending import best_blend
from shortlist.choosing.budget import Budget, Speed
from shortlist.choosing.choice import Tried, luck
from shortlist.choosing.contenders import Contender
from shortlist.choosing.early_stop import Watch
from shortlist.choosing.trial import Figure, Trial
from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError, DataError, ShortlistWarning, TrainingError
from shortlist.sources import Mixture, towers_of
from shortlist.train import recipes
from shortlist.train.model_section import TowersSection
from shortlist.train.recipes import Recipe
from shortlist.train.sections import NeighboursSection

__all__ = ["Tournament", "without_warnings"]

T = TypeVar("T")
PATIENCE = 3  # a training ends after so many measurements without a better one
MEASURED = 10  # times in a training
LONGER = 2  # times the recipe's own epochs, at most
LEVEL, LEVEL_AT_BOTH = 1.0, 0.5  # standard errors within which two contenders are level
TEMPERATURES = (0.5, 1, 2, 4, 8)  # times the one of the loss, in a mixture
OF_ALS = 0.15
SHORT, SHORTEST = 0.05, 0.5  # a run to estimate a training takes at most this share of what is left, or so many seconds
RESERVE = 2.0  # seconds kept for the steps after the contenders


class Tournament:
    """The contenders of one choice, and their results so far."""

    def __init__(
        self,
        train: Dataset | Shards,
        trial: Trial,
        budget: Budget,
        device: str,
        say: Callable[[str], None],
        refits: bool,
    ) -> None:
        self.train, self.trial, self.budget, self.device, self.say = train, trial, budget, device, say
        self.refits = refits
        self.speed = Speed()
        self.tried: dict[str, Tried] = {}

    def enter(self, contender: Contender, share: float = 1.0) -> Tried:
        """Fit and measure a contender if the budget allows it, or else a lighter form of it, where there is one.

        Args:
            share: of its epochs that it is trained for.
        """
        tried = self._entered(contender, share)
        while tried.figure is None and contender.lighter is not None:
            contender = contender.lighter
            del self.tried[contender.name]
            tried = self._entered(contender, share)
        return tried

    def _entered(self, contender: Contender, share: float) -> Tried:
        """Fit and measure this form of a contender if the budget allows it."""
        if contender.reason is not None:
            return self._left_out(contender, contender.reason)
        if contender.kind != "popularity" and self.budget.left <= RESERVE:  # an estimate may need a training of its own
            return self._left_out(
                contender, f"{max(self.budget.left, 0):.1f} s were left, and {RESERVE:g} s are kept to finish"
            )
        most = self._epochs(contender, share)
        started = time.perf_counter()
        try:
            short = max(SHORT * self.budget.left, SHORTEST)
            needs = without_warnings(lambda: self.speed.estimate(contender, self.train, most, short))
            if self._descends(contender) and share >= 1:  # fewer epochs where all of them would not fit
                room = (self.budget.left - RESERVE) / (2.1 if self.refits else 1) / max(needs, 1e-9)
                most = most if room >= 1 else max(self._epochs(contender, 0.25), int(most * room))
                needs *= most / max(self._epochs(contender, share), 1)
            if contender.kind != "popularity" and needs * (2.1 if self.refits else 1) + RESERVE > self.budget.left:
                left = max(self.budget.left, 0)
                return self._left_out(
                    contender,
                    f"takes about {needs:.1f} s{', as long again for the refit' if self.refits else ''}, and {RESERVE:g} s are kept to "
                    f"finish; {left:.1f} s were left",
                )
            tried = without_warnings(lambda: self._fitted(contender, most))
        except (TrainingError, DataError, ConfigError) as error:
            return self._left_out(contender, error.message.rstrip("."))
        tried = replace(tried, seconds=time.perf_counter() - started, note=contender.note)
        before = self.tried.get(contender.name)
        figure = tried.figure
        assert figure is not None
        if before is None or before.figure is None or before.figure.value <= figure.value:
            self.tried[contender.name] = tried
        self._say_of(tried)
        return tried

    def halve(self, field_: list[Contender]) -> None:
        """Successive halving: all at a part of their epochs, then the better half at twice as many, until one is left."""
        alive = []
        for one in field_:
            if one.reason is None:
                alive.append(one)
            else:
                self._left_out(one, one.reason)
        share = {1: 1.0, 2: 0.5}.get(len(alive), 0.25)
        while alive:
            share = 1.0 if len(alive) == 1 else min(share, 0.5)
            measured = [(one, self.enter(one, share)) for one in alive]
            able = [(one, tried) for one, tried in measured if tried.figure is not None]
            if share >= 1.0 or not able:
                return
            able.sort(key=lambda pair: -pair[1].figure.value)  # type: ignore[union-attr]
            alive = [one for one, _ in able[: max(1, len(able) // 2)]]
            share = min(1.0, 2 * share)

    def mix(self) -> None:
        """The best towers with the two best tables of neighbours and with the second best towers; these with the best table."""
        measured = [one for one in self.ranked() if one.figure is not None]
        towers = [one for one in measured if one.kind == "towers"][:2]
        tables = [one for one in measured if one.kind == "neighbours"][:2]
        pairs = [(one, table, 20 + one.rank) for one in towers[:1] for table in tables]
        pairs += [(one, table, 20 + one.rank) for one in towers[1:2] for table in tables[:1]]
        if isinstance(self.train, Dataset):  # a recipe of several towers trains in memory
            pairs += [(towers[0], one, 40 + one.rank) for one in towers[1:2]]
        for one, other, rank in pairs:
            names = f"{one.name} + {other.name}", f"{other.name} + {one.name}"
            if not any(name in self.tried for name in names):
                self._blend(one, other, rank)

    def winner(self) -> Tried:
        """The best; or the simplest that is level with it. ConfigError where none could be measured."""
        measured = [one for one in self.ranked() if one.figure is not None]
        if not measured:
            reasons = "; ".join(f"{one.name}: {one.reason}" for one in self.tried.values())
            raise ConfigError(f"no model could be measured ({reasons}).", hint="name a recipe: --recipe als")
        best = measured[0]
        level = [one for one in measured if _is_level(best, one, _margin(one, len(measured)))]
        simplest = min(level, key=lambda one: one.rank)
        if simplest.kind == "popularity":
            return simplest
        both = self._at_both(level)
        best = max(both, key=lambda one: (one.figure.value, -one.rank))  # type: ignore[union-attr]
        rank = min(one.rank for one in both if _is_level(best, one, LEVEL_AT_BOTH))
        return next(one for one in level if one.rank == rank)

    @staticmethod
    def _at_both(level: list[Tried]) -> list[Tried]:
        """The contenders with the sum of their figures at the cut-off and at ten times it, each as a share of the highest.

        In a small catalogue they would not differ there; the contenders are then returned as they are.
        """
        figures = [
            (one.figure, one.figure.deep) for one in level if one.figure is not None and one.figure.deep is not None
        ]
        if len(figures) < 2:
            return level
        most = [max(figure.value for figure in at_k) or 1.0 for at_k in zip(*figures, strict=True)]
        return [
            replace(one, figure=figure.scaled(1 / most[0]).plus(deep.scaled(1 / most[1])))
            for one, (figure, deep) in zip(level, figures, strict=True)
        ]

    def ranked(self) -> tuple[Tried, ...]:
        """Best first, then those that were not measured."""
        return tuple(
            sorted(
                self.tried.values(),
                key=lambda one: (one.figure is None, -(one.figure.value if one.figure else 0), one.rank),
            )
        )

    def _left_out(self, contender: Contender, reason: str) -> Tried:
        tried = Tried(contender.name, contender.kind, contender.rank, contender.recipe, reason=reason)
        return self.tried.setdefault(contender.name, tried)

    @staticmethod
    def _descends(contender: Contender) -> bool:
        """Whether the contender is trained by gradient descent."""
        return contender.recipe.als is None and contender.recipe.towers == "trained"

    def _epochs(self, contender: Contender, share: float) -> int:
        fit = contender.recipe.for_data(self.train).fit
        if not self._descends(contender):
            return int(fit.epochs)
        longer = LONGER if share >= 1 and fit.schedule == "constant" else 1
        return max(1, round(int(fit.epochs) * share * longer))

    def _fitted(self, contender: Contender, epochs: int) -> Tried:
        recipe, trial = contender.recipe.for_data(self.train), self.trial
        if recipe.towers != "trained":
            model, _ = recipe.train(self.train)
            found = recipe
            if recipe.neighbours is not None and isinstance(model, Mixture):
                blended = best_blend(model.towers, model.neighbours, trial, (1.0,), (0.5, 0.8, 0.95))
                found, figure = _with_blend(recipe, blended.mixture), blended.measure(trial)
                return Tried(contender.name, contender.kind, contender.rank, found, figure, model=blended.mixture)
            return Tried(contender.name, contender.kind, contender.rank, found, trial.measure(model), model=model)
        options: dict[str, Any] = {"epochs": epochs, "device": self.device}
        measured = self._descends(contender) and recipe.fit.schedule == "constant"
        if measured:  # with another schedule the last epoch is the one that counts
            watch = Watch(trial, self._best_figure(), self.budget.left - RESERVE, self.refits)
            options |= {
                "validation": watch.measure,
                "monitor": Watch.NAME,
                "validate_every": max(1, epochs // MEASURED),
            }
            options |= {"patience": PATIENCE, "on_epoch": watch.ends, "on_batch": watch.on_batch}
        model, history = recipe.train_towers(self.train, **options)
        best = history.best if measured else epochs
        found = msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.fit, epochs=best))
        return Tried(contender.name, contender.kind, contender.rank, found, trial.measure(model), model=model)

    def _say_of(self, tried: Tried) -> None:
        """A line about a contender; of one query there is no standard error."""
        assert tried.figure is not None
        value, error = tried.figure.value, tried.figure.error
        spread = "" if math.isnan(error) else f" ± {error:.4f}"
        self.say(f"  {tried.name:<24} {self.trial.name} {value:.4f}{spread}   {tried.seconds:.1f} s")

    def _best_figure(self) -> Figure | None:
        """The best figure so far."""
        found = [one.figure for one in self.tried.values() if one.figure is not None]
        return max(found, key=lambda one: one.value, default=None)

    def _blend(self, one: Tried, other: Tried, rank: int) -> None:
        """A mixture of towers with a table of neighbours or with other towers, measured."""
        assert one.model is not None
        assert other.model is not None
        name = f"{one.name} + {other.name}"
        recipe = one.recipe
        contender = Contender(name, "mixture", recipe, rank)
        needs = (one.seconds + other.seconds) * 1.15 * self.refits + 2 * (one.figure.seconds if one.figure else 0)
        if needs + RESERVE > self.budget.left:
            self._left_out(
                contender,
                f"takes about {needs:.1f} s with the refit, and {RESERVE:g} s are kept to finish; {max(self.budget.left, 0):.1f} s were left",
            )
            return
        started = time.perf_counter()
        towers = towers_of(one.model)
        if isinstance(other.model, Mixture):
            blended = best_blend(towers, other.model.neighbours, self.trial, _temperatures(recipe))
            found = _with_blend(msgspec.structs.replace(recipe, neighbours=other.recipe.neighbours), blended.mixture)
        else:
            of_other = _temperatures(other.recipe)
            blended = best_blend(towers, other.model, self.trial, _temperatures(recipe), of_other=of_other)
            found = _with_towers(recipe, other.recipe, blended.mixture)
        mixture = blended.mixture
        figure = blended.measure(self.trial)
        seconds = time.perf_counter() - started
        self.tried[name] = Tried(name, "mixture", rank, found, figure, seconds, model=mixture)
        self._say_of(self.tried[name])


def _is_level(best: Tried, other: Tried, errors: float) -> bool:
    """Whether the best is ahead by no more than so many standard errors of the difference."""
    assert best.figure is not None
    assert other.figure is not None
    if other is best:
        return True
    lead, error = best.figure.lead_over(other.figure)
    return lead <= errors * error


def _margin(other: Tried, contenders: int) -> float:
    """The standard errors by which the best of so many may be ahead of this one and still be level with it."""
    return luck(contenders) if other.kind == "popularity" else LEVEL


def _temperatures(recipe: Recipe) -> list[float]:
    """The temperatures at which towers are tried in a mixture."""
    base = recipe.loss.temperature if recipe.als is None else OF_ALS
    return [base * times for times in TEMPERATURES]


def _with_blend(recipe: Recipe, mixture: Mixture) -> Recipe:
    section = recipe.neighbours or NeighboursSection()
    blend = mixture.blend
    return msgspec.structs.replace(
        recipe, neighbours=msgspec.structs.replace(section, share=blend.share, temperature=blend.temperature)
    )


def _with_towers(recipe: Recipe, other: Recipe, mixture: Mixture) -> Recipe:
    """The recipe of a mixture of two towers."""
    plain = other.to_dict()
    towers = {name: plain[name] for name in TowersSection.__struct_fields__}
    (_, share), (own, of_other) = mixture.weights.values, mixture.weights.temperatures
    source = {"kind": "towers", "weight": share, "temperature": of_other, "towers": towers}
    return recipes.load({**recipe.to_dict(), "temperature": own, "sources": [source]})


def without_warnings(work: Callable[[], T]) -> T:
    """The work's result; its warnings are not shown while contenders are tried."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShortlistWarning)
        return work()
