"""The report's verdict: is the model better than simple baselines?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["SCORERS", "Verdict", "in_words", "judged", "seen_of"]

SCORERS = {
    "model": "this model",
    "index": "this model through its index",
    "popularity": "popularity",
    "recent": "recent popularity",
    "transitions": "transitions",
    "cooccurrence": "item co-occurrence",
    "ease": "EASE",
    "ials": "iALS",
}
MOSTLY = 0.5  # share of test pairs that training had
FATAL = {
    "collapsed": "The model has collapsed",
    "loss_at_chance": "The model has learned nothing",
}


class Verdict(NamedTuple):
    """A judgement of a model, for the top of the report.

    Attributes:
        level: "good", "mixed", "bad" or "unknown".
        headline: a few words.
        reason: one or two sentences.
    """

    level: str
    headline: str
    reason: str


def judged(
    measured: Mapping[str, Any] | None,
    findings: Sequence[Mapping[str, Any]],
    choice: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict on the figures: against chance, then popularity, then every other baseline.

    Lists that are alike for everyone are a collapse unless the model is ahead of popularity: the table then teaches them.

    Args:
        choice: ``Choice.to_dict()``, if the model was chosen; used alone where measuring was stopped.
    """
    wrong = [finding for finding in findings if finding["name"] in FATAL]
    if wrong and not _ahead_of_popularity(measured):
        return Verdict("bad", FATAL[wrong[0]["name"]], _sentence(wrong[0]["message"]))
    if measured is None and choice is not None and choice.get("figure") is not None:
        reason = (
            f"The report's figures are missing, because measuring was stopped or no rows were kept for it. When {choice['chosen']} was "
            f"chosen, it reached {choice['by']} {choice['figure']:.4f} on {choice['held_out']:,} held-out interactions. "
            "shortlist report BUNDLE TEST measures it again."
        )
        return Verdict("unknown", "Not measured in full", reason)
    if measured is None:
        reason = "No interactions were held out when this model was trained, so its quality is unknown."
        return Verdict("unknown", "Not measured", reason)
    known = _mostly_known(measured)
    if known is not None:
        return Verdict("unknown", "Measured on choices that it was trained on", f"{known} {_figures(measured)}")
    behind: list[str] = []
    ahead: list[str] = []
    level: list[str] = []
    for one in measured["comparisons"]:
        if one["scorer"] == "index":
            continue
        group = level if not one["real"] else ahead if one["difference"] > 0 else behind
        group.append(one["scorer"])
    reason = " ".join([_figures(measured), *(_sentence(finding["message"]) for finding in wrong)])
    if "popularity" in behind:
        return Verdict("bad", "Behind plain popularity", reason)
    if behind:
        lead = f"Ahead of {in_words(ahead)}, behind {in_words(behind)}" if ahead else f"Behind {in_words(behind)}"
        return Verdict("mixed", lead, reason)
    if level:
        lead = (
            f"Ahead of {in_words(ahead)}, level with {in_words(level)}"
            if ahead
            else f"No better than {in_words(level)}"
        )
        return Verdict("mixed", lead, reason)
    if ahead:
        lead = "Ahead of popularity" if ahead == ["popularity"] else "Ahead of every cheaper model measured"
        return Verdict("mixed" if wrong else "good", lead, reason)
    return Verdict("unknown", "No comparison", reason)


def _ahead_of_popularity(measured: Mapping[str, Any] | None) -> bool:
    """Whether held-out choices are found better than by popularity, by more than chance."""
    compared = [] if measured is None else measured["comparisons"]
    return any(one["scorer"] == "popularity" and one["real"] and one["difference"] > 0 for one in compared)


def _mostly_known(measured: Mapping[str, Any]) -> str | None:
    """A sentence where most test pairs are choices of training, which no list without seen items can have; else None."""
    evaluation = measured["evaluation"]
    repeated, pairs = evaluation.get("repeated", 0), evaluation.get("pairs", 0)
    if seen_of(measured) != "seen_out" or repeated <= MOSTLY * pairs:
        return None
    return (
        f"{repeated:,} of the {pairs:,} test pairs are choices that their queries made in training, and lists leave these out: "
        "the figures say nothing about new choices. Give rows that training did not have; where people choose again, measure "
        "with seen items left in."
    )


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


def seen_of(measured: Mapping[str, Any]) -> str:
    """The half of the figures to judge by: seen items left out, where that was measured."""
    usual = "seen_out" if "seen_out" in measured["evaluation"]["model"] else "seen_in"
    return str(measured.get("judged_by", usual))


def in_words(scorers: Sequence[str]) -> str:
    """Names of scorers as a list in a sentence."""
    names = [SCORERS.get(name, name) for name in scorers]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _figures(measured: Mapping[str, Any]) -> str:
    seen, k = seen_of(measured), measured["k"]
    name = f"top_{k}"
    figure = measured["evaluation"]["model"][seen][name]
    low, high = measured["evaluation"]["intervals"]["model"][seen][name]
    others = [
        f"{SCORERS.get(scorer, scorer)} {by_seen[seen][name]:.1%}"
        for scorer, by_seen in _scorers(measured).items()
        if scorer != "model"
    ]
    left_out = ", earlier choices of the query excluded" if seen == "seen_out" else ""
    best = f" For comparison: {', '.join(others)}." if others else ""
    known = low is not None and low == low
    interval = f"95% interval {low:.1%} to {high:.1%}" if known else "no interval: one query was asked"
    places = f"among the first {k}" if k > 1 else "in the first place"
    return (
        f"Of the held-out choices, {figure:.1%} are {places} of {measured['evaluation']['candidates']:,} "
        f"candidates{left_out} ({interval}).{best}"
    )


def _scorers(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {name: measured["evaluation"][name] for name in SCORERS if name in measured["evaluation"]}
