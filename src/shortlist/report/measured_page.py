"""The measured figures as sections of the report: metrics by k, the model against cheaper ones, groups, figures of the lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shortlist.language import shown, translated
from shortlist.report import charts
from shortlist.report.figures import figures_at_k, segment_rows
from shortlist.report.html import escaped, hint, interval, listed, paragraph, share, table
from shortlist.report.template import Section, chart_place
from shortlist.report.verdict import SCORERS, scorer_name, seen_of

__all__ = ["at_k", "baselines", "list_figures", "segments"]


def at_k(measured: Mapping[str, Any], specs: dict[str, Any]) -> Section:
    """Each metric by k, with its interval."""
    rows = figures_at_k(measured)
    specs["at_k"] = charts.at_k_chart(rows)
    ks = sorted({row["k"] for row in rows})
    by_line: dict[tuple[str, str, str], dict[int, str]] = {}
    for row in rows:
        line = by_line.setdefault((row["metric"], row["seen"], row["scorer"]), {})
        line[row["k"]] = interval(row["value"], row["low"], row["high"])
    lines = [
        (
            translated("{metric} · {scorer} · seen {seen}", metric=metric, scorer=scorer, seen=seen),
            *(line.get(k, "–") for k in ks),
        )
        for (metric, seen, scorer), line in by_line.items()
    ]
    evaluation = measured["evaluation"]
    of = measured.get("sampled_from")
    sample = "" if of is None else translated(", evenly spread over the {of} of the test,", of=f"{of:,}")
    text = paragraph(
        translated(
            "{pairs} held-out choices of {queries} queries{sample} against all {candidates} candidates. Bands are 95% "
            "intervals by the bootstrap over queries.",
            pairs=f"{evaluation['pairs']:,}",
            queries=f"{evaluation['queries']:,}",
            sample=sample,
            candidates=f"{evaluation['candidates']:,}",
        )
    ) + hint(
        translated(
            "Top-k accuracy: the share of held-out choices among the first k. Recall: the same share of each query's own "
            "choices, then the mean over queries. NDCG: also rewards a place nearer the top."
        )
    )
    caption = translated("Metrics by k, with 95% intervals")
    body = text + chart_place("at_k") + table(caption, [translated("Metric"), *(f"k = {k}" for k in ks)], lines)
    return Section("metrics", translated("Metrics by k"), translated("Metrics by k"), body)


def baselines(measured: Mapping[str, Any], specs: dict[str, Any]) -> Section | None:
    """The model's lead over each cheaper one; None where none was measured."""
    k, seen = measured["k"], seen_of(measured)
    if not measured["comparisons"]:
        return None
    specs["baselines"] = charts.baseline_chart(figures_at_k(measured), k)
    name = f"top_{k}"
    evaluation = measured["evaluation"]
    rows = [
        (
            scorer_name("model"),
            interval(evaluation["model"][seen][name], *evaluation["intervals"]["model"][seen][name]),
            "",
            "",
            "",
        )
    ]
    for one in measured["comparisons"]:
        low, high = one["interval"]
        if one["real"]:
            word = translated("the model is better" if one["difference"] > 0 else "the model is worse")
        else:
            word = translated("no difference beyond chance")
        own = interval(one["first"], *evaluation["intervals"][one["scorer"]][seen][name])
        points = {"lead": one["difference"], "low": low, "high": high}
        signed = {name: f"{100 * value:+.1f}".replace("-", "−") for name, value in points.items()}
        difference = translated("{lead} points ({low} to {high})", **signed)
        rows.append((scorer_name(one["scorer"]), own, difference, _p(one["p_value"]), word))
    skipped = evaluation.get("skipped") or {}
    notes = listed(
        escaped(translated("{scorer} was not measured: {why}", scorer=scorer_name(one), why=shown(why)))
        for one, why in skipped.items()
    )
    text = paragraph(
        translated(
            "Each baseline is cheaper than a two-tower model. Differences are paired, query by query, with a randomisation test."
        )
    )
    found = (evaluation.get("index_recall") or {}).get(seen, {}).get(f"recall_{k}")
    if found is not None:
        text += paragraph(translated("The index finds {share} of the model's exact top {k}.", share=share(found), k=k))
    heads = [
        translated("Scorer"),
        translated("Top-{k} accuracy", k=k),
        translated("Model's lead"),
        "p",
        translated("Verdict"),
    ]
    body = text + chart_place("baselines") + table(translated("The model against each baseline"), heads, rows)
    title = translated("Against cheaper models")
    return Section("baselines", translated("Baselines"), title, body + (notes if skipped else ""))


def segments(measured: Mapping[str, Any], specs: dict[str, Any]) -> Section | None:
    """Accuracy in each group of held-out choices; None without groups."""
    rows = segment_rows(measured)
    if not rows:
        return None
    names = list(dict.fromkeys(row["segment"] for row in rows))
    specs["segments"] = charts.segment_chart(rows, names, translated("top-{k} accuracy", k=measured["k"]))
    scorers = list(dict.fromkeys(row["scorer"] for row in rows))
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        lines.setdefault((row["segment"], row["group"]), {"pairs": row["pairs"]})[row["scorer"]] = row
    cells = [
        (
            f"{segment}: {group}",
            f"{line['pairs']:,}",
            *(
                interval(line[one]["value"], line[one]["low"], line[one]["high"]) if one in line else "–"
                for one in scorers
            ),
        )
        for (segment, group), line in lines.items()
    ]
    text = paragraph(
        translated(
            "Top-{k} accuracy within groups of held-out choices, this model and {other}. A group with few choices has a wide "
            "interval: its place means little.",
            k=measured["k"],
            other=scorers[-1],
        )
    )
    heads = [translated("Group"), translated("Test pairs"), *scorers]
    return Section(
        "segments",
        translated("Segments"),
        translated("Where it works, and where not"),
        text + chart_place("segments") + table(translated("Accuracy by group"), heads, cells),
    )


def list_figures(measured: Mapping[str, Any]) -> str:
    """Figures of the lists themselves, of the model and of the baselines."""
    k, seen, evaluation = measured["k"], seen_of(measured), measured["evaluation"]
    kinds = {
        f"coverage_{k}": (translated("Coverage"), share),
        f"gini_{k}": (translated("Gini"), _two),
        f"popularity_{k}": (translated("Mean popularity"), _plain),
        f"novelty_{k}": (translated("Novelty, bits"), _two),
        f"diversity_{k}": (translated("Diversity"), _two),
    }
    there = {name: kind for name, kind in kinds.items() if name in evaluation["model"][seen]}
    if not there:
        return ""
    rows = [
        (scorer_name(scorer), *(form(evaluation[scorer][seen].get(name)) for name, (_, form) in there.items()))
        for scorer in SCORERS
        if scorer in evaluation
    ]
    heads = [translated("Scorer"), *(title for title, _ in there.values())]
    note = hint(
        translated(
            "Coverage: the share of the catalogue in some list. Gini: 0 when all candidates are listed alike, towards 1 when a "
            "few have everything. Novelty: how rare what is listed is. Diversity: how unlike the candidates of one list are."
        )
    )
    caption = translated("What the top {k} lists are like", k=k)
    return table(caption, heads, rows, translated("What the lists are like")) + note


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
