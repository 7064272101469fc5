"""Why each item of a list is there: the sources that found it, their shares of its score, and the choices that weighed most."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import Id
from shortlist.errors import MissingExtraError
from shortlist.index import score_heads
from shortlist.language import translated
from shortlist.recommender.answers import POPULARITY, SOURCES, Answers, towers_and_context
from shortlist.recommender.asked import Asked
from shortlist.recommender.query_vectors import embedded
from shortlist.recommender.requests import Request
from shortlist.recommender.served import Served
from shortlist.recommender.state import State
from shortlist.sources import MOST_CAUSES, Causes, heaviest_causes, nearby, shares_of

__all__ = ["LATEST", "TOWERS", "Cause", "Origins", "Part", "Reason", "reasons_of"]

LATEST = 10  # choices of a query that are left out one by one, to see what a history tower makes of each
TOWERS = "towers"


class Cause(NamedTuple):
    """An item that the query chose before. ``share`` is what it adds to a source's score, as a share of all that its history adds."""

    id: Id
    share: float


class Part(NamedTuple):
    """One source's part of an item's score.

    Attributes:
        source: "towers", "popularity" where that filled the place, or the kind of a mixture's source ("transitions", "recent", …);
            the second of one kind is called "towers 2".
        score: by this source alone, in its own unit.
        share: of the item's score, before what ``Rerank(boost=)`` adds.
        found: whether this source alone would have put the item forward: it is among the best k of towers, or has a score in
            a table of neighbours or a ranked list.
        because: at most three of the query's choices, those that weighed most. Of towers without a history it is empty.
    """

    source: str
    score: float
    share: float
    found: bool
    because: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Reason:
    """Why an item is in a list.

    Attributes:
        parts: each source's part of the score, in the order of the mixture's ``sources``.
        titles: gives the titles of ids, where the candidates' table has some and they are not the ids; else None.

    Example:
        found = recommender.recommend(["42"], explain=True)[0]
        for item, reason in zip(found, found.reasons):
            print(item.id, reason)  # Casino  transitions 62%, towers 38%, because of Heat, Fargo
    """

    parts: tuple[Part, ...]
    titles: Callable[[Sequence[Id]], list[str]] | None = field(default=None, compare=False, repr=False)

    @property
    def found_by(self) -> list[str]:
        """The sources that alone would have put the item forward."""
        return [part.source for part in self.parts if part.found]

    @property
    def shares(self) -> dict[str, float]:
        """Each source's share of the score; they sum to 1."""
        return {part.source: part.share for part in self.parts}

    @property
    def because(self) -> list[Id]:
        """At most three of the query's choices, those that weighed most in all sources together."""
        weight: dict[Id, float] = defaultdict(float)
        for part in self.parts:
            for one in part.because:
                weight[one.id] += part.share * one.share
        return sorted((one for one in weight if weight[one] > 0), key=lambda one: -weight[one])[:MOST_CAUSES]

    @property
    def because_of(self) -> list[str]:
        """The same choices by their titles, or by their ids where there are none."""
        return list(map(str, self.because)) if self.titles is None else self.titles(self.because)

    def __str__(self) -> str:
        parts = sorted(self.parts, key=lambda part: -part.share)
        shares = ", ".join(f"{part.source} {part.share:.0%}" for part in parts if part.share >= 0.005)
        because = translated("because of {titles}", titles=", ".join(self.because_of))
        return ", ".join([shares, *([because] if self.because else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        parts = [part._asdict() | {"because": [one._asdict() for one in part.because]} for part in self.parts]
        return {"because": self.because, "parts": parts}


class Origins(NamedTuple):
    """Where the vectors of a request's queries come from, see ``embedded``."""

    request: Request
    rows: NDArray[np.int64]
    known: NDArray[np.bool_]
    chosen: Sequence[NDArray[np.int64]]


def reasons_of(asked: Asked, answers: Answers, origins: Origins) -> list[Reason]:
    """A reason for each item of ``answers``, in their order.

    Of towers that read a history, and of queries that are folded in, each of the latest ten choices is left out once: what the item's
    score loses is what that choice weighed. That needs the query tower (torch, or an export); without it they have no causes.
    """
    state, reasons = asked.served.state, []
    mixture = _Mixture.of(asked, answers, origins)
    for number in range(len(answers)):
        part = slice(int(answers.offsets[number]), int(answers.offsets[number + 1]))
        rows, popular = answers.rows[part], np.full(part.stop - part.start, not asked.by_model[number])
        if answers.sources is not None:
            popular |= answers.sources[part] == POPULARITY
        by_model = np.flatnonzero(~popular)
        found = iter(
            _of_towers(asked, origins, number, rows[by_model])
            if mixture is None
            else mixture.reasons(number, rows[by_model])
        )
        counts = state.counts[rows]
        for place, is_popular in enumerate(popular.tolist()):
            count = Part(SOURCES[POPULARITY], float(counts[place]), 1.0, True)
            reasons.append(Reason((count,)) if is_popular else next(found))
    return reasons


def _of_towers(asked: Asked, origins: Origins, number: int, rows: NDArray[np.int64]) -> list[Reason]:
    """The reasons of one query's items by towers alone."""
    served, vector = asked.served, asked.vectors[number]
    scores = score_heads(vector[None], served.vectors_of(rows))[0].astype(np.float32).tolist()
    causes = _left_out(served, origins, number, vector, rows)
    return [
        Reason((Part(TOWERS, score, 1.0, True, _named(of_item, served.state)),))
        for score, of_item in zip(scores, causes, strict=True)
    ]


class _Mixture:
    """The reasons of a mixture's items."""

    def __init__(self, asked: Asked, answers: Answers, origins: Origins) -> None:
        served = asked.served
        assert served.state.near is not None
        assert asked.context is not None
        assert answers.scale is not None
        self.asked, self.origins, self.scale, self.added = asked, origins, answers.scale, served.state.near
        self.towers, self.context, filters = towers_and_context(served, asked.vectors, asked.context, asked.filters)
        self.near = nearby(self.added, self.context, filters)

    @classmethod
    def of(cls, asked: Asked, answers: Answers, origins: Origins) -> _Mixture | None:
        """None for another model, and for no queries."""
        return None if answers.scale is None else cls(asked, answers, origins)

    def reasons(self, number: int, rows: NDArray[np.int64]) -> list[Reason]:
        """Those of one query's items."""
        served, state = self.asked.served, self.asked.served.state
        shares = shares_of(self.towers, self.added, self.context, self.near, self.scale, number, rows)
        causes = list(shares.causes)
        for place, (one, searched) in enumerate(zip((served, *served.others), self.towers, strict=True)):
            causes[place] = _left_out(one, self.origins, number, searched.queries[number], rows)
        return [
            Reason(
                tuple(
                    Part(
                        name,
                        float(shares.scores[source, item]),
                        float(shares.shares[source, item]),
                        bool(shares.found[source, item]),
                        _named(causes[source][item], state),
                    )
                    for source, name in enumerate(self.added.names)
                )
            )
            for item in range(len(rows))
        ]


def _left_out(
    served: Served, origins: Origins, number: int, vector: NDArray[np.float32], rows: NDArray[np.int64]
) -> Sequence[Causes]:
    """For each item of one query the choices that weighed most in its vector; none where no history is read.

    Args:
        vector: of the query, ``[heads · dim]``.
        rows: of the items.
    """
    state = served.state
    columns = [name for name in state.history_columns if len(_history(origins, state, number, name))]
    own = origins.chosen[number] if len(origins.chosen) else np.zeros(0, np.int64)
    ids = [one for name in columns for one in _history(origins, state, number, name)]
    chosen = dict.fromkeys([*state.candidate_ids.rows(ids), *own.tolist()])
    items = np.array([row for row in chosen if row >= 0][-LATEST:], np.int64)
    if not len(items) or not len(rows):
        return [()] * len(rows)
    try:
        vectors = _without_each(served, origins, number, columns, items)
    except MissingExtraError:
        return [()] * len(rows)
    of_items = served.vectors_of(rows)
    return heaviest_causes(items, score_heads(vector[None], of_items) - score_heads(vectors, of_items))


def _without_each(
    served: Served, origins: Origins, number: int, columns: Sequence[str], items: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The query's vectors without each of its choices ``items``, ``[items, heads · dim]``."""
    state, request = served.state, origins.request
    again = np.full(len(items), number)
    features = {name: values.gather(again) for name, values in request.features.items()}
    given = {name: [mask[number]] * len(items) for name, mask in request.given.items()}
    for name in columns:
        past = _history(origins, state, number, name)
        of_row = dict(zip(state.candidate_ids.take(items), items.tolist(), strict=True))
        lists = [[one for one in past if of_row.get(one) != item] for item in items.tolist()]
        features[name] = pl.Series(name, lists, dtype=pl.List(state.candidate_ids.ids.dtype))
        given.pop(name, None)
    own = origins.chosen[number] if len(origins.chosen) else np.zeros(0, np.int64)
    chosen = [own[own != item] for item in items.tolist()]
    asked = Request([request.ids[number]] * len(items), features, given)
    return embedded(served, asked, origins.rows[again], origins.known[again], chosen)


def _history(origins: Origins, state: State, number: int, column: str) -> list[Id]:
    """The raw ids of a query's history: those of its request, else the stored ones."""
    request, row = origins.request, int(origins.rows[number])
    if column in request.features and (column not in request.given or request.given[column][number]):
        past = request.features[column][number]
    elif column in state.queries.columns and row >= 0:
        past = state.queries[column][row]
    else:
        past = None
    return [] if past is None else [one for one in past.to_list() if one is not None]


def _named(causes: Causes, state: State) -> tuple[Cause, ...]:
    ids = state.candidate_ids.take(np.array([row for row, _ in causes], np.int64))
    return tuple(Cause(one, share) for one, (_, share) in zip(ids, causes, strict=True))
