"""A source's rows as interactions, by ``Events``: for passes over all of it, or piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import polars as pl
import polars.selectors as cs

from shortlist.data.events import EventPlan, Events
from shortlist.data.ids import require_column
from shortlist.data.places import Places
from shortlist.data.readers import Table
from shortlist.data.source import AT_ONCE, Source, SourceFile

__all__ = ["Prepared", "interactions_of", "places_of", "plain", "prepared"]

S = TypeVar("S", bound=Source)


@dataclass(frozen=True)
class Prepared(Source):
    """A source of which only interactions are counted: passes over all of it follow the plan, pieces keep their order."""

    plan: EventPlan | None = None

    def scans(self, columns: Sequence[str], at_once: int = AT_ONCE) -> Iterator[tuple[str, pl.LazyFrame]]:
        """All interactions, in parts."""
        plan = self.plan
        if plan is None or plan.idle:
            yield from super().scans(columns, at_once)
            return
        for name, scan in super().scans(plan.sources(columns), at_once):
            yield name, plan.lazily(scan).select(cs.by_name(*columns))


@dataclass(frozen=True)
class _Interactions(Source):
    """A source as if it held interactions alone, piece by piece too: slower, for samples."""

    plan: EventPlan | None = None

    def schema(self) -> pl.Schema:
        """Names and types of the columns, with those that are added."""
        assert self.plan is not None
        return self.plan.lazily(pl.LazyFrame(schema=super().schema())).collect_schema()

    def scan(self, file: SourceFile, columns: Sequence[str]) -> pl.LazyFrame:
        """The interactions of a file."""
        assert self.plan is not None
        return self.plan.lazily(plain(self).scan(file, self.plan.sources(columns))).select(cs.by_name(*columns))

    def scans(self, columns: Sequence[str], at_once: int = AT_ONCE) -> Iterator[tuple[str, pl.LazyFrame]]:
        """Everything, file by file."""
        yield from ((file.name, self.scan(file, columns)) for file in self.files)

    def _joined(self, files: Sequence[SourceFile], columns: Sequence[str]) -> pl.LazyFrame:
        """The interactions of these files, one file after another."""
        return pl.concat([self.scan(file, columns) for file in files])

    def rows(self, file: SourceFile) -> int:
        """How many interactions a file has."""
        assert self.plan is not None
        with self._naming(file):
            return int(self.scan(file, self.plan.sources([])).select(pl.len()).collect().item())


def interactions_of(source: Source, columns: Mapping[str, str | None], events: Events) -> tuple[Source, str | None]:
    """The source's interactions by ``events``, and the column of weights. Errors are those of ``Events.plan``."""
    if events == Events():
        return source, columns["weight"]
    there = Table(pl.DataFrame(schema=source.schema()), "interactions", source.untyped)
    for role in ("query", "candidate"):
        require_column(there, columns[role] or "", role)
    plan = events.plan(there.frame.schema, columns["query"] or "", columns["candidate"] or "", columns["weight"])
    return _as(_Interactions, source, plan), plan.weight or columns["weight"]


def places_of(source: Source) -> Places:
    """The places of values in a source, also in one from ``interactions_of``."""
    plan = source.plan if isinstance(source, _Interactions) else None
    return Places(plain(source), plan=plan)


def prepared(source: Source, plan: EventPlan) -> Prepared:
    """The source, of which only interactions are counted."""
    return _as(Prepared, source, plan)


def plain(source: Source) -> Source:
    """The source itself, with every row."""
    return _as(Source, source)


def _as(kind: type[S], source: Source, plan: EventPlan | None = None) -> S:
    """The same source of another class."""
    values: dict[str, Any] = {one.name: getattr(source, one.name) for one in fields(Source)}
    return kind(**values, **({} if plan is None else {"plan": plan}))  # type: ignore[arg-type]
