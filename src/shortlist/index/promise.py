"""How an index keeps a promised recall, in figures: what ``shortlist.tuning`` measures and the index carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from shortlist.display import Tabular, table_html
from shortlist.display.html import ROWS
from shortlist.index.contract import Index
from shortlist.index.recall import Recall
from shortlist.language import shown, translated

__all__ = ["Point", "Tuned", "Tuning", "tuning_html"]


@dataclass(frozen=True)
class Point:
    """One setting, measured.

    Attributes:
        backend: "exact", "quantized", "scann", "ivfpq" or "hnsw".
        build: number of the build within the run.
        settings: for ``index_from_settings``.
        recall: at the promise's k, on held-out queries.
        milliseconds: a query, alone; the median.
        keeps: whether it keeps the promise, on the tuning queries and on the held-out ones, sampling error allowed for.
    """

    backend: str
    build: int
    settings: dict[str, Any]
    recall: Recall
    milliseconds: float
    keeps: bool


@dataclass(frozen=True)
class Tuned:
    """The chosen index in figures.

    Attributes:
        recalls: by k, on held-out queries.
        milliseconds: median of a query alone at the promise's k; ``milliseconds_99`` its 99th percentile.
        exact_milliseconds: exact search's median, timed in turn with it.
        build_seconds: time to build the chosen index.
        nbytes: memory of the chosen index.
    """

    backend: str
    settings: dict[str, Any]
    recalls: dict[int, Recall]
    milliseconds: float
    milliseconds_99: float
    exact_milliseconds: float
    build_seconds: float
    nbytes: int


@dataclass(frozen=True)
class Tuning(Tabular):
    """The result of ``tune_index``: the index, and what was measured on the way.

    Attributes:
        index: built, over the vectors given.
        recall: the mean recall that was promised.
        k: over the top k.
        candidates: how many it was tuned on.
        dim: the length of their vectors.
        tune_queries: how many queries settings were chosen by.
        held_out_queries: how many they were checked on.
        chosen: the fastest that keeps the promise.
        reason: a sentence that says what was chosen and why.
        points: every setting that was timed.
        missing: backends that could not run, and builds that were left out, with the reason.
    """

    index: Index = field(repr=False)
    recall: float
    k: int
    candidates: int
    dim: int
    tune_queries: int
    held_out_queries: int
    chosen: Tuned
    reason: str
    points: tuple[Point, ...] = field(repr=False)
    missing: dict[str, str]

    def curve(self, backend: str) -> list[Point]:
        """The points of a backend that no other point of it beats in both recall and time, by rising recall."""
        best: list[Point] = []
        own = [point for point in self.points if point.backend == backend]
        for point in sorted(own, key=lambda point: (-point.recall.mean, point.milliseconds)):
            if not best or point.milliseconds < best[-1].milliseconds:
                best.append(point)
        return best[::-1]

    def to_frame(self) -> pl.DataFrame:
        """A row per setting that was timed: backend, build, settings (as JSON), recall, lower, milliseconds, keeps."""
        rows = [
            {
                "backend": one.backend,
                "build": one.build,
                "settings": json.dumps(one.settings),
                "recall": one.recall.mean,
                "lower": one.recall.lower,
                "milliseconds": one.milliseconds,
                "keeps": one.keeps,
            }
            for one in self.points
        ]
        schema = {
            "backend": pl.String,
            "build": pl.Int64,
            "settings": pl.String,
            **dict.fromkeys(("recall", "lower", "milliseconds"), pl.Float64),
            "keeps": pl.Boolean,
        }
        return pl.DataFrame(rows, schema=schema)

    def __repr__(self) -> str:
        return f"Tuning({self.chosen.backend} · {self.reason})"

    def _repr_html_(self) -> str:
        return tuning_html(self, "Tuning")

    def to_dict(self) -> dict[str, Any]:
        """Everything but the index, fit for JSON; recalls by k as a list."""
        chosen = {**asdict(self.chosen), "recalls": [recall.to_dict() for recall in self.chosen.recalls.values()]}
        plain = {
            name: getattr(self, name)
            for name in ("recall", "k", "candidates", "dim", "tune_queries", "held_out_queries", "reason", "missing")
        }
        backends = dict.fromkeys(point.backend for point in self.points)
        return {
            **plain,
            "chosen": chosen,
            "curves": {backend: [asdict(point) for point in self.curve(backend)] for backend in backends},
            "points": [asdict(point) for point in self.points],
        }


def tuning_html(tuning: Tuning, title: str) -> str:
    """The settings that keep the promise, the fastest first, then the others by recall; below them what was chosen, and why."""
    ordered = sorted(
        tuning.points, key=lambda one: (not one.keeps, one.milliseconds if one.keeps else -one.recall.mean)
    )
    rows = [
        [one.backend, one.build, _chosen(one.settings), one.recall.mean, one.recall.lower, one.milliseconds, one.keeps]
        for one in ordered[:ROWS]
    ]
    numbers = {"number": f"{len(rows):,}", "all": f"{len(ordered):,}"}
    more = [translated("the first {number} of {all} rows", **numbers)] if len(ordered) > len(rows) else []
    heads = ("backend", "build", "settings", "recall", "lower", "milliseconds", "keeps")
    return table_html(title, heads, rows, [*more, shown(tuning.reason)])


def _chosen(settings: Mapping[str, Any]) -> str:
    """Settings without the kind, which the backend names, and without those that are left to the index."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if name != "kind" and value is not None)
