"""A model of several sources: towers, tables of neighbours that are asked by what a query chose, and ranked lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import check_dataset, check_frame, check_kind, check_model, kind_of
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, DataError, checked_list
from shortlist.index import Lists
from shortlist.language import counted
from shortlist.sources.added import Added, Context
from shortlist.sources.blend import Blend, Weights
from shortlist.sources.neighbours import Neighbours
from shortlist.sources.quotas import checked_quotas
from shortlist.sources.ranked import RankedList
from shortlist.sources.second_stage import SecondStage
from shortlist.sources.tables import histories_of

if TYPE_CHECKING:
    from shortlist.model import Catalogue, TwoTower

    Source: TypeAlias = TwoTower | Neighbours | RankedList

__all__ = ["Mixture", "towers_of"]

KINDS = ("TwoTower", "Neighbours", "RankedList")  # in the order in which a mixture has its sources


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Mixture:
    """Towers, tables of neighbours and ranked lists, whose scores are added; ``evaluate`` and ``Recommender`` take it as a model.

    Every candidate's score is the sum by ``Weights`` of each towers' dot product, each table's score of the query's history,
    and each list's score of the candidate's place. A source without a score for a query adds nothing.

    Args:
        sources: trained TwoTowers (at least one), fitted Neighbours, RankedLists; all with one catalogue. They are kept in this
            order; the recommender's ``index`` belongs to the first towers.
        train: the training data, in memory or as Shards, from which each query's history is read; or the histories themselves, candidate rows of each
            row of the towers' ``catalogue.queries``, oldest first.
        weights: a number of at least 0 for each of ``sources``, relative to each other; None for equal ones.
        temperatures: one for each of the towers, in the unit of its scores, usually the temperature of its loss; or one
            number for all.
        by_history: other weights for queries with at most so many items in their history, ``{0: [0.3, 0.0, 0.7]}`` for those
            without one, also those that training never saw.
        quotas: for each of ``sources`` a share of the places that goes to its own best candidates, whatever the weights
            say: of each list's first n places at least ⌊quota · n⌋; at most half of the places together. Scores do not
            change, so a list's scores may rise at such a place. They hold in lists by rules too, see ``Rerank``.
        stage: a second stage, which gives the first candidates of each list a new order; ``Ranker.fit`` makes it.

    Raises:
        ConfigError: for something that is not a source, towers that were not trained, sources with different catalogues,
            further towers that read what only a request has, or weights or quotas out of range.
        DataError: where ``train`` has other id columns.

    Example:
        towers = sl.TwoTower(…); sl.fit(towers, train)
        table, popular = sl.Transitions().fit(train), sl.Recent().fit(train)
        model = sl.Mixture([towers, table, popular], train, weights=[0.6, 0.3, 0.1], temperatures=0.1)
        sl.Recommender(model, seen=train).recommend(["42"], k=10)
    """

    sources: tuple[Source, ...]
    histories: Lists
    weights: Weights
    by_history: tuple[tuple[int, Weights], ...]
    quotas: tuple[float, ...]
    stage: SecondStage | None

    def __init__(
        self,
        sources: Sequence[Source],
        train: Dataset | Shards | Lists,
        *,
        weights: Sequence[float] | None = None,
        temperatures: float | Sequence[float] = 1.0,
        by_history: Mapping[int, Sequence[float]] | None = None,
        quotas: Sequence[float] | None = None,
        stage: SecondStage | None = None,
    ) -> None:
        order = _order(sources)
        kept = [sources[number] for number in order]
        of_towers = [one for one in kept if _kind(one) == "TwoTower"]
        if isinstance(temperatures, (int, float)):
            temperatures = [temperatures] * len(of_towers)
        set_ = object.__setattr__
        set_(self, "sources", tuple(kept))
        equal = [1.0] * len(kept)
        set_(
            self,
            "weights",
            Weights(
                _ordered(equal if weights is None else weights, order, "weights"),
                tuple(checked_list(temperatures, "Mixture(temperatures=)", "numbers")),
            ),
        )
        set_(
            self, "by_history", _by_history({} if by_history is None else by_history, order, self.weights.temperatures)
        )
        set_(self, "quotas", checked_quotas(_ordered([0.0] * len(kept) if quotas is None else quotas, order, "quotas")))
        check_kind(stage, "Mixture(stage=)", "SecondStage", optional=True, hint="shortlist.Ranker().fit(…).stage")
        if stage is not None and any(self.quotas):
            raise ConfigError(
                "a mixture got quotas and a second stage, which would not keep them; one of the two was expected.",
                hint="leave quotas out, or stage",
            )
        set_(self, "stage", stage)
        if len(self.weights.temperatures) != len(of_towers):
            raise ConfigError(
                f"a mixture got {counted(len(self.weights.temperatures), 'temperature')} for {counted(len(of_towers), 'tower')}; one each was expected."
            )
        catalogue = self.towers.catalogue
        if not isinstance(train, Lists):
            check_dataset(train, "Mixture(train)", shards=True)
            _check_ids(train, catalogue)
            ids = catalogue.queries[catalogue.query], catalogue.candidates[catalogue.candidate]
            train = histories_of(train, *ids, self.length)
        set_(self, "histories", train)
        self._check_catalogue()

    def _check_catalogue(self) -> None:
        """ConfigError unless all sources have one catalogue."""
        catalogue = self.towers.catalogue
        sizes = [("neighbours", len(one)) for one in self.tables] + [("ranked lists", len(one)) for one in self.lists]
        sizes += [] if self.stage is None else [("second stage's features", len(self.stage))]
        for what, size in sizes or [("sources", len(catalogue.candidates))]:
            if size != len(catalogue.candidates) or len(self.histories) != len(catalogue.queries):
                raise ConfigError(
                    f"the {what} have {counted(size, 'candidate')} and {counted(len(self.histories), 'history')}; the "
                    f"towers were trained on {len(catalogue.candidates):,} and {len(catalogue.queries):,}.",
                    hint="fit both on the same Dataset",
                )
        if self.stage is not None:
            self.stage.check(len(self.sources), catalogue.queries, catalogue.candidates)
        for other in self.others:
            _check_alike(catalogue, other)
        ids = catalogue.candidates[catalogue.candidate]
        others: list[Neighbours | RankedList | SecondStage] = [*self.tables, *self.lists]
        others += [] if self.stage is None else [self.stage]
        for one in others:
            if one.ids is not None and not (one.ids.dtype == ids.dtype and one.ids.equals(ids)):
                raise ConfigError(
                    f"the mixture's source {one!r} was fitted on other candidates than the towers, or on the same in another order.",
                    hint="fit all on the same Dataset",
                )

    @classmethod
    def of(
        cls,
        towers: TwoTower,
        neighbours: Neighbours,
        train: Dataset | Shards,
        *,
        share: float,
        temperature: float = 1.0,
    ) -> Mixture:
        """The mixture of two sources by ``Blend(share, temperature)``; its queries have the histories of ``train``.

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
        check_dataset(train, "Mixture.of(train)", shards=True)
        weights = Blend(share, temperature).weights
        return cls([towers, neighbours], train, weights=weights.values, temperatures=weights.temperatures)

    @property
    def towers(self) -> TwoTower:
        """The first towers."""
        return self.sources[0]  # type: ignore[return-value]

    @cached_property
    def others(self) -> tuple[TwoTower, ...]:
        """The further towers."""
        return tuple(one for one in self.sources[1:] if _kind(one) == "TwoTower")  # type: ignore[misc]

    @cached_property
    def tables(self) -> tuple[Neighbours, ...]:
        """The tables of neighbours."""
        return tuple(one for one in self.sources if isinstance(one, Neighbours))

    @cached_property
    def lists(self) -> tuple[RankedList, ...]:
        """The ranked lists."""
        return tuple(one for one in self.sources if isinstance(one, RankedList))

    @property
    def neighbours(self) -> Neighbours:
        """The first table of neighbours.

        Raises:
            ConfigError: where there is none.
        """
        if not self.tables:
            raise ConfigError("this mixture has no table of neighbours.", hint="sources has what it is made of")
        return self.tables[0]

    @property
    def blend(self) -> Blend:
        """How one pair of towers and one table are added.

        Raises:
            ConfigError: for other sources, which have ``weights``.
        """
        blend = self.added.pair
        if blend is None:
            raise ConfigError(
                "only a mixture of towers and one table has a blend.", hint="weights has those of all sources"
            )
        return blend

    @property
    def length(self) -> int:
        """How many of a history's latest items any of the tables reads, or ``by_history`` counts."""
        counted_up_to = [most + 1 for most, _ in self.by_history]
        read = [] if self.stage is None else [self.stage.features.length]
        return max([1, *(table.length for table in self.tables), *counted_up_to, *read])

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue that the towers were trained on."""
        return self.towers.catalogue

    @property
    def reads_ids_alone(self) -> bool:
        """Whether no source reads anything of a query but its id and its history. A second stage, which finds no candidates, may read more."""
        towers = (self.towers, *self.others)
        return all(one.reads_ids_alone for one in towers) and not self.added.reads

    @cached_property
    def added(self) -> Added:
        """The sources other than towers, and the weights of all, as searches and recommenders hold them."""
        return Added(
            self.tables, self.lists, self.histories, self.weights, by_history=self.by_history, quotas=self.quotas,
            stage=self.stage,
        )  # fmt: skip

    def with_blend(self, blend: Blend) -> Mixture:
        """The same two sources with another blend.

        Raises:
            ConfigError: for other sources, and for anything but a blend.
        """
        check_kind(blend, "Mixture.with_blend(blend)", "Blend", hint="mixture.blend has the one in use")
        if (len(self.sources), len(self.tables)) != (2, 1):
            raise ConfigError("only a mixture of towers and one table has a blend.", hint="with_weights(…)")
        return self.with_weights(blend.weights)

    def with_weights(self, weights: Weights) -> Mixture:
        """The same sources with other weights, and without a second stage, which is learned for one set of weights.

        Args:
            weights: in the order of ``sources``.

        Raises:
            ConfigError: for anything but weights, and for as many as there are no sources.
        """
        check_kind(weights, "Mixture.with_weights(weights)", "Weights", hint="shortlist.Weights(values, temperatures)")
        return self._with(weights, self.histories, None)

    def with_stage(self, stage: SecondStage | None, train: Dataset | Shards) -> Mixture:
        """The same sources and weights with another second stage, or with none.

        Args:
            stage: learned from the same training data; None for no second stage.
            train: the training data, from which each query's history is read, as long as the stage needs it.
        """
        return self._with(self.weights, train, stage)

    def _with(self, weights: Weights, train: Dataset | Shards | Lists, stage: SecondStage | None) -> Mixture:
        return Mixture(
            self.sources,
            train,
            weights=weights.values,
            temperatures=weights.temperatures,
            by_history={most: other.values for most, other in self.by_history},
            quotas=self.quotas or None,
            stage=stage,
        )

    def histories_of(self, query_ids: pl.Series, given: Dataset | None = None) -> Lists:
        """The choices of each query as candidate rows, oldest first.

        Args:
            query_ids: raw ids.
            given: interactions of queries that training never saw.
        """
        catalogue = self.catalogue
        rows = IdMap(catalogue.queries[catalogue.query]).find(query_ids)
        lists = [self.histories.row(row) if row >= 0 else np.zeros(0, np.int64) for row in rows.tolist()]
        if given is not None and any(not len(one) for one in lists):
            distinct = query_ids.unique(maintain_order=True)
            other = histories_of(given, distinct, catalogue.candidates[catalogue.candidate], self.length)
            place = IdMap(distinct).find(query_ids)
            lists = [one if len(one) else other.row(at) for one, at in zip(lists, place.tolist(), strict=True)]
        return Lists.of(lists)

    def context_of(
        self, queries: pl.DataFrame, histories: Lists, vectors: Sequence[NDArray[np.float32]] = ()
    ) -> Context:
        """The input of all sources but the first towers.

        Args:
            queries: a table with the column of ids; columns that it lacks are read from the queries of the training data.
            histories: the choices of each query as candidate rows, oldest first.
            vectors: the queries' vectors of each further towers, where they are used.

        Raises:
            ConfigError: for vectors that are not a list of arrays.
        """
        check_frame(queries, "Mixture.context_of(queries)")
        arrays = tuple(checked_list(vectors, "Mixture.context_of(vectors=)", "arrays"))
        queries = self._with_columns(queries)
        return Context(histories, self.added.segments(queries), arrays, self.added.groups(queries))

    def segments_of(self, queries: pl.DataFrame) -> NDArray[np.int64]:
        """The list of each ranked source for each query, int64 ``[queries, lists]``.

        Args:
            queries: as for ``context_of``.
        """
        check_frame(queries, "Mixture.segments_of(queries)")
        return self.added.segments(self._with_columns(queries))

    def _with_columns(self, queries: pl.DataFrame) -> pl.DataFrame:
        """The queries, with the columns that they lack from the training data."""
        catalogue = self.catalogue
        lacking = [name for name in self.added.reads_in_all if name not in queries.columns]
        if not lacking:
            return queries
        rows = IdMap(catalogue.queries[catalogue.query]).find(queries[catalogue.query])
        at = pl.Series([None if row < 0 else row for row in rows.tolist()], dtype=pl.UInt32)
        return queries.with_columns(catalogue.queries[name].gather(at) for name in lacking)

    def __repr__(self) -> str:
        blend = self.added.pair
        if blend is not None:
            return f"Mixture({self.neighbours!r}, share {blend.share:g}, temperature {blend.temperature:g})"
        shown = ["TwoTower" if _kind(one) == "TwoTower" else repr(one) for one in self.sources]
        parts = [f"{weight:g} × {one}" for weight, one in zip(self.weights.values, shown, strict=True)]
        return f"Mixture({', '.join(parts if self.stage is None else [*parts, repr(self.stage)])})"


def towers_of(model: TwoTower | Mixture) -> TwoTower:
    """The towers of a model of either kind, the first of several."""
    return model.towers if isinstance(model, Mixture) else model


def _kind(source: object) -> str | None:
    """Which of ``KINDS`` a source is; None for anything else."""
    names = {one.__name__ for one in type(source).__mro__ if one.__module__.partition(".")[0] == "shortlist"}
    return next((kind for kind in KINDS if kind in names), None)


def _order(sources: Any) -> list[int]:
    """The places of towers, then of tables, then of lists. ConfigError for something that is not a source."""
    hint = "[towers, shortlist.Transitions().fit(train)]"
    if isinstance(sources, (str, bytes)) or not isinstance(sources, Sequence):
        raise ConfigError(f"Mixture(sources) got {kind_of(sources)}; a list of sources was expected.", hint=hint)
    for one in sources:
        if _kind(one) is None:
            settings = hasattr(one, "fit") and not isinstance(one, type)
            raise ConfigError(
                f"Mixture(sources) got {kind_of(one)}; trained towers, fitted neighbours and ranked lists were expected.",
                hint=f"{type(one).__name__}(…).fit(train)" if settings else hint,
            )
    if not any(_kind(one) == "TwoTower" for one in sources):
        raise ConfigError("a mixture needs towers, and got none.", hint="shortlist.popularity(train) are some")
    return sorted(range(len(sources)), key=lambda number: KINDS.index(_kind(sources[number]) or ""))


def _ordered(given: Any, order: Sequence[int], what: str) -> tuple[float, ...]:
    """One number for each source, in the order in which a mixture has them. ConfigError for another number of them."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise ConfigError(f"Mixture({what}=) got {kind_of(given)}; a list with a number for each source was expected.")
    if len(given) != len(order):
        raise ConfigError(
            f"Mixture({what}=) got {counted(len(given), 'number')} for {counted(len(order), 'source')}; one each was expected."
        )
    return tuple(given[number] for number in order)


def _by_history(given: Any, order: Sequence[int], temperatures: tuple[float, ...]) -> tuple[tuple[int, Weights], ...]:
    """The weights by the most items of a history. ConfigError for anything else."""
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"Mixture(by_history=) got {kind_of(given)}; numbers of items with weights were expected.",
            hint="{0: [0.2, 0.8]}",
        )
    for most in given:
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            raise ConfigError(f"Mixture got by_history={most!r}; a whole number of at least 0 was expected.")
    return tuple((most, Weights(_ordered(given[most], order, "by_history"), temperatures)) for most in sorted(given))


def _check_ids(train: Dataset | Shards, catalogue: Catalogue) -> None:
    if (train.query, train.candidate) != (catalogue.query, catalogue.candidate):
        raise DataError(
            f"the histories' ids are {train.query!r} and {train.candidate!r}; the towers were trained on "
            f"{catalogue.query!r} and {catalogue.candidate!r}.",
            hint="give the training data",
        )


def _check_alike(catalogue: Catalogue, other: TwoTower) -> None:
    """ConfigError unless further towers have the same catalogue, and read no more than the queries' table has."""
    its = other.catalogue
    pairs = [
        (catalogue.queries[catalogue.query], its.queries[its.query] if its.query == catalogue.query else None),
        (
            catalogue.candidates[catalogue.candidate],
            its.candidates[its.candidate] if its.candidate == catalogue.candidate else None,
        ),
    ]
    if any(second is None or first.dtype != second.dtype or not first.equals(second) for first, second in pairs):
        raise ConfigError(
            "the towers of a mixture were trained on different queries or candidates.",
            hint="fit all on the same Dataset",
        )
    lacking = [name for name in other.query.columns if name not in its.queries.columns]
    if lacking:
        raise ConfigError(
            f"the further towers of a mixture read {lacking[0]!r}, a column that only a request has.",
            hint="give these towers first, or train towers on the queries' table",
        )
