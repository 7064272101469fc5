"""One bundle as the server holds it: what answers, and what the page shows of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from shortlist._public import __version__
from shortlist.data.id_map import IdMap
from shortlist.data.titles import title_column
from shortlist.recommender import bundle
from shortlist.recommender.answers import exact_served
from shortlist.recommender.card import figure_tables
from shortlist.recommender.contents import Share
from shortlist.recommender.served import Policy, Served
from shortlist.recommender.state import State
from shortlist.serve.first_rows import first_rows
from shortlist.sources import plane
from shortlist.store import Mark

__all__ = ["IdKind", "Loaded"]

LISTED = (
    100_000  # candidates up to which values of columns are kept as they are sent, which answers single requests faster
)
AT_ONCE = 4096  # candidates whose values are made in one call, in some tenths of a millisecond; others' when they are asked for
SAFE = 2**53 - 1  # integers up to here are exact in a double, as JavaScript has them (Number.MAX_SAFE_INTEGER)
MAPPED = 20_000  # points of the map, evenly drawn from larger catalogues


class IdKind(NamedTuple):
    """The ids that a bundle's queries, or its candidates, may have.

    Attributes:
        strings: whether they are strings; else they are integers.
        unsigned: whether they are of type UInt64, whose largest is 2^64 - 1 and not 2^63 - 1.
    """

    strings: bool
    unsigned: bool = False

    @classmethod
    def of(cls, ids: IdMap) -> IdKind:
        """That of a bundle's ids."""
        return cls(ids.strings, ids.ids.dtype == pl.UInt64)

    @property
    def largest(self) -> int:
        """The largest integer that may be an id; the least is -2^63 for all."""
        return 2**64 - 1 if self.unsigned else 2**63 - 1

    def has(self, number: int) -> bool:
        """Whether an integer may be an id; one that the bundle lacks may."""
        return -(2**63) <= number <= self.largest

    @property
    def digits(self) -> str:
        """How an integer is written, as a hint."""
        return "digits alone, from -2^63 to 2^64 - 1" if self.unsigned else "digits alone, from -2^63 to 2^63 - 1"


class About:
    """The part of a bundle that live changes leave as it is: queries, and the names of columns."""

    def __init__(self, state: State) -> None:
        self._state = replace(state)  # without the values that requests have cached in it

    @cached_property
    def readable(self) -> frozenset[str]:
        """Features that a query may bring."""
        state = self._state
        return frozenset({*state.reads, *state.queries.columns} - {state.query})

    @cached_property
    def history_column(self) -> str | None:
        """The feature that takes a query's history; None where the model reads none."""
        for stored in self._state.model.config["query"]["features"]:
            if stored["kind"] == "History":
                return str(stored["state"]["column"])
        return None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns of the candidates' table, the id's first."""
        state = self._state
        return (state.candidate, *(name for name in state.candidates.columns if name != state.candidate))

    @cached_property
    def names(self) -> frozenset[str]:
        """Columns of candidates and features of queries: what errors may name."""
        return self.readable.union(self.columns)

    @cached_property
    def title_column(self) -> str | None:
        """The column that names a candidate for people."""
        return title_column(self._state.candidates)

    @cached_property
    def query_texts(self) -> pl.Series:
        """Each query's id as a text in small letters."""
        return _small(self._state.query_ids.ids)

    @cached_property
    def example_query(self) -> Any:
        """A query with a history, for the page to start with: the median."""
        seen = self._state.seen
        lengths = np.diff(seen.offsets)
        known = np.flatnonzero(lengths)
        if not len(known):
            return None
        middle = int(known[np.argsort(lengths[known], kind="stable")[len(known) // 2]])
        return self._state.query_ids.ids[middle]


class Loaded:
    """A bundle that answers. It never changes, apart from replies that are kept: live changes make another one.

    Args:
        name: its name for people.
        served: the loaded bundle, or one with live changes.
        before: the same bundle before a change.
    """

    def __init__(self, name: str, served: Served, before: Loaded | None = None, mark: Mark | None = None) -> None:
        self.name = name
        self._mark: Mark | None = (
            mark if before is None else before._mark
        )  # so that `shortlist clean` leaves the bundle alone
        self.served = served
        self.about: About = About(served.state) if before is None else before.about
        self.bundle = served.origin.get("bundle", served.fingerprint[:16])
        self.document: bytes | None = None  # the OpenAPI document, once it was asked for
        same = before is not None and before.state.candidates is served.state.candidates
        self._listed: dict[str, list[Any] | _Cells] = before._listed if before is not None and same else {}

    @property
    def state(self) -> State:
        """The tables behind it."""
        return self.served.state

    @classmethod
    def read(
        cls,
        path: Path,
        trusted: bool = True,
        pause: Callable[[], None] | None = None,
        cold_start: str | None = None,
        verified: bool = False,
        key: bytes | None = None,
        share: Share | None = None,
    ) -> Loaded:
        """The bundle at ``path``, verified.

        Args:
            path: of a folder.
            trusted: False builds its index from the vectors.
            pause: called between steps; the maps of ids are then made too.
            cold_start: in place of the bundle's own.
            verified: whether another process has just compared every file; then only those are compared that a native
                library parses.
            key: the bundle must have a signature made with it.
            share: gives arrays that several processes hold together.

        Raises:
            BundleError: when the bundle is incomplete, altered, or of another format.
        """
        mark = Mark(Path(os.path.realpath(path)))
        served = bundle.load(
            path, verify="native" if verified else True, trusted=trusted, pause=pause, key=key, share=share
        )
        if cold_start is not None:
            served = replace(served, policy=Policy.of(cold_start, served.policy.fallback))
        if pause is not None:
            for ids in (served.state.query_ids, served.state.candidate_ids):
                ids.prepare(pause)
        return cls(path.name.removesuffix(".shortlist"), served, mark=mark)

    def changed(self, served: Served) -> Loaded:
        """The same bundle, with another state of its candidates."""
        return Loaded(self.name, served, self)

    @cached_property
    def exact(self) -> Served:
        """The same with exact search in place of its indexes."""
        whole = all(one.index.exact for one in (self.served, *self.served.others))
        return self.served if whole else exact_served(self.served)

    @cached_property
    def query_kind(self) -> IdKind:
        """The ids that queries may have."""
        return IdKind.of(self.state.query_ids)

    @cached_property
    def candidate_kind(self) -> IdKind:
        """The ids that candidates may have."""
        return IdKind.of(self.state.candidate_ids)

    @cached_property
    def long_ids(self) -> str | None:
        """Which ids hold integers that a double cannot: "query ids", "candidate ids", or both; None where none does."""
        sides = (("query ids", self.state.query_ids), ("candidate ids", self.state.candidate_ids))
        long = [name for name, ids in sides if not ids.strings and len(ids) and _longest(ids.ids) > SAFE]
        return " and ".join(long) or None

    @property
    def histories(self) -> bool:
        """Whether a query may bring a history: the model reads it, or its vector is folded in from it."""
        return self.about.history_column is not None or self.state.query_vectors is not None

    @cached_property
    def colour_columns(self) -> tuple[str, ...]:
        """Columns with few enough values to colour a map by."""
        table = self.state.candidates
        return tuple(
            name for name in self.about.columns if name != self.about.title_column and _few_values(table[name])
        )

    def values_of(self, ids: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
        """The columns ``names`` of each candidate."""
        state = self.state
        row_of = state.candidate_ids.row_of
        rows = [row_of[one] for one in ids]
        if len(state.candidates) > LISTED:
            columns = {
                name: state.candidates[name] for name in names
            }  # by row: gathering would copy all of a changed one
            return [{name: _plain(column[row]) for name, column in columns.items()} for row in rows]
        for name in names:
            if name not in self._listed:
                column = state.candidates[name]
                self._listed[name] = column.to_list() if len(column) <= AT_ONCE else _Cells(column)
        return [{name: self._listed[name][row] for name in names} for row in rows]

    def width(self, name: str) -> int:
        """Bytes of a value of a column, on average."""
        if name not in self._widths:
            column = self.state.candidates[name]
            self._widths[name] = int(column.estimated_size()) // max(1, len(column))
        return self._widths[name]

    @cached_property
    def _widths(self) -> dict[str, int]:
        return {}

    def found(self, text: str, limit: int, pause: Callable[[], object] = lambda: None) -> list[Any]:
        """Ids of candidates whose id is, or whose title holds, a text; those first whose title begins with it, then popular ones.

        Args:
            text: to search for.
            limit: how many at most.
            pause: called between parts of the work.
        """
        state, wanted = self.state, text.lower()
        titles = state.candidates[self.about.title_column or self.about.columns[0]]
        counts, dead = state.counts, state.dead

        def look(some: slice) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
            part = _small(titles[some])
            exact = (state.candidate_ids.ids[some].cast(pl.String) == text).to_numpy()
            holds = part.str.contains(wanted, literal=True).fill_null(False).to_numpy() | exact
            holds[dead[np.searchsorted(dead, some.start) : np.searchsorted(dead, some.stop)] - some.start] = False
            at = np.flatnonzero(holds)
            begins = part.gather(at).str.starts_with(wanted).fill_null(False).to_numpy()
            rows = at + some.start
            return rows, (-counts[rows], ~begins, ~exact[at])

        return state.candidate_ids.take(first_rows(len(titles), limit, look, pause))

    @cached_property
    def positions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float | None]:
        """Rows on the map, their two coordinates in [-1, 1], and the share of the variance that these show.

        The two directions in which the candidates' vectors vary most (principal components). Of a model that has a table of
        neighbours and no vectors the places come from the table, and the share is None.
        """
        state = self.state
        alive = np.setdiff1d(np.arange(state.size), state.dead, assume_unique=True)
        rows = alive[np.unique(np.linspace(0, len(alive) - 1, min(MAPPED, len(alive))).astype(np.int64))]
        shown: float | None = None
        if state.dim == 1 and state.near is not None and state.near.tables:
            flat = plane(state.near.tables[0], rows)
        else:
            flat, shown = _principal(self.served.vectors_of(rows).astype(np.float64))
        flat /= max(np.abs(flat).max(initial=0.0), 1e-12)
        return rows, flat[:, 0], flat[:, 1], shown

    @cached_property
    def maps(self) -> dict[str | None, bytes]:
        """Replies with the map, by the column that colours it; made by the routes."""
        return {}

    @cached_property
    def card(self) -> dict[str, Any]:
        """A description of the bundle, for the page and for people."""
        served, state, about = self.served, self.state, self.about
        return {
            "name": self.name,
            "bundle": self.bundle,
            "created": served.origin.get("created"),
            "version": served.origin.get("library", __version__),
            "fingerprint": served.fingerprint,
            "query_column": state.query,
            "candidate_column": state.candidate,
            "queries": len(state.queries),
            "candidates": served.index.size,
            "seen": len(state.seen.values),
            "index": type(served.index).__name__,
            "exact": served.index.exact,
            "reason": served.reason,
            "dim": state.dim,
            "columns": list(about.columns),
            "features": sorted(about.readable),
            "title_column": about.title_column,
            "colour_column": self.colour_columns[0] if self.colour_columns else None,
            "histories": self.histories,
            "cold_start": served.policy.cold_start,
            "example_query": about.example_query,
            "recipe": served.metadata.get("recipe"),
            "metrics": figure_tables(served.metadata),
        }


class _Cells(dict[int, Any]):
    """Values of a column by row, each made when it is first asked for: all of them would take milliseconds after each change.

    Args:
        column: of the candidates' table.
    """

    def __init__(self, column: pl.Series) -> None:
        super().__init__()
        self._column = column

    def __missing__(self, row: int) -> Any:
        value = self[row] = _plain(self._column[row])
        return value


def _principal(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """The two directions in which vectors ``[rows, dim]`` vary most, ``[rows, 2]``, and the share of the variance that they show."""
    vectors -= vectors.mean(axis=0)
    values, directions = np.linalg.eigh(vectors.T @ vectors)
    flat = vectors @ directions[:, ::-1][:, :2]
    if flat.shape[1] < 2:
        flat = np.column_stack([flat, np.zeros(len(flat))])
    return flat, float(values[-2:].sum() / max(values.sum(), 1e-12))


def _longest(ids: pl.Series) -> int:
    """The integer that is farthest from 0."""
    return max(abs(int(ids.min())), abs(int(ids.max())))  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    return value.to_list() if isinstance(value, pl.Series) else value


def _small(values: pl.Series) -> pl.Series:
    small: pl.Series = values.cast(pl.String).str.to_lowercase()
    return small


def _few_values(values: pl.Series) -> bool:
    """Whether a column's values are groups: at most 64 different ones (of a list, its first)."""
    if isinstance(values.dtype, pl.List):
        values = values.list.first()
    if values.dtype == pl.String:
        values = values.str.split("|").list.first()
    elif not (
        values.dtype.is_integer() or values.dtype == pl.Boolean or isinstance(values.dtype, (pl.Enum, pl.Categorical))
    ):
        return False
    return values.n_unique() <= min(64, max(2, len(values) // 2))
