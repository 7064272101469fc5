"""The report's verdict: is the model better than simple baselines?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shortlist.evaluation.repeats import MOSTLY
from shortlist.language import marked, shown, translated

__all__ = ["SCORERS", "Verdict", "in_words", "judged", "scorer_name", "seen_of"]

SCORERS = {
    "model": marked("this model"),
    "index": marked("this model through its index"),
    "popularity": marked("popularity"),
    "recent": marked("recent popularity"),
    "transitions": marked("transitions"),
    "cooccurrence": marked("item co-occurrence"),
    "ease": "EASE",
    "ials": "iALS",
}
FATAL = {
    "collapsed": marked("The model has collapsed"),
    "loss_at_chance": marked("The model has learned nothing"),
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
        return Verdict("bad", translated(FATAL[wrong[0]["name"]]), _sentence(wrong[0]["message"]))
    if measured is None and choice is not None and choice.get("figure") is not None:
        reason = translated(
            "The report's figures are missing, because measuring was stopped or no rows were kept for it. When {chosen} was "
            "chosen, it reached {metric} {figure} on {held_out} held-out interactions. "
            "shortlist report BUNDLE TEST measures it again.",
            chosen=choice["chosen"],
            metric=choice["by"],
            figure=f"{choice['figure']:.4f}",
            held_out=f"{choice['held_out']:,}",
        )
        return Verdict("unknown", translated("Not measured in full"), reason)
    if measured is None:
        reason = translated("No interactions were held out when this model was trained, so its quality is unknown.")
        return Verdict("unknown", translated("Not measured"), reason)
    known = _mostly_known(measured)
    if known is not None:
        headline = translated("Measured on choices that it was trained on")
        return Verdict("unknown", headline, f"{known} {_figures(measured)}")
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
        return Verdict("bad", translated("Behind plain popularity"), reason)
    if behind:
        last = in_words(behind)
        if ahead and level:
            lead = translated(
                "Ahead of {ahead}, level with {level}, behind {behind}",
                ahead=in_words(ahead), level=in_words(level), behind=last,
            )  # fmt: skip
        elif ahead:
            lead = translated("Ahead of {ahead}, behind {behind}", ahead=in_words(ahead), behind=last)
        elif level:
            lead = translated("Level with {level}, behind {behind}", level=in_words(level), behind=last)
        else:
            lead = translated("Behind {behind}", behind=last)
        return Verdict("mixed", lead, reason)
    if level:
        lead = (
            translated("Ahead of {ahead}, level with {level}", ahead=in_words(ahead), level=in_words(level))
            if ahead
            else translated("No better than {level}", level=in_words(level))
        )
        return Verdict("mixed", lead, reason)
    if ahead:
        only = ahead == ["popularity"]
        lead = translated("Ahead of popularity" if only else "Ahead of every cheaper model measured")
        return Verdict("mixed" if wrong else "good", lead, reason)
    return Verdict("unknown", translated("No comparison"), reason)


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
    return translated(
        "{repeated} of the {pairs} test pairs are choices that their queries made in training, and lists leave these out: "
        "the figures say nothing about new choices. Give rows that training did not have; where people choose again, measure "
        "with seen items left in.",
        repeated=f"{repeated:,}",
        pairs=f"{pairs:,}",
    )


def _sentence(message: str) -> str:
    message = shown(message)
    return f"{message[:1].upper()}{message[1:]}."


def seen_of(measured: Mapping[str, Any]) -> str:
    """The half of the figures to judge by: seen items left out, where that was measured."""
    usual = "seen_out" if "seen_out" in measured["evaluation"]["model"] else "seen_in"
    return str(measured.get("judged_by", usual))


def in_words(scorers: Sequence[str]) -> str:
    """Names of scorers as a list in a sentence."""
    names = [scorer_name(name) for name in scorers]
    return names[0] if len(names) == 1 else translated("{some} and {last}", some=", ".join(names[:-1]), last=names[-1])


def scorer_name(scorer: str) -> str:
    """The name of a scorer in the report."""
    return translated(SCORERS.get(scorer, scorer))


def _figures(measured: Mapping[str, Any]) -> str:
    seen, k = seen_of(measured), measured["k"]
    name = f"top_{k}"
    figure = measured["evaluation"]["model"][seen][name]
    low, high = measured["evaluation"]["intervals"]["model"][seen][name]
    others = [
        f"{scorer_name(scorer)} {by_seen[seen][name]:.1%}"
        for scorer, by_seen in _scorers(measured).items()
        if scorer != "model"
    ]
    left_out = translated(", earlier choices of the query excluded") if seen == "seen_out" else ""
    best = " " + translated("For comparison: {others}.", others=", ".join(others)) if others else ""
    known = low is not None and low == low
    interval = (
        translated("95% interval {low} to {high}", low=f"{low:.1%}", high=f"{high:.1%}")
        if known
        else translated("no interval: one query was asked")
    )
    places = translated("among the first {k}", k=k) if k > 1 else translated("in the first place")
    found = translated(
        "Of the held-out choices, {figure} are {places} of {candidates} candidates{left_out} ({interval}).",
        figure=f"{figure:.1%}",
        places=places,
        candidates=f"{measured['evaluation']['candidates']:,}",
        left_out=left_out,
        interval=interval,
    )
    return found + best


def _scorers(measured: Mapping[str, Any]) -> dict[str, Any]:
    return {name: measured["evaluation"][name] for name in SCORERS if name in measured["evaluation"]}
