"""The best model for a table within a time: contenders in turn, the best mixture of them, and the winner trained on everything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shortlist.choosing.budget import Budget, seconds_of
from shortlist.choosing.choice import Choice
from shortlist.choosing.contenders import contenders_of
from shortlist.choosing.tournament import Tournament, without_warnings
from shortlist.choosing.trial import Trial, parsed_metric, times_number_rows
from shortlist.data import Dataset, Shards, split_by_time, split_last, split_random
from shortlist.data.argument_checks import check_dataset, check_function, check_seed, shown
from shortlist.errors import ConfigError, DataError, check_flags
from shortlist.language import counted
from shortlist.train.device import chosen_device

__all__ = ["choose", "choose_on", "hold_out", "is_coarse"]

LEAST = 20  # interactions
MOST_HELD, FEWEST_HELD = 0.5, 0.1  # of the rows, and of the rows asked for: what a cut in time may hold out


def choose(
    data: Dataset,
    *,
    by: str | None = None,
    budget: str | float = "2min",
    test: float = 0.1,
    seed: int = 42,
    refit: bool = True,
    weighted: bool = False,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> Choice:
    """The best model for ``data`` that can be found in the time given, trained on all of it.

    1. ``test`` of the interactions is held out in the way the model will be used: the latest where there is a time, the last of
       each query where times only number its rows, else rows drawn at random; these also where so many rows have one time that no
       cut in time holds out about ``test``.
    2. Contenders are fitted on the rest, cheapest first: popularity and recent popularity, transitions, co-occurrence, EASE, ALS,
       factorization, features where tables have some, histories where there are times. Trained towers compete by successive
       halving (Jamieson, Talwalkar 2016). A contender that cannot finish within the rest of the budget is not started.
    3. The best towers are mixed with the best neighbours, and with the second best towers, with the share that the held-out rows
       prefer.
    4. The best by the figure wins. Of those that are level with it (behind by no more than one standard error of the difference)
       the one with the best sum of its figures at the cut-off and at ten times it wins, each as a share of the highest, and of
       those that are level there too, by half a standard error, the simplest. Popularity wins unless the best is ahead of it by
       more than the best of so many contenders would be by chance in one choice of twenty (Bonferroni: 2.7 standard errors
       for 15).
    5. The winner is trained again on all rows (``refit``).

    Where the budget does not bind, the outcome follows from the data and ``seed``.

    Args:
        data: the interactions, with tables of features where there are some.
        by: the figure, for example "recall@10" (the default) or "ndcg@20". Seen items do not compete, unless most held-out
            pairs were chosen before.
        budget: for all of it, as text ("90s", "2min") or seconds.
        test: share of the interactions to hold out.
        seed: of the held-out rows, where they are drawn, and of every training.
        refit: train the winner again on all rows.
        weighted: count each held-out pair by its weight.
        device: as in ``fit``.
        say: called with a line of text after each step.

    Raises:
        ConfigError: for options that cannot work.
        DataError: for anything but a Dataset, for one with fewer than 20 interactions, and where all held-out rows have weight 0
            and ``weighted``.

    Example:
        choice = sl.choose(data)
        print(choice)
        sl.Recommender(choice.model, seen=data).save("my.shortlist")
    """
    check_dataset(data, "choose(data)")
    check_flags("choose()", refit=refit, weighted=weighted)
    check_function(say, "choose(say=)", optional=True)
    check_seed(seed, "choose")
    chosen_device(device)
    if by is not None:
        parsed_metric(by)
    budgeted = Budget(seconds_of(budget))
    train, held_out, how = hold_out(data, test, seed)
    return choose_on(
        train,
        held_out,
        train,
        data if refit else None,
        how,
        by=by,
        budget=budgeted,
        seed=seed,
        weighted=weighted,
        device=device,
        say=say,
    )


def hold_out(data: Dataset, test: float, seed: int) -> tuple[Dataset, Dataset, str]:
    """The rows to learn from, those to measure on, and how they were divided: "time", "last" or "random"."""
    if isinstance(test, bool) or not isinstance(test, (int, float, np.number)) or not 0 < test < 1:
        raise ConfigError(f"test is {shown(test)}; a share between 0 and 1 was expected.", hint="test=0.1")
    if len(data) < LEAST:
        raise DataError(
            f"{counted(len(data), 'interaction')}, too few to choose a model; at least {LEAST} were expected.",
            hint="collect more, or name a recipe",
        )
    if times_number_rows(data):
        train, held_out = split_last(data)
        return train, held_out, "last"
    if data.timestamp is not None and data.times.n_unique() > 1:
        train, held_out = split_by_time(data, test=test)
        if not is_coarse(len(held_out), len(data), test):
            return train, held_out, "time"
    train, held_out = split_random(data, test=test, seed=seed)
    return train, held_out, "random"


def is_coarse(held: int, rows: int, test: float) -> bool:
    """Whether a cut in time misses the share that was asked for by so much that it cannot be used, since too many rows have one time:
    it leaves too little to learn from, or too little to measure on.

    Example:
        >>> is_coarse(999, 1000, 0.1), is_coarse(200, 1000, 0.1), is_coarse(1, 1000, 0.1)
        (True, False, True)
    """
    return rows * max(MOST_HELD, 2 * test) < held or held < FEWEST_HELD * test * rows


def choose_on(
    train: Dataset | Shards,
    held_out: Dataset,
    seen: Dataset,
    whole: Dataset | Shards | None,
    split: str,
    *,
    by: str | None = None,
    budget: Budget,
    seed: int = 42,
    weighted: bool = False,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> Choice:
    """``choose`` on rows that were held out before.

    Args:
        seen: what the asked queries chose in ``train``.
        whole: the data that the winner is trained on in the end, or None.
    """
    trial = Trial.of(train, seen, held_out, by, seed, weighted)
    tournament = Tournament(train, trial, budget, device, say or (lambda line: None), whole is not None)
    contenders = contenders_of(train, seed, not trial.exclude_seen)
    trained = [one for one in contenders if one.kind == "towers" and one.recipe.als is None]
    for contender in contenders:
        if contender not in trained:
            tournament.enter(contender)
    tournament.mix()
    tournament.halve(trained)
    tournament.mix()
    chosen = tournament.winner()
    model, refitted = chosen.model, False
    assert model is not None
    if whole is not None:
        tournament.say(f"training {chosen.name} on all {counted(len(whole), 'interaction')}")
        model, _ = without_warnings(lambda: chosen.recipe.train(whole, device=device))
        refitted = True
    return Choice(
        model, chosen.recipe, chosen, tournament.ranked(), trial, split, budget.seconds, budget.spent, refitted
    )
