"""Every query's list and every candidate's vector, as Parquet files: in parts, so that an interrupted run resumes.

The parts of one run can be written by several processes (``shortlist recommend-all --on``): each is written whole or not at all,
and the manifest last.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shortlist.data.argument_checks import check_kind, checked_path
from shortlist.data.ids import frame_of, free_name
from shortlist.errors import BundleError, ConfigError, check_flags
from shortlist.features.stable_hash import column_bytes
from shortlist.index.checks import check_k
from shortlist.index.values import taken
from shortlist.recommender.answers import SOURCES, Answers, searched
from shortlist.recommender.asked import Asked
from shortlist.recommender.contexts import context_of
from shortlist.recommender.eligible import allowed
from shortlist.recommender.folder import make_writable
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.reranking import check_rules, reranked
from shortlist.recommender.served import Served
from shortlist.sources import Filters
from shortlist.store import in_one_step, is_scratch, write_file

__all__ = ["Everyone", "Parts", "Task", "recommend_all"]

QUERIES_PER_PART = 50_000
QUERIES_AT_A_TIME = 1_000
VECTORS_PER_PART = 500_000
PLAN, MANIFEST = "plan.json", "manifest.json"


@dataclass(frozen=True)
class Task:
    """A task: the ``k`` best, seen items or not, which candidates, vectors or not, and rules for whole lists."""

    k: int = 100
    exclude_seen: bool = True
    where: str | None = None
    vectors: bool = False
    rerank: Rerank | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; rules where there are some."""
        return {name: value for name, value in asdict(self).items() if name != "rerank" or value is not None}


@dataclass(frozen=True)
class Everyone:
    """The result of ``recommend_all``.

    Attributes:
        folder: where the files are.
        queries: how many have lists.
        rows: of all lists together.
        parts: how many files there are.
        found: how many of them an earlier run had written.
    """

    folder: str
    queries: int
    rows: int
    parts: int
    found: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class Parts:
    """The files of one task: ``lists-*.parquet`` of so many queries each, and with vectors ``candidates-*.parquet``.

    Raises:
        ConfigError: where the query tower reads columns that only a request has.
        SearchError: for a bad k.
    """

    def __init__(self, served: Served, folder: str | Path, task: Task) -> None:
        state = served.state
        self.served, self.folder, self.task = served, checked_path(folder, "recommend_all(folder)"), task
        self.k = check_k(task.k)
        if state.query_vectors is None:
            raise ConfigError(
                "the query tower reads columns that only a request has, so there are no stored queries to use.",
                hint="call recommend() with those columns",
            )
        if task.rerank is not None:
            check_rules(task.rerank, state)
        self._vectors = state.query_vectors
        self._allow = allowed(state, None, task.where)
        self.rows = np.flatnonzero(state.known)
        self._lists = -(-len(self.rows) // QUERIES_PER_PART)
        vectors = -(-served.index.size // VECTORS_PER_PART) if task.vectors else 0
        self.names = [f"lists-{number:05}.parquet" for number in range(self._lists)]
        self.names += [f"candidates-{number:05}.parquet" for number in range(vectors)]

    def prepare(self) -> list[int]:
        """The numbers of the missing parts, in a folder that is new or belongs to this very task.

        Raises:
            BundleError: where the folder holds the lists of another bundle, or other options.
        """
        served = self.served
        plan = {
            "fingerprint": served.fingerprint,
            "index": served.index.settings(),
            "candidates": served.index.size,
            "seen": len(served.state.seen.values),
            "tables": _tables(served, self.task),
            **self.task.to_dict(),
            "queries_per_part": QUERIES_PER_PART,
            "vectors_per_part": VECTORS_PER_PART,
        }
        _prepare(self.folder, plan)
        return [number for number, name in enumerate(self.names) if not (self.folder / name).exists()]

    def queries_of(self, number: int) -> int:
        """How many queries' lists a part has, 0 for candidates."""
        return max(0, min(QUERIES_PER_PART, len(self.rows) - number * QUERIES_PER_PART))

    def write(self, number: int) -> int:
        """Writes a part whole; returns ``queries_of`` it."""
        file = self.folder / self.names[number]
        if number >= self._lists:
            _write(self._candidates(number - self._lists), file)
            return 0
        part = self.rows[number * QUERIES_PER_PART : (number + 1) * QUERIES_PER_PART]
        pieces = np.array_split(part, max(1, -(-len(part) // QUERIES_AT_A_TIME)))
        _write(pl.concat(self._of(some) for some in pieces), file)
        return len(part)

    def finish(self, found: int) -> Everyone:
        """Write the manifest, which completes the folder: every file with its rows and bytes."""
        files = {}
        for name in self.names:
            file = self.folder / name
            rows = pl.scan_parquet(file, glob=False, hive_partitioning=False).select(pl.len()).collect().item()
            files[name] = {"rows": rows, "bytes": file.stat().st_size}
        rows = sum(files[name]["rows"] for name in self.names[: self._lists])
        manifest = {"queries": len(self.rows), "rows": rows, "files": files}
        _put(self.folder / MANIFEST, json.dumps(manifest, indent=1))
        return Everyone(str(self.folder), len(self.rows), rows, len(self.names), found)

    def _of(self, rows: np.ndarray[Any, Any]) -> pl.DataFrame:
        """The lists of some queries."""
        state = self.served.state
        exclude = taken(state.seen, rows) if self.task.exclude_seen and len(state.seen.values) else None
        found = self._answers(rows, Filters(exclude, self._allow))
        lengths = np.diff(found.offsets)
        ranks = np.arange(len(found.rows)) - np.repeat(found.offsets[:-1], lengths) + 1
        ids = (state.query, state.candidate)
        table = {
            state.query: state.query_ids.ids.gather(np.repeat(rows, lengths)),
            state.candidate: state.candidate_ids.ids.gather(found.rows),
            free_name("rank", ids): ranks.astype(np.int32),
            free_name("score", ids): found.scores.astype(np.float32, copy=False),
        }
        if found.sources is not None:
            table[free_name("source", ids)] = [SOURCES[number] for number in found.sources.tolist()]
        return pl.DataFrame(table)

    def _answers(self, rows: np.ndarray[Any, Any], filters: Filters) -> Answers:
        """The lists of some queries, without fallback; with ``sources`` only where rules made them."""
        served, rules = self.served, self.task.rerank
        vectors = np.ascontiguousarray(self._vectors[rows])
        context = context_of(served, rows)
        if rules is None:
            hits = searched(served, vectors, self.k, filters, context)
            return Answers(hits.offsets, hits.ids, hits.scores)
        asked = Asked(served, vectors, filters, [True] * len(rows), context, ())
        return reranked(asked, rules, served.state.query_ids.take(rows), self.k)

    def _candidates(self, number: int) -> pl.DataFrame:
        """Ids and vectors of some candidates."""
        state, index = self.served.state, self.served.index
        rows = index.ids[number * VECTORS_PER_PART : (number + 1) * VECTORS_PER_PART]
        name = free_name("vector", (state.candidate,))
        vectors = pl.Series(name, index.vectors_of(rows), dtype=pl.Array(pl.Float32, state.dim))
        return frame_of([state.candidate_ids.ids.gather(rows).alias(state.candidate), vectors])


def recommend_all(
    served: Served,
    folder: str | Path,
    k: int = 100,
    *,
    exclude_seen: bool = True,
    where: str | None = None,
    rerank: Rerank | None = None,
    vectors: bool = False,
    on_part: Callable[[int, int], None] | None = None,
) -> Everyone:
    """The k best candidates of every query that training knew, written as ``lists-*.parquet`` into ``folder``.

    Each row has the query's id, the candidate's id, the ``rank`` (from 1) and the ``score`` (with underscores behind
    them where an id's column is called so); lists are those of ``recommend`` without fallback. With rules there is a column
    ``source`` too: "model", "pinned" or "explored".

    An interrupted run resumes where it stopped: parts are written to another name and renamed, and existing parts
    are kept. Memory is that of the recommender and of one part.

    Args:
        rerank: rules for each list, as in ``recommend``.
        vectors: write ``candidates-*.parquet`` too, with each candidate's id and vector.
        on_part: called with how many queries are done, and of how many.

    Raises:
        BundleError: where the folder holds the lists of another bundle or other options.
        ConfigError: where the query tower reads columns that only a request has.
        SearchError: for a bad k.
    """
    check_flags("recommend_all()", exclude_seen=exclude_seen, vectors=vectors)
    check_kind(rerank, "recommend_all(rerank=)", "Rerank", optional=True, hint="shortlist.Rerank(diversify=0.3)")
    parts = Parts(served, folder, Task(k, exclude_seen, where, vectors, rerank))
    missing = parts.prepare()
    done = len(parts.rows) - sum(parts.queries_of(number) for number in missing)
    for number in missing:
        done += parts.write(number)
        if on_part is not None:
            on_part(done, len(parts.rows))
    return parts.finish(len(parts.names) - len(missing))


def _tables(served: Served, task: Task) -> str:
    """sha256 over what lists depend on besides what was learned: the candidates by now, and what each query has seen."""
    state = served.state
    # vectors of live candidates follow from their columns
    every = state.live or task.where is not None or task.rerank is not None
    digest = hashlib.sha256()
    for name in sorted(state.candidates.columns) if every else [state.candidate]:
        digest.update(repr((name, str(state.candidates.schema[name]), state.size)).encode())
        digest.update(column_bytes(state.candidates[name]))
    for rows in (state.dead, *((state.seen.offsets, state.seen.values) if task.exclude_seen else ())):
        digest.update(np.ascontiguousarray(rows, "<i8").tobytes())
    return digest.hexdigest()


def _prepare(folder: Path, plan: dict[str, Any]) -> None:
    """The folder for this plan: new, or that of the same plan."""
    file = folder / PLAN
    if file.exists():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if isinstance(before, dict):
            before.setdefault("tables", plan["tables"])  # folders of 0.2.0 do not say
        if before != json.loads(json.dumps(plan)):
            raise BundleError(
                f"{str(folder)!r} has lists of another bundle, or made with other options.",
                hint="choose another folder, or remove that one",
            )
        return
    if folder.exists() and not all(map(is_scratch, folder.iterdir())):
        raise BundleError(f"{str(folder)!r} is not empty and has no lists.", hint="choose another folder")
    make_writable(folder)
    _put(file, json.dumps(plan))


def _put(file: Path, text: str) -> None:
    """The whole text, or nothing."""
    try:
        write_file(file, text.encode())
    except OSError as error:
        raise BundleError(
            f"cannot write {str(file)!r}: {error.strerror}.",
            hint="free some space there, or choose a folder that can be written to",
        ) from error


def _write(table: pl.DataFrame, file: Path) -> None:
    """The whole table, or nothing."""
    try:
        with in_one_step(file) as new:
            table.write_parquet(new)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(
            f"cannot write {str(file)!r}: {error}.", hint="finished parts are kept; run it again"
        ) from error
