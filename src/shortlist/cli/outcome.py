"""The outcome of ``shortlist train``: a model, how it was made, and whether something is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shortlist.cli.console import say
from shortlist.errors import TrainingError

if TYPE_CHECKING:
    from shortlist.choosing import Choice
    from shortlist.cli.training_data import TrainingData
    from shortlist.data import Dataset, Shards
    from shortlist.model import TwoTower
    from shortlist.recommender import Recommender
    from shortlist.sources import Mixture
    from shortlist.train.recipes import Recipe

__all__ = ["Outcome", "check_outcome", "figures_of", "verdict_lines"]

FATAL = ("collapsed", "loss_at_chance")
OVERLAP = 0.8  # share of the exact top ten that an index without a promise must find
ASKED = 300
LEARNED = 1.5  # times as many as by chance
BEFORE = "yesterday's bundle does not keep the times of its choices"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained model and how it was made.

    Attributes:
        model: what is saved.
        measured: the model that held-out rows are measured with: the same, or the one from before the refit.
        recipe: repeats the training.
        data: what ``model`` was trained on.
        seen: the items that are left out of lists.
        training: a mapping per epoch.
        choice: where contenders were tried.
    """

    model: TwoTower | Mixture
    measured: TwoTower | Mixture
    recipe: Recipe
    data: Dataset | Shards
    seen: Dataset | None
    training: Sequence[Mapping[str, Any]] = field(default=())
    choice: Choice | None = None

    @property
    def refitted(self) -> bool:
        """Whether the model has learned from the held-out rows since it was measured."""
        return self.model is not self.measured


def check_outcome(outcome: Outcome, recommender: Recommender, force: bool) -> None:
    """TrainingError for a model at chance, lists that are alike for everyone, or an index with a recall below its promise.

    A chosen model is ahead of popularity on the held-out rows. Lists that are alike are then a warning, unless they became alike
    in the training on all rows.

    Args:
        force: warn and continue.
    """
    import shortlist as sl

    troubles = []
    for finding in sl.diagnose(outcome.model, training=outcome.training):
        if finding.name not in FATAL or _has_learned(outcome):
            continue
        if _measured_with(outcome, finding.name):
            say(f"note: {finding.message}; held-out choices are still found better than by popularity")
        else:
            troubles.append((finding.message, finding.hint))
    index = recommender.index
    if not index.exact and recommender.served.state.query_vectors is not None:
        least = min(OVERLAP, float(index.settings().get("recall") or OVERLAP))
        k = min(10, index.size)
        found = recommender.ann_overlap(k=k, sample=ASKED)
        if found < least:
            message = (
                f"the index {type(index).__name__} finds {found:.0%} of the true top {k}; {least:.0%} were expected"
            )
            troubles.append((message, "--index exact, or Quantized(recall=0.95) in Python"))
    if not troubles:
        return
    if force:
        for message, _ in troubles:
            say(f"warning: {message}; saved anyway (--force)")
        return
    message, hint = troubles[0]
    raise TrainingError(
        f"{'; '.join(one for one, _ in troubles)}; the bundle was not saved.", hint=f"{hint}; or --force to save it"
    )


def _measured_with(outcome: Outcome, name: str) -> bool:
    """Whether the model was chosen, and measured with the same finding: the figures that it won by include it."""
    import shortlist as sl

    if outcome.choice is None:
        return False
    return not outcome.refitted or name in {one.name for one in sl.diagnose(outcome.measured)}


def _has_learned(outcome: Outcome) -> bool:
    """Whether held-out choices are found clearly more often than by chance, whatever the loss says."""
    size = max(len(outcome.model.catalogue.candidates), 1)
    for name, value in (outcome.training[-1] if outcome.training else {}).items():
        _, _, k = str(name).partition("top_")
        if k.isdigit() and int(k) < size and isinstance(value, float) and value > LEARNED * int(k) / size:
            return True
    return False


def figures_of(
    outcome: Outcome, given: TrainingData, recommender: Recommender, weighted: bool = False
) -> dict[str, Any]:
    """A report's figures of the model on the held-out rows, which count by their weights if ``weighted``.

    Prints the table of figures.
    """
    from shortlist.report.measured import measured_with_table

    assert given.held_out is not None
    say("measuring baselines and segments for the report")
    index = None if outcome.refitted else recommender.index
    measured, table = measured_with_table(
        outcome.measured,
        given.held_out,
        seen=given.seen,
        training=outcome.training,
        index=index,
        weighted=weighted,
        judged_by="seen_in" if _chosen_again(outcome, given) else None,
        untimed=None if given.seen_before is None else BEFORE,
    )
    say(f"\n{table}\n")
    for name, reason in measured["left_out"].items():
        say(f"baseline not measured: {name}: {reason}")
    return measured


def _chosen_again(outcome: Outcome, given: TrainingData) -> bool:
    """Whether figures with seen items left in judge the model: people mostly choose again what they chose before.

    The held-out rows are the table's own, so with times a repeated pair is another choice, not a row that training had.
    """
    from shortlist.evaluation.repeats import MOSTLY, repeats

    if outcome.choice is not None:
        return not outcome.choice.trial.exclude_seen
    held_out = given.held_out
    if held_out is None or held_out.timestamp is None or given.seen is None:
        return False
    return repeats(held_out, given.seen).share > MOSTLY


def verdict_lines(outcome: Outcome, measured: Mapping[str, Any] | None, given: TrainingData) -> list[str]:
    """The last lines of a training: the verdict of a choice, else how the model compares with simple baselines."""
    if outcome.choice is not None:
        return outcome.choice.verdict()
    from shortlist.choosing import LEAST
    from shortlist.data import Dataset
    from shortlist.evaluation.repeats import repeats
    from shortlist.report.verdict import judged

    if measured is None and len(given.train) < LEAST:
        return [f"of fewer than {LEAST} interactions none are held out, so its quality is unknown"]
    if measured is None:
        return ["no rows were held out, so its quality is unknown; --test 0.1 holds a tenth out"]
    verdict = judged(measured, measured["findings"])
    lines = [f"{verdict.headline}. {verdict.reason}"]
    held_out = given.held_out
    if held_out is not None and isinstance(given.train, Dataset):
        lines += repeats(held_out, given.train).notes
    if verdict.level in ("bad", "mixed") and outcome.recipe.towers == "trained":
        lines.append("next: train without --recipe, and the best of several models is chosen")
    return lines
