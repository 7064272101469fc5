"""The report as one page of HTML, without other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shortlist.language import marked, shown, translated
from shortlist.report import charts
from shortlist.report.comparison_page import since_body
from shortlist.report.examples import Example
from shortlist.report.facts import Facts, Map
from shortlist.report.figures import figures_at_k, segment_rows
from shortlist.report.html import escaped, hint, interval, listed, paragraph, share, table
from shortlist.report.summary import summary
from shortlist.report.template import chart_place, whole_page
from shortlist.report.verdict import SCORERS, scorer_name, seen_of

__all__ = ["page"]

LOSSES = (marked("Epoch"), marked("Loss"), marked("Chance"), marked("Seconds"))


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
    return whole_page(translated("{name}: report", name=facts.name), summary(facts), contents, body, specs)


def _sections(facts: Facts, specs: dict[str, Any]) -> Iterator[_Section | None]:
    yield _training(facts, specs)
    if facts.since is not None:
        yield _Section("since", translated("Yesterday"), translated("Since yesterday"), since_body(facts.since))
    if facts.measured is not None:
        yield _at_k(facts.measured, specs)
        yield _baselines(facts.measured, specs)
        yield _segments(facts.measured, specs)
    yield _bias(facts, specs)
    yield _map(facts.map, specs)
    yield _examples(facts)
    yield _about(facts)


def _training(facts: Facts, specs: dict[str, Any]) -> _Section | None:
    training = facts.training
    if not training:
        nothing = (
            translated("The model was counted or solved, so there are no epochs to show.")
            if facts.counted
            else translated("The bundle does not say how its model was trained.")
        )
        return _Section("training", translated("Training"), translated("Training"), f"<p>{nothing}</p>")
    specs["loss"] = charts.loss_chart(training)
    first, last = training[0], training[-1]
    last_loss, chance = f"{last['loss']:.4f}", f"{last['chance']:.4f}"
    if len(training) == 1:
        said = translated(
            "After one epoch the loss was {last} nats; a model that scores every candidate alike would have {chance}.",
            last=last_loss,
            chance=chance,
        )
    else:
        said = translated(
            "The loss went from {first} to {last} nats in {epochs} epochs; a model that scores every candidate alike would "
            "have {chance}.",
            first=f"{first['loss']:.4f}",
            last=last_loss,
            epochs=len(training),
            chance=chance,
        )
    text = paragraph(said)
    rows = [(row["epoch"], f"{row['loss']:.4f}", f"{row['chance']:.4f}", f"{row['seconds']:.2f}") for row in training]
    heads = [translated(one) for one in LOSSES]
    body = text + chart_place("loss") + table(translated("Loss by epoch"), heads, rows)
    metrics = [name for name in training[-1] if re.fullmatch(r"[a-z_]+_\d+", name)]
    if metrics:
        specs["epochs"] = charts.epoch_chart(training, metrics)
        rows = [(row["epoch"], *(share(row.get(name)) for name in metrics)) for row in training]
        heads = [translated("Epoch"), *(name.replace("_", "-") for name in metrics)]
        body += (
            f"<h3>{translated('Metrics by epoch')}</h3>"
            + paragraph(translated("Top-k accuracy on the held-out choices after each epoch, seen items left in."))
            + paragraph(
                translated(
                    "It can fall while the model gets better: what was chosen in training then fills the first places."
                )
            )
            + chart_place("epochs")
            + table(translated("Validation metrics by epoch"), heads, rows)
        )
    return _Section("training", translated("Training"), translated("Training: loss against chance"), body)


def _at_k(measured: Mapping[str, Any], specs: dict[str, Any]) -> _Section:
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
    return _Section("metrics", translated("Metrics by k"), translated("Metrics by k"), body)


def _baselines(measured: Mapping[str, Any], specs: dict[str, Any]) -> _Section | None:
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
    return _Section("baselines", translated("Baselines"), title, body + (notes if skipped else ""))


def _segments(measured: Mapping[str, Any], specs: dict[str, Any]) -> _Section | None:
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
    return _Section(
        "segments",
        translated("Segments"),
        translated("Where it works, and where not"),
        text + chart_place("segments") + table(translated("Accuracy by group"), heads, cells),
    )


def _bias(facts: Facts, specs: dict[str, Any]) -> _Section:
    bias = facts.bias
    specs["bias"] = charts.bias_chart(bias)
    sources = [name for name in charts.BIAS if name in bias[0]]
    rows = [(row["part"], f"{row['candidates']:,}", *(share(row[name]) for name in sources)) for row in bias]
    first = bias[0]
    chosen = (
        translated("; people's held-out choices: {share}", share=share(first["held_out"]))
        if "held_out" in first
        else ""
    )
    text = paragraph(
        translated(
            "The most popular tenth of the catalogue has {training} of the training interactions and {recommended} of all "
            "places in the top {k} of {queries} queries{chosen}.",
            training=share(first["training"]),
            recommended=share(first["recommended"]),
            k=facts.bias_k,
            queries=f"{facts.bias_queries:,}",
            chosen=chosen,
        )
    )
    heads = [translated("Tenth"), translated("Candidates"), *(translated(charts.BIAS[name]) for name in sources)]
    body = text + chart_place("bias") + table(translated("Shares by tenth of the catalogue"), heads, rows)
    if facts.measured is not None:
        body += _list_figures(facts.measured)
    return _Section("popularity", translated("Popularity"), translated("Popularity bias"), body)


def _list_figures(measured: Mapping[str, Any]) -> str:
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


def _map(plot: Map, specs: dict[str, Any]) -> _Section:
    specs["map"] = charts.map_chart(plot)
    parts = [_how(plot)]
    if plot.total != len(plot.points):
        parts.append(
            translated(
                "Of {total} candidates the {number} most chosen are shown.",
                total=f"{plot.total:,}",
                number=f"{len(plot.points):,}",
            )
        )
    if plot.group_column:
        parts.append(translated("Colours: the first of each candidate's {column}.", column=plot.group_column))
    parts.append(translated("Larger points were chosen more often."))
    moves = (
        translated(
            "Point at a dot for its title. Pick a group below, or click it in the legend, to see it alone. Shift and wheel "
            "zooms, shift and drag moves, a double click resets."
        )
        if plot.group_column
        else translated(
            "Point at a dot for its title. Shift and wheel zooms, shift and drag moves, a double click resets."
        )
    )
    text = paragraph(" ".join(parts)) + hint(moves)
    rows = [(title, ", ".join(near)) for title, near in plot.neighbours]
    heads = [translated("Candidate"), translated("Nearest in the full space")]
    known = translated("Neighbours of the best known")
    body = text + chart_place("map") + table(known, heads, rows, known)
    if plot.group_column:
        body += _groups(plot)
    return _Section("map", translated("Map"), translated("The catalogue's map"), body)


def _how(plot: Map) -> str:
    """How the points got their places, and what that means."""
    if plot.method == "line":
        return translated("The model knows of each candidate only how popular it is, so the map is a line.")
    if plot.method == "neighbours":
        return translated(
            "Candidates that are chosen together are near each other, by the model's table of neighbours."
        )
    if plot.method == "pca" and plot.kept is not None:
        how = translated(
            "The two directions of largest variance (PCA); they hold {kept} of it", kept=f"{plot.kept:.0%}"
        )
    else:
        method = "PCA" if plot.method == "pca" else "PaCMAP"
        how = translated("By {method}, which keeps neighbours together", method=method)
    return translated("{how}, so distances between far points mean little.", how=how)


def _groups(plot: Map) -> str:
    """Where each group is on the map."""
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
    heads = [translated("Group"), translated("Candidates"), translated("Centre x"), translated("Centre y")]
    return table(translated("Groups on the map"), heads, centres)


def _examples(facts: Facts) -> _Section | None:
    if not facts.good and not facts.bad:
        return None
    parts = []
    kinds = ((translated("Where it was right"), facts.good), (translated("Where it found nothing"), facts.bad))
    for title, examples in kinds:
        if examples:
            parts.append(f"<h3>{title}</h3><div class=cards>{''.join(map(_card, examples))}</div>")
    text = paragraph(
        translated(
            "Each query with its choices in training, the model's list, and its choices in the held-out part. ✓ marks a hit."
        )
    )
    return _Section("examples", translated("Examples"), translated("Examples, good and bad"), text + "".join(parts))


def _card(example: Example) -> str:
    history = listed(map(escaped, example.history)) if example.history else paragraph(translated("nothing"))
    chose = (
        translated(
            "Chose in training (best known {number} of {all})", number=len(example.history), all=f"{example.chosen:,}"
        )
        if example.chosen > len(example.history)
        else translated("Chose in training")
    )
    a_hit = escaped(translated(", a hit"))
    recommended = listed(
        (
            f"<span class=hit><span aria-hidden=true>✓ </span>{escaped(title)}<span class=unseen>{a_hit}</span></span>"
            if hit
            else escaped(title)
            for title, _, hit in example.recommended
        ),
        "ol",
    )
    places = [
        f"{escaped(title)} <span class=place>{escaped(_place(place, example.deep))}</span>"
        for title, place in example.held_out
    ]
    rest = example.held_out_total - len(example.held_out)
    if rest:
        places.append(escaped(translated("and {number} more", number=f"{rest:,}")))
    features = hint(example.features) if example.features else ""
    found = translated("Recommended, {hits} of {all} held out", hits=example.hits, all=len(example.recommended))
    where = translated("Held out, and its place in the model's list")
    return (
        f"<article><h4>{escaped(example.query)}</h4>{features}"
        f"<h5>{escaped(chose)}</h5>{history}"
        f"<h5>{escaped(found)}</h5>{recommended}"
        f"<details><summary>{escaped(where)}</summary>{listed(places)}</details></article>"
    )


def _place(place: int | None, deep: int) -> str:
    return translated("place {place}", place=place) if place else translated("beyond {deep}", deep=deep)


def _about(facts: Facts) -> _Section:
    rows = "".join(
        f"<tr><th scope=row>{escaped(key)}</th><td>{escaped(value)}</td></tr>" for key, value in facts.about.items()
    )
    title = translated("About this model")
    body = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(title)}">'
        f"<table><tbody>{rows}</tbody></table></div>"
    )
    return _Section("about", translated("About"), title, body)


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
