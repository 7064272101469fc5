"""``shortlist train --warm-start``: today's training from yesterday's bundle, its comparison, and the gate."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import say, say_promoted
from shortlist.cli.judging import METRICS, judged, measured, measured_alone, say_changes
from shortlist.cli.training_data import TrainingData
from shortlist.errors import ConfigError, DataError
from shortlist.language import counted

if TYPE_CHECKING:
    from shortlist.data import Dataset
    from shortlist.evaluation.gate import Gate, Judged
    from shortlist.recommender import Recommender
    from shortlist.train.lineage import Lineage
    from shortlist.train.recipes import Recipe
    from shortlist.train.warm_start import WarmStart

__all__ = ["REFUSED", "Daily", "Verdict", "daily_options"]

DEFAULT = "factorization"
REFUSED = 3
"""Exit code where a condition of --promote-if does not hold."""
TRIES = 3  # comparisons with a link that is turned to another bundle meanwhile

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
    click.option(
        "--again",
        is_flag=True,
        help="Train on data that the bundle of LINK or --warm-start has learned from, or on an older day.",
    ),
)


def daily_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of daily retraining, as one argument ``daily``."""

    @functools.wraps(command)
    def collected(
        warm_start: Path | None,
        only_new: bool,
        half_life: float,
        promote_if: tuple[str, ...],
        promote: Path | None,
        again: bool,
        turns: bool = True,
        least_new: float = 0.0,
        **others: Any,
    ) -> Any:
        daily = Daily(warm_start, only_new, half_life, promote_if, promote, again, turns, least_new)
        return command(daily=daily, **others)

    for option in reversed(OPTIONS):
        collected = option(collected)
    return collected


@dataclass(frozen=True)
class Verdict:
    """The comparison with yesterday, and the conditions that were judged by it.

    Attributes:
        since: see ``report.comparison``; None where there is nothing to compare with.
        judged: each condition, and whether it holds.
        against: the fingerprint of the bundle that was compared with.
    """

    since: dict[str, Any] | None
    judged: tuple[Judged, ...]
    against: str | None

    @property
    def passed(self) -> bool:
        """Whether every condition holds."""
        return all(one.passed for one in self.judged)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as values for --json."""
        return {"since": self.since, "passed": self.passed, "conditions": [asdict(one) for one in self.judged]}


@dataclass(frozen=True)
class Daily:
    """The options of daily retraining; without ``bundle`` only those of promotion have an effect.

    Attributes:
        turns: whether the link is turned in the end; its bundle is compared with anyway.
        least_new: the share of the rows that the day before added that must be new.
    """

    bundle: Path | None
    only_new: bool
    half_life: float
    conditions: tuple[str, ...]
    promote: Path | None
    again: bool = False
    turns: bool = True
    least_new: float = 0.0

    @contextmanager
    def alone(self, first: bool = True) -> Iterator[None]:
        """Hold the lock of the link's run, and keep the bundle to start from.

        Args:
            first: whether this is the process that promotes.
        """
        from shortlist.recommender.promotion import alone
        from shortlist.store import using

        with ExitStack() as held:
            if self.promote is not None and first:
                held.enter_context(alone(self.promote))
            if self.bundle is not None:
                held.enter_context(using(self.bundle))
            yield

    def check(self, test: float, timestamp: str | None) -> None:
        """ConfigError for options that cannot work together, before anything is trained."""
        if self.bundle is None and self.only_new:
            raise ConfigError("--only-new was given without --warm-start.", hint="--warm-start yesterday.shortlist")
        compares = self.bundle is not None or self._served() is not None
        if not compares and any(gate.bound is None for gate in self._gates):
            raise ConfigError(
                "--promote-if refers to yesterday, but --warm-start was not given"
                f"{'' if self.promote is None else f' and {str(self.promote)!r} serves no bundle yet'}.",
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
            if not measured_alone(gate) and not compares:
                raise ConfigError(
                    f"without --warm-start {gate.figure!r} is not measured.",
                    hint="top_1, top_5, top_10, top_50 or top_100",
                )
        if self.bundle is not None:
            _ = self.yesterday  # a bundle that cannot be read is refused now

    def lineage(self, given: TrainingData) -> Lineage:
        """The lineage of the data.

        Raises:
            OldDataError: for data that the bundle to start from, or the one that the link serves, has learned from, for data that
                end no later than those of the link, and for a day that added too little; none of it with ``again``.
        """
        from shortlist.train.lineage import Lineage

        data = given.train if given.whole is None else given.whole
        before = None if self.yesterday is None else Lineage.in_metadata(self.yesterday.metadata)
        place = self._served()
        served = None if place is None else Lineage.in_metadata(_metadata(place))
        found = Lineage.of(data, before if self.only_new else None)
        if served is not None:
            found = found.after(served, self.only_new)
        if not self.again:
            self._check_news(found, before, served)
        return found

    def _check_news(self, found: Lineage, before: Lineage | None, served: Lineage | None) -> None:
        from shortlist.train.lineage import OldDataError

        if before is not None and found.known_to(before):
            raise OldDataError(
                f"{str(self.bundle)!r} was made from these very data: a training that starts from it would count them twice.",
                hint="start from the bundle before it; or --again to do it nevertheless",
            )
        if served is None:
            return
        if found.known_to(served):
            raise OldDataError(
                f"{str(self.promote)!r} serves a bundle of these very data.",
                hint="there is nothing to do; or --again to train on them once more",
            )
        if found.no_later_than(served):
            raise OldDataError(
                f"the data end at {found.until}, no later than those of the bundle that {str(self.promote)!r} serves "
                f"({served.until}).",
                hint="give the newer data; or --again for late rows of a day that was trained on, or an older day",
            )
        if served.added is not None and found.added is not None and found.added < self.least_new * served.added:
            raise OldDataError(
                f"the data have {counted(found.added, 'row')} more than those of the bundle that {str(self.promote)!r} serves, which "
                f"had {served.added:,} more than the one before; at least {self.least_new:.0%} of that was expected.",
                hint="wait until the day is complete; or --again to train on what is there",
            )

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
        if self.only_new and plan.counts:
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

    def compared(
        self, today: Recommender, test: Dataset | None, seen: Dataset | None, evaluation: dict[str, Any] | None
    ) -> Verdict:
        """Compare with what the link serves at this moment, else with the bundle that the training started from, and judge
        each condition; prints both. ConfigError for a figure that was not measured."""
        from shortlist.report.comparison import since

        before = self._opponent()
        if before is None:
            return Verdict(None, tuple(judged(self._gates, None, evaluation)), None)
        ks = {name: {k for metric, k in map(measured, self._gates) if metric == name} for name in (*METRICS, "churn")}
        churn_ks = sorted(ks.pop("churn"))
        try:
            changes = since(before, today, test, seen=seen, ks=sorted(set().union(*ks.values())), churn_ks=churn_ks)
        except DataError as error:
            if self.bundle is not None or any(gate.bound is None for gate in self._gates):
                raise
            say(f"warning: not compared with the bundle that {self.promote} serves: {error.message}")
            return Verdict(None, tuple(judged(self._gates, None, evaluation)), None)
        say_changes(changes)
        return Verdict(changes, tuple(judged(self._gates, changes, evaluation)), before.fingerprint)

    def finish(self, bundle: Path, verdict: Verdict, written: bool, again: Callable[[], Verdict]) -> Verdict:
        """Turn the link if every condition holds; else print where to look. The verdict that decided is returned.

        Args:
            bundle: the new bundle.
            verdict: of the comparison before the bundle was written.
            written: whether the bundle was written.
            again: compares once more, for a link that was turned to another bundle since.
        """
        from shortlist.recommender.bundle import add_metadata
        from shortlist.recommender.promotion import MovedError

        for left in reversed(range(TRIES)):
            if not verdict.passed:
                say(
                    f"not promoted: {bundle} "
                    f"{'is there to be looked at' if written else 'is what it was before; this training was not kept'}"
                )
                break
            if self.promote is None or not self.turns:
                break
            try:
                self._promote(bundle, self.promote, verdict)
                break
            except MovedError:
                if not left:
                    raise
            say(f"{self.promote} was turned to another bundle meanwhile; the comparison is made again")
            verdict = again()
            add_metadata(bundle, {"since": verdict.since})
        return verdict

    def _promote(self, bundle: Path, link: Path, verdict: Verdict) -> None:
        """Turn the link. MovedError where it serves another bundle than the one that conditions were judged against."""
        from shortlist.recommender.promotion import fingerprint_of, promote

        judged = verdict.against is not None and self._gates
        done = promote(bundle, link, lambda: not judged or fingerprint_of(link) in (None, verdict.against))
        say_promoted(link, done.bundle)

    def _served(self) -> Path | None:
        """The bundle that the link serves at this moment."""
        if self.promote is None:
            return None
        from shortlist.recommender.promotion import served_by

        return served_by(self.promote)

    def _opponent(self) -> Recommender | None:
        """The bundle to compare with; the one that training started from may have been read through a link that was turned since."""
        import shortlist as sl
        from shortlist.recommender.promotion import fingerprint_of

        served, before = self._served(), self.yesterday
        if served is None or (before is not None and fingerprint_of(str(self.promote)) == before.fingerprint):
            return before
        return sl.Recommender.load(served)


def _metadata(bundle: Path) -> dict[str, Any]:
    from shortlist.recommender.manifest import MANIFEST, decoded

    return decoded(bundle / MANIFEST).metadata


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
