"""``shortlist train`` without a recipe: the best of several models, see ``shortlist.choosing``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.console import say
from shortlist.cli.outcome import Outcome
from shortlist.cli.result_files import check_result_file, write_result_file
from shortlist.errors import ConfigError, DataError

if TYPE_CHECKING:
    from shortlist.choosing import Budget
    from shortlist.cli.training_data import TrainingData

__all__ = ["AUTO", "SHARE", "check_recipe_place", "chooses", "chosen_outcome", "popular_outcome", "write_recipe"]

AUTO = "auto"
SHARE = 0.1  # share of rows to hold out for the choice where --test is 0


def chooses(recipe: str | None, warm_start: Path | None, processes: int, one_recipe: Mapping[str, Any]) -> bool:
    """Whether contenders are tried. ConfigError for ``--recipe auto`` with options of one recipe.

    Args:
        one_recipe: options that concern the training of one recipe, by name.
    """
    given = [name for name, value in one_recipe.items() if value]
    if processes > 1:
        given.append("several processes")
    if recipe == AUTO and (given or warm_start is not None):
        names = ", ".join(given or ["--warm-start"])
        raise ConfigError(
            f"--recipe auto tries several models, but {names} concerns the training of one.",
            hint="leave it out, or name a recipe: --recipe factorization",
        )
    if recipe == AUTO:
        return True
    if recipe is None and warm_start is None and given:
        say(
            f"{', '.join(given)} concerns the training of one recipe: 'factorization' is trained; --recipe names another"
        )
    return recipe is None and warm_start is None and not given


def chosen_outcome(
    given: TrainingData,
    by: str | None,
    budget: Budget,
    refit: bool,
    device: str,
    seed: int = 42,
    weighted: bool = False,
) -> Outcome:
    """The winner on the data, trained on all of it where ``refit``; each contender is printed as it is measured.

    Args:
        by: the figure to choose by, such as "recall@10", or None for the default.
    """
    from shortlist.choosing import choose_on
    from shortlist.data import Dataset

    if given.held_out is None:
        raise DataError(
            "no rows are held out, so no model can be chosen.", hint="give more interactions, or --recipe NAME"
        )
    seen = (
        given.train
        if isinstance(given.train, Dataset)
        else given.train.of_queries(given.held_out.interactions[given.held_out.query])
    )
    whole = given.whole if refit else None
    say(f"choosing a model within {budget.seconds:g} s")
    choice = choose_on(
        given.train,
        given.held_out,
        seen,
        whole,
        given.how,
        by=by,
        budget=budget,
        seed=seed,
        weighted=weighted,
        device=device,
        say=say,
    )
    data = given.train if whole is None else whole
    assert choice.chosen.model is not None
    return Outcome(
        choice.model,
        choice.chosen.model,
        choice.recipe,
        data,
        given.seen if whole is None else given.seen_with_held_out,
        choice=choice,
    )


def popular_outcome(given: TrainingData, refit: bool) -> Outcome:
    """Popularity, where there are too few rows to choose by; counted on all of them where ``refit``."""
    from shortlist.train import recipes

    recipe = recipes.load({"towers": "popularity"})
    measured, _ = recipe.train(given.train)
    if not refit or given.whole is None or given.held_out is None:
        return Outcome(measured, measured, recipe, given.train, given.seen)
    model, _ = recipe.train(given.whole)
    return Outcome(model, measured, recipe, given.whole, given.seen_with_held_out)


def check_recipe_place(path: Path) -> None:
    """ConfigError where no recipe can be written to ``path``."""
    check_result_file(path, _unwritable)


def write_recipe(outcome: Outcome, path: Path) -> None:
    """The recipe as a file; ``--recipe FILE --test 0`` repeats the model bit for bit. ConfigError where the disk refuses."""
    from shortlist.train.recipes import to_toml

    write_result_file(path, to_toml(outcome.recipe), _unwritable)
    say(f"wrote {path}")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the recipe could not be written to {str(path)!r}: {error.strerror}.", hint="choose another --write-recipe"
    )
