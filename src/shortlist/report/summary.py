"""The report's first screen: the verdict, one chart, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shortlist.language import marked, shown, translated
from shortlist.report.facts import Facts
from shortlist.report.html import escaped, listed, share
from shortlist.report.verdict import SCORERS, Verdict, in_words, judged, scorer_name, seen_of

__all__ = ["finding_name", "summary"]

FINDINGS = {
    "collapsed": marked("collapsed"),
    "popularity_dominates": marked("popularity dominates"),
    "norms_explode": marked("norms explode"),
    "loss_at_chance": marked("loss at chance"),
    "unknown_ids": marked("unknown ids"),
    "unseen_queries": marked("unseen queries"),
}
LEVELS = {"good": marked("good"), "mixed": marked("mixed"), "bad": marked("not good"), "unknown": marked("unknown")}


def summary(facts: Facts) -> str:
    """HTML for the top of the page."""
    verdict = judged(facts.measured, facts.findings, facts.choice)
    level = translated("Verdict: {level}", level=translated(LEVELS[verdict.level]))
    steps = [*map(_warning, facts.findings), *map(escaped, _steps(verdict, facts))]
    return (
        f"<p class=name>{escaped(facts.name)}</p>"
        f'<div class="verdict {verdict.level}"><p class=level>{escaped(level)}</p>'
        f"<h1>{escaped(verdict.headline)}</h1><p>{escaped(verdict.reason)}</p></div>"
        f'<div class="first"><div>{_bars(facts.measured)}{_source(facts)}</div>'
        f"<div><h2>{escaped(translated('What to do'))}</h2>{listed(steps, 'ol')}{_no_warnings(facts)}</div></div>"
    )


def _source(facts: Facts) -> str:
    if facts.measured is None:
        return ""
    return f"<p class=source>{escaped(translated('Figures {source}.', source=facts.source))}</p>"


def _bars(measured: Mapping[str, Any] | None) -> str:
    """The share of held-out choices that each scorer has in its first k, as bars."""
    if measured is None:
        return ""
    seen, name, evaluation = seen_of(measured), f"top_{measured['k']}", measured["evaluation"]
    figures = {scorer: evaluation[scorer].get(seen, {}).get(name) for scorer in SCORERS if scorer in evaluation}
    known = {scorer: value for scorer, value in figures.items() if value is not None and value == value}
    longest = max(known.values(), default=0.0)
    if not longest:
        return ""
    k = measured["k"]
    title = (
        translated("Held-out choices that are in the first {k} places", k=k)
        if k > 1
        else translated("Held-out choices that are in the first place")
    )
    rows = "".join(
        f"<tr{' class=own' if scorer == 'model' else ''}><th scope=row>{escaped(scorer_name(scorer))}</th>"
        f'<td><span class=bar style="width:{100 * value / longest:.1f}%"></span></td><td class=number>{share(value)}</td></tr>'
        for scorer, value in sorted(known.items(), key=lambda one: -one[1])
    )
    return f"<h2>{escaped(title)}</h2><table class=bars><tbody>{rows}</tbody></table>"


def _steps(verdict: Verdict, facts: Facts) -> list[str]:
    """The steps that follow from the verdict, the first one first."""
    better = _better(facts.measured)
    if verdict.level == "unknown":
        return [translated("Measure it on rows that training did not have: shortlist report BUNDLE TEST.")]
    if better:
        ahead = {"better": in_words(better)}
        return [
            translated("Do not serve this model yet: {better} finds more and costs less.", **ahead)
            if len(better) == 1
            else translated("Do not serve this model yet: {better} find more and cost less.", **ahead),
            translated("Train without --recipe: the best of several models is chosen.")
            if facts.choice is None
            else translated("Train again with more time (--budget) or with more rows: several models were tried."),
        ]
    if verdict.level == "good":
        return [
            translated("Serve it: shortlist serve BUNDLE."),
            translated("Show it to a part of the people first, and compare what they choose with today's lists."),
        ]
    if facts.choice is None:
        return [translated("It is not surely better than what is cheaper: train without --recipe, or with more rows.")]
    if facts.bestsellers:
        return [
            translated(
                "Its lists are the bestsellers, the same for everyone: several models were tried, and none was better."
            ),
            translated("Collect more interactions, then train again."),
        ]
    return [
        translated(
            "It is the best of several models, but not surely better than a cheaper one. Serve it, or train with more rows."
        )
    ]


def _better(measured: Mapping[str, Any] | None) -> list[str]:
    """Baselines that are ahead of the model by more than chance."""
    compared = [] if measured is None else measured["comparisons"]
    return [one["scorer"] for one in compared if one["real"] and one["difference"] < 0 and one["scorer"] != "index"]


def _warning(finding: Mapping[str, Any]) -> str:
    advice = f"{translated('What to do')}: {shown(finding['hint'])}."
    return (
        f"<strong class=warned>{escaped(finding_name(finding))}</strong>: {escaped(shown(finding['message']))}."
        f"<br><span class=hint>{escaped(advice)}</span>"
    )


def _no_warnings(facts: Facts) -> str:
    if facts.findings or facts.bestsellers:
        return ""
    none = translated(
        "No warnings: no collapse, no exploding norms, no list of bestsellers for everyone, and the loss is below chance."
    )
    return f"<p class=source>{escaped(none)}</p>"


def finding_name(finding: Mapping[str, Any]) -> str:
    """The name of a finding of ``diagnose``."""
    name = finding["name"]
    return translated(FINDINGS[name]) if name in FINDINGS else name.replace("_", " ")
