"""Quantized: a code of 2 or 4 bits for each coordinate, all scanned; the best re-ranked by the index's vectors.

1. Each vector is turned by one random rotation, after which its coordinates follow a known distribution, and each
   coordinate is rounded to one of 4 or 16 values chosen for that distribution (TurboQuant, Zandieh et al., 2025). Nothing
   is learned from the vectors, so a build takes about half a second for a million.
2. A search scans the codes of all candidates, or of those that a filter leaves, by the library turbovec.
3. The best by codes are ranked again by their vectors, as in every approximate index.

Codes do not age: after a few thousand changes they are made again for all candidates, and no recall is lost meanwhile.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from shortlist.errors import BundleError, ConfigError, MissingExtraError
from shortlist.index.approximate import BEARABLE, ApproximateIndex, Width, renumber, sub_request
from shortlist.index.base import Snapshot
from shortlist.index.block import Filters, SearchRequest
from shortlist.index.checks import check_counts, check_promise, squared_norms
from shortlist.index.exact import Matches, best, join
from shortlist.index.storage import Reader, Writer
from shortlist.index.values import Floats, Ints

__all__ = ["WIDTHS", "Quantized", "quantized_trouble"]

WIDTHS = (4, 2)  # bits to a coordinate, the default first
_TINY = 256  # up to so many, exact search reads no more
_PADDED = 8  # turbovec takes vectors whose length is a multiple of this
_ROWS = 1 << 12  # vectors encoded at a time: copies of them are made on the way
_SCAN = 16  # exact search of one in so many costs as much as a filtered scan of all codes (measured)
_ADDED, _PART, _DEAD = (
    4096,
    0.01,
    0.1,
)  # candidates added, their share, and the share deleted from which codes are renewed
_DEEP = 50  # from a k of a part in so many on, exact search is faster (measured)
_RESULT = 2400  # one more result costs as much as reading the mask of so many candidates (measured, twice)
_FAR = 1e18  # queries with squared lengths between 1/this and this are taken as they are
_FOLDER, _NAME = "turbovec", "codes.tv"


def quantized_trouble() -> str | None:
    """Why the library behind ``Quantized`` cannot run here, or None if it can."""
    return None if importlib.util.find_spec("turbovec") else "the package 'turbovec' is not installed"


def _turbovec() -> Any:
    if quantized_trouble() is not None:
        raise MissingExtraError("turbovec", "quantized", "Quantized")
    import turbovec

    return turbovec


@dataclass(frozen=True)
class _Settings:
    bits: int | None
    reorder: int | None
    recall: float | None
    k: int


class Quantized(ApproximateIndex):
    """A scan of compressed copies of all candidates, re-ranked by their vectors.

    Built in a second per million and without training; filters are applied inside the scan. From ten thousand to a
    million candidates; above, indexes that look at a part of them are faster.

    Args:
        bits: to a coordinate, 4 or 2; by default 4. 2 halves the codes and needs more candidates re-ranked.
        reorder: candidates re-ranked exactly per query; by default 2·k + 20.
        recall: a promise: ``build`` measures and picks what is left out of bits and reorder, so that on held-out queries
            this part of the true top ``k`` is found, as fast as it goes. ``build`` then needs a sample of ``queries``. Where
            nothing keeps the promise, it returns exact search, with a ShortlistWarning.
        k: the k of that promise.

    Candidates added since the build are searched exactly; after some thousands all codes are made again.

    Example:
        >>> index = Quantized().build(vectors)  # doctest: +SKIP
        >>> index.search(queries, k=10).row(0)  # doctest: +SKIP
        >>> index = Quantized(recall=0.95, k=100).build(vectors, queries=queries)  # doctest: +SKIP
    """

    kind: ClassVar[str] = "quantized"
    at_search: ClassVar[tuple[str, ...]] = ("reorder",)

    def __init__(
        self, bits: int | None = None, reorder: int | None = None, recall: float | None = None, k: int = 100
    ) -> None:
        if bits is not None and (isinstance(bits, bool) or bits not in WIDTHS):
            raise ConfigError(f"Quantized's bits is {bits!r}; 4 or 2 was expected.")
        check_counts("Quantized", {"reorder": reorder})
        check_promise("Quantized", recall, k)
        super().__init__(_Settings(bits, reorder, recall, k))

    def _bits(self) -> int:
        return int(self._settings.bits or WIDTHS[0])

    def _rerank(self, n: int, k: int) -> int:
        chosen: int = self._settings.reorder or 2 * k + 20
        return min(n, max(chosen, k))

    def require(self) -> None:
        """Check that the library runs here.

        Raises:
            MissingExtraError: where it is not installed.
        """
        _turbovec()

    def _train(self, vectors: Floats) -> Any:
        n, dim = vectors.shape
        library = _turbovec()
        if n < _TINY:
            return None
        native = library.TurboQuantIndex(dim=_padded(dim), bit_width=self._bits())
        factor = _factor(max(float(vectors.max()), -float(vectors.min())))
        for low in range(0, n, _ROWS):
            native.add(_wide(vectors[low : low + _ROWS] * factor), chunk_size=0)
        native.prepare()
        return native

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        n = snapshot.base.ids.size
        added, dead = snapshot.extra.ids.size, n - snapshot.base.alive
        few = added <= max(_ADDED, _PART * n) and dead <= max(_ADDED, _DEAD * n)
        return snapshot if few else self._renewed(snapshot)

    def _probe(self, native: Any, queries: Floats, width: Width, open_: npt.NDArray[np.bool_] | None = None) -> Ints:
        asked = _wide(_near_one(queries))
        masks = {} if open_ is None else {"mask": open_}
        positions: Ints = native.search(asked, width.results, chunk_size=0, **masks)[1]
        return positions

    def _first(self, n: int, k: int, taken: int) -> tuple[Width, int]:
        rerank = self._rerank(n, k)
        if taken * _RESULT <= n:
            return Width(min(n, rerank + 2 * taken), 1.0), n
        return Width(rerank, 1.0), rerank // BEARABLE

    def _searched_exactly(self, free: int, n: int, queries: int, k: int) -> bool:
        return free * _SCAN <= n or k * _DEEP >= n

    def _widening(self, snapshot: Snapshot, request: SearchRequest, filters: Filters, lost: int) -> Matches:
        """Searches without what is closed to all queries; then, each alone, the queries that found too little or lost
        many results to their own exclusions, without those either, and wider: scores are denser further out."""
        base, n, m, k = snapshot.base, snapshot.base.ids.size, request.queries.shape[0], request.k
        taken = 0 if filters.excluded is None else int(np.diff(filters.excluded.offsets).max(initial=0))
        (width, bearable), open_ = self._first(n, k, taken), base.open_to(filters)
        pending, parts, barred = np.arange(m), [], np.full(m, lost)
        if not lost:
            found, kept, barred = self._candidates(snapshot, request, filters, open_, width)
            short = (kept < np.minimum(filters.eligible(n, m), k)) | (barred > bearable)
            parts.append(renumber(found, pending, ~short))
            pending = pending[short]
        for row in pending[:, None]:
            alone, own = sub_request(request, filters, row)
            wider = Width(min(n, self._rerank(n, k) + 2 * int(barred[row[0]])), 1.0)
            found, _, _ = self._candidates(snapshot, alone, own, _open_to_one(own, open_, n), wider)
            parts.append(renumber(found, row, np.ones(1, bool)))
        return parts[0] if len(parts) == 1 else best(join(parts), m, k)

    def _write_native(self, native: Any, writer: Writer) -> None:
        folder = writer.scratch / _FOLDER
        folder.mkdir()
        native.write(str(folder / _NAME), durable=False)
        writer.adopt(folder, _FOLDER)

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Any:
        library = _turbovec()
        n, dim = snapshot.base.vectors.shape
        if n < _TINY:
            return None
        role = f"{_FOLDER}/{_NAME}"
        if not reader.has(role):
            raise BundleError(f"{reader.folder} does not hold the codes of a Quantized index.")
        try:
            native = library.TurboQuantIndex.load(str(reader.path(role)))
        except (ValueError, OSError) as error:
            raise BundleError(f"turbovec cannot load {reader.path(role)}: {error}") from None
        if (len(native), native.dim, native.bit_width) != (n, _padded(dim), self._bits()):
            raise BundleError(f"{reader.path(role)} does not belong to the vectors next to it.")
        native.prepare()
        return native

    def _native_bytes(self, snapshot: Snapshot) -> int:
        n, dim = snapshot.base.vectors.shape
        return 0 if n < _TINY else n * (_padded(dim) * self._bits() // 8 + 4)


def _padded(dim: int) -> int:
    """The length that turbovec takes for vectors of ``dim``."""
    return -(-dim // _PADDED) * _PADDED


def _wide(vectors: Floats) -> Floats:
    """The vectors, zeros added until turbovec takes their length; contiguous."""
    missing = _padded(vectors.shape[1]) - vectors.shape[1]
    wide: Floats = np.pad(vectors, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(vectors)
    return wide


def _near_one(queries: Floats) -> Floats:
    """The queries, divided by their largest numbers where their lengths are far from 1: the order of their scores stays."""
    if len(queries) == 1 and 1 / _FAR < float(queries[0] @ queries[0]) < _FAR:
        return queries
    norms = squared_norms(queries)
    largest = np.abs(queries).max(axis=1)
    near = (norms < _FAR) & (norms > 1 / _FAR) | (largest == 0)
    scaled: Floats = queries / np.where(near, np.float32(1), largest)[:, None]
    return scaled


def _factor(largest: float) -> float:
    """A power of two that brings ``largest`` near 1: turbovec refuses large numbers and takes tiny ones for 0."""
    exponent = min(126, max(-126, math.frexp(largest)[1]))
    return math.ldexp(1.0, -exponent)


def _open_to_one(filters: Filters, open_: npt.NDArray[np.bool_] | None, n: int) -> npt.NDArray[np.bool_]:
    """The candidates that one query may have, ``[n]``; ``open_`` those open to all, where these are known."""
    mask = np.ones(n, bool) if open_ is None else open_.copy()
    for closed in (filters.blocked, None if filters.excluded is None else filters.excluded.positions):
        if closed is not None:
            mask[closed] = False
    return mask
