"""The base of every feature: a declared column, a state learned from training data, an encoding."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import polars as pl

from shortlist.features.encoded import Encoded

__all__ = ["Feature", "State"]

State = dict[str, Any]


class Feature(Protocol):
    """One declared column of a tower.

    A feature learns its state once (``fit``, from the rows that occur in training), then encodes the same way in
    training, evaluation and serving. ``state`` and ``restore`` carry it through a bundle.
    """

    kind: ClassVar[str]
    column: str
    dim: int | None

    @property
    def fitted(self) -> bool:
        """Whether ``encode`` can be called."""

    def fit(self, values: pl.Series) -> None:
        """Learn the state (vocabulary, bins, means) from training values; a given vocabulary stays as it is."""

    def encode(self, values: pl.Series) -> Encoded:
        """One entry per value. Null and unseen values have a defined outcome; a wrong type is a DataError."""

    def state(self) -> State:
        """Everything ``restore`` needs: plain JSON values, and Polars series for long values."""

    @classmethod
    def restore(cls, state: State) -> Feature:
        """The fitted feature that ``state`` came from."""
