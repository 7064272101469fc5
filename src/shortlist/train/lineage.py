"""The data that a bundle was made from, as its metadata keep them, and whether data are news to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

from shortlist.data import Dataset, Shards
from shortlist.errors import DataError
from shortlist.train.record import data_fingerprint, plain_time

__all__ = ["Lineage", "Moment", "OldDataError"]

REMEMBERED = 400  # fingerprints of earlier data, which trainings on new rows alone add up

Moment: TypeAlias = "int | float | str | None"


class OldDataError(DataError):
    """Data that bring nothing new: they were trained on, end no later than those that were, or are far fewer than the day before."""


@dataclass(frozen=True)
class Lineage:
    """The data of a training as they were given, held-out rows included.

    Attributes:
        fingerprint: sha256 of their values, see ``data_fingerprint``.
        interactions: how many rows.
        until: the last time: a number, or text that sorts like times; None without times.
        earlier: fingerprints of the data that the model had learned from before, where new rows alone were given.
        added: how many of the rows were new, compared with the bundle that was served; None for a first one.
    """

    fingerprint: str
    interactions: int
    until: Moment = None
    earlier: tuple[str, ...] = field(default=())
    added: int | None = None

    @classmethod
    def of(cls, data: Dataset | Shards, before: Lineage | None = None) -> Lineage:
        """The lineage of ``data``, for a training that starts from a model of ``before``."""
        earlier = () if before is None else (*before.earlier, before.fingerprint)
        until = (
            None if data.timestamp is None else plain_time(data.until if isinstance(data, Shards) else data.times.max())
        )
        return cls(data_fingerprint(data), len(data), until, earlier[-REMEMBERED:])

    @classmethod
    def in_metadata(cls, metadata: Mapping[str, Any]) -> Lineage | None:
        """The one that a bundle's metadata hold; None in bundles of earlier versions."""
        kept = metadata.get("run", {}).get("given")
        if not isinstance(kept, Mapping):
            return None
        return cls(kept["fingerprint"], kept["interactions"], kept["until"], tuple(kept["earlier"]), kept.get("added"))

    def after(self, served: Lineage, only_new: bool) -> Lineage:
        """The same with the number of rows that ``served`` did not have; all are new where ``only_new``."""
        return replace(self, added=self.interactions - (0 if only_new else served.interactions))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "earlier": list(self.earlier)}

    def known_to(self, before: Lineage) -> bool:
        """Whether a model of ``before`` has learned from these very data."""
        return self.fingerprint in (before.fingerprint, *before.earlier)

    def no_later_than(self, before: Lineage) -> bool:
        """Whether the times end no later than those of ``before``; False where the two cannot be compared."""
        now, then = self.until, before.until
        if now is None or then is None or isinstance(now, str) != isinstance(then, str):
            return False
        return bool(now <= then)  # type: ignore[operator]
