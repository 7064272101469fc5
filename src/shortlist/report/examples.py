"""A few queries to look at: where the model is right, and where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from shortlist.data.id_map import IdMap
from shortlist.recommender import Recommender
from shortlist.report.catalogue import Labels, described

__all__ = ["Example", "chosen_examples"]

EACH = 3
HISTORY = 6
HELD_OUT = 10
DEEP = 100


@dataclass(frozen=True)
class Example:
    """One query.

    Attributes:
        history: titles of what it chose in training, the best known first, of ``chosen`` in all.
        recommended: title, score and whether it was among the held-out choices.
        held_out: title and place in the model's list, None beyond the first ``deep``; ``held_out_total`` of them in
            all.
    """

    query: str
    features: str
    history: list[str]
    chosen: int
    recommended: list[tuple[str, float, bool]]
    held_out: list[tuple[str, int | None]]
    held_out_total: int
    deep: int

    @property
    def hits(self) -> int:
        """How many recommendations were held-out choices."""
        return sum(hit for _, _, hit in self.recommended)


def chosen_examples(
    recommender: Recommender, labels: Labels, held_out: Mapping[str, Any], k: int
) -> tuple[list[Example], list[Example]]:
    """The three queries with most held-out choices in their top k, and three of those with none that had most to find.

    Only queries that training knew. Ties are broken by their order.
    """
    catalogue = recommender.towers.catalogue
    wanted = {
        query: set(candidates) for query, candidates in zip(held_out["queries"], held_out["candidates"], strict=True)
    }
    queries = [query for query in wanted if isinstance(query, int) == recommender.query_ids.dtype.is_integer()]
    answers = [one for one in recommender.recommend(queries, k=max(k, DEEP)) if one.known] if queries else []
    hits = {one.query: len(wanted[one.query] & set(one.ids[:k])) for one in answers}
    best = sorted((one for one in answers if hits[one.query]), key=lambda one: -hits[one.query])[:EACH]
    worst = sorted((one for one in answers if not hits[one.query]), key=lambda one: -len(wanted[one.query]))[:EACH]
    rows, query_rows = (IdMap(ids).row_of for ids in (recommender.candidate_ids, recommender.query_ids))
    histories = _histories(recommender, [one.query for one in (*best, *worst)])
    read = recommender.served.state.history_columns  # ids of what it chose, which is listed by titles

    def example(answer: Any) -> Example:
        ids, chosen = list(answer.ids), wanted[answer.query]
        place = {one: number for number, one in enumerate(ids, start=1)}
        history = sorted(histories.get(answer.query, ()), key=lambda one: -catalogue.counts[rows[one]])
        found = sorted(chosen, key=lambda one: (place.get(one, len(ids) + 1), str(one)))
        return Example(
            query=str(answer.query),
            features=described(
                catalogue.queries.drop(read, strict=False).row(query_rows[answer.query], named=True), catalogue.query
            ),
            history=[labels.titles[rows[one]] for one in history[:HISTORY]],
            chosen=len(history),
            recommended=[(labels.titles[rows[item.id]], item.score, item.id in chosen) for item in list(answer)[:k]],
            held_out=[
                (labels.titles[rows[one]] if one in rows else str(one), place.get(one)) for one in found[:HELD_OUT]
            ],
            held_out_total=len(chosen),
            deep=len(ids),
        )

    return [example(one) for one in best], [example(one) for one in worst]


def _histories(recommender: Recommender, queries: list[Any]) -> dict[Any, list[Any]]:
    seen = recommender.seen
    if seen is None or not queries:
        return {}
    chosen = seen.interactions.filter(pl.col(seen.query).is_in(queries))
    grouped = chosen.group_by(seen.query, maintain_order=True).agg(pl.col(seen.candidate))
    return dict(grouped.iter_rows())
