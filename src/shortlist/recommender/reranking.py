"""Lists put together by the rules of a ``Rerank``, in candidate rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import Id
from shortlist.errors import DataError, ShortlistWarning, did_you_mean
from shortlist.index.values import offsets_of
from shortlist.recommender.answers import Answers
from shortlist.recommender.asked import Asked
from shortlist.recommender.filling import Filling
from shortlist.recommender.lanes import Lane
from shortlist.recommender.pools import Boosts, Pool, RowsOf
from shortlist.recommender.requests import candidate_rows, exact_ids
from shortlist.recommender.rerank import Rerank
from shortlist.recommender.state import State
from shortlist.sources import depth_of

__all__ = ["check_rules", "countable", "pool_size", "reranked", "warn_of_unknown_pins"]

POOL, POOL_OF_K = 200, 4  # candidates that the rules choose among: so many, or so many times k
DRAWN_FROM = 4  # times the places to explore: the best of the explored candidates that are drawn from


def pool_size(k: int) -> int:
    """How many candidates the rules choose among, of each group that ``boost`` lifts alike."""
    return max(POOL, POOL_OF_K * k)


def countable(kind: pl.DataType) -> bool:
    """Whether ``at_most`` can count the values of a column: plain ones, or lists of them."""
    inner = kind.inner if isinstance(kind, pl.List) else kind
    return not (inner.is_nested() or inner == pl.Object)


def reranked(
    asked: Asked,
    rules: Rerank,
    ids: Sequence[Id | None],
    k: int,
    met: Mapping[str, NDArray[np.int64]] | None = None,
    pause: Callable[[], object] = lambda: None,
) -> Answers:
    """The lists of all queries by the rules.

    Args:
        asked: the queries.
        rules: for each list.
        ids: the queries' raw ids; exploration draws by them.
        k: the length of the lists.
        met: the rows that meet each of the rules' conditions; None computes them here.
        pause: called before each list, and each time that ``PLACES`` of its places are filled.

    Raises:
        DataError: a column or a condition that the candidates' table does not fit; an id of another type.
    """
    state, quotas = asked.served.state, asked.quotas
    _check_columns(rules, state.candidates)
    rows_of = state.conditions.rows if met is None else lambda condition, option: met[condition]
    k = min(k, max([len(state.candidates), *rules.places]))  # longer lists would cost more, and be no longer
    size = pool_size(k)
    asked = asked.without_quotas()
    boosts = Boosts.of(state, rules, rows_of)
    if boosts.groups:  # each is searched by itself: all need one scale
        asked = asked.scaled(k)
        pools = boosts.pools(asked.pools, size)
    else:
        found = asked.best(size)
        asked, pools = replace(asked, scale=found.scale), Pool.each(found)
    own = [_Own.of(asked, boosts, source, quotas, k) for source, quota in enumerate(quotas) if quota]
    pinned = _pinned(asked, rules, k)
    explored = _explored(asked, rules, k, rows_of)
    lists = []
    for number, name in enumerate(ids):
        pause()
        lanes = _lanes(asked.one(number), rules, k, boosts, pools[number], own, number)
        one = Filling(asked.one(number), rules, k, name, lanes, pause)
        lists.append(one.filled(pinned[number], explored[number]))
    items = [item for one in lists for item in one]
    return Answers(
        offsets_of([len(one) for one in lists]),
        np.array([row for row, _, _ in items], np.int64),
        np.array([score for _, score, _ in items], np.float64),
        np.array([source for _, _, source in items], np.uint8),
        asked.scale,
    )


def check_rules(rules: Rerank, state: State) -> None:
    """DataError for rules that the candidates' table does not fit: a column, a condition, or an id of another type."""
    _check_columns(rules, state.candidates)
    candidate_rows(rules.places.values(), state.candidate_ids, "pin")
    for condition in rules.boost:
        state.conditions.rows(condition, "boost")
    if rules.explore_where is not None:
        state.conditions.rows(rules.explore_where, "explore_where")


def warn_of_unknown_pins(rules: Rerank, state: State) -> None:
    """A ShortlistWarning for pinned ids that the catalogue lacks; ``stacklevel`` is that of a method's caller."""
    places = rules.places
    rows = state.candidate_ids.rows(exact_ids(places.values(), state.candidate_ids, "pin"))
    missing = [one for one, row in zip(places.values(), rows, strict=True) if row < 0]
    if missing:
        warnings.warn(
            f"pin: the catalogue does not have {missing[0]!r} ({len(missing)} of {len(places)} are missing); their places are "
            "filled as others.\nhint: ids are compared exactly, including their type; candidate_ids lists them",
            ShortlistWarning,
            stacklevel=3,
        )


def _check_columns(rules: Rerank, table: pl.DataFrame) -> None:
    """DataError for a column of ``at_most`` that the candidates lack, or whose values cannot be counted."""
    for column in rules.at_most:
        if column not in table.columns:
            raise DataError(
                f"at_most: the candidates have no column {column!r}.", hint=did_you_mean(column, table.columns)
            )
        if not countable(table.schema[column]):
            raise DataError(
                f"at_most: the candidates' column {column!r} is of type {table.schema[column]}; plain values, or lists of "
                "them, were expected."
            )


@dataclass(frozen=True, eq=False)
class _Own:
    """The best candidates of each query by one source alone, which has a quota.

    Attributes:
        share: of the places that are the source's.
    """

    source: int
    share: float
    pools: list[Pool]

    @classmethod
    def of(cls, asked: Asked, boosts: Boosts, source: int, quotas: Sequence[float], k: int) -> _Own:
        """As many as the quota can place in a list as long as the pool."""
        depth = max(1, depth_of(quotas[source], quotas, pool_size(k)))
        return cls(source, quotas[source], boosts.pools(partial(asked.alone, source), depth))


def _lanes(
    asked: Asked, rules: Rerank, k: int, boosts: Boosts, together: Pool, own: Sequence[_Own], number: int
) -> list[Lane]:
    """The lanes of a list: all sources together, and each source with a quota alone.

    Args:
        asked: one query.
        together: its candidates by all sources.
        own: its candidates by each source alone are those of query ``number``.
    """
    state, spans = asked.served.state, together.spans(k)
    table, vectors_of = state.candidates, asked.served.vectors_of

    def searched(size: int, rows: NDArray[np.int64]) -> Pool:
        return boosts.lifted(boosts.pools(asked.inside(rows).pools, size)[0], spans)

    def totals(rows: NDArray[np.int64]) -> dict[int, float]:
        pool = boosts.lifted(Pool.of(asked.best(len(rows), rows), 0), spans)
        return dict(zip(pool.rows.tolist(), pool.scores.tolist(), strict=True))

    share, first = 1 - sum(one.share for one in own), boosts.lifted(together, spans)
    lanes = [Lane(table, vectors_of, first, searched, rules.diversify, share, pool_size(k))]
    for one in own:
        pool = one.pools[number]
        by_source, of_pool = one.source, pool.spans(k)

        def searched_alone(
            size: int, rows: NDArray[np.int64], source: int = by_source, spans: Mapping[int, float] = of_pool
        ) -> Pool:
            return boosts.lifted(boosts.pools(partial(asked.inside(rows).alone, source), size)[0], spans)

        pool = boosts.lifted(pool, of_pool)
        lanes.append(Lane(table, vectors_of, pool, searched_alone, rules.diversify, one.share, len(pool.rows), totals))
    return lanes


def _pinned(asked: Asked, rules: Rerank, k: int) -> list[dict[int, tuple[int, float]]]:
    """For each query the pinned rows that it may have, by place, with their scores."""
    places = {place: one for place, one in rules.places.items() if place <= k}
    rows = candidate_rows(places.values(), asked.served.state.candidate_ids, "pin")
    count = len(asked.by_model)
    if not len(rows):
        return [{}] * count
    found = asked.best(len(rows), rows)
    ids = asked.served.state.candidate_ids
    by_row = {int(row): place for place, one in places.items() for row in [ids.rows([one])[0]] if row >= 0}
    out = []
    for number in range(count):
        pool = Pool.of(found, number)
        out.append(
            {by_row[row]: (row, score) for row, score in zip(pool.rows.tolist(), pool.scores.tolist(), strict=True)}
        )
    return out


def _explored(asked: Asked, rules: Rerank, k: int, rows_of: RowsOf) -> list[Pool]:
    """For each query the candidates that are drawn from."""
    state = asked.served.state
    if rules.explore == 0:
        return [Pool.empty()] * len(asked.by_model)
    rows = np.arange(state.size)
    if rules.explore_rarer_than is not None:
        rows = np.flatnonzero(state.counts < rules.explore_rarer_than)
    if rules.explore_where is not None:
        rows = np.intersect1d(rows, rows_of(rules.explore_where, "explore_where"))
    found = asked.best(max(1, DRAWN_FROM * int(np.ceil(rules.explore * k))), rows)
    return [Pool.of(found, number) for number in range(len(asked.by_model))]
