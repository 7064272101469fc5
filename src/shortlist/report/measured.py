"""A model's quality on held-out data, measured once, as plain values that a bundle can keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from shortlist.data import Dataset
from shortlist.data.argument_checks import check_dataset, check_model
from shortlist.evaluation import Evaluation, compare, diagnose
from shortlist.evaluation.baselines import BASELINES, left_out
from shortlist.evaluation.evaluate import Contest
from shortlist.evaluation.metrics import headline_k
from shortlist.evaluation.segments import BUILT_IN
from shortlist.index import BruteForce, Index
from shortlist.model import TwoTower
from shortlist.sources import Mixture

__all__ = ["AT_K", "KS", "few_groups", "measure"]

KS = (1, 5, 10, 20, 50, 100)
TABLE = (1, 5, 10, 50, 100)
AT_K = ("top", "recall", "ndcg")
OF_LISTS = ("coverage", "gini", "popularity", "novelty", "diversity")
SCORES = 250_000_000
FEWEST_QUERIES = 1_000
FEW_VALUES = 40
SEGMENT_COLUMNS = 5
EXAMPLE_QUERIES = 200
EXAMPLE_CHOICES = 10_000


def measure(
    model: TwoTower | Mixture,
    test: Dataset,
    *,
    seen: Dataset | None = None,
    training: Iterable[Mapping[str, Any]] = (),
    baselines: Sequence[str] | None = None,
    index: Index | None = None,
    weighted: bool = False,
) -> dict[str, Any]:
    """A report's figures of ``model`` on ``test``, as JSON values, by these keys.

    - evaluation: figures and intervals of model and baselines, as ``Evaluation.to_dict`` has them.
    - k: the cut-off to judge by.
    - segments: top-k accuracy of the model and of the best baseline in groups of the test, seen items left out.
    - comparisons: model against each baseline, paired by query.
    - findings: what ``diagnose`` found.
    - held_out: the choices of up to 200 test queries, for examples: query ids, and a list of candidate ids for each.
    - sampled_from: how many queries the test has, if not all were asked: whole queries, evenly spread, so many that
      queries × candidates is at most a quarter of a billion, and a thousand at least.

    Errors are those of ``evaluate``.

    Args:
        baselines: names from ``BASELINES``; by default those that take seconds at this size.
        index: the recommender's, over the model's candidates; an approximate one is measured next to the exact model.
        weighted: count each pair by the test's weight column.
    """
    return measured_with_table(
        model, test, seen=seen, training=training, baselines=baselines, index=index, weighted=weighted
    )[0]


def measured_with_table(
    model: TwoTower | Mixture,
    test: Dataset,
    *,
    seen: Dataset | None = None,
    training: Iterable[Mapping[str, Any]] = (),
    baselines: Sequence[str] | None = None,
    index: Index | None = None,
    judged_by: str | None = None,
    weighted: bool = False,
    untimed: str | None = None,
) -> tuple[dict[str, Any], str]:
    """The result of ``measure``, and its top-k accuracies as a table of text; arguments as there.

    Args:
        judged_by: "seen_in" or "seen_out", the half of the figures that headline, segments and comparisons are about.
        untimed: why ``seen`` has no times, for the baselines that need them; by default that the training data have none.
    """
    check_model(model, "measure(model)")
    check_dataset(test, "measure(test)")
    check_dataset(seen, "measure(seen=)", optional=True)
    findings = diagnose(model, test, training=training)
    test, sampled_from = _sampled(test)
    k = headline_k(len(test.candidates))
    missing = {} if baselines is not None else left_out(seen) if untimed is None else left_out(seen, untimed)
    chosen = [name for name in BASELINES if name not in missing] if baselines is None else baselines
    contest = Contest.of(model, test, seen, chosen, weighted=weighted)
    exact = isinstance(index, BruteForce)
    evaluation = contest.evaluation(
        (*AT_K, *OF_LISTS), sorted({*KS, k}), index=None if exact else index, intervals=True
    )
    half = judged_by if judged_by is not None else _judged_by(evaluation)
    shown = {
        scorer: {seen_as: {f"top_{k}": figures[f"top_{k}"] for k in TABLE} for seen_as, figures in by_seen.items()}
        for scorer, by_seen in evaluation.figures.items()
    }
    table = str(replace(evaluation, figures=shown, intervals={}, index_recall={}))
    measured = {
        "k": k,
        "evaluation": evaluation.to_dict(),
        "judged_by": half,
        "segments": _segments(contest, k, _best(evaluation, k, half), half),
        "comparisons": _comparisons(evaluation, k, half),
        "findings": [finding.to_dict() for finding in findings],
        "held_out": _held_out(test),
        "sampled_from": sampled_from,
        "left_out": missing,
    }
    return measured, table


def _sampled(test: Dataset) -> tuple[Dataset, int | None]:
    """The test of as many queries as ``measure`` asks, and how many there were, or None where that is all."""
    asked = np.unique(test.query_rows)
    limit = max(FEWEST_QUERIES, SCORES // len(test.candidates))
    if len(asked) <= limit:
        return test, None
    chosen = asked[np.linspace(0, len(asked) - 1, limit).astype(np.int64)]
    inside = pl.Series(np.isin(test.query_rows, chosen))
    return test.with_interactions(test.interactions.filter(inside)), len(asked)


def _best(evaluation: Evaluation, k: int, seen: str) -> str | None:
    """The baseline with the highest accuracy at ``k``; None where there is none."""
    others = [scorer for scorer in evaluation.figures if scorer not in ("model", "index")]
    return max(others, key=lambda scorer: evaluation.figures[scorer][seen][f"top_{k}"], default=None)


def _judged_by(evaluation: Evaluation) -> str:
    return "seen_out" if "seen_out" in evaluation.figures["model"] else "seen_in"


def _segments(contest: Contest, k: int, best: str | None, half: str) -> list[dict[str, Any]]:
    """A mapping per segment, group and scorer; the segments are the built-in ones and columns with few groups."""
    test, columns = contest.data, []
    for table, key in ((test.queries, test.query), (test.candidates, test.candidate)):
        columns += [name for name in table.columns if name not in (key, *BUILT_IN) and few_groups(table[name])]
    names = [*BUILT_IN, *dict.fromkeys(columns[:SEGMENT_COLUMNS])]
    only = ("model",) if best is None else ("model", best)
    evaluation = contest.evaluation(("top",), (k,), only=only, segments=names, intervals=True)
    return [segment.to_dict() for segment in evaluation.segments if segment.seen == half]


def few_groups(values: pl.Series) -> bool:
    """Whether a column's values fall into groups that are few enough to look at one by one."""
    dtype = values.dtype
    if isinstance(dtype, (pl.List, pl.Array)):
        values = values.explode().drop_nulls()
        dtype = values.dtype
    if dtype.is_numeric() and not dtype.is_integer():
        return True
    if dtype.is_integer():
        return values.n_unique() < max(FEW_VALUES, len(values) // 10)
    return dtype in (pl.String, pl.Boolean, pl.Categorical) and 1 < values.n_unique() <= FEW_VALUES


def _comparisons(evaluation: Evaluation, k: int, half: str) -> list[dict[str, Any]]:
    rows = []
    for scorer in evaluation.figures:
        if scorer == "model":
            continue
        one = compare(evaluation, evaluation, f"top_{k}", seen=half, scorers=(scorer, "model"), resamples=2000)
        rows.append({**one._asdict(), "interval": list(one.interval), "scorer": scorer, "real": one.real})
    return rows


def _held_out(test: Dataset) -> dict[str, Any]:
    """Some test queries, evenly spread, and what each chose; few enough to keep in a manifest."""
    order = np.argsort(test.query_rows, kind="stable")
    asked, first = np.unique(test.query_rows[order], return_index=True)
    last = np.append(first[1:], len(order))
    spread = np.linspace(0, len(asked) - 1, min(len(asked), EXAMPLE_QUERIES)).astype(np.int64)
    query_ids, candidate_ids = test.queries[test.query], test.candidates[test.candidate]
    queries: list[Any] = []
    candidates: list[list[Any]] = []
    left = EXAMPLE_CHOICES
    for place in spread.tolist():
        rows = np.unique(test.candidate_rows[order[first[place] : last[place]]])
        if len(rows) <= left:
            left -= len(rows)
            queries.append(query_ids[int(asked[place])])
            candidates.append(candidate_ids.gather(rows).to_list())
    return {"queries": queries, "candidates": candidates}
