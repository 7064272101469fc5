"""A second stage: a small network gives the first candidates of each list a new order, by more than their score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import ConfigError
from shortlist.language import counted
from shortlist.sources.pair_features import PairFeatures

__all__ = ["FirstList", "Network", "SecondStage"]

FARTHEST = 5.0  # standard deviations of a feature


class Network(NamedTuple):
    """The weights of the network, a linear part and one hidden layer.

    1. x = (features − ``mean``) / ``deviation``, cut off at −5 and 5.
    2. A score is ``linear · x + out · silu(inner x + bias)``.

    Attributes:
        mean: float32 ``[features]``.
        deviation: float32 ``[features]``, above 0.
        linear: float32 ``[features]``.
        inner: float32 ``[hidden, features]``.
        bias: float32 ``[hidden]``.
        out: float32 ``[hidden]``.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    linear: NDArray[np.float32]
    inner: NDArray[np.float32]
    bias: NDArray[np.float32]
    out: NDArray[np.float32]

    @property
    def shapes(self) -> bool:
        """Whether the arrays have shapes that belong together."""
        features, hidden = self.mean.size, self.bias.size
        expected = [(features,), (features,), (features,), (hidden, features), (hidden,), (hidden,)]
        return [one.shape for one in self] == expected

    def standardized(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The features as the network reads them: step 1 of the class."""
        found: NDArray[np.float32] = np.clip((features - self.mean) / self.deviation, -FARTHEST, FARTHEST)
        return found

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The score of each row of ``[rows, features]``, float64 ``[rows]``."""
        x = self.standardized(features).astype(np.float64)
        hidden = x @ self.inner.T.astype(np.float64) + self.bias
        hidden = hidden / (1 + np.exp(-hidden))
        found: NDArray[np.float64] = x @ self.linear.astype(np.float64) + hidden @ self.out.astype(np.float64)
        return found


class FirstList(NamedTuple):
    """The list of one query by the first stage, which the second stage puts in another order.

    Attributes:
        rows: int64, candidate rows, best first.
        totals: float64, their scores by the first stage.
        scores: float64, those by the second.
        sources: float32 ``[candidates, sources]``, see ``PairFeatures``.
    """

    rows: NDArray[np.int64]
    totals: NDArray[np.float64]
    scores: NDArray[np.float64]
    sources: NDArray[np.float32]

    @property
    def lowest(self) -> float:
        """The lowest score that the second stage gives one of them; all other candidates are below it."""
        return float(self.scores.min(initial=np.inf)) if len(self.scores) else 0.0

    def behind(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of candidates behind the list, in the order of their scores ``totals`` by the first stage."""
        end = self.totals[-1] if len(self.totals) else 0.0
        found: NDArray[np.float64] = self.lowest - 1.0 + np.minimum(totals - end, 0.0)
        return found

    def places(self, rows: NDArray[np.int64], totals: NDArray[np.float64]) -> NDArray[np.int64]:
        """The places of candidates in the list, from 0; −1 for those behind it.

        A candidate that the query may not have is not in the list; it gets the place that its score would give it.
        """
        if not len(self.rows):
            return np.full(len(rows), -1)
        order = np.argsort(self.rows)
        at = order[np.minimum(np.searchsorted(self.rows, rows, sorter=order), len(order) - 1)]
        others = np.where(totals > self.totals[-1], np.searchsorted(-self.totals, -totals), -1)
        found: NDArray[np.int64] = np.where(self.rows[at] == rows, at, others)
        return found


Sources = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""A function from candidate rows to each source's score, float32 ``[rows, sources]``, as ``PairFeatures`` describes it."""


@dataclass(frozen=True, eq=False)
class SecondStage:
    """Gives the first ``depth`` candidates of a mixture's list a new order, by the scores of a network over ``PairFeatures``.

    Candidates behind them keep their order, with scores below. ``Ranker.fit`` makes it.

    Args:
        features: the input of the network, for any query and candidate.
        network: the weights.
        depth: how many of a list's first candidates it orders.

    Raises:
        ConfigError: for arrays that do not belong together.
    """

    features: PairFeatures
    network: Network
    depth: int

    def __post_init__(self) -> None:
        usable = self.network.shapes and all(np.isfinite(one).all() for one in self.network)
        if self.depth < 1 or not usable or not (self.network.deviation > 0).all():
            raise ConfigError(
                f"a second stage got a depth of {self.depth} and a network of "
                f"{counted(self.network.mean.size, 'feature')}; a depth of at least 1 and finite arrays that belong together were expected."
            )

    def __len__(self) -> int:
        return len(self.features)

    def check(self, sources: int, queries: pl.DataFrame, candidates: pl.DataFrame) -> None:
        """Refuses a first stage of another number of sources, and other tables.

        Args:
            sources: how many sources the mixture has.
            queries: its table of queries.
            candidates: its table of candidates.

        Raises:
            ConfigError: where the second stage was not learned for these.
        """
        read, expected = len(self.network.mean), self.features.width(sources)
        if read != expected:
            raise ConfigError(
                f"a second stage reads {counted(read, 'feature')}; behind {counted(sources, 'source')} {expected} were expected.",
                hint="Ranker.fit() learns one for each first stage",
            )
        self.features.check_tables(queries, candidates)

    @property
    def ids(self) -> pl.Series | None:
        """The candidates' ids in the order of rows; None where they are not known."""
        return self.features.ids

    def __repr__(self) -> str:
        return f"SecondStage(the first {self.depth}, {counted(len(self.network.mean), 'feature')}, {len(self.network.bias)} hidden)"

    def first(
        self,
        rows: NDArray[np.int64],
        totals: NDArray[np.float64],
        sources: Sources,
        history: NDArray[np.int64],
        groups: NDArray[np.int64],
    ) -> FirstList:
        """One query's list by the first stage, and the scores of its candidates by the second.

        Args:
            rows: the ``depth`` best candidates by the first stage, best first; fewer where there are no more.
            totals: their scores by the first stage.
            sources: each source's scores of any candidate rows.
            history: the query's choices, oldest first.
            groups: see ``PairFeatures.groups``.
        """
        of_list = sources(rows)
        if not len(rows):
            return FirstList(rows, totals, np.zeros(0), of_list)
        return FirstList(
            rows, totals, self.network.scores(self.features.of_list(history, groups, rows, of_list)), of_list
        )

    def scores(
        self,
        listed: FirstList,
        rows: NDArray[np.int64],
        totals: NDArray[np.float64],
        sources: Sources,
        history: NDArray[np.int64],
        groups: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """The scores of any candidates of a query: the network's for those in the list, below all of these the others in their order.

        Nothing is computed again for candidates in the list.

        Args:
            listed: as ``first`` returns it.
            rows: candidates, in any order.
            totals: their scores by the first stage.
            sources: each source's scores of any candidate rows.
            history: the query's choices, oldest first.
            groups: see ``PairFeatures.groups``.
        """
        places = listed.places(rows, totals)
        inside = places >= 0
        found = listed.behind(totals)
        listed_itself = inside.copy()
        listed_itself[inside] = listed.rows[places[inside]] == rows[inside]
        found[listed_itself] = listed.scores[places[listed_itself]]
        other = inside & ~listed_itself
        if other.any():
            mine = rows[other]
            read = self.features.of_pairs(history, groups, mine, sources(mine), places[other], listed.sources)
            found[other] = self.network.scores(read)
        return found

    def renumbered(self, row: NDArray[np.int64]) -> SecondStage:
        """The same for renumbered candidates: ``row[old]`` is the new row, −1 for a deleted candidate."""
        return replace(self, features=self.features.renumbered(row))

    def grown(self, candidates: pl.DataFrame, changed: NDArray[np.int64]) -> SecondStage:
        """The same after candidates were added or changed, see ``PairFeatures.grown``.

        Args:
            candidates: the table after the change.
            changed: rows of the candidates that were added or changed.
        """
        return replace(self, features=self.features.grown(candidates, changed))

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The network's weights and the counts of the features, by name."""
        found: dict[str, NDArray[Any]] = {f"network.{name}": array for name, array in self.network._asdict().items()}
        found["counts"] = self.features.counts
        for number, taste in enumerate(self.features.tastes):
            found[f"taste-{number}.shares"] = taste.shares
        for number, liking in enumerate(self.features.likings):
            for name in ("offsets", "rows", "often", "sizes"):
                found[f"liking-{number}.{name}"] = getattr(liking, name)
        return found
