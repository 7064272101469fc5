"""Test pairs that repeat a choice of training, and how many pairs can be found where seen items are excluded."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from shortlist.data import Dataset
from shortlist.errors import DataError
from shortlist.language import counted

__all__ = ["MOSTLY", "Repeats", "repeats"]

WORTH_SAYING = 0.01
MOSTLY = 0.5
"""From a larger share of repeated pairs on, figures with seen items excluded say nothing of the model."""


class Repeats(NamedTuple):
    """How many of the test's ``pairs`` are ``repeated``: their query chose their candidate in the seen interactions."""

    repeated: int
    pairs: int

    @property
    def share(self) -> float:
        """The share of the pairs that are repeated."""
        return self.repeated / max(self.pairs, 1)

    @property
    def ceiling(self) -> float:
        """The most that top-k can reach where seen items are excluded: an excluded pair is found at no k."""
        return 1 - self.share

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on repeats; none below one in a hundred."""
        if self.share < WORTH_SAYING:
            return ()
        return (
            f"{self.repeated:,} of {counted(self.pairs, 'test pair')} ({self.share:.1%}) repeat a choice that their query made in "
            f"training: with seen items excluded top-k is at most {self.ceiling:.1%}. Where people choose again, read the "
            "figures with seen items left in (guide: Buying again).",
        )


def repeats(test: Dataset, seen: Dataset) -> Repeats:
    """How many pairs of ``test`` have a candidate that the query chose in ``seen``, among its interactions that count as seen.

    Raises:
        DataError: where the ids of the two have different types.

    Example:
        >>> seen = Dataset({"who": ["ann", "bob"], "what": [1, 2]}, "who", "what")
        >>> repeats(Dataset({"who": ["ann", "ann", "bob"], "what": [1, 2, 2]}, "who", "what"), seen).share
        0.6666666666666666
    """
    sides = []
    for part in (test, seen.seen):
        pairs = [part.interactions[part.query].alias("query"), part.interactions[part.candidate].alias("candidate")]
        sides.append(pl.DataFrame(pairs))
    for side in sides[0].columns:
        kinds = [frame.schema[side] for frame in sides]
        if (kinds[0] == pl.String) != (kinds[1] == pl.String):
            raise DataError(
                f"the {side} ids are {kinds[0]} in the test and {kinds[1]} in training.",
                hint="read both in the same way",
            )
        sides[1] = sides[1].with_columns(pl.col(side).cast(kinds[0], strict=False))
    return Repeats(sides[0].join(sides[1].unique(), on=["query", "candidate"], how="semi").height, len(test))
