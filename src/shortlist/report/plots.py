"""Charts of a training history and of an evaluation, for notebooks and files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.data.argument_checks import checked_path
from shortlist.errors import ConfigError
from shortlist.language import translated
from shortlist.report import charts
from shortlist.report.html import as_json, escaped
from shortlist.report.template import chart_place, whole_page
from shortlist.report.verdict import scorer_name
from shortlist.store import write_result

if TYPE_CHECKING:
    from shortlist.evaluation import Evaluation
    from shortlist.train import TrainingHistory

__all__ = ["Chart", "evaluation_plot", "history_plot"]

MIME = "application/vnd.vegalite.v5+json"
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # the version that notebooks draw by themselves
WIDTH = 480  # of each of several charts, which cannot fill their place
KINDS = (".html", ".json")
OWN = {"epoch", "loss", "chance", "seconds", "examples"}


class Chart:
    """A chart in Vega-Lite. Notebooks draw it; ``save`` writes it to a file.

    Args:
        title: text for the page of ``save``.
        specs: a Vega-Lite specification for each part, by name.
    """

    def __init__(self, title: str, specs: Mapping[str, Mapping[str, Any]]) -> None:
        self.title = title
        self._specs = specs

    def to_dict(self) -> dict[str, Any]:
        """The Vega-Lite specification; several parts are below each other."""
        parts = [json.loads(as_json(dict(one))) for one in self._specs.values()]
        if len(parts) == 1:
            return {**parts[0], "$schema": SCHEMA}
        below = [{**{name: one[name] for name in one if name != "$schema"}, "width": WIDTH} for one in parts]
        own = {"color": "independent", "strokeDash": "independent"}
        return {"$schema": SCHEMA, "vconcat": below, "resolve": {"scale": own, "legend": own}}

    def save(self, path: str | Path) -> None:
        """Write the chart to a file, in one step.

        Args:
            path: a file whose name ends in .html, a page that needs no network, or in .json, the specification.

        Raises:
            ConfigError: for another ending, and where the disk refuses.
        """
        place = checked_path(path, "save(path)")
        if place.suffix.lower() not in KINDS:
            raise ConfigError(
                f"save(path) got {str(place)!r}; a name that ends in .html or .json was expected.",
                hint=f"save({str(place.with_suffix('.html'))!r})",
            )
        text = self._page() if place.suffix.lower() == ".html" else json.dumps(self.to_dict(), ensure_ascii=False)
        try:
            write_result(place, text.encode())
        except OSError as error:
            raise ConfigError(
                f"the chart could not be written to {str(place)!r}: {error.strerror or error}.",
                hint="choose a folder that exists and can be written to",
            ) from error

    def _page(self) -> str:
        places = "".join(map(chart_place, self._specs))
        return whole_page(self.title, f"<h1>{escaped(self.title)}</h1>", "", places, self._specs)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {MIME: self.to_dict(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Chart({self.title!r}; in a notebook it is drawn, and .save('chart.html') writes it)"


def history_plot(history: TrainingHistory) -> Any:
    """Loss and chance by epoch, and validation metrics where there are some; an altair chart where altair is installed."""
    rows = history.to_frame().to_dicts()
    metrics = [name for name in rows[0] if name not in OWN]
    specs = {"loss": charts.loss_chart(rows)}
    if metrics:
        specs["metrics"] = charts.epoch_chart(rows, metrics)
    return _drawn(Chart(translated("Training"), specs))


def evaluation_plot(evaluation: Evaluation) -> Any:
    """Each metric by k, with intervals where there are some; an altair chart where altair is installed.

    Raises:
        ConfigError: for an evaluation without a metric at k.
    """
    rows = []
    for one in evaluation.to_frame().rows(named=True):
        found = re.fullmatch(r"(.+)_(\d+)", one["metric"])
        if one["segment"] is None and found is not None and math.isfinite(one["value"]):
            rows.append(
                {
                    "scorer": scorer_name(one["scorer"]),
                    "seen": translated(charts.SEEN[one["seen"]]),
                    "metric": translated(charts.METRICS.get(found[1], found[1].replace("_", " "))),
                    "k": int(found[2]),
                    **{name: one[name] for name in ("value", "low", "high")},
                }
            )
    if not rows:
        raise ConfigError(
            "the evaluation has no metric at k to plot.", hint="evaluate(…, metrics=('top',), ks=(1, 5, 10))"
        )
    rows.sort(
        key=lambda row: [translated(one) for one in charts.SEEN.values()].index(row["seen"])
    )  # the first is shown first
    ks = {row["k"] for row in rows}
    spec = charts.at_k_chart(rows) if len(ks) > 1 else charts.baseline_chart(rows, *ks)
    picked = f"metric_is + {json.dumps(' · ' + translated('seen items') + ': ', ensure_ascii=False)} + seen_is"
    spec["title"] = {"text": {"expr": picked}, "anchor": "start"}  # pictures have no lists to pick from
    return _drawn(Chart(translated("Evaluation"), {"at_k": spec}))


def _drawn(chart: Chart) -> Any:
    """The chart as altair's, where altair is installed."""
    try:
        import altair
    except ImportError:
        return chart
    spec = chart.to_dict()
    if "width" in spec:  # of a picture, which has no place to fill
        spec["width"] = WIDTH
    return altair.Chart.from_dict(spec)
