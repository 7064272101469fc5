"""A recommender's answers: raw ids, scores, and the source of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, overload

import numpy as np
import polars as pl

from shortlist.data.id_map import Id, IdMap
from shortlist.data.ids import free_name
from shortlist.data.titles import titles
from shortlist.display import Tabular, table_html
from shortlist.display.html import ROWS
from shortlist.language import columns, counted, padded, shown
from shortlist.recommender.answers import MODEL, POPULARITY, SOURCES, Answers
from shortlist.recommender.reasons import Reason

__all__ = ["Item", "Recommendation", "Recommendations"]


class Item(NamedTuple):
    """One recommended candidate; ``source`` is "model", the fallback that filled the place, or "pinned" or "explored" by the
    rules of ``Rerank``.

    ``score`` is the model's: the dot product of the two vectors, or the sum of a mixture's parts; with what ``Rerank(boost=)`` adds; of source "popularity" it is the training
    count.
    """

    id: Id
    score: float
    source: str


_item = partial(tuple.__new__, Item)  # the item of three values; Item(...) takes four times as long


@dataclass(frozen=True)
class Recommendation(Sequence[Item]):
    """The list of one query, best first.

    Attributes:
        known: whether training had any interaction of the query.
        reasons: one for each item, of ``recommend(explain=True)``; else None.
        titles: of the items, where the candidates' table has some and they are not the ids; else None.
    """

    query: Id | None
    known: bool
    items: tuple[Item, ...]
    reasons: tuple[Reason, ...] | None = None
    titles: Sequence[str] | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        return self.items[index]

    @property
    def ids(self) -> list[Id]:
        """The candidates' ids, best first."""
        return [item.id for item in self.items]

    @property
    def scores(self) -> list[float]:
        """The candidates' scores, in the same order."""
        return [item.score for item in self.items]

    @property
    def sources(self) -> list[str]:
        """The candidates' sources, in the same order."""
        return [item.source for item in self.items]

    def __str__(self) -> str:
        width = max((columns(str(item.id)) for item in self.items), default=0)
        head = f"{self.query}" + ("" if self.known else shown("  (unknown to the model)"))
        lines = [
            f"  {rank:>3}. {padded(str(item.id), width)}  {_score(item)}"
            for rank, item in enumerate(self.items, start=1)
        ]
        for more in (self.titles, self.reasons):
            if more is not None:
                lines = [f"{line}  {one}".rstrip() for line, one in zip(lines, more, strict=True)]
        return "\n".join(
            [
                head,
                *(
                    lines
                    or [
                        shown(
                            "  nothing is left to recommend (filters leave nothing, or all of it was seen; "
                            "exclude_seen=False or --include-seen keeps seen items)"
                        )
                    ]
                ),
            ]
        )


class Titles(Sequence[str]):
    """The titles of some rows of a column, looked up when they are read.

    Args:
        column: the title of each candidate; null where one has none.
        rows: the candidates.
    """

    def __init__(self, column: pl.Series, rows: np.ndarray) -> None:
        self._column, self._rows = column, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Titles: ...
    def __getitem__(self, index: int | slice) -> str | Titles:
        if isinstance(index, slice):
            return Titles(self._column, self._rows[index])
        return " ".join((self._column[int(self._rows[index])] or "").split())


def _names(titles: pl.Series, candidates: IdMap, ids: Sequence[Id]) -> list[str]:
    """The titles of ids; the id itself where one has none, and of candidates that are gone."""
    rows = np.array(candidates.rows(ids), np.int64)
    names = Titles(titles, rows)
    return [(row >= 0 and name) or str(one) for one, row, name in zip(ids, rows, names, strict=True)]


class Recommendations(Sequence[Recommendation], Tabular):
    """One list per query, in the order asked; ids have the type that the interactions had.

    ``print`` shows them; ``to_frame``, ``to_pandas`` and ``to_dicts`` convert them.

    Args:
        columns: names of the ids of queries and candidates.
        queries: the ids asked for.
        known: of each query, whether training had it.
        answers: rows of the catalogue, with scores and sources.
        candidates: the catalogue's ids.
        query_dtype: the type of the queries' ids.
        reasons: one for each item of all lists, or None.
        catalogue: the candidates' table, for titles; or None.

    Example:
        answer = recommender.recommend(["42"], k=3)
        answer[0].ids, answer[0].scores, answer[0].sources
        for id, score, source in answer[0]: ...
    """

    def __init__(
        self,
        columns: tuple[str, str],
        queries: Sequence[Id | None],
        known: Sequence[bool],
        answers: Answers,
        candidates: IdMap,
        query_dtype: pl.DataType,
        reasons: Sequence[Reason] | None = None,
        catalogue: pl.DataFrame | None = None,
    ) -> None:
        self.query_column, self.candidate_column = columns
        self.queries = queries
        self.known = known
        self._answers = answers
        self._candidates = candidates
        self._query_dtype = query_dtype
        self._reasons = reasons
        self._catalogue = catalogue

    @cached_property
    def _items(self) -> list[Item]:
        return self._first_items(len(self._answers.rows))

    def _first_items(self, number: int) -> list[Item]:
        """The first items of all lists."""
        answers = self._answers
        ids, scores = self._candidates.take(answers.rows[:number]), answers.scores[:number].tolist()
        if answers.sources is None:
            sources = [SOURCES[MODEL]] * len(ids)
        else:
            sources = [SOURCES[one] for one in answers.sources[:number].tolist()]
        return list(map(_item, zip(ids, scores, sources, strict=True)))

    @cached_property
    def _titles(self) -> pl.Series | None:
        """The column of the candidates' titles; None where there is none, or where they are the ids."""
        return None if self._catalogue is None else titles(self._catalogue, self.candidate_column)

    def _with_titles(self, found: pl.Series | None) -> Recommendations:
        """These lists, with a column of titles that need not be looked for."""
        self.__dict__["_titles"] = found
        return self

    @cached_property
    def _offsets(self) -> list[int]:
        offsets: list[int] = self._answers.offsets.tolist()
        return offsets

    def __len__(self) -> int:
        return len(self._answers)

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Recommendation]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | list[Recommendation]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return self._list(range(len(self))[index])

    def __iter__(self) -> Iterator[Recommendation]:
        return map(self._list, range(len(self)))

    def _list(self, number: int) -> Recommendation:
        part = slice(self._offsets[number], self._offsets[number + 1])
        reasons = None if self._reasons is None else tuple(map(self._with_names, self._reasons[part]))
        named = None if self._titles is None else Titles(self._titles, self._answers.rows[part])
        return Recommendation(self.queries[number], bool(self.known[number]), tuple(self._items[part]), reasons, named)

    def _with_names(self, reason: Reason) -> Reason:
        if self._titles is None:
            return reason
        return replace(reason, titles=partial(_names, self._titles, self._candidates))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recommendations) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        unknown = sum(not known for known in self.known)
        return f"Recommendations({counted(len(self), 'query')}, {unknown:,} unknown · {counted(len(self._answers.rows), 'item')})"

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        """The first items of all lists, with their titles where the catalogue has some."""
        answers = self._answers
        places = np.arange(min(ROWS, len(answers.rows)))
        owners = np.searchsorted(answers.offsets, places, side="right") - 1
        items = self._first_items(len(places))
        columns: list[tuple[str, Sequence[Any]]] = [
            (self._own_column(), [self.queries[owner] for owner in owners.tolist()]),
            ("rank", (places - answers.offsets[owners] + 1).tolist()),
            (self.candidate_column, [one.id for one in items]),
        ]
        if self._titles is not None:
            columns.append((self._titles.name, self._titles.gather(answers.rows[: len(places)]).to_list()))
        columns += [("score", [one.score for one in items]), ("source", [one.source for one in items])]
        if self._reasons is not None:
            columns.append(
                ("because", [self._with_names(reason).because_of for reason in self._reasons[: len(places)]])
            )
        more = len(answers.rows) > len(places)
        notes = [f"the first {len(places)} of {len(answers.rows):,} items"] if more else []
        heads, values = zip(*columns, strict=True)
        return table_html(repr(self), heads, zip(*values, strict=True), notes)

    def _own_column(self) -> str:
        """The column of the ids asked about: the queries', and in lists of similar candidates ``similar_to``."""
        ids = (self.query_column, self.candidate_column)
        return ids[0] if ids[0] != ids[1] else free_name("similar_to", ids)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain values, ready for JSON: query, known, and items of id, score, source, and reason where there are reasons."""
        found = []
        for answer in self:
            items = [item._asdict() for item in answer]
            for item, reason in zip(items, answer.reasons or (), strict=False):
                item["reason"] = reason.to_dict()
            found.append({"query": answer.query, "known": answer.known, "items": items})
        return found

    def to_frame(self) -> pl.DataFrame:
        """A row per item: query id, rank (from 1), candidate id, score, source, known; with reasons also because (a list of ids)
        and shares (a number from 0 to 1 for each source).

        Lists of similar candidates have the id asked about in a column ``similar_to``. Where an id's column is called like
        one of ours, ours has underscores behind its name.
        """
        lengths = self._answers.offsets[1:] - self._answers.offsets[:-1]
        owners = [number for number, length in enumerate(lengths.tolist()) for _ in range(length)]
        own, chosen = self._own_column(), self.candidate_column
        rank, score, source, known = (free_name(one, (own, chosen)) for one in ("rank", "score", "source", "known"))
        items = self._items
        frame = pl.DataFrame(
            {
                own: _typed([self.queries[number] for number in owners], self._query_dtype),
                rank: pl.Series([rank for length in lengths.tolist() for rank in range(1, length + 1)], dtype=pl.Int64),
                chosen: _typed([item.id for item in items], self._candidates.ids.dtype),
                score: pl.Series([item.score for item in items], dtype=pl.Float64),
                source: pl.Series([item.source for item in items], dtype=pl.String),
                known: pl.Series([bool(self.known[number]) for number in owners], dtype=pl.Boolean),
            }
        )
        if self._reasons is None:
            return frame
        names = list(dict.fromkeys(part.source for reason in self._reasons for part in reason.parts))
        shares = [{name: reason.shares.get(name, 0.0) for name in names} for reason in self._reasons]
        return frame.with_columns(
            pl.Series(
                free_name("because", (own, chosen)),
                [reason.because for reason in self._reasons],
                dtype=pl.List(self._candidates.ids.dtype),
            ),
            pl.Series(free_name("shares", (own, chosen)), shares, dtype=pl.Struct(dict.fromkeys(names, pl.Float64))),
        )


def _score(item: Item) -> str:
    if item.source == SOURCES[POPULARITY]:
        return f"{item.score:10,.0f}  {shown(f'by {item.source}')}"
    return f"{item.score:10.4f}" + ("" if item.source == SOURCES[MODEL] else f"  {shown(item.source)}")


def _typed(values: list[Any], dtype: pl.DataType) -> pl.Series:
    """Ids as a column of their own type; of a wider one where an unknown id does not fit."""
    try:
        return pl.Series(values, dtype=dtype)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(values, dtype=pl.Int128)
