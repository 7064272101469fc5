"""Conditions of ``--promote-if`` and ``--if``: which figures they need, and whether they hold; both are printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.console import say
from shortlist.errors import BundleError, ConfigError
from shortlist.language import counted, shown

if TYPE_CHECKING:
    from shortlist.evaluation.gate import Gate, Judged

__all__ = ["METRICS", "judged", "judged_of", "measured", "measured_alone", "say_changes"]

METRICS = ("top", "recall", "ndcg")
ALONE = (1, 5, 10, 50, 100)
"""The k at which top-k accuracy is measured where there is no bundle to compare with; nothing else is measured then."""


def judged_of(bundle: Path, conditions: tuple[str, ...], link: Path) -> list[Judged]:
    """Judge and print conditions by the figures that a bundle holds, against what the link serves at this moment.

    BundleError, ConfigError where it holds none, or where it was compared with another bundle.
    """
    if not conditions:
        return []
    from shortlist.evaluation.gate import Gate
    from shortlist.recommender.folder import verified
    from shortlist.recommender.promotion import fingerprint_of

    metadata = verified(bundle.resolve()).metadata
    gates, since = [Gate.parsed(text) for text in conditions], metadata.get("since")
    served = fingerprint_of(link)
    if since is not None and any(gate.bound is None for gate in gates):
        compared = since["before"]["fingerprint"]
        if served not in (None, compared):
            raise BundleError(
                f"{str(bundle)!r} was compared with the model {compared[:16]!r}, and {str(link)!r} serves {served[:16]!r} now.",
                hint=f"train again with --promote {link}, which compares with what it serves then; or a condition on a number",
            )
    return judged(gates, since, metadata.get("evaluation"))


def judged(gates: list[Gate], changes: dict[str, Any] | None, evaluation: dict[str, Any] | None) -> list[Judged]:
    """Judge and print each condition, by the comparison with yesterday or, without one, by the evaluation of today's model."""
    from shortlist.report.comparison import figures

    if changes is not None:
        today, before = figures(changes)
    else:
        by_seen = (evaluation or {}).get("model", {})
        today, before = dict(by_seen.get("seen_out") or by_seen.get("seen_in") or {}), {}
    judged = [gate.judge(today, before) for gate in gates]
    for one in judged:
        say(str(one))
    return judged


def measured(gate: Gate) -> tuple[str, int]:
    """The metric of a condition's figure, and its k. ConfigError for one that is not measured."""
    metric, _, k = gate.figure.rpartition("_")
    known = [*METRICS] if gate.bound is None else [*METRICS, "churn"]
    if metric not in known or not k.isdigit() or int(k) < 1:
        raise ConfigError(
            f"--promote-if {gate.text!r} refers to {gate.figure!r}.",
            hint=f"possible figures: {', '.join(known)}, at a k: top_100",
        )
    return metric, int(k)


def measured_alone(gate: Gate) -> bool:
    """Whether a condition can be judged where there is no bundle to compare with. ConfigError as ``measured``."""
    metric, k = measured(gate)
    return gate.bound is not None and metric == "top" and k in ALONE


def say_changes(changes: dict[str, Any]) -> None:
    """Print a summary of ``report.comparison``."""
    say("\nsince yesterday:")
    comparison, churn = changes["comparison"], changes["churn"]
    if comparison is not None:
        named = {f"top_{changes['k']}", "top_100"}
        for one in comparison["differences"]:
            if one["metric"] in named:
                say(f"  {shown(one['text'])}", made=True)
    for side in ("candidates", "queries"):
        if side in changes["drift"]:
            moved = changes["drift"][side]
            say(
                f"  {side}: mean cosine {moved['cosine']:.3f} with yesterday's vectors ({moved['turned']:.3f} after the best "
                f"rotation), {counted(moved['ids'], 'id')} that both know"
            )
    if churn["queries"]:
        say(
            f"  lists: {churn['changed']:.1%} of the top {churn['k']} is new ({churn['came_new']:.1%} new candidates); "
            f"{churn['left_chosen']:.1%} of yesterday's was chosen since"
        )
    say(f"  new: {counted(changes['new_candidates'], 'candidate')}, {counted(changes['new_queries'], 'query')}\n")
