"""The base of all indexes: one snapshot of the candidates, changed by replacing it whole."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from shortlist.errors import BundleError, SearchError
from shortlist.index.block import Block, Filters, SearchRequest
from shortlist.index.checks import check_ids, check_k, check_stored, check_vectors
from shortlist.index.exact import Matches, best
from shortlist.index.halves import Halves, whole
from shortlist.index.promise import Tuning
from shortlist.index.snapshot import Snapshot, block, empty
from shortlist.index.storage import HALVES, PLAIN, Reader, Verify, Writer
from shortlist.index.values import Floats, Hits, Ints, Lists, as_ids, counted, offsets_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LiveIndex", "Snapshot"]

_OF_A_PROCESS = ("_changing", "_rebuilding", "_missed")  # are not pickled

Change: TypeAlias = Callable[[Snapshot], Snapshot]


class LiveIndex(ABC):
    """The contract of :class:`shortlist.index.contract.Index`, except for the parts that differ between kinds.

    A kind gives ``_train`` (a native index over vectors), ``_search_base`` (the search itself) and, where
    the native index is slow to build, ``_write_native`` and ``_read_native``.
    """

    kind: ClassVar[str]
    exact: ClassVar[bool] = False
    _keeps_halves: ClassVar[bool] = False  # whether it searches ``Halves`` as they are
    tuning: Tuning | None = None  # how the promise of a recall was kept, where one was made

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self._snapshot: Snapshot | None = None
        self._changing, self._rebuilding = threading.Lock(), threading.Lock()
        self._missed: list[Change] | None = None  # changes since a rebuild began

    # What a kind of index gives.

    @abstractmethod
    def _train(self, vectors: Any) -> Any:
        """The native index over ``vectors``, at least one."""

    @abstractmethod
    def _search_base(self, snapshot: Snapshot, request: SearchRequest, filters: Filters) -> Matches:
        """The best of ``snapshot.base``; positions count from its start."""

    def _settle(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot to keep after a change: by default as it is."""
        return snapshot

    def _write_native(self, native: Any, writer: Writer) -> None:  # noqa: B027 - not every kind has files
        """Adds the files of the native index."""

    def _read_native(self, reader: Reader, snapshot: Snapshot) -> Any:
        """The native index from a checked folder."""
        return None

    def _native_bytes(self, snapshot: Snapshot) -> int:
        return 0

    def _packed(self, native: Any) -> Any:
        """The native index as a value that can be pickled."""
        return native

    def _unpacked(self, packed: Any, snapshot: Snapshot) -> Any:
        """The native index that ``_packed`` had."""
        return packed

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in _OF_A_PROCESS}
        now = self._snapshot
        if now is not None and now.native is not None:
            state["_snapshot"] = replace(now, native=self._packed(now.native))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        LiveIndex.__init__(self, state["_settings"])
        vars(self).update(state)
        now = self._snapshot
        if now is not None and now.native is not None:
            self._snapshot = replace(now, native=self._unpacked(now.native, now))

    # Making.

    def _like(self, snapshot: Snapshot) -> Self:
        built = type(self).__new__(type(self))
        LiveIndex.__init__(built, self._settings)
        built._snapshot = snapshot
        return built

    def _trained(self, base: Block, dim: int) -> Snapshot:
        return Snapshot(base, empty(dim), self._train(base.vectors) if base.ids.size else None)

    def build(self, vectors: Floats | Halves, ids: Ints | None = None, queries: Floats | None = None) -> LiveIndex:
        """A new index of these settings over ``vectors``.

        Args:
            vectors: float32 ``[n, dim]``, finite. Kept, not copied, where contiguous: do not change it. Of ``Halves`` only exact
                search keeps no copy in float32.
            ids: distinct int64 ``[n]``; 0, 1, 2, … by default. Kept as well.
            queries: float32 ``[queries, dim]``, a sample of what will be asked; only settings that promise a recall need it.

        Raises:
            SearchError: for no vectors, a wrong shape or dtype, numbers that are not finite, and repeated ids.
            MissingExtraError: where the package behind the index is not installed.
        """
        array, norms = check_stored(vectors if self._keeps_halves else whole(vectors), "vectors")
        if array.shape[0] == 0:
            raise SearchError("vectors has no rows; at least one candidate was expected.")
        return self._like(self._trained(block(array, check_ids(ids, array.shape[0]), norms), array.shape[1]))

    def _now(self) -> Snapshot:
        if self._snapshot is None:
            name = type(self).__name__
            raise SearchError(
                f"this {name} has settings only; it has not been built.",
                hint=f"index = {name}(…).build(vectors, ids)",
            )
        return self._snapshot

    # Searching.

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        exclude: Lists | None = None,
        allow: Lists | npt.ArrayLike | None = None,
        deny: npt.ArrayLike | None = None,
    ) -> Hits:
        """The k best candidates of each query, best first.

        Each list has ``min(k, eligible)`` ids, never one twice, never one that a filter forbids, never padding. Ids in a
        filter that the index does not hold are ignored.

        Args:
            queries: float32 ``[queries, dim]``.
            k: how many, at least 1; more than there are gives all there are.
            exclude: per query, ids that it may not have.
            allow: the only ids that may be found: per query (``Lists``) or for all queries (an array).
            deny: ids that no query may have.

        Raises:
            SearchError: for queries that are not a float32 matrix of the index's dim, k below 1, and filters that do not
                fit the queries.
        """
        if allow is None and deny is None and (hits := self._plain(queries, k, exclude)) is not None:
            return hits
        snapshot = self._now()
        number = check_k(k)
        array, norms = check_vectors(queries, "queries", snapshot.dim)
        request = SearchRequest.of(array, norms, number, exclude, allow, deny)
        found = self._search_base(snapshot, request, snapshot.base.filters(request))
        ids = snapshot.base.ids
        if snapshot.extra.ids.size == 0:
            return _hits(found, ids[found.positions], array.shape[0])
        new = snapshot.extra.search(request, snapshot.extra.filters(request))
        both = Matches(
            np.concatenate([found.rows, new.rows]),
            np.concatenate([found.positions, new.positions + ids.size]),
            np.concatenate([found.scores, new.scores]),
        )
        both = best(both, array.shape[0], number)
        old = both.positions < ids.size
        chosen = np.empty(both.positions.size, np.int64)
        chosen[old] = ids[both.positions[old]]
        chosen[~old] = snapshot.extra.ids[both.positions[~old] - ids.size]
        return _hits(both, chosen, array.shape[0])

    def _plain(self, queries: Floats, k: int, exclude: Lists | None) -> Hits | None:
        """The answer to a search without filters for all queries, where an index has a shorter way to it; no argument is checked yet."""
        return None

    # Changing.

    def upsert(self, ids: Ints, vectors: Floats) -> None:
        """Adds candidates, or replaces those whose ids exist; they are last in ``ids``.

        Args:
            ids: distinct integers.
            vectors: float32 ``[ids, dim]``, finite.

        Raises:
            SearchError: for a wrong shape or dtype, numbers that are not finite, and repeated ids.
        """
        array, norms = check_vectors(vectors, "vectors", self._now().dim)
        numbers = check_ids(as_ids(ids, "ids"), array.shape[0])
        if numbers.size == 0:
            return
        with self._changing:
            if self._missed is not None:  # made again, when the caller may have other numbers in its arrays
                array, numbers = array.copy(), numbers.copy()
            new = block(array, numbers, norms)
            self._change(lambda now: now.upserted(new))

    def delete(self, ids: Ints) -> int:
        """Removes candidates and returns how many there were; absent ids are ignored."""
        numbers = as_ids(ids, "ids")
        with self._changing:
            before = self._now().size
            if self._missed is not None:
                numbers = numbers.copy()
            self._change(lambda now: now.deleted(numbers))
            return before - self._now().size

    def _change(self, change: Change) -> None:
        self._snapshot = self._settle(change(self._now()))
        if self._missed is not None:
            self._missed.append(change)

    def rebuild(self) -> None:
        """Builds again from the current candidates; searches and changes continue meanwhile.

        Changes made in the meantime are made again on the new index before it replaces the old one.
        """
        with self._rebuilding:
            with self._changing:
                now, self._missed = self._now(), []
            try:
                built = self._renewed(now)
                with self._changing:
                    for change in self._missed:
                        built = change(built)
                    self._snapshot = built
            finally:
                with self._changing:  # a change that is being made may have found the list, and adds itself to it
                    self._missed = None

    def _renewed(self, now: Snapshot) -> Snapshot:
        vectors, ids = now.living
        if isinstance(now.base.vectors, Halves) and not isinstance(vectors, Halves):
            vectors = Halves.of(vectors) or vectors
        return self._trained(Block.of(vectors, ids, now.max_norm), now.dim)

    # Looking.

    @property
    def built(self) -> bool:
        """Whether this is an index, not just the settings of one."""
        return self._snapshot is not None

    @property
    def size(self) -> int:
        """Candidates that can be found."""
        return self._now().size

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._now().dim

    @property
    def ids(self) -> Ints:
        """Ids, int64 ``[size]``, in the order that breaks ties."""
        return self._now().living[1]

    @property
    def vectors(self) -> Floats:
        """Vectors, float32 ``[size, dim]``, in the order of ``ids``."""
        return whole(self._held)

    @property
    def _held(self) -> Floats | Halves:
        """``vectors`` as they are kept."""
        return self._now().living[0]

    def vectors_of(self, ids: Ints) -> Floats:
        """The vectors of some candidates (see :class:`~shortlist.index.contract.Index`)."""
        return self._now().vectors_of(as_ids(ids, "ids"))

    def _vectors_by_id(self) -> Floats | None:
        """All vectors, float32 ``[n, dim]``, where ids are 0, 1, 2, … and the vectors are in one array of memory."""
        now = self._now()
        base = now.base
        if base.dead is not None or now.extra.ids.size or not base.positions.counting:
            return None
        vectors = base.vectors
        if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
            return None
        return vectors

    @property
    def churn(self) -> float:
        """Changes since the build, as a fraction of the candidates built from."""
        now = self._now()
        return now.changes / max(1, now.base.ids.size)

    @property
    def nbytes(self) -> int:
        """Memory that the index holds, in bytes."""
        now = self._now()
        held = sum(int(part.vectors.nbytes + part.ids.nbytes + part.positions.nbytes) for part in (now.base, now.extra))
        return held + (0 if now.base.dead is None else int(now.base.dead.nbytes)) + self._native_bytes(now)

    def settings(self) -> dict[str, Any]:
        """Kind and options, fit for JSON."""
        return {"kind": self.kind, **asdict(self._settings)}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in asdict(self._settings).items())
        held = "" if self._snapshot is None else f" of {self.size} × {self.dim}"
        return f"{type(self).__name__}({options}){held}"

    # Storing.

    def save(self, folder: str | Path) -> None:
        """Writes the index into ``folder`` in one step (see :class:`~shortlist.index.contract.Index`)."""
        now = self._now()
        base, extra = now.base, now.extra
        with Writer(Path(folder)) as writer:
            vectors = base.vectors
            halves = isinstance(vectors, Halves)
            writer.array("vectors", vectors.upper if isinstance(vectors, Halves) else vectors)
            counting = bool((base.ids == np.arange(base.ids.size)).all())
            if not counting:
                writer.array("ids", base.ids)
            if base.dead is not None:
                writer.array("dead", base.dead)
            if extra.ids.size:
                writer.array("extra_vectors", whole(extra.vectors))
                writer.array("extra_ids", extra.ids)
            if now.native is not None:
                self._write_native(now.native, writer)
            writer.commit(
                {
                    "kind": self.kind,
                    "settings": self.settings(),
                    "dim": now.dim,
                    "dtype": "bfloat16" if halves else "float32",
                    "size": now.size,
                    "built": base.ids.size,
                    "added": extra.ids.size,
                    "dead": base.ids.size - base.alive,
                    "longest": [base.max_norm, extra.max_norm],
                },
                HALVES if halves else PLAIN,
            )

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True, verify: Verify = True) -> Self:
        """The index saved in ``folder``.

        Args:
            folder: where ``save`` wrote; it may have been moved or copied.
            mmap: leave the vectors on disk until they are used.
            verify: compare the sha256 of every file. "native" leaves out plain arrays, of which an altered bit can only
                alter a result, and reads nothing but their sizes: tens of millions of candidates open at once. False is
                only for callers who have just compared.

        Raises:
            BundleError: for a file that is missing, truncated, altered or a link, and an index of another kind.
        """
        return cls._from(Reader(Path(folder), verify, mmap))

    @classmethod
    def _from(cls, reader: Reader, *, strict: bool = False, rebuild: bool = False) -> Self:
        """The index that a reader has checked.

        Args:
            strict: check every number too.
            rebuild: train the native index again, and read none of its files.
        """
        header = reader.header
        if header.get("kind") != cls.kind:
            raise BundleError(
                f"{reader.folder} holds an index of kind {header.get('kind')!r}; {cls.kind!r} was expected.",
                hint="load_index(folder) loads any kind.",
            )
        try:
            options = {name: value for name, value in header["settings"].items() if name != "kind"}
            index = cls(**options)
            snapshot = cls._read(reader, strict)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(f"{reader.folder} is not described as an index is: {error!r}.") from None
        if rebuild:
            native = index._train(snapshot.base.vectors) if snapshot.base.ids.size else None
        else:
            native = index._read_native(reader, snapshot) if snapshot.base.ids.size else None
        index._snapshot = replace(snapshot, native=native)
        return index

    @staticmethod
    def _read(reader: Reader, strict: bool) -> Snapshot:
        header = reader.header
        n, dim, more = header["built"], header["dim"], header["added"]
        halves = header["dtype"] == "bfloat16"
        numbers = reader.array("vectors", np.uint16 if halves else np.float32, (n, dim), reader.mmap)
        vectors: Floats | Halves = Halves(numbers) if halves else numbers
        ids = reader.array("ids", np.int64, (n,), reader.mmap) if reader.has("ids") else counted(n)
        dead = reader.array("dead", np.int64, (header["dead"],)) if reader.has("dead") else None
        if dead is not None and dead.size and not (dead[0] >= 0 and dead[-1] < n and (dead[1:] > dead[:-1]).all()):
            raise BundleError(f"{reader.path('dead')} has invalid positions.")
        longest = [float(length) for length in header["longest"]]
        extra = empty(dim)
        if more:
            added = reader.array("extra_vectors", np.float32, (more, dim))
            extra = Block.of(added, reader.array("extra_ids", np.int64, (more,)), longest[1])
        if strict:
            longest = []
            for part, own in ((vectors, ids), (extra.vectors, extra.ids)):
                array, norms = check_stored(part, "vectors", dim)
                longest.append(block(array, check_ids(own, array.shape[0]), norms).max_norm)
            extra = replace(extra, max_norm=longest[1])
        return Snapshot(Block.of(vectors, ids, longest[0], dead), extra)


def _hits(found: Matches, ids: Ints, queries: int) -> Hits:
    if queries == 1:
        return Hits(np.array([0, ids.size]), ids, found.scores)
    return Hits(offsets_of(np.bincount(found.rows, minlength=queries)), ids, found.scores)
