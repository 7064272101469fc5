"""The report as one page of HTML, without other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shortlist.report import charts
from shortlist.report.comparison_page import since_body
from shortlist.report.examples import Example
from shortlist.report.facts import Facts, Map
from shortlist.report.figures import figures_at_k, segment_rows
from shortlist.report.html import escaped, interval, listed, share, table
from shortlist.report.template import chart_place, whole_page
from shortlist.report.verdict import SCORERS, judged, seen_of

__all__ = ["page"]

LEVELS = {"good": "good", "mixed": "mixed", "bad": "not good", "unknown": "unknown"}


class _Section(NamedTuple):
    """One part of the page; ``short`` is its name in the contents."""

    anchor: str
    short: str
    title: str
    body: str


def page(facts: Facts) -> str:
    """The whole page: verdict, findings, then a section for each question, each chart with its table."""
    specs: dict[str, Any] = {}
    sections = [section for section in _sections(facts, specs) if section is not None]
    contents = "".join(f'<a href="#{one.anchor}">{escaped(one.short)}</a>' for one in sections)
    body = "".join(f'<section id="{one.anchor}"><h2>{escaped(one.title)}</h2>{one.body}</section>' for one in sections)
    return whole_page(f"{facts.name}: report", _header(facts), contents, body, specs)


def _sections(facts: Facts, specs: dict[str, Any]) -> Iterator[_Section | None]:
    yield _training(facts, specs)
    if facts.since is not None:
        yield _Section("since", "Yesterday", "Since yesterday", since_body(facts.since))
    if facts.measured is not None:
        yield _at_k(facts.measured, specs)
        yield _baselines(facts.measured, specs)
        yield _segments(facts.measured, specs)
    yield _bias(facts, specs)
    yield _map(facts.map, specs)
    yield _examples(facts)
    yield _about(facts)


def _header(facts: Facts) -> str:
    verdict = judged(facts.measured, facts.findings, facts.choice)
    source = f"<p class=source>Figures {escaped(facts.source)}.</p>" if facts.measured is not None else ""
    findings = "".join(
        f"<li><strong>{escaped(one['name'].replace('_', ' '))}</strong>: {escaped(one['message'])}."
        f"<br><span class=hint>What to do: {escaped(one['hint'])}.</span></li>"
        for one in facts.findings
    )
    found = (
        f"<h2>Warnings</h2><ul class=findings>{findings}</ul>"
        if findings
        else (
            "<p class=source>No warnings: no collapse, no exploding norms, no list of bestsellers for everyone, "
            "and the loss is below chance.</p>"
        )
    )
    return (
        f"<p class=name>{escaped(facts.name)}</p>"
        f'<div class="verdict {verdict.level}"><p class=level>Verdict: {LEVELS[verdict.level]}</p>'
        f"<h1>{escaped(verdict.headline)}</h1><p>{escaped(verdict.reason)}</p></div>{source}{found}"
    )


def _training(facts: Facts, specs: dict[str, Any]) -> _Section | None:
    training = facts.training
    if not training:
        return _Section("training", "Training", "Training", "<p>The bundle does not say how its model was trained.</p>")
    specs["loss"] = charts.loss_chart(training)
    first, last = training[0], training[-1]
    text = (
        f"<p>The loss went from {first['loss']:.4f} to {last['loss']:.4f} nats in {len(training)} epochs; a model that "
        f"scores every candidate alike would have {last['chance']:.4f}.</p>"
    )
    rows = [(row["epoch"], f"{row['loss']:.4f}", f"{row['chance']:.4f}", f"{row['seconds']:.2f}") for row in training]
    body = text + chart_place("loss") + table("Loss by epoch", ["Epoch", "Loss", "Chance", "Seconds"], rows)
    metrics = [name for name in training[-1] if re.fullmatch(r"[a-z_]+_\d+", name)]
    if metrics:
        specs["epochs"] = charts.epoch_chart(training, metrics)
        rows = [(row["epoch"], *(share(row.get(name)) for name in metrics)) for row in training]
        heads = ["Epoch", *(name.replace("_", "-") for name in metrics)]
        body += (
            "<h3>Metrics by epoch</h3>"
            "<p>Top-k accuracy on the held-out choices after each epoch, seen items left in.</p>"
            + chart_place("epochs")
            + table("Validation metrics by epoch", heads, rows)
        )
    return _Section("training", "Training", "Training: loss against chance", body)


def _at_k(measured: Mapping[str, Any], specs: dict[str, Any]) -> _Section:
    rows = figures_at_k(measured)
    specs["at_k"] = charts.at_k_chart(rows)
    ks = sorted({row["k"] for row in rows})
    by_line: dict[tuple[str, str, str], dict[int, str]] = {}
    for row in rows:
        line = by_line.setdefault((row["metric"], row["seen"], row["scorer"]), {})
        line[row["k"]] = interval(row["value"], row["low"], row["high"])
    lines = [
        (f"{metric} · {scorer} · seen {seen}", *(line.get(k, "–") for k in ks))
        for (metric, seen, scorer), line in by_line.items()
    ]
    evaluation = measured["evaluation"]
    of = measured.get("sampled_from")
    sample = "" if of is None else f", evenly spread over the {of:,} of the test,"
    text = (
        f"<p>{evaluation['pairs']:,} held-out choices of {evaluation['queries']:,} queries{sample} against all "
        f"{evaluation['candidates']:,} candidates. Bands are 95% intervals by the bootstrap over queries.</p>"
        "<p class=hint>Top-k accuracy: the share of held-out choices among the first k. Recall: the same share of each "
        "query's own choices, then the mean over queries. NDCG: also rewards a place nearer the top.</p>"
    )
    caption = "Metrics by k, with 95% intervals"
    body = text + chart_place("at_k") + table(caption, ["Metric", *(f"k = {k}" for k in ks)], lines)
    return _Section("metrics", "Metrics by k", "Metrics by k", body)


def _baselines(measured: Mapping[str, Any], specs: dict[str, Any]) -> _Section | None:
    k, seen = measured["k"], seen_of(measured)
    if not measured["comparisons"]:
        return None
    specs["baselines"] = charts.baseline_chart(figures_at_k(measured), k)
    name = f"top_{k}"
    evaluation = measured["evaluation"]
    rows = [
        (
            "this model",
            interval(evaluation["model"][seen][name], *evaluation["intervals"]["model"][seen][name]),
            "",
            "",
            "",
        )
    ]
    for one in measured["comparisons"]:
        low, high = one["interval"]
        if one["real"]:
            word = "the model is better" if one["difference"] > 0 else "the model is worse"
        else:
            word = "no difference beyond chance"
        own = interval(one["first"], *evaluation["intervals"][one["scorer"]][seen][name])
        difference = f"{100 * one['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})".replace("-", "−")
        rows.append((SCORERS.get(one["scorer"], one["scorer"]), own, difference, _p(one["p_value"]), word))
    skipped = evaluation.get("skipped") or {}
    notes = listed(f"{escaped(SCORERS.get(one, one))} was not measured: {escaped(why)}" for one, why in skipped.items())
    text = (
        "<p>Each baseline is cheaper than a two-tower model. Differences are paired, query by query, with a "
        "randomisation test.</p>"
    )
    found = (evaluation.get("index_recall") or {}).get(seen, {}).get(f"recall_{k}")
    if found is not None:
        text += f"<p>The index finds {share(found)} of the model's exact top {k}.</p>"
    heads = ["Scorer", f"Top-{k} accuracy", "Model's lead", "p", "Verdict"]
    body = text + chart_place("baselines") + table("The model against each baseline", heads, rows)
    return _Section("baselines", "Baselines", "Against cheaper models", body + (notes if skipped else ""))


def _segments(measured: Mapping[str, Any], specs: dict[str, Any]) -> _Section | None:
    rows = segment_rows(measured)
    if not rows:
        return None
    names = list(dict.fromkeys(row["segment"] for row in rows))
    specs["segments"] = charts.segment_chart(rows, names, f"top-{measured['k']} accuracy")
    shown = list(dict.fromkeys(row["scorer"] for row in rows))
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        lines.setdefault((row["segment"], row["group"]), {"pairs": row["pairs"]})[row["scorer"]] = row
    cells = [
        (
            f"{segment}: {group}",
            f"{line['pairs']:,}",
            *(
                interval(line[one]["value"], line[one]["low"], line[one]["high"]) if one in line else "–"
                for one in shown
            ),
        )
        for (segment, group), line in lines.items()
    ]
    text = (
        f"<p>Top-{measured['k']} accuracy within groups of held-out choices, this model and "
        f"{escaped(shown[-1])}. A group with few choices has a wide interval: its place means little.</p>"
    )
    heads = ["Group", "Test pairs", *shown]
    return _Section(
        "segments",
        "Segments",
        "Where it works, and where not",
        text + chart_place("segments") + table("Accuracy by group", heads, cells),
    )


def _bias(facts: Facts, specs: dict[str, Any]) -> _Section:
    bias = facts.bias
    specs["bias"] = charts.bias_chart(bias)
    sources = [name for name in charts.BIAS if name in bias[0]]
    rows = [(row["part"], f"{row['candidates']:,}", *(share(row[name]) for name in sources)) for row in bias]
    first = bias[0]
    text = (
        f"<p>The most popular tenth of the catalogue has {share(first['training'])} of the training interactions and "
        f"{share(first['recommended'])} of all places in the top {facts.bias_k} of {facts.bias_queries:,} queries"
        + (f"; people's held-out choices: {share(first['held_out'])}" if "held_out" in first else "")
        + ".</p>"
    )
    body = (
        text
        + chart_place("bias")
        + table(
            "Shares by tenth of the catalogue", ["Tenth", "Candidates", *(charts.BIAS[name] for name in sources)], rows
        )
    )
    if facts.measured is not None:
        body += _list_figures(facts.measured)
    return _Section("popularity", "Popularity", "Popularity bias", body)


def _list_figures(measured: Mapping[str, Any]) -> str:
    """Figures of the lists themselves, of the model and of the baselines."""
    k, seen, evaluation = measured["k"], seen_of(measured), measured["evaluation"]
    kinds = {
        f"coverage_{k}": ("Coverage", share),
        f"gini_{k}": ("Gini", _two),
        f"popularity_{k}": ("Mean popularity", _plain),
        f"novelty_{k}": ("Novelty, bits", _two),
        f"diversity_{k}": ("Diversity", _two),
    }
    there = {name: kind for name, kind in kinds.items() if name in evaluation["model"][seen]}
    if not there:
        return ""
    rows = [
        (SCORERS[scorer], *(form(evaluation[scorer][seen].get(name)) for name, (_, form) in there.items()))
        for scorer in SCORERS
        if scorer in evaluation
    ]
    heads = ["Scorer", *(title for title, _ in there.values())]
    note = (
        "<p class=hint>Coverage: the share of the catalogue in some list. Gini: 0 when all candidates are listed "
        "alike, towards 1 when a few have everything. Novelty: how rare what is listed is. Diversity: how unlike the "
        "candidates of one list are.</p>"
    )
    return table(f"What the top {k} lists are like", heads, rows, "What the lists are like") + note


def _map(plot: Map, specs: dict[str, Any]) -> _Section:
    specs["map"] = charts.map_chart(plot)
    if plot.method == "pca" and plot.kept is not None:
        how = f"The two directions of largest variance (PCA); they hold {plot.kept:.0%} of it"
    else:
        how = f"By {plot.method.upper() if plot.method == 'pca' else 'PaCMAP'}, which keeps neighbours together"
    cut = (
        ""
        if plot.total == len(plot.points)
        else (f" Of {plot.total:,} candidates the {len(plot.points):,} most chosen are shown.")
    )
    colours = f" Colours: the first of each candidate's {escaped(plot.group_column)}." if plot.group_column else ""
    text = (
        f"<p>{how}, so distances between far points mean little.{cut}{colours} "
        "Larger points were chosen more often.</p>"
        "<p class=hint>Point at a dot for its title. Pick a group below, or click it in the legend, to see it alone. "
        "Shift and wheel zooms, shift and drag moves, a double click resets.</p>"
    )
    rows = [(title, ", ".join(near)) for title, near in plot.neighbours]
    heads = ["Candidate", "Nearest in the full space"]
    body = (
        text + chart_place("map") + table("Neighbours of the best known", heads, rows, "Neighbours of the best known")
    )
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for point in plot.points:
        groups.setdefault(point["group"], []).append(point)
    centres = [
        (
            group,
            f"{len(points):,}",
            *(f"{sum(point[axis] for point in points) / len(points):.3f}" for axis in ("x", "y")),
        )
        for group in plot.groups
        if (points := groups.get(group))
    ]
    body += table("Groups on the map", ["Group", "Candidates", "Centre x", "Centre y"], centres)
    return _Section("map", "Map", "The catalogue's map", body)


def _examples(facts: Facts) -> _Section | None:
    if not facts.good and not facts.bad:
        return None
    parts = []
    for title, examples in (("Where it was right", facts.good), ("Where it found nothing", facts.bad)):
        if examples:
            parts.append(f"<h3>{title}</h3><div class=cards>{''.join(map(_card, examples))}</div>")
    text = (
        "<p>What a query chose in training, what the model recommends it, and what it chose in the held-out part. "
        "✓ marks a hit.</p>"
    )
    return _Section("examples", "Examples", "Examples, good and bad", text + "".join(parts))


def _card(example: Example) -> str:
    history = listed(map(escaped, example.history)) if example.history else "<p>nothing</p>"
    more = (
        f" (best known {len(example.history)} of {example.chosen:,})" if example.chosen > len(example.history) else ""
    )
    recommended = listed(
        (
            f"<span class=hit><span aria-hidden=true>✓ </span>{escaped(title)}<span class=unseen>, a hit</span></span>"
            if hit
            else escaped(title)
            for title, _, hit in example.recommended
        ),
        "ol",
    )
    places = [
        f"{escaped(title)} <span class=place>{f'place {place}' if place else f'beyond {example.deep}'}</span>"
        for title, place in example.held_out
    ]
    rest = example.held_out_total - len(example.held_out)
    if rest:
        places.append(f"and {rest:,} more")
    features = f"<p class=hint>{escaped(example.features)}</p>" if example.features else ""
    return (
        f"<article><h4>{escaped(example.query)}</h4>{features}"
        f"<h5>Chose in training{more}</h5>{history}"
        f"<h5>Recommended, {example.hits} of {len(example.recommended)} held out</h5>{recommended}"
        f"<details><summary>Held out, and its place in the model's list</summary>{listed(places)}</details></article>"
    )


def _about(facts: Facts) -> _Section:
    rows = "".join(
        f"<tr><th scope=row>{escaped(key)}</th><td>{escaped(value)}</td></tr>" for key, value in facts.about.items()
    )
    body = (
        '<div class="scroll" tabindex="0" role="region" aria-label="About this model">'
        f"<table><tbody>{rows}</tbody></table></div>"
    )
    return _Section("about", "About", "About this model", body)


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
