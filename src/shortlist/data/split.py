"""The two parts of a split, and a report on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from shortlist.data.dataset import Dataset
from shortlist.display import facts_html
from shortlist.language import counted

__all__ = ["Split", "SplitReport"]


@dataclass(frozen=True)
class SplitReport:
    """How many interactions a split put into each part, and which of them a model cannot know.

    Attributes:
        method: "random", "by time", "last" or "held-out queries".
        train_rows: interactions in the training part.
        test_rows: interactions in the test part.
        unseen_queries: test rows whose query has no interaction in train.
        unseen_candidates: test rows whose candidate has no interaction in train.
        cut: by time: the earliest timestamp of the test part.
        tied: by time: rows that share the timestamp nearest to the wanted cut, and so stayed together (0 if there is only
            one); last: queries where a tie of timestamps was resolved by row order.
        whole: last, held-out queries: queries with too few interactions, which stayed whole in train.
        held_out: held-out queries: how many.
        given_rows: held-out queries: how many of their interactions are given.
    """

    method: str
    train_rows: int
    test_rows: int
    unseen_queries: int
    unseen_candidates: int
    cut: Any = None
    tied: int | None = None
    whole: int | None = None
    held_out: int | None = None
    given_rows: int | None = None

    def __str__(self) -> str:
        parts = [
            f"split {self.method}: {self.train_rows:,} train, {self.test_rows:,} test",
            f"test rows with an unseen query {self.unseen_queries:,}, an unseen candidate {self.unseen_candidates:,}",
        ]
        if self.cut is not None:
            parts.append(f"cut at {self.cut}")
        if self.tied is not None:
            parts.append(f"{counted(self.tied, 'row' if self.method == 'by time' else 'query')} tied at the cut")
        if self.held_out is not None:
            parts.append(f"{counted(self.held_out, 'query')} held out, {self.given_rows:,} of their interactions given")
        if self.whole is not None:
            parts.append(f"{counted(self.whole, 'query')} whole in train")
        return " · ".join(parts)


@dataclass(frozen=True, repr=False, eq=False)
class Split:
    """Two datasets that share their tables; unpacks as ``train, test``.

    Attributes:
        train: the interactions to train on.
        test: the held-out interactions.
        report: what was counted.
        given: what is known of held-out queries, which is neither trained on nor tested; None for other splits.
    """

    train: Dataset
    test: Dataset
    report: SplitReport
    given: Dataset | None = None

    def __iter__(self) -> Iterator[Dataset]:
        return iter((self.train, self.test))

    @property
    def seen(self) -> Dataset:
        """The interactions known before the test: ``train``, and the ``given`` part of held-out queries."""
        if self.given is None:
            return self.train
        return self.train.with_interactions(pl.concat([self.train.interactions, self.given.interactions]))

    def __repr__(self) -> str:
        return f"Split({self.report})"

    def _repr_html_(self) -> str:
        parts = {"train": self.train, "given": self.given, "test": self.test}
        return facts_html(
            "Split",
            {name: counted(len(one), "interaction") for name, one in parts.items() if one is not None},
            [str(self.report)],
        )
