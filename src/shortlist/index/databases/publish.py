"""A version of the candidates in a database: filled, checked against exact search, and only then the alias leads there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shortlist.errors import SearchError, ShortlistError
from shortlist.index.brute_force import BruteForce
from shortlist.index.databases.contract import Database, Found, Rows
from shortlist.index.values import Floats
from shortlist.language import counted

__all__ = ["LEAST_RECALL", "Published", "drop_versions", "publish", "reported"]

VERSION = re.compile(r"[0-9a-f]{16}")  # the start of a bundle's fingerprint, or of a digest of vectors
LEAST_RECALL = 0.8
_SAMPLE, _TOP = 64, 10  # candidates that are looked for by their own vectors, and how many each finds
_SLACK = 1e-4  # relative: databases sum in float32


@dataclass(frozen=True)
class Published:
    """The result of ``publish``: the alias leads to ``collection``, which has ``rows`` rows.

    Attributes:
        before: where it led until then, or None.
        written: whether the collection was filled now; False if it existed.
        recall: the part of the true top 10 that a sample of candidates found by their own vectors.
        attributes: the columns that are stored with the vectors.
        left_out: columns whose names or types the database cannot store.
    """

    uri: str
    alias: str
    collection: str
    rows: int
    before: str | None
    written: bool
    recall: float
    attributes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@contextlib.contextmanager
def reported(database: Database) -> Iterator[None]:
    """Turns the database's errors into ``SearchError``."""
    try:
        yield
    except ShortlistError:
        raise
    except database.errors as error:
        raise SearchError(
            f"{database.place} did not answer: {' '.join(str(error).split())[:300]}",
            hint="check that it runs, and that no other process has its files open; the index keeps its own copy of the vectors.",
        ) from error


def publish(
    database: Database,
    uri: str,
    alias: str,
    version: str,
    rows: Rows,
    *,
    effort: int = 200,
    recall: float = LEAST_RECALL,
    on_rows: Callable[[int, int], None] | None = None,
    left_out: tuple[str, ...] = (),
) -> Published:
    """Fills the collection ``<alias>_<version>`` with ``rows``, then lets the alias lead there.

    1. A collection of that version with all its rows stays as it is; one with fewer, of an interrupted run, is filled again.
    2. It is finished (its graph built, written down, loaded) and counted.
    3. A sample of the candidates is looked for by their own vectors, and compared with exact search.
    4. Only then the alias switches, in one step. Earlier versions stay, so that the same call can go back to one.

    Args:
        database: where to.
        uri: what the result says of it.
        version: letters and digits.
        effort: candidates that the database looks at per query of step 3.
        recall: what step 3 has to find, on average.
        on_rows: told how many rows are written, of how many.
        left_out: what the result says was left out.

    Raises:
        SearchError: for a database that does not answer, counts other rows or finds too little. The alias is unchanged.
    """
    name = f"{alias}_{version}"
    with reported(database):
        before = database.target(alias)
        written = database.count(name) != len(rows)
        if written:
            _check_distinct(rows, alias)
            _fill(database, name, rows, on_rows)
        database.finish(name, len(rows))
        count = database.count(name)
        if count != len(rows):
            raise SearchError(
                f"the collection {name!r} has {counted(count, 'row')}; {len(rows):,} were written. The alias {alias!r} is unchanged.",
                hint="ids must be distinct; run it again",
            )
        found = _recall(database, name, rows, effort)
        if found < recall:
            raise SearchError(
                f"the collection {name!r} finds {found:.3f} of the true top {_TOP} on a sample; {recall:g} was expected. The "
                f"alias {alias!r} is unchanged.",
                hint="build with more links or a larger build_effort, search with a larger search_effort, or accept less recall",
            )
        if before != name:
            database.point(alias, name)
    return Published(
        uri, alias, name, count, before, written, found, tuple(one.name for one in rows.attributes), left_out
    )


def drop_versions(database: Database, alias: str, wanted: Collection[str], dry_run: bool = False) -> list[str]:
    """Release and drop the versions that ``publish`` filled, but for those of ``wanted`` and the one that the alias leads to.

    Args:
        database: where.
        alias: whose versions.
        wanted: versions that stay.
        dry_run: only name them.

    Returns:
        The names of the collections.

    Raises:
        SearchError: for a database that does not answer.
    """
    start = f"{alias}_"
    with reported(database):
        current = database.target(alias)
        found = [name for name in database.names(start) if VERSION.fullmatch(name.removeprefix(start))]
        old = [name for name in sorted(found) if name != current and name.removeprefix(start) not in wanted]
        for name in [] if dry_run else old:
            database.drop(name)
    return old


def _check_distinct(rows: Rows, alias: str) -> None:
    distinct = len(set(rows.ids.tolist()))
    if distinct != len(rows):
        raise SearchError(
            f"{counted(distinct, 'distinct id')} were given for {counted(len(rows), 'row')}; one id per row was expected. The alias {alias!r} is "
            "unchanged.",
            hint="ids must be distinct",
        )


def _fill(database: Database, name: str, rows: Rows, on_rows: Callable[[int, int], None] | None) -> None:
    if database.count(name) >= 0:
        database.drop(name)  # of an interrupted run
    database.create(name, rows)
    for batch in rows.batches():
        database.insert(name, batch)
        if on_rows is not None:
            on_rows(batch.start + len(batch.ids), len(rows))


def _recall(database: Database, name: str, rows: Rows, effort: int) -> float:
    """The part of the true top that a sample of candidates finds by their own vectors; equal scores count as found."""
    k = min(_TOP, len(rows))
    sample = np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(np.int64))
    queries: Floats = np.ascontiguousarray(rows.vectors[sample], dtype=np.float32)
    kth = BruteForce().build(np.asarray(rows.vectors, np.float32)).search(queries, k).scores.reshape(-1, k)[:, -1]
    found = database.search(name, queries, k, max(effort, k))
    vectors = _vectors_of(found, rows)
    shares = []
    for query, least, hits in zip(queries, kth, found, strict=True):
        mine = [vectors[key] for key, _ in hits if key in vectors]
        scores = np.array([vector @ query for vector in mine], np.float32)
        shares.append(np.count_nonzero(scores >= least - _SLACK * (1 + abs(least))) / k)
    return float(np.mean(shares))


def _vectors_of(found: list[Found], rows: Rows) -> dict[Any, Floats]:
    """The vectors that were written under the ids that were found."""
    wanted = {key for hits in found for key, _ in hits}
    return {key: rows.vectors[number] for number, key in enumerate(rows.ids.tolist()) if key in wanted}
