"""Every query's list and every candidate's vector, as Parquet files: in parts, so that a run cut short goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shortlist.errors import BundleError, ConfigError
from shortlist.index import Hits, Lists, search_heads
from shortlist.index.checks import check_k
from shortlist.recommender.eligible import allowed

if TYPE_CHECKING:
    from shortlist.recommender.recommender import Recommender

__all__ = ["Everyone", "recommend_all"]

QUERIES_PER_PART = 50_000
QUERIES_AT_A_TIME = 1_000
PLAN = "plan.json"


@dataclass(frozen=True)
class Everyone:
    """What a run of ``recommend_all`` left behind.

    queries: how many have lists. rows: of all lists together. parts, found: files, and how many of them were there from
    an earlier run. folder: where.
    """

    folder: str
    queries: int
    rows: int
    parts: int
    found: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def recommend_all(
    recommender: Recommender,
    folder: str | Path,
    k: int = 100,
    *,
    exclude_seen: bool = True,
    where: str | None = None,
    vectors: bool = False,
    on_part: Callable[[int, int], None] | None = None,
) -> Everyone:
    """The k best candidates of every query that training knew, written as ``lists-*.parquet`` into ``folder``.

    Each row has the query's id, the candidate's id, the ``rank`` (from 1) and the ``score``; lists are those of
    ``recommend`` without fallback. vectors: also ``candidates.parquet``, each candidate's id and vector. on_part:
    called with how many queries are done, and of how many.

    A run that was cut short goes on where it was: parts are written beside and renamed, and those that are there are
    kept. Raises BundleError where the folder holds the lists of another bundle or other options, ConfigError where the
    query tower reads what only a request has, SearchError for a bad k.
    """
    state, target = recommender._state, Path(folder)
    number = check_k(k)
    if state.query_vectors is None:
        raise ConfigError("the query tower reads columns that only a request has; there are no stored queries to ask.")
    allow = allowed(recommender._state, None, where)
    plan = {
        "fingerprint": recommender.fingerprint,
        "index": recommender.index.settings(),
        "candidates": recommender.index.size,
        "seen": len(state.seen.values),
        "k": number,
        "exclude_seen": exclude_seen,
        "where": where,
        "queries_per_part": QUERIES_PER_PART,
    }
    _prepare(target, plan)
    rows = np.flatnonzero(state.known)
    starts = range(0, len(rows), QUERIES_PER_PART)
    found = total = 0
    for start in starts:
        part = rows[start : start + QUERIES_PER_PART]
        file = target / f"lists-{start // QUERIES_PER_PART:05}.parquet"
        if file.exists():
            found += 1
            total += pl.scan_parquet(file).select(pl.len()).collect().item()
        else:
            table = pl.concat(
                _lists(recommender, some, number, exclude_seen, allow)
                for some in np.array_split(part, max(1, -(-len(part) // QUERIES_AT_A_TIME)))
            )
            _write(table, file)
            total += len(table)
        if on_part is not None:
            on_part(min(start + QUERIES_PER_PART, len(rows)), len(rows))
    if vectors:
        _write(_vectors(recommender), target / "candidates.parquet")
    return Everyone(str(target), len(rows), total, len(starts), found)


def _lists(
    recommender: Recommender, rows: np.ndarray[Any, Any], k: int, exclude_seen: bool, allow: np.ndarray[Any, Any] | None
) -> pl.DataFrame:
    state = recommender._state
    assert state.query_vectors is not None
    exclude = _seen_of(state.seen, rows) if exclude_seen and len(state.seen.values) else None
    vectors = np.ascontiguousarray(state.query_vectors[rows])
    hits: Hits = search_heads(recommender.index, vectors, k, exclude=exclude, allow=allow)
    lengths = np.diff(hits.offsets)
    ranks = np.arange(len(hits.ids)) - np.repeat(hits.offsets[:-1], lengths) + 1
    return pl.DataFrame(
        {
            state.query: recommender.query_ids.gather(np.repeat(rows, lengths)),
            state.candidate: recommender.candidate_ids.gather(hits.ids),
            "rank": ranks.astype(np.int32),
            "score": hits.scores,
        }
    )


def _seen_of(seen: Lists, rows: np.ndarray[Any, Any]) -> Lists:
    """The lists of some rows."""
    lengths = np.diff(seen.offsets)[rows]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    places = np.arange(offsets[-1]) + np.repeat(seen.offsets[rows] - offsets[:-1], lengths)
    return Lists(offsets, seen.values[places])


def _vectors(recommender: Recommender) -> pl.DataFrame:
    state, ids = recommender._state, recommender.index.ids
    vectors = pl.Series("vector", state.vectors[ids], dtype=pl.Array(pl.Float32, state.vectors.shape[1]))
    return pl.DataFrame([recommender.candidate_ids.gather(ids).alias(state.candidate), vectors])


def _prepare(folder: Path, plan: dict[str, Any]) -> None:
    """The folder for this plan: new, or that of the same plan."""
    file = folder / PLAN
    if file.exists():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != json.loads(json.dumps(plan)):
            raise BundleError(
                f"{str(folder)!r} holds lists of another bundle, or made with other options.",
                hint="choose another folder, or remove that one",
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{str(folder)!r} is not empty and holds no lists.", hint="choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f".{PLAN}"
        scratch.write_text(json.dumps(plan), encoding="utf-8")
        scratch.replace(file)
    except OSError as error:
        raise BundleError(f"cannot write to {str(folder)!r}: {error.strerror}.") from error


def _write(table: pl.DataFrame, file: Path) -> None:
    """The whole table, or nothing."""
    scratch = file.with_name(f".{file.name}")
    try:
        table.write_parquet(scratch)
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.replace(file)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise BundleError(
            f"cannot write {str(file)!r}: {error.strerror or error}.", hint="parts that are there stay; run it again"
        ) from error
