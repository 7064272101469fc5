"""Several recipes on several splits, in one table: figures with their mean and spread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shortlist.data import Dataset, Split
from shortlist.data.argument_checks import check_dataset, check_seed
from shortlist.display import Tabular, table_html
from shortlist.errors import ConfigError, check_flags, checked_list
from shortlist.evaluation import METRICS, evaluate
from shortlist.evaluation.metrics import metric_names
from shortlist.language import WIDTH, columns, counted, cut, padded
from shortlist.train import recipes as named
from shortlist.train.recipe import Recipe

__all__ = ["CrossValidation", "compare_all", "cross_validate"]

SIDE_BY_SIDE = 2  # figures of a printed line
NAME = WIDTH - SIDE_BY_SIDE * 19 - 9  # columns of a printed name
Named = str | Recipe
Part = tuple[Dataset, Dataset, Dataset]


@dataclass(frozen=True)
class CrossValidation(Tabular):
    """Figures of each recipe on each split.

    Attributes:
        rows: a dict for each recipe and split: "recipe", "split" (counted from 1), the figures, and "seconds" of the training.
        seen: "seen_out" or "seen_in", how lists were measured.
    """

    rows: tuple[Mapping[str, Any], ...]
    seen: str

    @property
    def metrics(self) -> list[str]:
        """The figures that were measured, such as "recall_10"."""
        return [name for name in self.rows[0] if name not in ("recipe", "split", "seconds")]

    def to_frame(self) -> pl.DataFrame:
        """A row for each recipe and split."""
        return pl.DataFrame(list(self.rows))

    def summary(self) -> pl.DataFrame:
        """A row for each recipe: the mean of each figure over the splits, its standard deviation ("… ±"), and the mean seconds;
        the best recipe by the first figure at the top."""
        figures = [(pl.col(one).mean(), pl.col(one).std().alias(f"{one} ±")) for one in self.metrics]
        flat = [column for pair in figures for column in pair]
        table = self.to_frame().group_by("recipe", maintain_order=True).agg(*flat, pl.col("seconds").mean())
        return table.sort(self.metrics[0], descending=True)

    def __repr__(self) -> str:
        recipes, splits = (len({row[name] for row in self.rows}) for name in ("recipe", "split"))
        return f"CrossValidation({counted(recipes, 'recipe')} · {counted(splits, 'split')} · {', '.join(self.metrics)})"

    def _repr_html_(self) -> str:
        """A row for each recipe, with mean ± standard deviation over the splits."""
        table = self.summary()
        rows = [
            [row["recipe"], *(_figure(row[name], row[f"{name} ±"]) for name in self.metrics), f"{row['seconds']:.1f}"]
            for row in table.iter_rows(named=True)
        ]
        return table_html("CrossValidation", ("recipe", *self.metrics, "seconds"), rows, [self._note()])

    def _note(self) -> str:
        """How the figures were made, in a line."""
        splits = len({row["split"] for row in self.rows})
        out = "excluded" if self.seen == "seen_out" else "left in"
        return f"mean ± standard deviation over {splits} splits, seen items {out}"

    def __str__(self) -> str:
        """Lines of at most 80 columns: figures two at a time, and of long names the end."""
        table = self.summary()
        names = [cut(name, NAME, keep_end=True) for name in table["recipe"]]  # paths differ at their ends
        width = max(map(columns, ["recipe", *names]))
        blocks = []
        for first in range(0, len(self.metrics), SIDE_BY_SIDE):
            shown = self.metrics[first : first + SIDE_BY_SIDE]
            last = first + SIDE_BY_SIDE >= len(self.metrics)
            lines = [f"{'recipe':<{width}}" + "".join(f"  {one:>17}" for one in shown) + ("  seconds" if last else "")]
            for name, row in zip(names, table.iter_rows(named=True), strict=True):
                cells = "".join(f"  {_figure(row[one], row[f'{one} ±']):>17}" for one in shown)
                lines.append(f"{padded(name, width)}{cells}" + (f"  {row['seconds']:7.1f}" if last else ""))
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks) + f"\n{self._note()}"


def compare_all(
    recipes: Sequence[Named] | Mapping[str, Named],
    splits: Iterable[Split],
    *,
    metrics: Sequence[str] = ("recall", "ndcg"),
    k: int = 10,
    exclude_seen: bool = True,
    changes: Sequence[str] | Mapping[str, Any] = (),
) -> CrossValidation:
    """Train each recipe on the training part of each split, and measure it on the test part.

    Args:
        recipes: names, files or recipes; of a mapping the keys are shown.
        splits: such as ``[sl.split_random(data, seed=s) for s in range(5)]``, or one by time.
        metrics: as in ``evaluate``.
        k: the length of the lists.
        exclude_seen: leave out what each query chose in the training part.
        changes: to every recipe that is not a ``Recipe`` already, as in ``recipes.load``.

    Raises:
        ConfigError: without a recipe or a split, and as ``recipes.load`` and ``evaluate``.

    Example:
        splits = [sl.split_random(data, test=0.1, seed=seed) for seed in range(3)]
        print(sl.compare_all(["als", "factorization"], splits))
    """
    check_flags("compare_all()", exclude_seen=exclude_seen)
    made = _made(recipes, changes, "compare_all(recipes)")
    parts = [
        (split.train, split.seen, split.test)
        for split in map(_checked, checked_list(splits, "compare_all(splits)", "splits"))
    ]
    if not parts:
        raise ConfigError("compare_all() got no split.", hint="such as [sl.split_random(data)]")
    return _compared(made, parts, metrics, k, exclude_seen)


def cross_validate(
    recipes: Named | Sequence[Named] | Mapping[str, Named],
    data: Dataset,
    *,
    folds: int = 5,
    seed: int = 42,
    metrics: Sequence[str] = ("recall", "ndcg"),
    k: int = 10,
    exclude_seen: bool = True,
    changes: Sequence[str] | Mapping[str, Any] = (),
) -> CrossValidation:
    """Measure recipes on every interaction once: each of ``folds`` parts, drawn at random, is the test of a training on the others.

    The draw is like the use only where the order of choices does not matter; with times give ``compare_all`` splits by time.

    Args:
        recipes: one or more, as in ``compare_all``.
        data: all interactions.
        folds: how many parts, at least 2.
        seed: of the draw.
        metrics: as in ``evaluate``.
        k: the length of the lists.
        exclude_seen: leave out what each query chose in the training part.
        changes: to every recipe, as in ``recipes.load``.

    Raises:
        DataError: for anything but a Dataset.
        ConfigError: for fewer than 2 folds or more than interactions, and as ``compare_all``.

    Example:
        print(sl.cross_validate(["als", "factorization"], data, folds=3))
    """
    check_dataset(data, "cross_validate(data)")
    check_seed(seed, "cross_validate()")
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= len(data):
        raise ConfigError(
            f"folds is {folds!r}; a whole number from 2 to {len(data):,} (the interactions) was expected."
        )
    check_flags("cross_validate()", exclude_seen=exclude_seen)
    made = _made([recipes] if isinstance(recipes, (str, Recipe)) else recipes, changes, "cross_validate(recipes)")
    return _compared(made, _folds(data, folds, seed), metrics, k, exclude_seen)


def _compared(
    recipes: Mapping[str, Recipe], parts: Iterable[Part], metrics: Sequence[str], k: int, exclude_seen: bool
) -> CrossValidation:
    """Each recipe trained and measured on each part."""
    seen = "seen_out" if exclude_seen else "seen_in"
    metrics = metric_names(metrics, METRICS)
    rows = []
    for number, (train, known, test) in enumerate(parts, start=1):
        for name, recipe in recipes.items():
            started = time.perf_counter()
            model, _ = recipe.train(train)
            seconds = time.perf_counter() - started
            found = evaluate(model, test, seen=known, ks=(k,), metrics=metrics, baselines=())
            rows.append({"recipe": name, "split": number, **found["model"][seen], "seconds": seconds})
    return CrossValidation(tuple(rows), seen)


def _folds(data: Dataset, folds: int, seed: int) -> Iterator[Part]:
    """Training part, known interactions (the same) and test part of each fold; folds differ by one interaction at most."""
    part = np.empty(len(data), np.int64)
    part[np.random.Generator(np.random.Philox(seed)).permutation(len(data))] = np.arange(len(data)) % folds
    for number in range(folds):
        train, test = (
            data.with_interactions(data.interactions.filter(rows)) for rows in (part != number, part == number)
        )
        yield train, train, test


def _made(recipes: Named | Sequence[Named] | Mapping[str, Named], changes: Any, where: str) -> dict[str, Recipe]:
    """Each recipe by the name that is shown. ``where`` is how the caller wrote them."""
    if isinstance(recipes, (str, Recipe)):
        raise ConfigError(f"{where} is one recipe; a list or a mapping was expected.", hint="[recipe]")
    if isinstance(recipes, Mapping):
        pairs = list(recipes.items())
    else:
        listed = checked_list(recipes, where, "recipes")
        pairs = [(_shown(number, one), one) for number, one in enumerate(listed, 1)]
    made = {name: one if isinstance(one, Recipe) else named.load(one, changes) for name, one in pairs}
    if not made:
        raise ConfigError(
            f"{where} has no recipe; one or more were expected.", hint=f"by name: {', '.join(named.names())}"
        )
    return made


def _shown(number: int, recipe: Named) -> str:
    return recipe if isinstance(recipe, str) else f"recipe {number}"


def _checked(split: Any) -> Split:
    """ConfigError for anything but a Split."""
    if not isinstance(split, Split):
        raise ConfigError(f"a split is a {type(split).__name__}; a Split was expected.", hint="[sl.split_random(data)]")
    return split


def _figure(value: float, spread: float | None) -> str:
    return f"{value:.4f}" if spread is None else f"{value:.4f} ± {spread:.4f}"
