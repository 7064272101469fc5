"""A model of two sources: two towers, and a table of neighbours, which scores by a query's history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from shortlist.data import Dataset
from shortlist.data.given import check_dataset, check_kind, check_model
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, DataError
from shortlist.index import Lists
from shortlist.sources.blend import Blend
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.tables import histories_of

if TYPE_CHECKING:
    from shortlist.model import Catalogue, TwoTower

__all__ = ["Mixture", "towers_of"]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Two trained towers and neighbours, whose scores are added; ``evaluate`` and ``Recommender`` take it as a model.

    Every candidate's score is ``Blend(share, temperature)`` of the towers' dot product and the neighbours' score of the
    query's history. A query without a history is answered by the towers alone.

    Args:
        towers: a trained model.
        neighbours: fitted on the same data, so that both count the same candidate rows.
        histories: the choices of each row of the towers' ``catalogue.queries``, as candidate rows, oldest first; see
            ``Mixture.of``.
        blend: share and temperature.

    Raises:
        ConfigError: for towers that were not trained, or a table of other candidates.

    Example:
        towers = sl.TwoTower(…); sl.fit(towers, train)
        model = sl.Mixture.of(towers, sl.Transitions().fit(train), train, share=0.4, temperature=0.1)
        sl.Recommender(model, seen=train).recommend(["42"], k=10)
    """

    towers: TwoTower
    neighbours: Neighbours
    histories: Lists
    blend: Blend

    def __post_init__(self) -> None:
        catalogue = self.towers.catalogue
        if len(self.neighbours) != len(catalogue.candidates) or len(self.histories) != len(catalogue.queries):
            raise ConfigError(
                f"the neighbours have {len(self.neighbours):,} candidates and {len(self.histories):,} histories; the "
                f"towers were trained on {len(catalogue.candidates):,} and {len(catalogue.queries):,}.",
                hint="fit both on the same Dataset",
            )

    @classmethod
    def of(
        cls, towers: TwoTower, neighbours: Neighbours, train: Dataset, *, share: float, temperature: float = 1.0
    ) -> Mixture:
        """The mixture whose queries have the histories that ``train`` has of them.

        Args:
            towers: a trained model.
            neighbours: a table that was fitted on the same data.
            train: the training data.
            share: the neighbours' share of the score, from 0 to 1.
            temperature: above 0, in the unit of the towers' scores, usually that of their loss.

        Raises:
            ConfigError: for anything but towers and neighbours, where they do not have the same catalogue, or for a share or
                temperature out of range.
            DataError: where ``train`` has other id columns.
        """
        check_model(towers, "Mixture.of(towers)", "TwoTower")
        check_kind(neighbours, "Mixture.of(neighbours)", "Neighbours", hint="shortlist.Cooccurrence().fit(train)")
        check_dataset(train, "Mixture.of(train)")
        catalogue = towers.catalogue
        if (train.query, train.candidate) != (catalogue.query, catalogue.candidate):
            raise DataError(
                f"the histories' ids are {train.query!r} and {train.candidate!r}; the towers were trained on "
                f"{catalogue.query!r} and {catalogue.candidate!r}.",
                hint="give the training data",
            )
        ids = catalogue.queries[catalogue.query], catalogue.candidates[catalogue.candidate]
        histories = histories_of(train, *ids, neighbours.length)
        return cls(towers, neighbours, histories, Blend(share, temperature))

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue that the towers were trained on."""
        return self.towers.catalogue

    def with_blend(self, blend: Blend) -> Mixture:
        """The same sources with another blend."""
        return replace(self, blend=blend)

    def histories_of(self, query_ids: pl.Series, given: Dataset | None = None) -> Lists:
        """The choices of each query as candidate rows, oldest first.

        Args:
            query_ids: raw ids.
            given: interactions of queries that training never saw.
        """
        import numpy as np

        catalogue = self.catalogue
        rows = IdMap(catalogue.queries[catalogue.query]).find(query_ids)
        lists = [self.histories.row(row) if row >= 0 else np.zeros(0, np.int64) for row in rows.tolist()]
        if given is not None and any(not len(one) for one in lists):
            distinct = query_ids.unique(maintain_order=True)
            other = histories_of(given, distinct, catalogue.candidates[catalogue.candidate], self.neighbours.length)
            place = IdMap(distinct).find(query_ids)
            lists = [one if len(one) else other.row(at) for one, at in zip(lists, place.tolist(), strict=True)]
        return Lists.of(lists)

    def __repr__(self) -> str:
        return f"Mixture({self.neighbours!r}, share {self.blend.share:g}, temperature {self.blend.temperature:g})"


def towers_of(model: TwoTower | Mixture) -> TwoTower:
    """The towers of a model of either kind."""
    return model.towers if isinstance(model, Mixture) else model
