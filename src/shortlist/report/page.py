"""The report as one page of HTML, without other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shortlist.language import marked, translated
from shortlist.report import charts
from shortlist.report.comparison_page import since_body
from shortlist.report.examples import Example
from shortlist.report.facts import Facts, Map
from shortlist.report.html import escaped, hint, listed, paragraph, share, table
from shortlist.report.measured_page import at_k, baselines, list_figures, segments
from shortlist.report.summary import summary
from shortlist.report.template import Section, chart_place, whole_page

__all__ = ["page"]

LOSSES = (marked("Epoch"), marked("Loss"), marked("Chance"), marked("Seconds"))


def page(facts: Facts) -> str:
    """The whole page: verdict, findings, then a section for each question, each chart with its table."""
    specs: dict[str, Any] = {}
    sections = [section for section in _sections(facts, specs) if section is not None]
    contents = "".join(f'<a href="#{one.anchor}">{escaped(one.short)}</a>' for one in sections)
    body = "".join(f'<section id="{one.anchor}"><h2>{escaped(one.title)}</h2>{one.body}</section>' for one in sections)
    return whole_page(translated("{name}: report", name=facts.name), summary(facts), contents, body, specs)


def _sections(facts: Facts, specs: dict[str, Any]) -> Iterator[Section | None]:
    yield _training(facts, specs)
    if facts.since is not None:
        yield Section("since", translated("Yesterday"), translated("Since yesterday"), since_body(facts.since))
    if facts.measured is not None:
        yield at_k(facts.measured, specs)
        yield baselines(facts.measured, specs)
        yield segments(facts.measured, specs)
    yield _bias(facts, specs)
    yield _map(facts.map, specs)
    yield _examples(facts)
    yield _about(facts)


def _training(facts: Facts, specs: dict[str, Any]) -> Section | None:
    training = facts.training
    if not training:
        nothing = (
            translated("The model was counted or solved, so there are no epochs to show.")
            if facts.counted
            else translated("The bundle does not say how its model was trained.")
        )
        return Section("training", translated("Training"), translated("Training"), f"<p>{nothing}</p>")
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
    return Section("training", translated("Training"), translated("Training: loss against chance"), body)


def _bias(facts: Facts, specs: dict[str, Any]) -> Section:
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
        body += list_figures(facts.measured)
    return Section("popularity", translated("Popularity"), translated("Popularity bias"), body)


def _map(plot: Map, specs: dict[str, Any]) -> Section:
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
    return Section("map", translated("Map"), translated("The catalogue's map"), body)


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


def _examples(facts: Facts) -> Section | None:
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
    return Section("examples", translated("Examples"), translated("Examples, good and bad"), text + "".join(parts))


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


def _about(facts: Facts) -> Section:
    rows = "".join(
        f"<tr><th scope=row>{escaped(key)}</th><td>{escaped(value)}</td></tr>" for key, value in facts.about.items()
    )
    title = translated("About this model")
    body = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(title)}">'
        f"<table><tbody>{rows}</tbody></table></div>"
    )
    return Section("about", translated("About"), title, body)
