"""The facts of a report, gathered from a recommender, its metadata and, where there is one, a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Account, Dataset
from shortlist.data.argument_checks import check_dataset, check_model
from shortlist.data.id_map import IdMap
from shortlist.evaluation import diagnose
from shortlist.evaluation.metrics import headline_k
from shortlist.language import shown, translated
from shortlist.recommender import Recommender
from shortlist.report.bias import by_popularity
from shortlist.report.catalogue import Labels
from shortlist.report.examples import Example, chosen_examples
from shortlist.report.measured import measure
from shortlist.report.projection import Projection, projected
from shortlist.sources import plane

__all__ = ["Facts", "Map", "gathered"]

ASKED = 1_000
POINTS = 4_000
LANDMARKS = 30


@dataclass(frozen=True)
class Map:
    """The catalogue in two dimensions.

    Attributes:
        points: x, y, title, group, groups, count of each.
        groups: in order of size.
        kept: the share of variance shown.
        method: "pca", "pacmap", "neighbours" (by a table of neighbours, of a model without vectors) or "line" (by popularity).
        total: how many candidates there are.
        group_column: what the colours mean.
        neighbours: for the best known candidates their titles and those of the nearest in the full space.
    """

    points: list[dict[str, Any]]
    groups: list[str]
    kept: float | None
    method: str
    total: int
    group_column: str | None
    neighbours: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Facts:
    """Everything on the page.

    Attributes:
        about: how the model was made, by name.
        training: a mapping per epoch.
        measured: as ``measure`` gives it, or None.
        source: where the figures of ``measured`` come from, in words.
        since: as ``report.comparison`` gives it, of a model that started from yesterday's.
        choice: as ``Choice.to_dict`` gives it, of a model that was chosen among several.
        recipe: as ``Recipe.to_dict`` gives it, of a model that a recipe made.
    """

    name: str
    about: dict[str, str]
    training: Sequence[Mapping[str, Any]]
    measured: Mapping[str, Any] | None
    source: str
    findings: Sequence[Mapping[str, Any]]
    bias: list[dict[str, Any]]
    bias_k: int
    bias_queries: int
    map: Map
    good: list[Example]
    bad: list[Example]
    since: Mapping[str, Any] | None = None
    choice: Mapping[str, Any] | None = None
    recipe: Mapping[str, Any] | None = None

    @property
    def counted(self) -> bool:
        """Whether the model has counts or solved vectors alone, so that no epochs were trained."""
        return not self.training and self.recipe is not None

    @property
    def bestsellers(self) -> bool:
        """Whether the model is popularity, and nothing else."""
        recipe = self.recipe or {}
        return recipe.get("towers") == "popularity" and not recipe.get("neighbours") and not recipe.get("sources")


def gathered(
    recommender: Recommender,
    test: Dataset | None = None,
    *,
    name: str = "model",
    method: str = "pca",
    baselines: Sequence[str] | None = None,
    about: Mapping[str, str] | None = None,
    weighted: bool = False,
) -> Facts:
    """The facts of a report. Without ``test`` its figures are those from the model's training."""
    check_model(recommender, "report(recommender)", "Recommender")
    check_dataset(test, "report(test)", optional=True)
    model, metadata, catalogue = recommender.model, recommender.metadata, recommender.towers.catalogue
    training = metadata.get("training", ())
    measured = metadata.get("measured")
    source = translated("kept from training")
    if test is not None:
        measured = measure(
            model,
            test,
            seen=recommender.seen,
            training=training,
            baselines=baselines,
            index=recommender.index,
            weighted=weighted,
        )
        number = f"{len(test):,}"
        source = (
            translated("measured for this report on {number} test interactions, by their weights", number=number)
            if weighted
            else translated("measured for this report on {number} test interactions", number=number)
        )
    findings = (
        [one.to_dict() for one in diagnose(model, training=training)] if measured is None else measured["findings"]
    )
    k = headline_k(len(catalogue.candidates)) if measured is None else measured["k"]
    labels = Labels(catalogue.candidates, catalogue.candidate)
    listed, asked = _listed(recommender, k)
    held_out = None if measured is None else measured["held_out"]
    good, bad = ([], []) if held_out is None else chosen_examples(recommender, labels, held_out, k)
    return Facts(
        name=name,
        about=_about(recommender, about or {}, measured),
        training=training,
        measured=measured,
        source=source,
        findings=findings,
        bias=by_popularity(catalogue.counts, listed, None if held_out is None else _chosen(recommender, held_out)),
        bias_k=k,
        bias_queries=asked,
        map=_map(recommender, labels, method),
        good=good,
        bad=bad,
        since=metadata.get("since"),
        choice=metadata.get("choice"),
        recipe=metadata.get("recipe"),
    )


def _about(recommender: Recommender, about: Mapping[str, str], measured: Mapping[str, Any] | None) -> dict[str, str]:
    catalogue = recommender.towers.catalogue
    recipe, choice = recommender.metadata.get("recipe"), recommender.metadata.get("choice")
    facts = {} if choice is None else {translated("Model"): _chosen_model(choice)}
    facts |= {
        translated("Candidates"): f"{len(catalogue.candidates):,} ({catalogue.candidate})",
        translated("Queries"): translated(
            "{number} ({column}), {known} in training",
            number=f"{len(catalogue.queries):,}",
            column=catalogue.query,
            known=f"{int(catalogue.known.sum()):,}",
        ),
        translated("Training interactions"): f"{int(catalogue.counts.sum()):,}",
        translated("Query tower reads"): ", ".join(recommender.towers.query.columns),
        translated("Candidate tower reads"): ", ".join(recommender.towers.candidate.columns),
        translated("Dimensions"): f"{recommender.towers.dim}",
        translated("Index"): f"{type(recommender.index).__name__}: {shown(recommender.reason)}",
        translated("Fingerprint"): recommender.fingerprint[:16],
    }
    run = recommender.metadata.get("run")
    if run:
        facts[translated("Data")] = translated(
            "{number} interactions, fingerprint {fingerprint}",
            number=f"{run['data']['interactions']:,}",
            fingerprint=run["data"]["fingerprint"][:16],
        )
        facts[translated("Seed")] = f"{run['seed']}"
        facts[translated("Commit")] = run["commit"] or translated("none: trained outside a repository")
        facts[translated("Versions")] = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    notes = () if measured is None else measured["evaluation"].get("notes", ())
    if notes:
        facts[translated("To know")] = " ".join(map(shown, notes))
    account = recommender.metadata.get("account")
    if account:
        read = Account.from_dict(account)
        others = map(shown, [*read.lines()[1:], *read.warnings])
        facts[translated("Read")] = "; ".join([", ".join(map(shown, read.counts())), *others])
    if recipe:
        for section in ("model", "query", "candidate", "loss", "optimizer", "fit"):
            values = recipe.get(section)
            if values:
                facts[translated("Recipe: {section}", section=section)] = ", ".join(
                    f"{key} {value}" for key, value in values.items() if value != []
                )
    return {**about, **facts}


def _chosen_model(choice: Mapping[str, Any]) -> str:
    return translated(
        "{name}, the best of {number} that were tried", name=choice["chosen"], number=len(choice["contenders"])
    )


def _listed(recommender: Recommender, k: int) -> tuple[NDArray[np.int64], int]:
    """In how many top lists each candidate is, int64 ``[candidates]``, and how many queries were asked."""
    ids = recommender.candidate_ids
    known = np.flatnonzero(recommender.towers.catalogue.known)
    asked = known[np.linspace(0, len(known) - 1, min(len(known), ASKED)).astype(np.int64)]
    answers = recommender.recommend(recommender.query_ids.gather(asked).to_list(), k=k).to_frame()
    return _times(answers[recommender.towers.catalogue.candidate], ids), len(asked)


def _chosen(recommender: Recommender, held_out: Mapping[str, Any]) -> NDArray[np.int64]:
    ids = recommender.candidate_ids
    flat = [one for chosen in held_out["candidates"] for one in chosen]
    return _times(pl.Series(flat, dtype=ids.dtype), ids)


def _times(values: pl.Series, ids: pl.Series) -> NDArray[np.int64]:
    """How often each of ``ids`` is among ``values``; other values are ignored."""
    counts = values.rename("id").to_frame().group_by("id").len()
    found = ids.rename("id").to_frame().join(counts, on="id", how="left", maintain_order="left")["len"]
    return np.asarray(found.fill_null(0), np.int64)


def _map(recommender: Recommender, labels: Labels, method: str) -> Map:
    catalogue = recommender.towers.catalogue
    popular = np.argsort(-catalogue.counts, kind="stable")
    shown = np.sort(popular[:POINTS])
    added = recommender.served.state.near
    if recommender.towers.dim > 1:
        projection = projected(recommender.towers.candidate_vectors(catalogue.candidates[shown]), method)
    elif added is not None and added.tables:
        projection = Projection(plane(added.tables[0], shown).astype(np.float32), None, "neighbours")
    else:
        popularity = np.log1p(catalogue.counts[shown])
        projection = Projection(np.column_stack([popularity, np.zeros(len(shown))]).astype(np.float32), None, "line")
    groups, order = labels.coloured()
    points = [
        {
            "x": round(float(x), 3),
            "y": round(float(y), 3),
            "title": labels.titles[row],
            "group": groups[row],
            "groups": labels.all_groups(row),
            "count": int(catalogue.counts[row]),
        }
        for row, (x, y) in zip(shown.tolist(), projection.places, strict=True)
    ]
    landmarks = popular[:LANDMARKS]
    ids = recommender.candidate_ids.gather(landmarks).to_list()
    row_of = IdMap(recommender.candidate_ids).row_of
    near = recommender.similar(ids, k=3) if len(catalogue.candidates) > 1 else []
    neighbours = [
        (labels.titles[row], [labels.titles[row_of[one]] for one in answer.ids])
        for row, answer in zip(landmarks.tolist(), near, strict=False)
    ]
    return Map(
        points, order, projection.kept, projection.method, len(catalogue.candidates), labels.group_column, neighbours
    )
