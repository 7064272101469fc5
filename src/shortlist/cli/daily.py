"""``shortlist train --warm-start``: today's training from yesterday's bundle, its comparison, and the gate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import say
from shortlist.cli.training_data import TrainingData
from shortlist.errors import ConfigError

if TYPE_CHECKING:
    from shortlist.data import Dataset
    from shortlist.evaluation.gate import Gate, Judged
    from shortlist.recommender import Recommender
    from shortlist.train.recipes import Recipe
    from shortlist.train.warm_start import WarmStart

__all__ = ["REFUSED", "Daily", "daily_options", "judged_of"]

DEFAULT = "factorization"
METRICS = ("top", "recall", "ndcg")
REFUSED = 3
"""Exit code where a condition of --promote-if does not hold."""

OPTIONS = (
    click.option(
        "--warm-start",
        type=click.Path(path_type=Path),
        metavar="BUNDLE",
        help="Start from the weights of an earlier bundle.",
    ),
    click.option("--only-new", is_flag=True, help="INTERACTIONS has only the rows since that bundle; old counts age."),
    click.option(
        "--half-life",
        default=7.0,
        show_default=True,
        help="With --only-new: number of trainings after which old counts weigh half.",
    ),
    click.option(
        "--promote-if",
        multiple=True,
        metavar="CONDITION",
        help='Condition such as "top_100 >= yesterday - 0.002"; exit code 3 if it fails. If given several times, all must hold.',
    ),
    click.option(
        "--promote",
        type=click.Path(path_type=Path),
        metavar="LINK",
        help="Point LINK, such as current, at the new bundle if every --promote-if holds.",
    ),
)


def daily_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of daily retraining, as one argument ``daily``."""

    @functools.wraps(command)
    def collected(
        warm_start: Path | None,
        only_new: bool,
        half_life: float,
        promote_if: tuple[str, ...],
        promote: Path | None,
        **others: Any,
    ) -> None:
        command(daily=Daily(warm_start, only_new, half_life, promote_if, promote), **others)

    for option in reversed(OPTIONS):
        collected = option(collected)
    return collected


@dataclass(frozen=True)
class Daily:
    """The options of daily retraining; without ``bundle`` only ``promote`` has an effect."""

    bundle: Path | None
    only_new: bool
    half_life: float
    conditions: tuple[str, ...]
    promote: Path | None

    def check(self, test: float, timestamp: str | None) -> None:
        """ConfigError for options that cannot work together, before anything is trained."""
        if self.bundle is None:
            if self.only_new:
                raise ConfigError("--only-new was given without --warm-start.", hint="--warm-start yesterday.shortlist")
            if any(gate.bound is None for gate in self._gates):
                raise ConfigError(
                    "--promote-if refers to yesterday, but --warm-start was not given.",
                    hint="--warm-start yesterday.shortlist",
                )
        if self._gates and not test:
            raise ConfigError("--promote-if needs held-out rows, but --test is 0.", hint="--test 0.1")
        if self.bundle is not None and test and timestamp is None and not self.only_new:
            raise ConfigError(
                "with --warm-start, rows held out at random would include rows that yesterday's model was trained on.",
                hint="name the column of times: --time COLUMN; or --test 0; or --only-new",
            )
        for gate in self._gates:
            metric, k = _measured(gate)
            if self.bundle is None and (metric != "top" or k not in (1, 5, 10, 50, 100)):
                raise ConfigError(
                    f"without --warm-start {gate.figure!r} is not measured.",
                    hint="top_1, top_5, top_10, top_50 or top_100",
                )
        if self.bundle is not None:
            _ = self.yesterday  # a bundle that cannot be read is refused now

    @cached_property
    def _gates(self) -> list[Gate]:
        from shortlist.evaluation.gate import Gate

        return [Gate.parsed(text) for text in self.conditions]

    @cached_property
    def yesterday(self) -> Recommender | None:
        """The bundle to start from."""
        if self.bundle is None:
            return None
        import shortlist as sl

        return sl.Recommender.load(self.bundle)

    def recipe(self, name: str | None, changes: tuple[str, ...]) -> Recipe:
        """The recipe asked for; else yesterday's, else the default one."""
        import shortlist as sl

        if name is None and self.yesterday is not None and "recipe" in self.yesterday.metadata:
            plan = sl.recipes.load(self.yesterday.metadata["recipe"], changes)
        else:
            plan = sl.recipes.load(name or DEFAULT, changes)
        if self.only_new and (plan.neighbours is not None or plan.sources or plan.towers != "trained"):
            raise ConfigError(
                "--only-new trains on new rows only, but this recipe counts choices and would forget all earlier ones.",
                hint="give all interactions and omit --only-new, or use --recipe factorization",
            )
        return plan

    def warm_start(self) -> WarmStart | None:
        """Where training begins."""
        import shortlist as sl

        before = self.yesterday
        if before is None:
            return None
        return sl.WarmStart(before.towers, self.only_new, self.half_life, before.fingerprint)

    def data(self, given: TrainingData) -> TrainingData:
        """The data; if it has only new rows, items seen before stay seen. Warns of a test that is not later."""
        yesterday = self.yesterday
        if yesterday is None:
            return given
        until = yesterday.metadata.get("run", {}).get("data", {}).get("until")
        if given.held_out is not None and until is not None and not self.only_new:
            _warn_of_learned(given.held_out, until)
        if not self.only_new or given.seen is None or yesterday.seen is None:
            return given
        return replace(given, seen_before=yesterday.seen)

    def since(self, today: Recommender, test: Dataset | None, seen: Dataset | None) -> dict[str, Any] | None:
        """Print a summary of ``report.since`` and return it; None without yesterday's bundle."""
        if self.yesterday is None:
            return None
        from shortlist.report.since import since

        ks = {name: {k for metric, k in map(_measured, self._gates) if metric == name} for name in (*METRICS, "churn")}
        churn_ks = sorted(ks.pop("churn"))
        changes = since(self.yesterday, today, test, seen=seen, ks=sorted(set().union(*ks.values())), churn_ks=churn_ks)
        _say(changes)
        return changes

    def judged(self, changes: dict[str, Any] | None, evaluation: dict[str, Any] | None) -> list[Judged]:
        """Judge and print each condition. ConfigError for a figure that was not measured."""
        return _judged(self._gates, changes, evaluation)

    def finish(self, bundle: Path, passed: bool, written: bool) -> None:
        """Switch the link if every condition holds; else print where to look."""
        if not passed:
            there = "is there to be looked at" if written else "is what it was before; this training was not kept"
            say(f"not promoted: {bundle} {there}")
        elif self.promote is not None:
            from shortlist.recommender.promotion import promote

            done = promote(bundle, self.promote)
            say(f"promoted: {self.promote} → {done.bundle}; to undo: shortlist rollback {self.promote}")


def judged_of(bundle: Path, conditions: tuple[str, ...]) -> list[Judged]:
    """Judge and print conditions by the figures that a bundle holds. BundleError, ConfigError where it holds none."""
    if not conditions:
        return []
    from shortlist.evaluation.gate import Gate
    from shortlist.recommender.folder import verified

    metadata = verified(bundle.resolve()).metadata
    return _judged([Gate.parsed(text) for text in conditions], metadata.get("since"), metadata.get("evaluation"))


def _judged(gates: list[Gate], changes: dict[str, Any] | None, evaluation: dict[str, Any] | None) -> list[Judged]:
    from shortlist.report.since import figures

    if changes is not None:
        today, before = figures(changes)
    else:
        by_seen = (evaluation or {}).get("model", {})
        today, before = dict(by_seen.get("seen_out") or by_seen.get("seen_in") or {}), {}
    judged = [gate.judge(today, before) for gate in gates]
    for one in judged:
        say(str(one))
    return judged


def _measured(gate: Gate) -> tuple[str, int]:
    """The metric of a condition's figure, and its k. ConfigError for one that is not measured."""
    metric, _, k = gate.figure.rpartition("_")
    known = [*METRICS] if gate.bound is None else [*METRICS, "churn"]
    if metric not in known or not k.isdigit() or int(k) < 1:
        raise ConfigError(
            f"--promote-if {gate.text!r} refers to {gate.figure!r}.",
            hint=f"possible figures: {', '.join(known)}, at a k: top_100",
        )
    return metric, int(k)


def _warn_of_learned(held_out: Dataset, until: Any) -> None:
    """Warn of held-out rows that are not later than the rows that yesterday's model has learned from."""
    if held_out.timestamp is None:
        return
    times = held_out.times
    if times.dtype.is_numeric() != isinstance(until, (int, float)):
        return
    early = (
        int((times <= until).sum()) if times.dtype.is_numeric() else sum(str(one) <= until for one in times.to_list())
    )
    if early:
        say(
            f"warning: {early:,} of {len(held_out):,} held-out rows are no later than {until}, the last that yesterday's "
            "model learned from; it may remember them"
        )


def _say(changes: dict[str, Any]) -> None:
    say("\nsince yesterday:")
    comparison, churn = changes["comparison"], changes["churn"]
    if comparison is not None:
        shown = {f"top_{changes['k']}", "top_100"}
        for one in comparison["differences"]:
            if one["metric"] in shown:
                say(f"  {one['text']}")
    for side in ("candidates", "queries"):
        if side in changes["drift"]:
            moved = changes["drift"][side]
            say(
                f"  {side}: mean cosine {moved['cosine']:.3f} with yesterday's vectors ({moved['turned']:.3f} after the best "
                f"rotation), {moved['ids']:,} ids that both know"
            )
    if churn["queries"]:
        say(
            f"  lists: {churn['changed']:.1%} of the top {churn['k']} is new ({churn['came_new']:.1%} new candidates); "
            f"{churn['left_chosen']:.1%} of yesterday's was chosen since"
        )
    say(f"  new: {changes['new_candidates']:,} candidates, {changes['new_queries']:,} queries\n")
