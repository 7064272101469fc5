"""Today's model compared with yesterday's: on the same test, how far vectors moved, how much of the lists changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.id_map import IdMap
from shortlist.evaluation import compare, evaluate
from shortlist.evaluation.metrics import headline_k
from shortlist.evaluation.segments import by_values
from shortlist.model import TwoTower
from shortlist.recommender import Recommender
from shortlist.report.measured import AT_K, KS, few_groups
from shortlist.sources import Mixture

__all__ = ["churn", "compared", "drift", "figures", "since"]

ASKED = 1_000
COMPARABLE = 0.95
SEGMENT_COLUMNS = 3
MOST = 200_000


def since(
    before: Recommender,
    after: Recommender,
    test: Dataset | None,
    *,
    seen: Dataset | None = None,
    ks: Iterable[int] = (),
    churn_ks: Iterable[int] = (),
) -> dict[str, Any]:
    """The comparison of ``after`` with ``before`` in a report, as JSON values, by these keys.

    - before: fingerprint and origin of the earlier bundle.
    - comparison: see ``compared``, None without a test.
    - drift, churn: see there.
    - churn_at: only how much changed, at each of ``churn_ks``.
    - new_candidates, new_queries: how many ids the earlier one did not know.
    """
    k = headline_k(len(after.candidate_ids))
    return {
        "k": k,
        "before": {"fingerprint": before.fingerprint, **before.origin},
        "comparison": None if test is None else compared(before.model, after.model, test, seen=seen, ks=ks),
        "drift": drift(before, after),
        "churn": churn(before, after, k),
        "churn_at": {str(at): churn(before, after, at).get("changed") for at in churn_ks},
        "new_candidates": _lacking(before.candidate_ids, after.candidate_ids),
        "new_queries": _lacking(before.query_ids, after.query_ids),
    }


def compared(
    before: TwoTower | Mixture,
    after: TwoTower | Mixture,
    test: Dataset,
    *,
    seen: Dataset | None = None,
    ks: Iterable[int] = (),
) -> dict[str, Any]:
    """Both models' figures on the same test rows against the same candidates, and each difference, paired by query.

    The candidates are those of both models and of the test. Keys: ``before`` and ``after`` (metric to figure),
    ``differences`` (as ``Comparison`` has them), ``pairs``, ``queries``, ``seen``.

    Args:
        seen: left out of both models' lists.
    """
    test = _with_candidates(test, before, after)
    ks = sorted({*(k for k in KS if k <= len(test.candidates)), *ks, headline_k(len(test.candidates))})
    options: dict[str, Any] = {"seen": seen, "ks": ks, "metrics": AT_K, "baselines": ()}
    then, now = evaluate(before, test, **options), evaluate(after, test, **options)
    by = "seen_in" if seen is None else "seen_out"
    differences = []
    for name in now["model"][by]:
        one = compare(then, now, name, seen=by, resamples=2000)
        differences.append({**one._asdict(), "interval": list(one.interval), "real": one.real, "text": str(one)})
    return {
        "before": dict(then["model"][by]),
        "after": dict(now["model"][by]),
        "differences": differences,
        "pairs": now.pairs,
        "queries": now.queries,
        "seen": by,
    }


def drift(before: Recommender, after: Recommender) -> dict[str, Any]:
    """How far the vectors of ids that both know moved, for each side that has stored vectors.

    cosine: the mean cosine of an id's two vectors. turned: the same after the rotation that brings the earlier vectors
    nearest to the later ones (orthogonal Procrustes; Schönemann 1966): high where the space has turned as a whole. moved: the
    share of ids with a cosine below 0.9. ids: how many were compared. comparable: whether the mean cosine of candidates is at
    least 0.95, so that vectors kept from before can still be used with new ones. Vectors of another length have nothing
    in common.
    """
    then, now = before.served.state, after.served.state
    parts = {
        "candidates": (before.served.vectors, before.candidate_ids, after.served.vectors, after.candidate_ids),
        "queries": (then.query_vectors, before.query_ids, now.query_vectors, after.query_ids),
    }
    found: dict[str, Any] = {}
    for side, (old, old_ids, new, new_ids) in parts.items():
        if old is None or new is None or old.shape[1] != new.shape[1] or not _same_type(old_ids, new_ids):
            continue
        rows = IdMap(new_ids).find(old_ids)
        both = np.flatnonzero(rows >= 0)
        if len(both):
            both = both[np.linspace(0, len(both) - 1, min(len(both), MOST)).astype(np.int64)]
            found[side] = _moved(np.asarray(old[both], np.float64), np.asarray(new[rows[both]], np.float64))
    found["comparable"] = "candidates" in found and found["candidates"]["cosine"] >= COMPARABLE
    return found


def churn(before: Recommender, after: Recommender, k: int) -> dict[str, Any]:
    """How much of the top ``k`` changed from ``before`` to ``after``, for up to 1,000 queries that both know.

    changed: the mean share of a list that was not in the earlier one. came_new: the part of it that are candidates which the
    earlier one did not know. left_chosen: the share of the earlier lists that left because it was chosen since. same: the
    share of queries whose lists hold the same candidates. segments: ``changed`` in groups of queries, each with its size.
    """
    if not _same_type(before.query_ids, after.query_ids) or not _same_type(before.candidate_ids, after.candidate_ids):
        return {"k": k, "queries": 0, "segments": []}
    asked = _asked(before, after)
    if not len(asked):
        return {"k": k, "queries": 0, "segments": []}
    ids = after.query_ids.gather(asked)
    then, now = (_lists(one, ids, k) for one in (before, after))
    known = set(before.candidate_ids.to_list())
    chosen = _chosen(after, asked)
    changed, new, left = np.zeros((3, len(asked)))
    for row, (old, current) in enumerate(zip(then, now, strict=True)):
        added = current - old
        changed[row] = len(added) / max(len(current), 1)
        new[row] = len(added - known) / max(len(current), 1)
        left[row] = len((old - current) & chosen[row]) / max(len(old), 1)
    return {
        "k": k,
        "queries": len(asked),
        "changed": float(changed.mean()),
        "came_new": float(new.mean()),
        "left_chosen": float(left.mean()),
        "same": float((changed == 0).mean()),
        "segments": [
            {"segment": segment, "group": group, "queries": int(mask.sum()), "changed": float(changed[mask].mean())}
            for segment, group, mask in _segments(before, after, asked)
        ],
    }


def _lacking(before: pl.Series, after: pl.Series) -> int:
    """How many ids of ``after`` are not in ``before``."""
    if not _same_type(before, after):
        return len(after)
    return int(np.count_nonzero(IdMap(before).find(after) < 0))


def _same_type(one: pl.Series, other: pl.Series) -> bool:
    return (one.dtype == pl.String) == (other.dtype == pl.String)


def _moved(old: NDArray[np.float64], new: NDArray[np.float64]) -> dict[str, Any]:
    left, _, right = np.linalg.svd(old.T @ new)
    cosine = _cosines(old, new)
    return {
        "cosine": float(cosine.mean()),
        "turned": float(_cosines(old @ (left @ right), new).mean()),
        "moved": float((cosine < 0.9).mean()),
        "ids": len(old),
    }


def _cosines(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: NDArray[np.float64] = (one * other).sum(1) / np.maximum(lengths, 1e-300)
    return cosines


def _with_candidates(test: Dataset, before: TwoTower | Mixture, after: TwoTower | Mixture) -> Dataset:
    """The test with every candidate of both models in its table, so that both are asked among the same."""
    key, table = test.candidate, test.candidates
    for model in (after, before):
        more = model.catalogue.candidates
        if _same_type(table[key], more[key]):
            lacking = more.with_columns(pl.col(key).cast(table.schema[key])).join(table, on=key, how="anti")
            table = pl.concat([table, lacking], how="diagonal_relaxed").select(table.columns)
    columns = {"timestamp": test.timestamp, "weight": test.weight}
    return Dataset._again(test.interactions, test.query, key, **columns, queries=test.queries, candidates=table)


def _asked(before: Recommender, after: Recommender) -> NDArray[np.int64]:
    """Rows of ``after`` of up to 1,000 queries that both know, evenly spread."""
    old = before.served.state
    rows = IdMap(old.queries[old.query]).find(after.query_ids)
    known = (rows >= 0) & after.served.state.known
    known[known] = old.known[rows[known]]
    both = np.flatnonzero(known)
    return both[np.linspace(0, len(both) - 1, min(len(both), ASKED)).astype(np.int64)] if len(both) else both


def _lists(recommender: Recommender, ids: pl.Series, k: int) -> list[set[Any]]:
    own = recommender.query_ids.dtype
    return [set(answer.ids) for answer in recommender.recommend(ids.cast(own).to_list(), k=k)]


def _chosen(after: Recommender, asked: NDArray[np.int64]) -> list[set[Any]]:
    seen, ids = after.served.state.seen, after.candidate_ids
    return [set(ids.gather(seen.values[seen.offsets[row] : seen.offsets[row + 1]]).to_list()) for row in asked.tolist()]


def _segments(
    before: Recommender, after: Recommender, asked: NDArray[np.int64]
) -> Iterable[tuple[str, str, NDArray[np.bool_]]]:
    """Groups of the asked queries: by whether they chose something since, by how much they chose, by columns."""
    now = np.diff(after.served.state.seen.offsets)[asked]
    old = before.served.state
    rows = IdMap(old.queries[old.query]).find(after.query_ids.gather(asked))
    then = np.diff(old.seen.offsets)[rows]
    groups = {
        "since yesterday": (("chose something", now > then), ("chose nothing", now <= then)),
        "items chosen": (
            ("1–4", now < 5),
            ("5–19", (now >= 5) & (now < 20)),
            ("20–99", (now >= 20) & (now < 100)),
            ("100 and more", now >= 100),
        ),
    }
    for segment, parts in groups.items():
        yield from ((segment, group, mask) for group, mask in parts if mask.any())
    state = after.served.state
    for column in _columns(state.queries, state.query):
        for group, mask in by_values(state.queries[column].gather(asked)):
            if mask.any():
                yield column, group, mask


def _columns(table: pl.DataFrame, key: str) -> Sequence[str]:
    return [name for name in table.columns if name != key and few_groups(table[name])][:SEGMENT_COLUMNS]


def figures(changes: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Today's and yesterday's figures of what ``since`` tells, for gates; today's also have churn where it was asked for."""
    comparison = changes["comparison"] or {"before": {}, "after": {}}
    today = dict(comparison["after"])
    today |= {f"churn_{k}": float("nan") if changed is None else changed for k, changed in changes["churn_at"].items()}
    return today, dict(comparison["before"])
