"""The queries of one request, asked as often and in as many ways as the rules need: all, alone, of some rows, by one source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Lists
from shortlist.recommender.answers import Answers, answered, towers_and_context
from shortlist.recommender.pools import Pool
from shortlist.recommender.served import Served
from shortlist.sources import Context, Filters, Scale, best_alone

__all__ = ["Asked"]


@dataclass(frozen=True, eq=False)
class Asked:
    """The queries of one request, as ``answered`` takes them.

    Attributes:
        within: candidate rows that are searched alone; None for all that the filters leave.
        scale: what a mixture's scores are shares of, once a search has made it.
    """

    served: Served
    vectors: NDArray[np.float32]
    filters: Filters
    by_model: Sequence[bool]
    context: Context | None
    fallback: Sequence[str]
    within: NDArray[np.int64] | None = None
    scale: Scale | None = None

    def best(self, k: int, rows: NDArray[np.int64] | None = None) -> Answers:
        """The k best of each query; of these rows alone, where given."""
        within = self.inside(rows).within
        return answered(
            self.served, self.vectors, k, self.filters, self.by_model, self.context, self.fallback, within, self.scale
        )

    def pools(self, k: int, rows: NDArray[np.int64] | None = None) -> list[Pool]:
        """The same as pools."""
        return Pool.each(self.best(k, rows))

    def alone(self, source: int, k: int, rows: NDArray[np.int64] | None = None) -> list[Pool]:
        """The k best of each query by one source of a mixture alone; none of a query that the model does not answer.

        Args:
            source: in the order of the mixture's weights.
            rows: the only rows that are searched, where given.
        """
        added, context, within = self.served.state.near, self.context, self.inside(rows).within
        assert added is not None
        assert context is not None
        towers, context, filters = towers_and_context(self.served, self.vectors, context, self.filters)
        hits = best_alone(towers, added, context, source, k, filters, within)
        found = Pool.each(Answers(hits.offsets, hits.ids, hits.scores))
        return [one if by_model else Pool.empty() for one, by_model in zip(found, self.by_model, strict=True)]

    @property
    def quotas(self) -> tuple[float, ...]:
        """The quotas of a mixture's sources; () for none."""
        near = self.served.state.near
        return () if near is None else near.quotas

    def without_quotas(self) -> Asked:
        """The same by all sources together."""
        if not self.quotas:
            return self
        state = self.served.state
        assert state.near is not None
        near = replace(state.near, quotas=())
        return replace(self, served=replace(self.served, state=replace(state, near=near)))

    def scaled(self, k: int) -> Asked:
        """The same with the scale of a search for the k best, where the model is a mixture."""
        return self if self.served.state.near is None else replace(self, scale=self.best(k).scale)

    def inside(self, rows: NDArray[np.int64] | None) -> Asked:
        """The same in these rows alone; None for no other limit."""
        if rows is None:
            return self
        return replace(self, within=rows if self.within is None else np.intersect1d(rows, self.within))

    def one(self, number: int) -> Asked:
        """One of the queries."""
        exclude, part = self.filters.exclude, slice(number, number + 1)
        return replace(
            self,
            filters=self.filters if exclude is None else replace(self.filters, exclude=Lists.of([exclude.row(number)])),
            context=None if self.context is None else self.context.one(number),
            vectors=self.vectors[part],
            by_model=list(self.by_model[part]),
            scale=None if self.scale is None else self.scale.of(part),
        )
