"""A short account of the interactions, for the terminal, for JSON, for bundles and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.source import counted_stamps
from shortlist.data.times import kind_in_words
from shortlist.language import counted

__all__ = ["Account", "share_again"]

LOOKED_AT = 20_000_000


class _Counted(Sized, Protocol):
    """The part that a Dataset and Shards have in common: see there."""

    @property
    def query(self) -> str: ...
    @property
    def queries(self) -> pl.DataFrame: ...
    @property
    def candidates(self) -> pl.DataFrame: ...
    @property
    def query_counts(self) -> NDArray[np.int64]: ...
    @property
    def timestamp(self) -> str | None: ...
    @property
    def seen_column(self) -> str | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


class _InMemory(_Counted, Protocol):
    """The part of a Dataset that an account reads."""

    @property
    def _files(self) -> int | None: ...
    @property
    def _times(self) -> str | None: ...
    @property
    def _warned(self) -> tuple[str, ...]: ...
    @property
    def interactions(self) -> pl.DataFrame: ...
    @property
    def query_rows(self) -> NDArray[np.int32]: ...
    @property
    def candidate_rows(self) -> NDArray[np.int32]: ...
    @property
    def times(self) -> pl.Series: ...
    @property
    def weights(self) -> NDArray[np.float32] | None: ...


class _OnDisk(_Counted, Protocol):
    """The part of Shards that an account reads."""

    @property
    def interactions(self) -> pl.DataFrame: ...
    @property
    def source(self) -> Mapping[str, str]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    def chunks(self, *, times: bool = False) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Account:
    """The interactions to train on, and what was done with the rest.

    Attributes:
        rows: number of interactions.
        queries: number of query ids.
        candidates: number of candidate ids.
        again: the share of interactions that repeat an earlier one of the same query and candidate.
        heaviest: the query with the most interactions.
        heaviest_share: its share of all interactions.
        files: how many files were read, where that is known.
        since: the first time, as text.
        until: the last time, as text.
        times: what the times are: numbers, dates, dates and times.
        weights: least, mean and most, where there are weights.
        seen: how many interactions count as seen, where not all do.
        notes: what was left out, merged or added.
        warnings: what was warned of.
    """

    rows: int
    queries: int
    candidates: int
    again: float
    heaviest: str
    heaviest_share: float
    files: int | None = None
    since: str | None = None
    until: str | None = None
    times: str | None = None
    weights: tuple[float, float, float] | None = None
    seen: int | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: _InMemory) -> Account:
        """The account of interactions in memory."""
        times = None if data.timestamp is None else data.times
        return cls(
            again=share_again(data.query_rows, data.candidate_rows, len(data.candidates)),
            since=None if times is None else str(times.min()),
            until=None if times is None else str(times.max()),
            files=data._files,
            times=data._times,
            weights=None if data.weights is None else _spread([_sums(data.weights)]),
            seen=None if data.seen_column is None else int(data.interactions[data.seen_column].sum()),
            notes=data.notes,
            warnings=data._warned,
            **_counts(data, data.query_counts),
        )

    @classmethod
    def of_shards(cls, data: _OnDisk) -> Account:
        """The account of interactions on disk, in one pass over them. Of more than 20 million, ``again`` is that of the
        interactions of some queries, drawn at random."""
        share = min(1.0, LOOKED_AT / max(len(data), 1))
        drawn = np.random.default_rng(0).random(len(data.queries)) < share
        pairs, weights, seen, least, most = [], [], 0, None, None
        for rows in data.chunks(times=True):
            kept = slice(None) if share == 1 else drawn[rows.query]
            pairs.append(np.sort(rows.query[kept].astype(np.int64) * len(data.candidates) + rows.candidate[kept]))
            if rows.weight is not None and len(rows.weight):
                weights.append(_sums(rows.weight))
            if rows.seen is not None:
                seen += int(rows.seen.sum())
            if rows.time is not None and len(rows.time):
                least = rows.time.min() if least is None else min(least, rows.time.min())
                most = rows.time.max() if most is None else max(most, rows.time.max())
        keys = np.concatenate(pairs) if pairs else np.zeros(0, np.int64)
        return cls(
            again=_repeated(keys),
            files=counted_stamps(data.source),
            since=_moment(least, data),
            until=_moment(most, data),
            times=None if data.timestamp is None else kind_in_words(data.interactions.schema[data.timestamp]),
            weights=_spread(weights) if weights else None,
            seen=seen if data.seen_column is not None else None,
            notes=data.notes,
            warnings=data.warnings,
            **_counts(data, data.query_counts),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; what is not known is left out."""
        plain = {name: value for name, value in asdict(self).items() if value is not None}
        for name in ("notes", "warnings", "weights"):
            if name in plain:
                plain[name] = list(plain[name])
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Account:
        """The account that ``to_dict`` made, as a bundle's metadata keeps it; entries that this version does not know are ignored."""
        names = {one.name for one in fields(cls)}
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()
        }
        return cls(**{name: value for name, value in known.items() if name in names})

    def counts(self) -> tuple[str, str, str]:
        """How many interactions, from how many files, and how many queries and candidates."""
        of = "" if self.files is None else f" from {counted(self.files, 'file')}"
        interactions = f"{counted(self.rows, 'interaction')}{of}"
        return interactions, counted(self.queries, "query"), counted(self.candidates, "candidate")

    def lines(self) -> list[str]:
        """The account as lines of text, without the warnings, which were shown already."""
        lines = [", ".join(self.counts())]
        if self.since is not None:
            lines.append(f"from {self.since} to {self.until}" + (f" ({self.times})" if self.times else ""))
        lines.append(
            f"chosen again by the same query: {self.again:.1%}; the heaviest query ({self.heaviest}) has "
            f"{self.heaviest_share:.1%} of all"
        )
        if self.weights is not None:
            least, mean, most = self.weights
            lines.append(f"weights {least:g} to {most:g}, mean {mean:.4g}")
        if self.seen is not None:
            lines.append(f"{self.seen:,} of the interactions count as seen")
        return [*lines, *(note for note in self.notes if note not in self.warnings)]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def share_again(query: NDArray[Any], candidate: NDArray[Any], candidates: int) -> float:
    """The share of pairs that occur earlier among them; rows of both tables ``[interactions]``.

    Example:
        >>> share_again(np.array([0, 0, 0, 1]), np.array([5, 5, 6, 5]), 7)
        0.25
    """
    return _repeated(query.astype(np.int64) * max(candidates, 1) + candidate)


def _repeated(keys: NDArray[np.int64]) -> float:
    if not len(keys):
        return 0.0
    ordered = np.sort(keys)
    return float((ordered[1:] == ordered[:-1]).sum()) / len(keys)


def _counts(data: _Counted, each: NDArray[np.int64]) -> dict[str, Any]:
    place = int(each.argmax())
    return {
        "rows": len(data),
        "queries": len(data.queries),
        "candidates": len(data.candidates),
        "heaviest": str(data.queries[data.query][place])[:60],
        "heaviest_share": float(each[place] / max(int(each.sum()), 1)),
    }


def _sums(weights: NDArray[np.float32]) -> tuple[float, float, float, int]:
    return float(weights.min()), float(weights.sum(dtype=np.float64)), float(weights.max()), len(weights)


def _spread(parts: Sequence[tuple[float, float, float, int]]) -> tuple[float, float, float]:
    """Least, mean and most over several parts."""
    least, total, most, rows = zip(*parts, strict=True)
    return min(least), sum(total) / sum(rows), max(most)


def _moment(value: Any, data: _OnDisk) -> str | None:
    """A stored time as text, of the column's own type."""
    if value is None or data.timestamp is None:
        return None
    return str(pl.Series([value.item()]).cast(data.interactions.schema[data.timestamp])[0])
