"""An evaluation's figures as flat rows, for charts and for the tables under them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shortlist.language import marked, shown, translated
from shortlist.report.charts import METRICS, SEEN
from shortlist.report.verdict import SCORERS, scorer_name, seen_of

__all__ = ["figures_at_k", "scorers_of", "segment_rows"]

BUILT_IN = {
    "query_history": marked("interactions of the query in training"),
    "candidate_popularity": marked("popularity of the candidate"),
    "head_tail": marked("head and tail of the catalogue"),
    "warm_cold": marked("known and new"),
}


def scorers_of(measured: Mapping[str, Any]) -> list[str]:
    """The scorers that were measured, the model first."""
    return [name for name in SCORERS if name in measured["evaluation"]]


def figures_at_k(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per scorer, seen items left out or in, metric and k: value, low, high; first the half that the verdict judges by."""
    evaluation = measured["evaluation"]
    rows = []
    halves = sorted(SEEN.items(), key=lambda half: half[0] != seen_of(measured))
    for metric, title in METRICS.items():
        for seen, seen_title in halves:
            for scorer in scorers_of(measured):
                figures = evaluation[scorer].get(seen, {})
                for name, value in figures.items():
                    found = re.fullmatch(rf"{metric}_(\d+)", name)
                    if found is None or value is None:
                        continue
                    low, high = evaluation["intervals"].get(scorer, {}).get(seen, {}).get(name, (None, None))
                    rows.append(
                        {
                            "scorer": scorer_name(scorer),
                            "seen": translated(seen_title),
                            "metric": translated(title),
                            "k": int(found.group(1)),
                            "value": value,
                            "low": low,
                            "high": high,
                        }
                    )
    return rows


REST = marked("other or none given")


def _rest(group: str) -> str:
    """A group of a column's values, as it is; the group of all others has a name of ours."""
    return translated(REST) if group == REST else group


def segment_rows(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per segment, group and scorer (the model, the best baseline): value, low, high, pairs, queries."""
    name = f"top_{measured['k']}"
    rows = []
    for segment in measured["segments"]:
        value = segment["figures"].get(name)
        if value is None:
            continue
        low, high = segment["intervals"].get(name, (None, None))
        rows.append(
            {
                "segment": translated(BUILT_IN[segment["name"]]) if segment["name"] in BUILT_IN else segment["name"],
                "group": shown(segment["group"]) if segment["name"] in BUILT_IN else _rest(segment["group"]),
                "scorer": scorer_name(segment["scorer"]),
                "pairs": segment["pairs"],
                "queries": segment["queries"],
                "value": value,
                "low": low,
                "high": high,
            }
        )
    return rows
