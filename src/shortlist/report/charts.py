"""Vega-Lite specifications of the report's charts; colours and fonts come from the page, which has a light and a dark form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shortlist.language import marked, translated
from shortlist.report.facts import Map
from shortlist.report.verdict import scorer_name

__all__ = ["at_k_chart", "baseline_chart", "bias_chart", "epoch_chart", "loss_chart", "map_chart", "segment_chart"]

Spec = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]

SHARE = ".1%"
SEEN = {"seen_out": marked("left out"), "seen_in": marked("left in")}
METRICS = {"top": marked("top-k accuracy"), "recall": marked("recall"), "ndcg": "NDCG"}
EVERYTHING = marked("everything")
COLOUR_ORDER = ("model", "ease", "popularity", "ials", "cooccurrence", "recent", "index", "transitions")
BIAS = {
    "training": marked("training interactions"),
    "recommended": marked("recommendations"),
    "held_out": marked("held-out choices"),
}


def loss_chart(training: Rows) -> Spec:
    """Loss and chance by epoch."""
    rows = [
        {"epoch": row["epoch"], "series": series, "nats": row[key]}
        for row in training
        for series, key in ((translated("loss"), "loss"), (translated("chance"), "chance"))
    ]
    order = [translated("loss"), translated("chance")]
    return _spec(
        translated("Training loss and chance, by epoch"),
        rows,
        mark={"type": "line", "point": True},
        encoding={
            "x": _epoch(rows),
            "y": {
                "field": "nats",
                "type": "quantitative",
                "title": translated("nats per example"),
                "scale": {"zero": False},
            },
            "color": {**_colour("series", order), "legend": {"symbolType": "stroke"}},
            "strokeDash": {  # without a scale, so that the colour's legend is the only one
                "condition": {"test": f"datum.series === {json.dumps(order[1], ensure_ascii=False)}", "value": [4, 2]},
                "value": [1, 0],
            },
            "tooltip": [
                {"field": "epoch", "type": "ordinal", "title": translated("epoch")},
                {"field": "series", "type": "nominal", "title": translated("series")},
                {"field": "nats", "type": "quantitative", "format": ".4f", "title": translated("nats")},
            ],
        },
    )


def epoch_chart(training: Rows, metrics: Sequence[str]) -> Spec:
    """Validation metrics by epoch."""
    rows = [
        {"epoch": row["epoch"], "metric": _dashed(name), "value": row[name]}
        for row in training
        for name in metrics
        if row.get(name) is not None
    ]
    return _spec(
        translated("Validation metrics by epoch"),
        rows,
        mark={"type": "line", "point": True},
        encoding={
            "x": _epoch(rows),
            "y": _share("value", translated("share of held-out choices")),
            "color": {**_colour("metric", [_dashed(name) for name in metrics]), "legend": {"symbolType": "stroke"}},
            "tooltip": [
                {"field": "epoch", "type": "ordinal", "title": translated("epoch")},
                {"field": "metric", "type": "nominal", "title": translated("metric")},
                {"field": "value", "type": "quantitative", "format": SHARE, "title": translated("value")},
            ],
        },
    )


def at_k_chart(rows: Rows) -> Spec:
    """Metrics by k with intervals; rows as ``figures_at_k`` has them. The reader picks the metric, and seen items."""
    scorers = list(dict.fromkeys(row["scorer"] for row in rows))
    spec = _spec(translated("Metrics by k, with 95% intervals"), rows)
    spec["params"] = _choices(rows)
    spec["transform"] = _chosen()
    colour = _scorer(scorers)
    colour["legend"] = {**colour["legend"], "symbolOpacity": 1}  # not the area's, which is hardly seen
    x = {"field": "k", "type": "ordinal", "title": "k", "axis": {"labelAngle": 0}}
    spec["layer"] = [
        {
            "mark": {"type": "area", "opacity": 0.18},
            "encoding": {
                "x": x,
                "y": {"field": "low", "type": "quantitative"},
                "y2": {"field": "high"},
                "color": colour,
            },
        },
        {
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": x,
                "y": _share("value", translated("share")),
                "color": colour,
                "tooltip": [
                    {"field": "scorer", "type": "nominal", "title": translated("scorer")},
                    {"field": "k", "type": "ordinal", "title": translated("k")},
                    *_interval(),
                ],
            },
        },
    ]
    return spec


def baseline_chart(rows: Rows, k: int) -> Spec:
    """Model and baselines at one k, with intervals; rows as ``figures_at_k`` has them."""
    rows = [row for row in rows if row["k"] == k]
    scorers = list(dict.fromkeys(row["scorer"] for row in rows))
    spec = _spec(translated("Model against baselines at k = {k}, with 95% intervals", k=k), rows)
    spec["height"] = 34 * len(scorers)
    spec["params"] = _choices(rows)
    spec["transform"] = _chosen()
    y = {"field": "scorer", "type": "nominal", "title": None, "sort": {"field": "value", "order": "descending"}}
    colour = {**_scorer(scorers), "legend": None}
    spec["layer"] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {
                "y": y,
                "x": {"field": "low", "type": "quantitative"},
                "x2": {"field": "high"},
                "color": colour,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90},
            "encoding": {
                "y": y,
                "x": {**_share("value", translated("share")), "scale": {"zero": True}},
                "color": colour,
                "tooltip": [{"field": "scorer", "type": "nominal", "title": translated("scorer")}, *_interval()],
            },
        },
    ]
    return spec


def segment_chart(rows: Rows, names: Sequence[str], title: str) -> Spec:
    """One segment at a time, its groups with intervals for the model and the best baseline; the reader picks which."""
    scorers = list(dict.fromkeys(row["scorer"] for row in rows))
    spec = _spec(translated("Accuracy by segment, with 95% intervals"), rows)
    heights = {
        name: 16 * len({(row["group"], row["scorer"]) for row in rows if row["segment"] == name}) for name in names
    }
    spec["height"] = heights[names[0]]
    spec["usermeta"] = {"heights": heights}  # the page uses it to change the height when the reader picks a segment
    spec["params"] = [
        {
            "name": "segment",
            "value": names[0],
            "bind": {"input": "select", "options": list(names), "name": f"{translated('segment')} "},
        }
    ]
    spec["transform"] = [{"filter": "datum.segment === segment"}]
    y = {"field": "group", "type": "nominal", "title": None, "sort": None, "axis": {"labelLimit": 150}}
    colour = _scorer(scorers)
    offset = {"field": "scorer", "type": "nominal", "sort": scorers}
    spec["layer"] = [
        {
            "mark": {"type": "point", "filled": True, "size": 60},
            "encoding": {
                "y": y,
                "yOffset": offset,
                "x": {**_share("value", title), "scale": {"zero": True}},
                "color": colour,
                "tooltip": [
                    {"field": "group", "type": "nominal", "title": translated("group")},
                    {"field": "scorer", "type": "nominal", "title": translated("scorer")},
                    {"field": "pairs", "type": "quantitative", "format": ",", "title": translated("test pairs")},
                    *_interval(),
                ],
            },
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {
                "y": y,
                "yOffset": offset,
                "x": {"field": "low", "type": "quantitative"},
                "x2": {"field": "high"},
                "color": colour,
            },
        },
    ]
    return spec


def bias_chart(bias: Rows) -> Spec:
    """Shares of training, recommendations and held-out choices by tenth of the catalogue."""
    sources = [name for name in BIAS if name in bias[0]]
    rows = [
        {"part": row["part"], "source": translated(BIAS[name]), "share": row[name]} for row in bias for name in sources
    ]
    order = [translated(BIAS[name]) for name in sources]
    return _spec(
        translated("Where training, recommendations and held-out choices fall, by popularity of the candidate"),
        rows,
        mark="bar",
        encoding={
            "x": {
                "field": "part",
                "type": "ordinal",
                "title": translated("tenths of the catalogue, most popular first"),
                "axis": {"labelAngle": 0},
            },
            "xOffset": {"field": "source", "type": "nominal", "sort": order},
            "y": _share("share", translated("share")),
            "color": _colour("source", order),
            "tooltip": [
                {"field": "part", "type": "ordinal", "title": translated("tenth")},
                {"field": "source", "type": "nominal", "title": translated("source")},
                {"field": "share", "type": "quantitative", "format": SHARE, "title": translated("share")},
            ],
        },
    )


def map_chart(plot: Map) -> Spec:
    """The catalogue's vectors in two dimensions; a choice below, or a click on the legend, shows one group alone."""
    place = {"type": "quantitative", "scale": {"zero": False}, "axis": None}
    everything = translated(EVERYTHING)
    chosen = f"shown === {json.dumps(everything)} || datum.group === shown"
    spec = _spec(
        translated("The catalogue's embeddings in two dimensions"),
        plot.points,
        mark={"type": "point", "filled": True},
        encoding={
            "x": {"field": "x", **place},
            "y": {"field": "y", **place},
            "color": _colour("group", plot.groups),
            "size": {
                "field": "count",
                "type": "quantitative",
                "scale": {"type": "sqrt", "range": [14, 160]},
                "legend": None,
            },
            "opacity": {"condition": {"test": {"and": [{"param": "group"}, chosen]}, "value": 0.8}, "value": 0.04},
            "tooltip": [
                {"field": "title", "type": "nominal", "title": translated("title")},
                {"field": "groups", "type": "nominal", "title": plot.group_column or translated("group")},
                {"field": "count", "type": "quantitative", "format": ",", "title": translated("training interactions")},
            ],
        },
    )
    spec["height"] = 460
    zoom = {
        "name": "zoom",
        "select": {
            "type": "interval",
            "zoom": "wheel![event.shiftKey]",
            "translate": "[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
        },
        "bind": "scales",
    }
    if plot.group_column is None:  # one group: nothing to pick
        spec["encoding"]["color"]["legend"] = None
        spec["encoding"]["opacity"] = {"value": 0.8}
        spec["params"] = [zoom]
        return spec
    spec["params"] = [
        {
            "name": "shown",
            "value": everything,
            "bind": {"input": "select", "options": [everything, *plot.groups], "name": f"{translated('show')} "},
        },
        {"name": "group", "select": {"type": "point", "fields": ["group"]}, "bind": "legend"},
        zoom,
    ]
    return spec


def _spec(description: str, rows: Rows, **parts: Any) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "width": "container",
        "height": 260,
        "data": {"values": list(rows)},
        **parts,
    }


def _colour(field: str, domain: Sequence[str]) -> dict[str, Any]:
    return {"field": field, "type": "nominal", "scale": {"domain": list(domain)}, "title": None}


def _scorer(shown: Sequence[str]) -> dict[str, Any]:
    """The colour of each scorer, the same in every chart; the legend names those shown."""
    return {**_colour("scorer", [scorer_name(name) for name in COLOUR_ORDER]), "legend": {"values": list(shown)}}


def _share(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "axis": {"format": "~%", "tickCount": 6}}


def _epoch(rows: Rows) -> dict[str, Any]:
    last = max(row["epoch"] for row in rows)
    if last <= 20:
        return {"field": "epoch", "type": "ordinal", "title": translated("epoch"), "axis": {"labelAngle": 0}}
    return {
        "field": "epoch",
        "type": "quantitative",
        "title": translated("epoch"),
        "axis": {"tickMinStep": 1},
        "scale": {"zero": False},
    }


def _interval() -> list[dict[str, Any]]:
    return [
        {"field": "value", "type": "quantitative", "format": SHARE, "title": translated("value")},
        {"field": "low", "type": "quantitative", "format": SHARE, "title": translated("95% from")},
        {"field": "high", "type": "quantitative", "format": SHARE, "title": translated("to")},
    ]


def _choices(rows: Rows) -> list[dict[str, Any]]:
    """Inputs to pick the metric and whether seen items are left out."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    seen = list(dict.fromkeys(row["seen"] for row in rows))
    params = [("metric_is", metrics, f"{translated('metric')} "), ("seen_is", seen, f"{translated('seen items')} ")]
    return [
        {"name": name, "value": values[0], "bind": {"input": "select", "options": values, "name": label}}
        for name, values, label in params
    ]


def _chosen() -> list[dict[str, Any]]:
    return [{"filter": "datum.metric === metric_is && datum.seen === seen_is"}]


def _dashed(name: str) -> str:
    return name.replace("_", "-")
